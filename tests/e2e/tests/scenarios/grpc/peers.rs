//! A gRPC client and server on tonic, whose messages are plain bytes: the proxy looks into none.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::thread;

use bytes::{Buf, BufMut};
use hyper::body::Incoming;
use hyper::http::uri::PathAndQuery;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use ringway_test_support::{Certificates, PATIENCE};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpListener;
use tokio::sync::{Barrier, mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_stream::wrappers::ReceiverStream;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::metadata::KeyAndValueRef;
use tonic::server::StreamingService;
use tonic::transport::{Channel, ClientTlsConfig};
use tonic::{Code, Request, Response, Status, Streaming};

/// Messages as they are.
#[derive(Clone, Copy, Default)]
pub(super) struct Opaque;

impl Codec for Opaque {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        *self
    }

    fn decoder(&mut self) -> Self {
        *self
    }
}

impl Encoder for Opaque {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Opaque {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        let mut item = vec![0; from.remaining()];
        from.copy_to_slice(&mut item);
        Ok(Some(item))
    }
}

/// How many calls of `Meet` wait for each other.
pub(super) const MEETING: usize = 100;

/// What every call of a server shares.
#[derive(Clone)]
struct Shared {
    told: std::sync::mpsc::Sender<&'static str>,
    meeting: Arc<Barrier>,
}

/// A server on a thread of its own. Each method takes a stream and gives one, since the kinds of
/// calls differ only in who sends how many messages:
///
/// - `Echo` gives each message back as it comes, and `x-told-*` metadata;
/// - `GoOn` does so too, and sends three more after the client's end;
/// - `Collect` answers the end with the number of messages and of their bytes;
/// - `Spread` takes a number and sends as many messages;
/// - `Meet` is `Echo` once as many calls as [`MEETING`] are there;
/// - `Fail` fails before anything else, `FailLate` after one message;
/// - `Silent` never answers and `Hold` never ends; the end of both is told.
pub(super) struct Server {
    address: SocketAddr,
    told: std::sync::mpsc::Receiver<&'static str>,
    stop: Option<oneshot::Sender<()>>,
}

impl Server {
    pub(super) fn start() -> Self {
        Self::start_with(None)
    }

