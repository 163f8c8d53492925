//! One connection, either side.
//!
//! Owns: the order of calls and their bounds. Does not own: the socket and its buffers.
//!
//! Each turn: [`Engine::receive`] with what the socket gave, [`Engine::take_plaintext`],
//! [`Engine::seal`] with what is to be said into one buffer for one write, or
//! [`Engine::transmit`] where nothing is to be said. Also after an error: an alert may wait.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::{HandshakeKind, ProtocolVersion, ServerConfig};

use crate::client::{ClientContext, ServerNameError, server_name};
use crate::error::{Counter, TlsError};
use crate::handshake::{self, Handshake, Peer};
use crate::hello::Hello;
use crate::notes::{self, Notes};
use crate::order::Order;
use crate::reason;
use crate::records::Records;
use crate::server::ServerContext;
use crate::signature::scheme_name;
use crate::staple::Stapled;

/// Bytes that a handshake may take of the peer: two certificate chains of the largest size that
/// rustls reads, and more than any honest peer sends.
const MAX_HANDSHAKE: usize = 256 * 1024;
/// Bytes of [`Engine::send`] that may wait to be transmitted: four full records.
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
    records: Records,
    /// While the handshake goes on.
    deadline: Option<Instant>,
    handshake_bytes: usize,
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
    /// Of a client.
    hello: Hello,
    /// What TLS 1.2 with a client goes by.
    order: Option<Arc<Order>>,
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
/// as RFC 7301 section 3.2 has it; Envoy goes on without one, and clients depend on that. And what
/// it takes to begin again with TLS 1.2, when the client is known to speak that.
#[derive(Debug)]
struct Replay {
    /// `None` without ALPN.
    config: Option<Arc<ServerConfig>>,
    /// What the client has said, within the bound of a handshake.
    said: Vec<u8>,
    /// How much of it has been answered with a HelloRetryRequest that is on its way.
    answered: usize,
}

impl Replay {
    fn run(self) -> Result<Records, rustls::Error> {
        let Self { config, mut said, answered } = self;
        let config = config.ok_or(rustls::Error::NoApplicationProtocol)?;
        let mut records = Records::server(config)?;
        let (answered, rest) = said.split_at_mut(answered);
        feed(&mut records, answered)?;
        // The same answer again (it holds nothing random), which the client has already.
        records.transmit(&mut Vec::new());
        feed(&mut records, rest)?;
        Ok(records)
    }
}

