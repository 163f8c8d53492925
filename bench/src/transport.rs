//! What is spoken on both sides of the proxy, where it is not HTTP/1.1 without TLS.
//!
//! Owns: which peer can do what, how the load generator and the origin are told. Does not own:
//! how a peer is configured for it, which is `peers`'s.

use std::fs;
use std::io;
use std::path::Path;

use crate::peers::Kind;

/// Both sides of the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transport {
    pub(crate) client: Client,
    /// Between the clients and the proxy.
    pub(crate) tls: Tls,
    /// Requests at a time on each connection of a client.
    pub(crate) streams: usize,
    pub(crate) origin: Origin,
}

/// What clients speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Client {
    Http1,
    Http2,
    Grpc,
    /// Calls that are answered by a hundred messages each.
    GrpcStream,
    WebSocket,
    Tcp,
    /// Datagrams.
    Udp,
}

/// What protects it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Tls {
    None,
    /// Handshakes are full.
    Full,
    /// All but the first resume a session.
    Resumed,
}

/// What the proxy speaks to the origin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Http1,
    Http2,
    /// There is none: the proxy answers by itself.
    Direct,
    /// Bytes come back.
    Echo,
    /// Each MiB is answered by a byte.
    Sink,
    /// Each byte is answered by a MiB.
    Source,
}

/// What a proxy answers by itself.
pub(crate) const DIRECT: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.!";
/// The message of a call.
const MESSAGE: &str = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVW";
/// Certificate, key, and both in one file.
const CERTIFICATE: &str = "cert.pem";
const KEY: &str = "key.pem";
const BOTH: &str = "both.pem";

impl Transport {
    /// HTTP/1.1 without TLS.
    pub(crate) const PLAIN: Self =
        Self { client: Client::Http1, tls: Tls::None, streams: 1, origin: Origin::Http1 };

    /// Whether clients speak HTTP/1.1 without TLS to a proxy that has an origin.
    pub(crate) fn is_plain(self) -> bool {
        (self.client, self.tls, self.origin) == (Client::Http1, Tls::None, Origin::Http1)
    }

    pub(crate) fn is_tls(self) -> bool {
        self.tls != Tls::None
    }

    pub(crate) fn is_grpc(self) -> bool {
        matches!(self.client, Client::Grpc | Client::GrpcStream)
    }

    /// Why a proxy cannot do it.
    pub(crate) fn cannot(self, kind: Kind) -> Option<&'static str> {
        let same = match self.client {
            // Fixed bytes stand for what it does not pass on.
            Client::Http2 => true,
            Client::Grpc | Client::GrpcStream => self.origin == Origin::Http2,
            _ => self.origin != Origin::Direct,
        };
        match kind {
            Kind::Floor if self.is_tls() => Some("it has no TLS"),
            Kind::Floor if !same => Some("it passes on what it gets"),
            Kind::H2o if self.client == Client::Tcp => Some("it has no TCP proxy"),
            Kind::Floor if self.client == Client::Udp => Some("it relays connections"),
            Kind::H2o | Kind::Haproxy if self.client == Client::Udp => Some("it has no UDP proxy"),
            Kind::H2o if self.origin == Origin::Http2 => {
                Some("it speaks HTTP/1 to origins (before 2.3)")
            }
            Kind::Nginx if self.origin == Origin::Http2 && !self.is_grpc() => {
                Some("it speaks HTTP/2 to origins of gRPC only")
            }
            _ => None,
        }
    }

    /// What the load generator is told beside connections and times.
    pub(crate) fn arguments(self, folder: &Path) -> Vec<String> {
        let body = format!("@{}", folder.join("body").display());
        let mut arguments = vec!["--streams".to_owned(), self.streams.to_string()];
        let mut add = |words: &[&str]| arguments.extend(words.iter().map(|w| (*w).to_owned()));
        match self.tls {
            Tls::None => {}
            Tls::Full => add(&["--insecure", "--tls-version", "1.3"]),
            Tls::Resumed => add(&["--insecure", "--tls-version", "1.3", "--resume"]),
        }
        match (self.client, self.origin) {
            (Client::Http2, _) => add(&["--http2"]),
            (Client::Grpc, _) => add(&["--body", MESSAGE, "--expect-messages", "1"]),
            (Client::GrpcStream, _) => {
                let wish = "x-ringway-answer: messages/100";
                add(&["--body", MESSAGE, "--header", wish, "--expect-messages", "100"]);
            }
            (Client::Tcp, Origin::Sink) => add(&["--body", &body, "--expect-length", "1"]),
            (Client::Tcp, Origin::Source) => add(&["--body", ".", "--expect-length", "1m"]),
            _ => {}
        }
        arguments
    }

    /// Whether answers have statuses and bodies of HTTP.
    pub(crate) fn is_http(self) -> bool {
        matches!(self.client, Client::Http1 | Client::Http2)
    }

    /// The URL of a path.
    pub(crate) fn url(self, port: u16, path: &str) -> String {
        let scheme = match (self.client, self.is_tls()) {
            (Client::Http1 | Client::Http2, false) => "http",
            (Client::Http1 | Client::Http2, true) => "https",
            (Client::Grpc | Client::GrpcStream, false) => "grpc",
            (Client::Grpc | Client::GrpcStream, true) => "grpcs",
            (Client::WebSocket, false) => "ws",
            (Client::WebSocket, true) => "wss",
            (Client::Tcp, false) => "tcp",
            (Client::Tcp, true) => "tls",
            (Client::Udp, _) => "udp",
        };
        let path = if self.is_grpc() { "/bench.Echo/Call" } else { path };
        format!("{scheme}://127.0.0.1:{port}{path}")
    }

    /// What the origin is told beside its address.
    pub(crate) fn origin_arguments(self) -> &'static [&'static str] {
        match self.origin {
            _ if self.client == Client::Udp => &["--udp"],
            Origin::Http1 | Origin::Http2 | Origin::Direct => &[],
            Origin::Echo => &["--tcp", "echo"],
            Origin::Sink => &["--tcp", "sink"],
            Origin::Source => &["--tcp", "source"],
        }
    }
}

