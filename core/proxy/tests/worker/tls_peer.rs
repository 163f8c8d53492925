//! TLS peers on plain sockets: a client and a server that block, and their certificates.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use rcgen::{CertificateParams, DnType, IsCa, Issuer, KeyPair, SanType};
use ringway_tls::{ClientContext, Engine, Identity, Parameters, ServerContext, Source, TlsVersion};

/// A connection with TLS on it, either side.
pub(crate) struct Peer {
    socket: TcpStream,
    received: Vec<u8>,
    pub(crate) engine: Engine,
}

impl Peer {
    pub(crate) fn client(socket: TcpStream, context: &ClientContext) -> Self {
        let engine = Engine::client(context, Some("a.test"), Instant::now(), None);
        Self { socket, received: Vec::new(), engine: engine.expect("a name").expect("an engine") }
    }

    pub(crate) fn server(socket: TcpStream, context: &ServerContext) -> Self {
        let engine = Engine::server(context, Instant::now(), None).expect("an engine");
        Self { socket, received: Vec::new(), engine }
    }

    pub(crate) fn shake_hands(&mut self) -> io::Result<()> {
        while self.engine.is_handshaking() {
            self.pump()?;
        }
        self.flush()
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut out = Vec::new();
        self.engine.transmit(&mut out);
        self.socket.write_all(&out)
    }

    /// Receives when nothing is left, and lets the engine take what it takes.
    fn pump(&mut self) -> io::Result<()> {
        self.flush()?;
        if self.received.is_empty() {
            let mut bytes = [0; 4096];
            let len = self.socket.read(&mut bytes)?;
            if len == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            self.received.extend_from_slice(&bytes[..len]);
        }
        let progress = self.engine.receive(&mut self.received, Instant::now()).map_err(|error| {
            // An alert may be due.
            let _ = self.flush();
            io::Error::other(error)
        });
        self.received.drain(..progress?.taken);
        Ok(())
    }

    pub(crate) fn say(&mut self, mut plaintext: &[u8]) {
        while !plaintext.is_empty() {
            let sent = self.engine.send(plaintext);
            plaintext = &plaintext[sent..];
            self.flush().expect("sent");
        }
    }

    /// The next bytes; empty when the peer has said goodbye.
    pub(crate) fn hear(&mut self) -> io::Result<Vec<u8>> {
        loop {
            let plaintext = self.engine.plaintext().to_vec();
            if !plaintext.is_empty() {
                self.engine.consume(plaintext.len());
                return Ok(plaintext);
            }
            if self.engine.peer_closed() {
                return Ok(Vec::new());
            }
            self.pump()?;
        }
    }

    /// As text.
    pub(crate) fn hear_text(&mut self) -> String {
        String::from_utf8(self.hear().expect("bytes")).expect("text")
    }

    /// Exactly so many bytes.
    pub(crate) fn hear_exactly(&mut self, len: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < len {
            all.extend(self.hear().expect("bytes"));
        }
        all
    }

    pub(crate) fn say_goodbye(&mut self) {
        self.engine.close();
        self.flush().expect("sent");
    }
}

/// An authority with what it has signed.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Authority {
    pub(crate) fn new() -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "authority");
        let key = KeyPair::generate().expect("a key");
        let pem = params.self_signed(&key).expect("a certificate").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    pub(crate) fn source(&self) -> Source {
        Source { name: "ca.pem".to_owned(), bytes: self.pem.clone().into_bytes() }
    }

    pub(crate) fn identity(&self, name: &str) -> Identity {
        let mut params = CertificateParams::new(Vec::new()).expect("params");
        params.subject_alt_names = vec![SanType::DnsName(name.try_into().expect("a name"))];
        params.distinguished_name.push(DnType::CommonName, name);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let source = |text: String| Source { name: name.to_owned(), bytes: text.into_bytes() };
        let (chain, key) = (source(certificate.pem()), source(key.serialize_pem()));
        Identity { chain, key, ocsp_staple: None }
    }
}

/// Upstream parameters with TLS 1.3.
pub(crate) fn newest() -> Parameters {
    Parameters { max: TlsVersion::V1_3, ..Parameters::upstream() }
}
