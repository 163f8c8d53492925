//! An origin on hyper: a second opinion on what the proxy sends, from a parser that many use.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// A hyper server on a thread of its own, for HTTP/1 and for HTTP/2 by its preface. It answers
/// `/status/N` with that status, `/bytes/N` with N bytes, and everything else with the request's
/// body; `x-seen` repeats method and target.
pub struct HyperOrigin {
    address: SocketAddr,
    served: Arc<AtomicUsize>,
    stop: Option<oneshot::Sender<()>>,
}

impl HyperOrigin {
    /// Starts it on a free port of 127.0.0.1; `name` stands in the `x-origin` field of each answer.
    pub fn start(name: &str) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("an origin can listen");
        listener.set_nonblocking(true).expect("a listener can be made non-blocking");
        let address = listener.local_addr().expect("a listener has an address");
        let (stop, stopped) = oneshot::channel();
        let served = Arc::new(AtomicUsize::new(0));
        let (name, count) = (name.to_owned(), served.clone());
        thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(async {
                tokio::select! {
                    () = serve(listener, name.into(), count) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, served, stop: Some(stop) }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many requests it has answered.
    pub fn served(&self) -> usize {
        self.served.load(Ordering::Relaxed)
    }
}

impl Drop for HyperOrigin {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended_already = stop.send(());
        }
    }
}

async fn serve(listener: std::net::TcpListener, name: Arc<str>, served: Arc<AtomicUsize>) {
    let listener = TcpListener::from_std(listener).expect("the runtime takes the listener");
    while let Ok((socket, _)) = listener.accept().await {
        let (name, served) = (name.clone(), served.clone());
        tokio::spawn(async move {
            let service = service_fn(|request| {
                served.fetch_add(1, Ordering::Relaxed);
                answer(name.clone(), request)
            });
            let builder = auto::Builder::new(TokioExecutor::new());
            let _peer_went_away = builder.serve_connection(TokioIo::new(socket), service).await;
        });
    }
}

async fn answer(
    name: Arc<str>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let seen = format!("{} {}", request.method(), request.uri());
    let path = request.uri().path().to_owned();
    let number = path.rsplit('/').next().and_then(|last| last.parse::<usize>().ok()).unwrap_or(0);
    let Ok(body) = request.into_body().collect().await else {
        return Ok(Response::builder().status(400).body(Full::default()).expect("valid"));
    };
    let body = match path.starts_with("/bytes/") {
        true => Bytes::from(vec![b'b'; number]),
        false => body.to_bytes(),
    };
    let status = match path.starts_with("/status/") {
        true => StatusCode::from_u16(number as u16).unwrap_or(StatusCode::OK),
        false => StatusCode::OK,
    };
    let response = Response::builder().status(status).header("x-origin", &*name);
    Ok(response.header("x-seen", seen).body(Full::new(body)).expect("the parts are valid"))
}