/// A certificate of the proxy, its key, and both in one file.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) both: String,
}

/// The files of [`write_identity`].
pub(crate) fn identity(folder: &Path) -> Identity {
    let path = |name: &str| folder.join(name).display().to_string();
    Identity { certificate: path(CERTIFICATE), key: path(KEY), both: path(BOTH) }
}

/// Makes a certificate of ECDSA P-256 for all proxies.
///
/// # Errors
///
/// The files cannot be written.
pub(crate) fn write_identity(folder: &Path) -> io::Result<()> {
    let names = ["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).map_err(io::Error::other)?;
    let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
    fs::write(folder.join(CERTIFICATE), &certificate)?;
    fs::write(folder.join(KEY), &key)?;
    fs::write(folder.join(BOTH), certificate + &key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_name_what_is_spoken() {
        let h2 = Transport { client: Client::Http2, tls: Tls::Full, ..Transport::PLAIN };
        assert_eq!(h2.url(5, "/x"), "https://127.0.0.1:5/x");
        let call = Transport { client: Client::Grpc, origin: Origin::Http2, ..Transport::PLAIN };
        assert_eq!(call.url(5, "/"), "grpc://127.0.0.1:5/bench.Echo/Call");
        assert!(Transport::PLAIN.is_plain() && !h2.is_plain() && !call.is_plain());
    }

    #[test]
    fn who_cannot_do_it_says_why() {
        let with = |client, origin| Transport { client, origin, ..Transport::PLAIN };
        let h2 = with(Client::Http2, Origin::Http2);
        assert!(h2.cannot(Kind::Nginx).is_some() && h2.cannot(Kind::H2o).is_some());
        assert!(h2.cannot(Kind::Floor).is_none() && h2.cannot(Kind::Envoy).is_none());
        assert!(with(Client::Grpc, Origin::Http2).cannot(Kind::Nginx).is_none());
        assert!(with(Client::Http2, Origin::Http1).cannot(Kind::Floor).is_none());
        assert!(with(Client::Grpc, Origin::Http1).cannot(Kind::Floor).is_some());
        assert!(with(Client::Tcp, Origin::Echo).cannot(Kind::H2o).is_some());
        let udp = with(Client::Udp, Origin::Echo);
        assert!(udp.cannot(Kind::Haproxy).is_some() && udp.cannot(Kind::Floor).is_some());
        assert!(udp.cannot(Kind::Nginx).is_none() && udp.cannot(Kind::Envoy).is_none());
        assert_eq!(udp.url(5, "/"), "udp://127.0.0.1:5/");
        assert!(Kind::ALL.iter().all(|kind| Transport::PLAIN.cannot(*kind).is_none()));
    }

    #[test]
    fn a_certificate_is_written_with_its_key() {
        let folder = tempfile::tempdir().expect("a folder");
        write_identity(folder.path()).expect("written");
        let identity = identity(folder.path());
        let both = fs::read_to_string(identity.both).expect("there");
        assert!(both.contains("BEGIN CERTIFICATE") && both.contains("PRIVATE KEY"));
    }
}
