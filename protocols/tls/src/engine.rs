//! One connection, either side.
//!
//! Owns: the order of calls and their bounds. Does not own: the socket and its buffers.
//!
//! Each turn: [`Engine::receive`] with what the socket gave, [`Engine::plaintext`] and
//! [`Engine::consume`] until nothing is left, [`Engine::send`] with what is to be said, then
//! [`Engine::transmit`] into one buffer for one write. Also after an error: an alert
//! may wait.

use std::io::{BufRead, Write};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{
    ClientConnection, Connection, HandshakeKind, IoState, ProtocolVersion, ServerConfig,
    ServerConnection,
};

use crate::client::{ClientContext, ServerNameError, server_name};
use crate::error::{Counter, TlsError};
use crate::handshake::{self, Handshake, Peer};
use crate::notes::{self, Notes, scheme_name};
use crate::reason;
use crate::server::ServerContext;

/// Bytes that a handshake may take of the peer: two certificate chains of the largest size that
/// rustls reads, and more than any honest peer sends.
const MAX_HANDSHAKE: usize = 256 * 1024;
/// Plaintext waiting to be sealed or ciphertext to be sent, in bytes: four full records.
const SEND_LIMIT: usize = 4 * 17 * 1024;

/// What became of received bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// How many bytes were taken. The rest comes again once plaintext is consumed.
    pub taken: usize,
    /// The handshake ended in this call.
    pub established: bool,
    /// The call ran handshake messages, which may have cost a signature or a key exchange: a worker
    /// looks after its other connections before it calls again.
    pub handshake_work: bool,
}

/// The engine. Reads no clock and draws no time: `now` comes with the calls; certificates and
/// tickets are judged by the wall clock of rustls.
#[derive(Debug)]
pub struct Engine {
    connection: Connection,
    /// While the handshake goes on.
    deadline: Option<Instant>,
    handshake_bytes: usize,
    received_close: bool,
    sent_close: bool,
    replay: Option<Box<Replay>>,
    /// What is only of interest until the handshake is over.
    opening: Option<Box<Opening>>,
}

/// What an engine keeps while its handshake goes on.
#[derive(Debug, Default)]
struct Opening {
    notes: Notes,
    /// The first bytes of the peer, to say what it speaks when it is not TLS.
    first: Vec<u8>,
    session_id: Vec<u8>,
    /// The name that we sent as a client.
    sent_name: Option<Box<str>>,
    /// A certificate that was resumed was good when it was first shown.
    verifies: bool,
}

impl Opening {
    fn note_session(&mut self, flight: &[u8]) {
        if self.session_id.is_empty() {
            self.session_id = handshake::session_id(flight).to_vec();
        }
    }
}

/// What it takes to begin again without ALPN. rustls ends a handshake without a protocol in common,
/// as RFC 7301 section 3.2 has it; Envoy goes on without one, and clients depend on that.
#[derive(Debug)]
struct Replay {
    config: Arc<ServerConfig>,
    /// What the client has said, within the bound of a handshake.
    said: Vec<u8>,
    /// How much of it has been answered with a HelloRetryRequest that is on its way.
    answered: usize,
}

impl Replay {
    fn run(self) -> Result<ServerConnection, rustls::Error> {
        let mut connection = ServerConnection::new(self.config)?;
        let (answered, rest) = self.said.split_at(self.answered);
        feed(&mut connection, answered)?;
        // The same answer again (it holds nothing random), which the client has already.
        while connection.wants_write() && connection.write_tls(&mut std::io::sink()).is_ok() {}
        feed(&mut connection, rest)?;
        Ok(connection)
    }
}

fn feed(connection: &mut ServerConnection, mut bytes: &[u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        match connection.read_tls(&mut bytes) {
            Ok(0) | Err(_) => return Err(rustls::Error::PeerSentOversizedRecord),
            Ok(_) => connection.process_new_packets().map(drop)?,
        }
    }
    Ok(())
}

