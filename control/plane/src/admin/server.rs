//! The HTTP server behind the admin address: sockets, bounds, statistics.
//!
//! Every bound is a constant here: connections at once, size of a head, number of its fields,
//! time without progress. Bodies of requests are not read.

mod stalled;
mod tally;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use hyper::body::Incoming;
use hyper::http::uri::PathAndQuery;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{StatusCode, Uri};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use ringway_bridge::limit::Permit;
use ringway_model::listener::ConnectionLimits;
use ringway_model::route::StringMatch;

use super::commands;
use super::query::{Params, Request};
use super::reply::Reply;
use super::state::AdminState;
use stalled::Progress;
use tally::Tally;

/// Connections served at once; further ones wait in the listen queue.
const CONNECTIONS_MAX: usize = 128;
/// Bytes of a request head.
const HEAD_BYTES_MAX: usize = 64 * 1024;
/// Header fields of a request.
const HEADERS_MAX: usize = 100;
/// How long a connection may stand still, be it idle, in the middle of a head, or because the
/// client does not read.
const STALLED_MAX: Duration = Duration::from_secs(60);
/// Pause after an accept that failed, most likely for want of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Where the admin server listens (Envoy `Admin.address`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AdminAddress {
    /// An IP address; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket; a leading `@` names the abstract namespace.
    Pipe(PathBuf),
}

/// Why the admin server cannot start.
#[derive(Debug, thiserror::Error)]
pub enum AdminError {
    /// The address is busy, not on this host, or not permitted.
    #[error("admin: cannot bind '{address}': {source}")]
    Bind {
        /// As configured.
        address: String,
        /// What the kernel said.
        source: io::Error,
    },
    /// `--admin-address-path` cannot be written.
    #[error("admin: cannot write the admin address to '{path}': {source}")]
    AddressPath {
        /// The path.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// A bound admin server.
#[derive(Debug)]
pub struct AdminServer {
    socket: Socket,
    address: String,
    allowed: Arc<[StringMatch]>,
}

#[derive(Debug)]
enum Socket {
    Tcp(TcpListener),
    Pipe(UnixListener),
}

impl AdminServer {
    /// Binds the address. Must be called inside the control thread's runtime.
    pub fn bind(address: &AdminAddress) -> Result<Self, AdminError> {
        let bound = match address {
            AdminAddress::Tcp(ip) => bind_tcp(*ip),
            AdminAddress::Pipe(path) => bind_pipe(path),
        };
        bound.map_err(|source| {
            let address = match address {
                AdminAddress::Tcp(ip) => ip.to_string(),
                AdminAddress::Pipe(path) => path.display().to_string(),
            };
            AdminError::Bind { address, source }
        })
    }

    fn on(socket: Socket, address: String) -> Self {
        Self { socket, address, allowed: Arc::default() }
    }

    /// The same, which answers only where one of these matches the path and query of a request
    /// (Envoy `Admin.allow_paths`). None at all allow everything.
    #[must_use]
    pub fn allowing(self, paths: Vec<StringMatch>) -> Self {
        Self { allowed: paths.into(), ..self }
    }

    /// The address as bound: `127.0.0.1:9901`, `[::1]:9901` or a path.
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Writes the address to a file (`--admin-address-path`).
    pub fn write_address(&self, path: &Path) -> Result<(), AdminError> {
        fs::write(path, &self.address)
            .map_err(|source| AdminError::AddressPath { path: path.to_owned(), source })
    }

    /// Serves until the future is dropped; connections end with it.
    pub async fn run(self, state: Arc<AdminState>, limits: ConnectionLimits) {
        let tally = Arc::new(Tally::new(&state.catalog));
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut connections = JoinSet::new();
        loop {
            // Only a closed semaphore fails, and this one is never closed.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
            let accepted = self.accept().await;
            while connections.try_join_next().is_some() {}
            let Ok(stream) = accepted else {
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            };
            let Some(permit) = permit(&limits) else {
                tally.refused();
                continue;
            };
            let (state, tally) = (Arc::clone(&state), Arc::clone(&tally));
            let allowed = Arc::clone(&self.allowed);
            connections.spawn(async move {
                tally.opened();
                serve(stream, state, &allowed, &tally).await;
                tally.closed();
                drop((permit, slot));
            });
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Stream>> {
        Ok(match &self.socket {
            Socket::Tcp(listener) => Box::new(listener.accept().await?.0),
            Socket::Pipe(listener) => Box::new(listener.accept().await?.0),
        })
    }
}

/// What a connection counts as against the limit on all of them; `None` for one too many.
fn permit(limits: &ConnectionLimits) -> Option<Option<Permit>> {
    match &limits.global {
        Some(limit) if limits.ignores_global => Some(Some(limit.permit_anyway())),
        Some(limit) => limit.permit().map(Some),
        None => Some(None),
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

fn bind_tcp(address: SocketAddr) -> io::Result<AdminServer> {
    let listener = std::net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?.to_string();
    Ok(AdminServer::on(Socket::Tcp(TcpListener::from_std(listener)?), address))
}

fn bind_pipe(path: &Path) -> io::Result<AdminServer> {
    use std::os::linux::net::SocketAddrExt;
    use std::os::unix::net::{SocketAddr, UnixListener as StdListener};
    let text = path.to_string_lossy().into_owned();
    let listener = match text.strip_prefix('@') {
        Some(name) => StdListener::bind_addr(&SocketAddr::from_abstract_name(name)?)?,
        None => {
            remove_stale_socket(path)?;
            StdListener::bind(path)?
        }
    };
    listener.set_nonblocking(true)?;
    Ok(AdminServer::on(Socket::Pipe(UnixListener::from_std(listener)?), text))
}

/// A socket file that nobody listens on is left over from a process that was killed.
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(_) => Ok(()),
    }
}

async fn serve(
    stream: Box<dyn Stream>,
    state: Arc<AdminState>,
    allowed: &[StringMatch],
    tally: &Tally,
) {
    let answer = |request: hyper::Request<Incoming>| {
        tally.requested();
        let reply = match refusal(allowed, request.uri()) {
            Some(refusal) => refusal,
            None => commands::dispatch(&state, &take_apart(&request)),
        };
        tally.answered(reply.status.as_u16());
        std::future::ready(Ok::<_, Infallible>(reply.into_response()))
    };
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(STALLED_MAX)
        .max_buf_size(HEAD_BYTES_MAX)
        .max_headers(HEADERS_MAX)
        .serve_connection(TokioIo::new(Progress::new(stream, STALLED_MAX)), service_fn(answer));
    if let Err(error) = connection.await {
        tracing::debug!(target: "admin", %error, "admin connection ended");
    }
}

/// What is answered where `allow_paths` does not let a request pass.
fn refusal(allowed: &[StringMatch], uri: &Uri) -> Option<Reply> {
    let target = uri.path_and_query().map_or("/", PathAndQuery::as_str);
    if allowed.is_empty() || allowed.iter().any(|path| path.matches(target.as_bytes())) {
        return None;
    }
    let text = format!("request to path {target} not allowed");
    Some(Reply::error(StatusCode::FORBIDDEN, text))
}

fn take_apart(request: &hyper::Request<Incoming>) -> Request {
    let uri = request.uri();
    Request {
        method: request.method().clone(),
        path: uri.path().to_owned(),
        params: Params::parse(uri.query().unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests;