fn feed(records: &mut Records, mut bytes: &mut [u8]) -> Result<(), rustls::Error> {
    while !bytes.is_empty() {
        let (piece, rest) = bytes.split_at_mut(records.piece(bytes));
        records.receive(piece)?;
        bytes = rest;
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
        let ServerContext { configs, order, verifies } = context;
        let mut engine = Self::new(Records::server(Arc::clone(&configs.usual))?, now, timeout);
        if configs.without_alpn.is_some() || order.is_some() {
            let config = configs.without_alpn.clone();
            engine.replay = Some(Box::new(Replay { config, said: Vec::new(), answered: 0 }));
        }
        let order = order.clone();
        let opening = Opening { verifies: *verifies, order, ..Opening::default() };
        engine.opening = Some(Box::new(opening));
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
        let records = Records::client(config, name, offered);
        Ok(records
            .map(|records| {
                let mut engine = Self::new(records, now, timeout);
                let (sent_name, verifies) = (sni.map(Box::from), context.verifies);
                // Envoy tells of it whether the server asks for it or not.
                let notes = Notes { local: context.local.clone(), ..Notes::default() };
                let opening = Opening { notes, sent_name, verifies, ..Opening::default() };
                engine.opening = Some(Box::new(opening));
                engine
            })
            .map_err(TlsError::from))
    }

    fn new(records: Records, now: Instant, timeout: Option<Duration>) -> Self {
        let deadline = timeout.and_then(|timeout| now.checked_add(timeout));
        Self {
            records,
            deadline,
            handshake_bytes: 0,
            sent_close: false,
            replay: None,
            opening: None,
        }
    }

    /// Takes bytes from the peer, at most up to the end of the record with which plaintext comes,
    /// so that plaintext that nobody takes holds back the sender. Records are opened where they
    /// lie: what was taken holds nothing any more. Call again with the rest.
    pub fn receive(&mut self, bytes: &mut [u8], now: Instant) -> Result<Progress, TlsError> {
        self.handle_timeout(now)?;
        let before = self.records.is_handshaking();
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
        let established = before && !self.records.is_handshaking();
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
        self.records.is_client()
    }

    fn take(&mut self, bytes: &mut [u8]) -> Result<usize, TlsError> {
        let mut taken = 0;
        while taken < bytes.len() && !self.peer_closed() && self.records.opened().is_empty() {
            let rest = &mut bytes[taken..];
            let len = self.records.piece(rest);
            taken += len;
            self.process(&mut rest[..len])?;
        }
        Ok(taken)
    }

    fn process(&mut self, piece: &mut [u8]) -> Result<(), TlsError> {
        if let Some(replay) = &mut self.replay {
            replay.said.extend_from_slice(piece);
        }
        let Some(opening) = &mut self.opening else { return Ok(self.records.receive(piece)?) };
        let records = &mut self.records;
        if !records.is_client()
            && let Some(said) = opening.hello.take(piece)
        {
            opening.notes.asks_for_status = said.asks_for_status;
            let configs = opening.order.take().and_then(|order| order.configs(&said));
            if let (Some(configs), Some(replay)) = (configs, &mut self.replay) {
                let configs = configs?;
                *records = Records::server(configs.usual)?;
                replay.config = configs.without_alpn;
                let mut said = replay.said.clone();
                return match notes::with(&mut opening.notes, || feed(records, &mut said)) {
                    Err(rustls::Error::NoApplicationProtocol) => self.begin_again(),
                    result => Ok(result?),
                };
            }
            // Without ALPN nothing is left to begin again for.
            self.replay = self.replay.take().filter(|replay| replay.config.is_some());
        }
        match notes::with(&mut opening.notes, || records.receive(piece)) {
            Err(rustls::Error::NoApplicationProtocol) => self.begin_again(),
            result => Ok(result?),
        }
    }

    fn begin_again(&mut self) -> Result<(), TlsError> {
        let replay = self.replay.take().ok_or(rustls::Error::NoApplicationProtocol)?;
        let asks_for_status = self.opening.as_ref().is_some_and(|one| one.notes.asks_for_status);
        let mut notes = Notes { asks_for_status, ..Notes::default() };
        self.records = notes::with(&mut notes, || replay.run())?;
        if let Some(opening) = &mut self.opening {
            opening.notes = notes;
        }
        Ok(())
    }

    /// Where the plaintext goes that comes next. Without it, or where it is too small, memory is
    /// allocated. Call when there is no plaintext left.
    pub fn lend(&mut self, storage: Vec<u8>) {
        self.records.lend(storage);
    }

    /// Bytes of plaintext that `received` more bytes can bring at most.
    pub fn expected_plaintext(&self, received: usize) -> usize {
        self.records.pending_bytes() + received
    }

    /// All of the decrypted bytes, with the storage that was lent.
    pub fn take_plaintext(&mut self) -> Vec<u8> {
        std::mem::take(self.records.opened())
    }

    /// The decrypted bytes, in place; empty when there are none.
    pub fn plaintext(&mut self) -> &[u8] {
        self.records.opened()
    }

    /// Drops what was read from the start of [`Engine::plaintext`].
    pub fn consume(&mut self, len: usize) {
        self.records.opened().drain(..len);
    }

    /// Seals plaintext behind what waits to be transmitted, all of it or nothing: 0 before the end
    /// of the handshake and after an error.
    pub fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> usize {
        match self.records.seal(plaintext, out) {
            true => plaintext.len(),
            false => 0,
        }
    }

    /// Seals as much as may wait to be transmitted and says how much; 0 before the end of the
    /// handshake. [`Engine::seal`] saves a copy.
    pub fn send(&mut self, plaintext: &[u8]) -> usize {
        let len = plaintext.len().min(SEND_LIMIT.saturating_sub(self.records.outgoing_bytes()));
        match len > 0 && self.records.queue(&plaintext[..len]) {
            true => len,
            false => 0,
        }
    }

    /// Gives back what only a busy connection needs.
    pub fn relax(&mut self) {
        self.records.relax();
    }

    /// Whether [`Engine::transmit`] has something to give.
    pub fn wants_transmit(&self) -> bool {
        self.records.wants_transmit()
    }

    /// Appends what waits to be sent to `out` and says how many bytes that was.
    pub fn transmit(&mut self, out: &mut Vec<u8>) -> usize {
        let start = out.len();
        self.records.transmit(out);
        if let Some(replay) = self.replay.as_mut().filter(|_| out.len() > start) {
            replay.answered = replay.said.len();
        }
        let is_client = self.is_client();
        if let Some(opening) = self.opening.as_mut().filter(|_| !is_client) {
            opening.note_session(&out[start..]);
        }
        out.len() - start
    }

    /// Says `close_notify`, once. What was sent before it still goes out before it.
    pub fn close(&mut self) {
        if !self.sent_close {
            self.sent_close = true;
            self.records.close();
        }
    }

    /// The socket came to its end: an error when the peer did not announce it.
    pub fn end_of_stream(&mut self) -> Result<(), TlsError> {
        if self.peer_closed() { Ok(()) } else { Err(TlsError::Truncated) }
    }

    /// Whether the peer said `close_notify`: no more plaintext comes.
    pub fn peer_closed(&self) -> bool {
        self.records.peer_closed()
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
        Ok(self.records.update_keys()?)
    }

    /// Lines of the key log, if the context keeps one; call before [`Engine::conclude`].
    pub fn take_key_log(&mut self) -> Vec<u8> {
        let opening = self.opening.as_mut();
        opening.map(|opening| std::mem::take(&mut opening.notes.secrets)).unwrap_or_default()
    }

    /// What is known now; call once, when the handshake is over or has failed.
    pub fn conclude(&mut self) -> Handshake {
        self.records.relax();
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
            server_name: notes.server_name.or(sent_name),
            resumed,
            session_id: match version {
                Some("TLSv1.2") => session_id.into(),
                _ => Box::default(),
            },
            stapled: notes.stapled,
            local: notes.local,
            peer_scheme: notes.scheme.and_then(scheme_name),
            peer: Peer::new(chain, validated, notes.issuer.as_deref()),
        }
    }

    /// Why the handshake failed, in Envoy's words; empty when the peer just went away.
    pub fn failure_reason(&self, error: &TlsError) -> String {
        let opening = self.opening.as_deref();
        let first = opening.map_or(&[][..], |opening| &opening.first);
        if opening.is_some_and(|opening| opening.notes.stapled == Some(Stapled::Failed)) {
            return reason::rejected();
        }
        let refused = opening.and_then(|opening| opening.notes.refused.as_ref());
        let is_first_answer = self.is_client() && self.version().is_none();
        let details = refused.map(|(_, details)| details.as_str());
        reason::reason(error, first, details, is_first_answer)
    }

    /// What a certificate that is let pass all the same (`ACCEPT_UNTRUSTED`) is counted as.
    pub fn tolerated(&self) -> Option<Counter> {
        self.opening.as_ref()?.notes.refused.as_ref().map(|(counter, _)| *counter)
    }

    /// Whether the handshake still goes on.
    pub fn is_handshaking(&self) -> bool {
        self.records.is_handshaking()
    }

    /// Whether the handshake resumed a session; `None` until it is known.
    pub fn is_resumed(&self) -> Option<bool> {
        self.records.handshake_kind().map(|kind| kind == HandshakeKind::Resumed)
    }

    /// The protocol that was agreed on.
    pub fn alpn(&self) -> Option<&[u8]> {
        self.records.alpn_protocol()
    }

    /// The name that a client has asked for, until [`Engine::conclude`]; `None` on the upstream
    /// side.
    pub fn server_name(&self) -> Option<&str> {
        self.opening.as_ref()?.notes.server_name.as_deref()
    }

    /// `TLSv1.2` or `TLSv1.3`, as in Envoy's `%DOWNSTREAM_TLS_VERSION%`.
    pub fn version(&self) -> Option<&'static str> {
        match self.records.protocol_version()? {
            ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
            ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
            _ => None,
        }
    }

    /// The suite in BoringSSL's spelling.
    pub fn cipher(&self) -> Option<&'static str> {
        use rustls::CipherSuite as Suite;
        Some(match self.records.negotiated_cipher_suite()?.suite() {
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
        Some(match self.records.negotiated_key_exchange_group()?.name() {
            Group::X25519 => "X25519",
            Group::secp256r1 => "P-256",
            Group::secp384r1 => "P-384",
            Group::X25519MLKEM768 => "X25519MLKEM768",
            _ => return None,
        })
    }

    /// The peer's certificates in DER, the leaf first; empty when it showed none.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        self.records.peer_certificates().unwrap_or_default().iter().map(|der| der.as_ref())
    }
}