impl Engine {
    /// The downstream side; `timeout` bounds the handshake from `now` on.
    pub fn server(
        context: &ServerContext,
        now: Instant,
        timeout: Option<Duration>,
    ) -> Result<Self, TlsError> {
        let connection = ServerConnection::new(Arc::clone(&context.config))?;
        let mut engine = Self::new(connection.into(), now, timeout);
        let replay = |config| Box::new(Replay { config, said: Vec::new(), answered: 0 });
        engine.replay = context.without_alpn.clone().map(replay);
        engine.opening =
            Some(Box::new(Opening { verifies: context.verifies, ..Opening::default() }));
        Ok(engine)
    }

    /// The upstream side; `sni` is the name that is sent and, where the context says so, verified.
    /// Its first flight waits to be transmitted.
    pub fn client(
        context: &ClientContext,
        sni: Option<&str>,
        now: Instant,
        timeout: Option<Duration>,
    ) -> Result<Result<Self, TlsError>, ServerNameError> {
        Self::client_of(context, sni, &[], now, timeout)
    }

    /// As [`Engine::client`], for a caller that speaks these protocols: they are offered where the
    /// context names none.
    pub fn client_of(
        context: &ClientContext,
        sni: Option<&str>,
        protocols: &[&[u8]],
        now: Instant,
        timeout: Option<Duration>,
    ) -> Result<Result<Self, TlsError>, ServerNameError> {
        let (name, config) = (server_name(sni)?, Arc::clone(&context.config));
        let offered = match config.alpn_protocols.is_empty() {
            true => protocols.iter().map(|name| name.to_vec()).collect(),
            false => config.alpn_protocols.clone(),
        };
        let connection = ClientConnection::new_with_alpn(config, name, offered);
        Ok(connection
            .map(|connection| {
                let mut engine = Self::new(connection.into(), now, timeout);
                let (sent_name, verifies) = (sni.map(Box::from), context.verifies);
                // Envoy tells of it whether the server asks for it or not.
                let notes = Notes { local: context.local.clone(), ..Notes::default() };
                let opening = Opening { notes, sent_name, verifies, ..Opening::default() };
                engine.opening = Some(Box::new(opening));
                engine
            })
            .map_err(TlsError::from))
    }

    fn new(mut connection: Connection, now: Instant, timeout: Option<Duration>) -> Self {
        connection.set_buffer_limit(Some(SEND_LIMIT));
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        let (received_close, sent_close) = (false, false);
        Self {
            connection,
            deadline,
            handshake_bytes: 0,
            received_close,
            sent_close,
            replay: None,
            opening: None,
        }
    }

    /// Takes bytes from the peer, at most about one record's worth beyond what is decrypted, so
    /// that plaintext that nobody consumes holds back the sender. Call again with the rest.
    pub fn receive(&mut self, bytes: &[u8], now: Instant) -> Result<Progress, TlsError> {
        self.handle_timeout(now)?;
        let before = self.connection.is_handshaking();
        if before && self.handshake_bytes == 0 {
            self.note_first(bytes);
        }
        let taken = self.take(bytes)?;
        if before {
            self.handshake_bytes += taken;
            if self.handshake_bytes > MAX_HANDSHAKE {
                return Err(TlsError::HandshakeTooLong(MAX_HANDSHAKE));
            }
        }
        let established = before && !self.connection.is_handshaking();
        if established {
            self.deadline = None;
            self.replay = None;
        }
        Ok(Progress { taken, established, handshake_work: before && taken > 0 })
    }

    fn note_first(&mut self, bytes: &[u8]) {
        let is_client = self.is_client();
        if let Some(opening) = &mut self.opening {
            opening.first = bytes[..bytes.len().min(8)].to_vec();
            if is_client {
                opening.note_session(bytes);
            }
        }
    }

    fn is_client(&self) -> bool {
        matches!(self.connection, Connection::Client(_))
    }

    fn take(&mut self, bytes: &[u8]) -> Result<usize, TlsError> {
        let mut rest = bytes;
        while !rest.is_empty() && !self.received_close {
            let from = rest;
            match self.connection.read_tls(&mut rest) {
                // Plaintext has to be consumed first.
                Ok(0) | Err(_) if !self.plaintext().is_empty() => break,
                // No room, and nothing that could make some.
                Ok(0) | Err(_) => return Err(rustls::Error::PeerSentOversizedRecord.into()),
                Ok(len) => {
                    let state = self.process(&from[..len])?;
                    self.received_close |= state.peer_has_closed();
                    if state.plaintext_bytes_to_read() > 0 || self.connection.is_handshaking() {
                        break;
                    }
                }
            }
        }
        Ok(bytes.len() - rest.len())
    }