    /// A server that speaks HTTP/2 over TLS alone, as `a` of these certificates.
    pub(super) fn secured(certificates: &Certificates) -> Self {
        let (chain, key) = (certificates.path("a.pem"), certificates.path("a.key"));
        let chain = CertificateDer::pem_file_iter(chain).unwrap().map(Result::unwrap).collect();
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key);
        let mut config = config.unwrap();
        config.alpn_protocols = vec![b"h2".to_vec()];
        Self::start_with(Some(TlsAcceptor::from(Arc::new(config))))
    }

    fn start_with(acceptor: Option<TlsAcceptor>) -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = std::sync::mpsc::channel();
        let shared = Shared { told: tell, meeting: Arc::new(Barrier::new(MEETING)) };
        thread::spawn(move || {
            runtime().block_on(async {
                tokio::select! {
                    () = serve(listener, acceptor, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        Self { address, told, stop: Some(stop) }
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next thing that a call tells.
    pub(super) fn told(&self) -> &'static str {
        self.told.recv_timeout(PATIENCE).expect("the server tells it")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(stop) = self.stop.take() {
            let _ended_already = stop.send(());
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

async fn serve(listener: std::net::TcpListener, acceptor: Option<TlsAcceptor>, shared: Shared) {
    let listener = TcpListener::from_std(listener).unwrap();
    while let Ok((socket, _)) = listener.accept().await {
        let (acceptor, shared) = (acceptor.clone(), shared.clone());
        tokio::spawn(async move {
            match acceptor {
                None => answer(socket, shared).await,
                Some(acceptor) => {
                    // One whose handshake fails has said so to its peer.
                    if let Ok(secured) = acceptor.accept(socket).await {
                        assert_eq!(secured.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
                        answer(secured, shared).await;
                    }
                }
            }
        });
    }
}

async fn answer<S>(socket: S, shared: Shared)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let service = service_fn(|request: hyper::Request<Incoming>| {
        let method = request.uri().path().rsplit('/').next().unwrap_or("").to_owned();
        let method = Method { name: method, shared: shared.clone() };
        async {
            let mut server = tonic::server::Grpc::new(Opaque);
            Ok::<_, Infallible>(server.streaming(method, request).await)
        }
    });
    let builder = http2::Builder::new(TokioExecutor::new());
    let _peer_went_away = builder.serve_connection(TokioIo::new(socket), service).await;
}

/// Tells when its call goes.
struct Ended(std::sync::mpsc::Sender<&'static str>);

impl Drop for Ended {
    fn drop(&mut self) {
        let _test_is_over = self.0.send("cancelled");
    }
}

struct Method {
    name: String,
    shared: Shared,
}

type Answers = mpsc::Sender<Result<Vec<u8>, Status>>;

impl StreamingService<Vec<u8>> for Method {
    type Response = Vec<u8>;
    type ResponseStream = ReceiverStream<Result<Vec<u8>, Status>>;
    type Future =
        Pin<Box<dyn Future<Output = Result<Response<Self::ResponseStream>, Status>> + Send>>;

    fn call(&mut self, request: Request<Streaming<Vec<u8>>>) -> Self::Future {
        let (name, shared) = (self.name.clone(), self.shared.clone());
        Box::pin(async move {
            match name.as_str() {
                "Fail" => return Err(failure("100 % of \u{e9}t\u{e9}\n")),
                "Silent" => {
                    let _ended = Ended(shared.told.clone());
                    return std::future::pending().await;
                }
                "Meet" => {
                    let _last_to_come = shared.meeting.wait().await;
                }
                _ => {}
            }
            let (answers, stream) = mpsc::channel(4);
            let mut response = Response::new(ReceiverStream::new(stream));
            give_back(&request, &mut response);
            tokio::spawn(async move {
                // An error is the end of the call, of which the client knows.
                let _ended = converse(&name, request.into_inner(), answers, shared).await;
            });
            Ok(response)
        })
    }
}

fn failure(message: &str) -> Status {
    let mut status = Status::new(Code::NotFound, message);
    status.metadata_mut().insert("x-told-why", "nowhere".parse().unwrap());
    status
}

fn give_back<T, U>(request: &Request<T>, response: &mut Response<U>) {
    for entry in request.metadata().iter() {
        match entry {
            KeyAndValueRef::Ascii(key, value) if key.as_str().starts_with("x-told-") => {
                response.metadata_mut().append(key.clone(), value.clone());
            }
            KeyAndValueRef::Binary(key, value) if key.as_str().starts_with("x-told-") => {
                response.metadata_mut().append_bin(key.clone(), value.clone());
            }
            _ => {}
        }
    }
}

async fn converse(
    name: &str,
    mut requests: Streaming<Vec<u8>>,
    answers: Answers,
    shared: Shared,
) -> Option<()> {
    match name {
        "Collect" => {
            let (mut messages, mut bytes) = (0, 0);
            while let Some(message) = requests.message().await.ok()? {
                (messages, bytes) = (messages + 1, bytes + message.len());
            }
            answers.send(Ok(format!("{messages} of {bytes}").into())).await.ok()?;
        }
        "Spread" => {
            let asked = requests.message().await.ok()??;
            let count: usize = String::from_utf8(asked).ok()?.parse().ok()?;
            for number in 0..count {
                answers.send(Ok(number.to_string().into())).await.ok()?;
            }
        }
        "FailLate" => {
            answers.send(Ok(b"begun".to_vec())).await.ok()?;
            answers.send(Err(failure("late"))).await.ok()?;
        }
        "Hold" => {
            answers.send(Ok(b"held".to_vec())).await.ok()?;
            answers.closed().await;
            shared.told.send("cancelled").ok()?;
        }
        _ => {
            while let Some(message) = requests.message().await.ok()? {
                answers.send(Ok(message)).await.ok()?;
            }
            let more = if name == "GoOn" { 3 } else { 0 };
            for number in 0..more {
                answers.send(Ok(format!("after {number}").into())).await.ok()?;
            }
        }
    }
    Some(())
}

/// Runs the client's side of a test.
pub(super) fn run<T>(client: impl Future<Output = T>) -> T {
    let patient = async { tokio::time::timeout(2 * PATIENCE, client).await };
    runtime().block_on(patient).expect("calls end")
}

/// One connection.
#[derive(Clone)]
pub(super) struct Client(tonic::client::Grpc<Channel>);

impl Client {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let endpoint = Channel::from_shared(format!("http://{address}")).unwrap();
        Self(tonic::client::Grpc::new(endpoint.connect().await.unwrap()))
    }

    /// A connection to a server that proves to be `name`. tonic offers `h2` by ALPN, and goes no
    /// further without it.
    ///
    /// # Errors
    /// It does not prove that.
    pub(super) async fn secured(
        address: SocketAddr,
        certificates: &Certificates,
        name: &str,
    ) -> Result<Self, tonic::transport::Error> {
        let authority = std::fs::read(certificates.path("ca.pem")).unwrap();
        let tls = ClientTlsConfig::new().domain_name(name);
        let tls = tls.ca_certificate(tonic::transport::Certificate::from_pem(authority));
        let endpoint = Channel::from_shared(format!("https://{address}")).unwrap();
        let channel = endpoint.tls_config(tls)?.connect().await?;
        Ok(Self(tonic::client::Grpc::new(channel)))
    }

    /// One message for one message.
    pub(super) async fn unary(
        &mut self,
        method: &str,
        request: impl tonic::IntoRequest<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Status> {
        self.0.ready().await.expect("the connection stands");
        self.0.unary(request.into_request(), path(method), Opaque).await
    }

    /// Many messages for one.
    pub(super) async fn collect(
        &mut self,
        messages: Vec<Vec<u8>>,
    ) -> Result<Response<Vec<u8>>, Status> {
        self.0.ready().await.expect("the connection stands");
        let messages = Request::new(tokio_stream::iter(messages));
        self.0.client_streaming(messages, path("Collect"), Opaque).await
    }

    /// One message for many.
    pub(super) async fn ask(&mut self, method: &str, message: &str) -> Streaming<Vec<u8>> {
        self.0.ready().await.expect("the connection stands");
        let message = Request::new(message.into());
        let response = self.0.server_streaming(message, path(method), Opaque).await;
        response.expect("it begins well").into_inner()
    }

    /// Many for many: what is sent goes to the server, and a drop ends the client's side.
    pub(super) async fn talk(
        &mut self,
        method: &str,
    ) -> (mpsc::Sender<Vec<u8>>, Streaming<Vec<u8>>) {
        self.0.ready().await.expect("the connection stands");
        let (sender, messages) = mpsc::channel(1);
        let messages = Request::new(ReceiverStream::new(messages));
        let response = self.0.streaming(messages, path(method), Opaque).await;
        (sender, response.expect("it begins well").into_inner())
    }
}

fn path(method: &str) -> PathAndQuery {
    format!("/test.Calls/{method}").parse().unwrap()
}

/// The next message as text; none is the end of a call that went well.
pub(super) async fn next(messages: &mut Streaming<Vec<u8>>) -> Option<String> {
    let message = messages.message().await.expect("the call goes well");
    message.map(|message| String::from_utf8(message).unwrap())
}
