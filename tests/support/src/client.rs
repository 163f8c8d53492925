//! A client that sends exactly the bytes that a test gives it.

use std::fmt::Debug;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::Arc;

use crate::{Message, PATIENCE, Stream, Transcript, Wire, WireError};

/// One downstream connection. Its methods panic with a reason, as a test wants it, and the
/// transcript is printed when the test fails while the client lives.
#[derive(Debug)]
pub struct RawClient {
    wire: Option<Wire>,
    transcript: Arc<Transcript>,
}

impl RawClient {
    /// Connects over TCP.
    pub fn connect(address: SocketAddr) -> Self {
        Self::try_connect(address).unwrap_or_else(|error| panic!("connect to {address}: {error}"))
    }

    /// Connects over TCP, or says why that is impossible.
    pub fn try_connect(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect_timeout(&address, PATIENCE)?;
        Self::over(Stream::Tcp(stream), format!("client to {address}"))
    }

    /// Takes over a socket that is connected already.
    pub fn from_stream(stream: TcpStream) -> Self {
        Self::over(Stream::Tcp(stream), "client on a socket of its own".into())
            .expect("a fresh TCP socket takes its options")
    }

    /// Connects to a Unix socket.
    pub fn connect_unix(path: &Path) -> Self {
        let stream = UnixStream::connect(path)
            .unwrap_or_else(|error| panic!("connect to {}: {error}", path.display()));
        Self::over(Stream::Unix(stream), format!("client to {}", path.display()))
            .expect("a fresh Unix socket takes a timeout")
    }

    fn over(stream: Stream, title: String) -> io::Result<Self> {
        let transcript = Arc::new(Transcript::new(title));
        Ok(Self { wire: Some(Wire::new(stream, transcript.clone())?), transcript })
    }

    /// The socket and its reader, for good.
    pub fn into_wire(mut self) -> Wire {
        self.wire.take().expect("the client was reset before")
    }

    /// The socket and its reader, for steps that have no method here.
    pub fn wire(&mut self) -> &mut Wire {
        self.wire.as_mut().expect("the client was reset before")
    }

    /// Sends bytes as they are.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.wire().send(bytes.as_ref()).expect("send");
        self
    }

    /// Sends bytes; a peer that has closed already is no error.
    pub fn send_anyway(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        let _closed_already = self.wire().send(bytes.as_ref());
        self
    }

    /// Reads one response to a request with a method other than HEAD and CONNECT.
    pub fn response(&mut self) -> Message {
        self.response_to("GET")
    }

    /// Reads one whole response to a request of that method.
    pub fn response_to(&mut self, method: &str) -> Message {
        let message = self.try_response(method).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(message.cut, None, "the body is not whole");
        message
    }

    /// Reads one response, which may be cut.
    pub fn try_response(&mut self, method: &str) -> Result<Message, WireError> {
        self.wire().response(method)
    }

    /// Sends a request and reads its response.
    pub fn ask(&mut self, bytes: impl AsRef<[u8]>) -> Message {
        let head = bytes.as_ref().starts_with(b"HEAD ");
        self.send(bytes).response_to(if head { "HEAD" } else { "GET" })
    }

    /// A GET with a host and nothing else.
    pub fn get(&mut self, path: &str) -> Message {
        self.ask(format!("GET {path} HTTP/1.1\r\nhost: test\r\n\r\n"))
    }

    /// Sends FIN.
    pub fn finish(&mut self) -> &mut Self {
        self.wire().finish().expect("finish");
        self
    }

    /// Sends RST.
    pub fn reset(mut self) {
        if let Some(wire) = self.wire.take() {
            wire.reset().expect("reset");
        }
    }

    /// Expects the end of the connection, with nothing before it.
    pub fn expect_close(&mut self) {
        self.wire().expect_close().unwrap_or_else(|error| panic!("the end was due, but {error}"));
    }
}

impl Drop for RawClient {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}", self.transcript);
        }
    }
}