    fn process(&mut self, said: &[u8]) -> Result<IoState, TlsError> {
        if let Some(replay) = &mut self.replay {
            replay.said.extend_from_slice(said);
        }
        let Some(opening) = &mut self.opening else {
            return Ok(self.connection.process_new_packets()?);
        };
        let connection = &mut self.connection;
        match notes::with(&mut opening.notes, || connection.process_new_packets()) {
            Err(rustls::Error::NoApplicationProtocol) => self.begin_again(),
            result => Ok(result?),
        }
    }

    fn begin_again(&mut self) -> Result<IoState, TlsError> {
        let replay = self.replay.take().ok_or(rustls::Error::NoApplicationProtocol)?;
        let mut notes = Notes::default();
        self.connection = notes::with(&mut notes, || replay.run())?.into();
        if let Some(opening) = &mut self.opening {
            opening.notes = notes;
        }
        self.connection.set_buffer_limit(Some(SEND_LIMIT));
        Ok(self.connection.process_new_packets()?)
    }

    /// The next piece of decrypted bytes, in place; empty when there is none.
    pub fn plaintext(&mut self) -> &[u8] {
        // `Err` says that nothing is there, or that the peer closed.
        self.connection.reader().into_first_chunk().unwrap_or_default()
    }

    /// Drops what was read from the start of [`Engine::plaintext`].
    pub fn consume(&mut self, len: usize) {
        self.connection.reader().consume(len);
    }

    /// Seals as much as the buffer limit lets it and says how much. Bytes before the end of the
    /// handshake wait for it.
    pub fn send(&mut self, plaintext: &[u8]) -> usize {
        // A writer of rustls has no error but being full, which is a short count.
        self.connection.writer().write(plaintext).unwrap_or(0)
    }

    /// Whether [`Engine::transmit`] has something to give.
    pub fn wants_transmit(&self) -> bool {
        self.connection.wants_write()
    }

    /// Appends sealed bytes to `out` until it holds `max_len`, or a little more: records are whole.
    /// Says how many it appended.
    pub fn transmit(&mut self, out: &mut Vec<u8>, max_len: usize) -> usize {
        let start = out.len();
        while self.connection.wants_write() && out.len() < max_len {
            match self.connection.write_tls(out) {
                Ok(0) | Err(_) => break,
                Ok(_) => {}
            }
        }
        if let Some(replay) = self.replay.as_mut().filter(|_| out.len() > start) {
            replay.answered = replay.said.len();
        }
        if let Some(opening) = &mut self.opening
            && matches!(self.connection, Connection::Server(_))
        {
            opening.note_session(&out[start..]);
        }
        out.len() - start
    }

    /// Says `close_notify`, once. What was sent before it still goes out before it.
    pub fn close(&mut self) {
        if !self.sent_close {
            self.sent_close = true;
            self.connection.send_close_notify();
        }
    }

    /// The socket came to its end: an error when the peer did not announce it.
    pub fn end_of_stream(&mut self) -> Result<(), TlsError> {
        if self.received_close { Ok(()) } else { Err(TlsError::Truncated) }
    }

    /// Whether the peer said `close_notify`: no more plaintext comes.
    pub fn peer_closed(&self) -> bool {
        self.received_close
    }

    /// When [`Engine::handle_timeout`] has to be called.
    pub fn next_timeout(&self) -> Option<Instant> {
        self.deadline
    }

    /// An error once the handshake has taken too long.
    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), TlsError> {
        match self.deadline {
            Some(deadline) if now >= deadline => Err(TlsError::HandshakeTimeout),
            _ => Ok(()),
        }
    }

    /// Asks for new keys (RFC 8446 section 4.6.3); an error before the end of the handshake.
    pub fn update_keys(&mut self) -> Result<(), TlsError> {
        Ok(self.connection.refresh_traffic_keys()?)
    }

    /// What is known now; call once, when the handshake is over or has failed.
    pub fn conclude(&mut self) -> Handshake {
        let opening = self.opening.take().map(|opening| *opening).unwrap_or_default();
        let Opening { notes, session_id, sent_name, verifies, .. } = opening;
        let (resumed, version) = (self.is_resumed().unwrap_or(false), self.version());
        let mut chain: Vec<Vec<u8>> = self.peer_certificates().map(<[u8]>::to_vec).collect();
        let validated = notes.validated || resumed && verifies && !chain.is_empty();
        if chain.is_empty() {
            // It was refused.
            chain = notes.shown;
        }
        Handshake {
            version,
            cipher: self.cipher(),
            group: self.group(),
            alpn: self.alpn().map(Box::from),
            server_name: self.server_name().map(Box::from).or(sent_name),
            resumed,
            session_id: match version {
                Some("TLSv1.2") => session_id.into(),
                _ => Box::default(),
            },
            local: notes.local,
            peer_scheme: notes.scheme.and_then(scheme_name),
            peer: Peer::new(chain, validated, notes.issuer.as_deref()),
        }
    }

    /// Why the handshake failed, in Envoy's words; empty when the peer just went away.
    pub fn failure_reason(&self, error: &TlsError) -> String {
        let opening = self.opening.as_deref();
        let first = opening.map_or(&[][..], |opening| &opening.first);
        let refused = opening.and_then(|opening| opening.notes.refused.as_ref());
        reason::reason(error, first, refused.map(|(_, details)| details.as_str()))
    }

    /// What a certificate that is let pass all the same (`ACCEPT_UNTRUSTED`) is counted as.
    pub fn tolerated(&self) -> Option<Counter> {
        self.opening.as_ref()?.notes.refused.as_ref().map(|(counter, _)| *counter)
    }

    /// Whether the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        self.connection.is_handshaking()
    }

    /// Whether the handshake resumed a session; `None` until it is known.
    pub fn is_resumed(&self) -> Option<bool> {
        self.connection.handshake_kind().map(|kind| kind == HandshakeKind::Resumed)
    }

    /// The protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.connection.alpn_protocol()
    }

    /// The name that a client asked for; `None` on the upstream side.
    pub fn server_name(&self) -> Option<&str> {
        match &self.connection {
            Connection::Server(server) => server.server_name(),
            Connection::Client(_) => None,
        }
    }

    /// `TLSv1.2` or `TLSv1.3`, as in Envoy's `%DOWNSTREAM_TLS_VERSION%`.
    pub fn version(&self) -> Option<&'static str> {
        match self.connection.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The suite in BoringSSL's spelling.
    pub fn cipher(&self) -> Option<&'static str> {
        use rustls::CipherSuite as Suite;
        Some(match self.connection.negotiated_cipher_suite()?.suite() {
            Suite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
            Suite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
            Suite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => "ECDHE-ECDSA-AES128-GCM-SHA256",
            Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384 => "ECDHE-ECDSA-AES256-GCM-SHA384",
            Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => "ECDHE-RSA-AES128-GCM-SHA256",
            Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384 => "ECDHE-RSA-AES256-GCM-SHA384",
            Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-ECDSA-CHACHA20-POLY1305",
            Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256 => "ECDHE-RSA-CHACHA20-POLY1305",
            _ => return None,
        })
    }

    /// The group of the key exchange, as Envoy's `ssl.curves.` names it.
    pub fn group(&self) -> Option<&'static str> {
        use rustls::NamedGroup as Group;
        Some(match self.connection.negotiated_key_exchange_group()?.name() {
            Group::X25519 => "X25519",
            Group::secp256r1 => "P-256",
            Group::secp384r1 => "P-384",
            Group::X25519MLKEM768 => "X25519MLKEM768",
            _ => return None,
        })
    }

    /// The peer's certificates in DER, the leaf first; empty when it showed none.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.connection.peer_certificates().unwrap_or_default().iter().map(|der| der.as_ref())
    }
}
