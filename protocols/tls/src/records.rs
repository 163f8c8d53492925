//! The connection of rustls without its buffers: records are opened where they lie and sealed
//! where they leave from.
//!
//! Owns: what of a record has come, what was opened, and what waits to be sent. An idle connection
//! holds none of it, which is the reason for all of this: rustls' own buffers stay. Does not own
//! the handshake's bounds and notes (`engine`).

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;

use rustls::client::{ClientConnectionData, UnbufferedClientConnection};
use rustls::pki_types::ServerName;
use rustls::server::{ServerConnectionData, UnbufferedServerConnection};
use rustls::unbuffered::{
    ConnectionState, EncodeError, EncodeTlsData, EncryptError, UnbufferedStatus, WriteTraffic,
};
use rustls::{ClientConfig, CommonState, Error, ServerConfig};

/// Type, version and length in front of a record (RFC 8446 section 5.1).
const HEADER: usize = 5;
/// What a record adds to its plaintext at most: header, type, tag, and the nonce of TLS 1.2.
const OVERHEAD: usize = HEADER + 1 + 16 + 8;
/// Room for an alert; more is asked for where messages wait before it.
const ALERT: usize = 2 + OVERHEAD;
/// Plaintext of one record.
const RECORD: usize = 16 << 10;
/// Bytes that may wait for the rest of a handshake message: rustls reads messages up to 64 KiB,
/// and their last record may be a full one.
const PENDING_MAX: usize = (64 + 32) << 10;

enum Connection {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if matches!(self, Self::Client(_)) { "Client" } else { "Server" })
    }
}

/// One connection's records, either side.
#[derive(Debug)]
pub(crate) struct Records {
    connection: Connection,
    /// What has come of records that cannot be opened yet.
    pending: Vec<u8>,
    /// Where in it the last record begins, of which a part is missing. Before it lies what has come
    /// of a handshake message.
    begun: usize,
    /// What was opened and not taken yet.
    opened: Vec<u8>,
    /// What waits to be sent: messages of the handshake, alerts.
    outgoing: Vec<u8>,
    received_close: bool,
    /// Nothing more is received after an error.
    failed: Option<Error>,
}

impl Records {
    pub(crate) fn server(config: Arc<ServerConfig>) -> Result<Self, Error> {
        let connection = UnbufferedServerConnection::new(config)?;
        Ok(Self::new(Connection::Server(Box::new(connection))))
    }

    pub(crate) fn client(
        config: Arc<ClientConfig>,
        name: ServerName<'static>,
        alpn: Vec<Vec<u8>>,
    ) -> Result<Self, Error> {
        let connection = UnbufferedClientConnection::new_with_alpn(config, name, alpn)?;
        Ok(Self::new(Connection::Client(Box::new(connection))))
    }

    fn new(connection: Connection) -> Self {
        Self {
            connection,
            pending: Vec::new(),
            begun: 0,
            opened: Vec::new(),
            outgoing: Vec::new(),
            received_close: false,
            failed: None,
        }
    }

    pub(crate) fn is_client(&self) -> bool {
        matches!(self.connection, Connection::Client(_))
    }

    /// Whether the peer said `close_notify`.
    pub(crate) fn peer_closed(&self) -> bool {
        self.received_close
    }

    /// Where plaintext goes that is opened next; what was opened before must have been taken.
    pub(crate) fn lend(&mut self, storage: Vec<u8>) {
        debug_assert!(self.opened.is_empty(), "plaintext is lost");
        self.opened = storage;
    }

    /// What was opened.
    pub(crate) fn opened(&mut self) -> &mut Vec<u8> {
        &mut self.opened
    }

    /// Bytes that wait for the rest of their record.
    pub(crate) fn pending_bytes(&self) -> usize {
        self.pending.len()
    }

    /// Bytes that wait to be transmitted and were encoded already.
    pub(crate) fn outgoing_bytes(&self) -> usize {
        self.outgoing.len()
    }

    /// Gives back storage that is not needed between records.
    pub(crate) fn relax(&mut self) {
        if self.pending.is_empty() {
            self.pending = Vec::new();
        }
        if self.opened.is_empty() {
            self.opened = Vec::new();
        }
        if self.outgoing.is_empty() {
            self.outgoing = Vec::new();
        }
    }

    // ---- receiving ------------------------------------------------------------------------------

    /// How many of these bytes (at least one) belong to the record that is under way.
    pub(crate) fn piece(&self, bytes: &[u8]) -> usize {
        match self.missing(bytes) {
            Some(missing) => missing.max(1).min(bytes.len()),
            None => bytes.len(),
        }
    }

    /// Bytes that were missing of the record under way when `bytes` came, if they or those before
    /// them tell.
    fn missing(&self, bytes: &[u8]) -> Option<usize> {
        let have = &self.pending[self.begun..];
        let at = |index: usize| have.get(index).or_else(|| bytes.get(index - have.len())).copied();
        let length = HEADER + usize::from(u16::from_be_bytes([at(HEADER - 2)?, at(HEADER - 1)?]));
        Some(length.saturating_sub(have.len()))
    }

    /// Takes a [`Records::piece`], opening it in place where it is a record.
    pub(crate) fn receive(&mut self, piece: &mut [u8]) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let is_whole = self.missing(piece).is_some_and(|missing| missing <= piece.len());
        let result = match self.pending.is_empty() {
            true => self.process(piece).map(|done| self.pending.extend_from_slice(&piece[done..])),
            false => self.receive_more(piece),
        };
        if let Err(error) = &result {
            self.failed = Some(error.clone());
            // It is not looked at again.
            self.pending = Vec::new();
        }
        if is_whole || self.pending.is_empty() {
            // What is left of it waits for the rest of a message.
            self.begun = self.pending.len();
        }
        result
    }

    fn receive_more(&mut self, piece: &[u8]) -> Result<(), Error> {
        if self.pending.len() + piece.len() > PENDING_MAX {
            return Err(Error::PeerSentOversizedRecord);
        }
        let mut pending = std::mem::take(&mut self.pending);
        pending.extend_from_slice(piece);
        let done = self.process(&mut pending)?;
        pending.drain(..done);
        self.begun = self.begun.saturating_sub(done);
        self.pending = pending;
        Ok(())
    }

    /// Has rustls look at records; how many of the bytes it needs no more.
    fn process(&mut self, bytes: &mut [u8]) -> Result<usize, Error> {
        let mut turn = Turn {
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
            received_close: &mut self.received_close,
        };
        match &mut self.connection {
            Connection::Client(client) => turn.run(&mut **client, bytes),
            Connection::Server(server) => turn.run(&mut **server, bytes),
        }
    }

    // ---- sending --------------------------------------------------------------------------------

    /// Whether messages of the handshake or alerts wait to be sent.
    pub(crate) fn wants_transmit(&self) -> bool {
        !self.outgoing.is_empty() || self.wants_write()
    }

    /// Appends what waits to be sent. An alert may wait after an error, too.
    pub(crate) fn transmit(&mut self, out: &mut Vec<u8>) {
        while self.wants_write() {
            let outgoing = &mut self.outgoing;
            let encoded = match &mut self.connection {
                Connection::Client(client) => encode_next(&mut **client, outgoing),
                Connection::Server(server) => encode_next(&mut **server, outgoing),
            };
            if !encoded {
                break;
            }
        }
        out.append(&mut self.outgoing);
    }

    /// Seals plaintext behind what waits to be sent; false where it cannot be: the handshake goes
    /// on, the keys are used up, or the connection has failed.
    pub(crate) fn seal(&mut self, plaintext: &[u8], out: &mut Vec<u8>) -> bool {
        self.transmit(out);
        self.say(Word::Data(plaintext), out).is_ok()
    }

    /// Seals plaintext to be transmitted later; false as of [`Records::seal`].
    pub(crate) fn queue(&mut self, plaintext: &[u8]) -> bool {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        let sealed = self.seal(plaintext, &mut outgoing);
        self.outgoing = outgoing;
        sealed
    }

    /// Says `close_notify` behind what waits to be sent.
    pub(crate) fn close(&mut self) {
        let mut outgoing = std::mem::take(&mut self.outgoing);
        self.transmit(&mut outgoing);
        // A connection that cannot say it has said why.
        let _ = self.say(Word::Close, &mut outgoing);
        self.outgoing = outgoing;
    }

    /// Asks for new keys; an error before the end of the handshake, and where the version has none.
    pub(crate) fn update_keys(&mut self) -> Result<(), Error> {
        self.say(Word::Keys, &mut Vec::new())
    }

    fn say(&mut self, word: Word<'_>, out: &mut Vec<u8>) -> Result<(), Error> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let mut pending = std::mem::take(&mut self.pending);
        let mut turn = Turn {
            opened: &mut self.opened,
            outgoing: &mut self.outgoing,
            received_close: &mut self.received_close,
        };
        let result = match &mut self.connection {
            Connection::Client(client) => turn.say(&mut **client, &mut pending, word, out),
            Connection::Server(server) => turn.say(&mut **server, &mut pending, word, out),
        };
        self.pending = pending;
        result
    }
}

impl Deref for Records {
    type Target = CommonState;

    fn deref(&self) -> &CommonState {
        match &self.connection {
            Connection::Client(client) => client,
            Connection::Server(server) => server,
        }
    }
}

/// What is to be sent after the handshake.
enum Word<'a> {
    Data(&'a [u8]),
    Close,
    Keys,
}

/// The common shape of both sides of rustls.
trait Process {
    type Data;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data>;
}

impl Process for UnbufferedClientConnection {
    type Data = ClientConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

impl Process for UnbufferedServerConnection {
    type Data = ServerConnectionData;

    fn process<'c, 'i>(&'c mut self, bytes: &'i mut [u8]) -> UnbufferedStatus<'c, 'i, Self::Data> {
        self.process_tls_records(bytes)
    }
}

/// Where the outcome of a look at the records goes.
struct Turn<'a> {
    opened: &'a mut Vec<u8>,
    outgoing: &'a mut Vec<u8>,
    received_close: &'a mut bool,
}

impl Turn<'_> {
    /// Looks at records until nothing more comes of them; how many bytes are needed no more.
    fn run<P: Process>(&mut self, connection: &mut P, bytes: &mut [u8]) -> Result<usize, Error> {
        let mut done = 0;
        loop {
            let UnbufferedStatus { discard, state, .. } = connection.process(&mut bytes[done..]);
            let rest = self.take(state?)?;
            done += discard;
            if rest.is_some() {
                return Ok(done);
            }
        }
    }

    /// Takes what a look has found. `Some` when it is nothing: then there may be a way to write.
    fn take<'c, Data>(
        &mut self,
        state: ConnectionState<'c, '_, Data>,
    ) -> Result<Option<Option<WriteTraffic<'c, Data>>>, Error> {
        match state {
            ConnectionState::ReadTraffic(mut traffic) => {
                while let Some(record) = traffic.next_record() {
                    self.opened.extend_from_slice(record?.payload);
                }
            }
            ConnectionState::EncodeTlsData(mut message) => encode(&mut message, self.outgoing),
            ConnectionState::TransmitTlsData(transmit) => transmit.done(),
            ConnectionState::PeerClosed => *self.received_close = true,
            ConnectionState::WriteTraffic(traffic) => return Ok(Some(Some(traffic))),
            _ => return Ok(Some(None)),
        }
        Ok(None)
    }

    /// Sends a word. What was received before is complete as far as it goes, so that nothing can
    /// come of it now.
    fn say<P: Process>(
        &mut self,
        connection: &mut P,
        pending: &mut [u8],
        word: Word<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Error> {
        loop {
            let status = connection.process(pending);
            debug_assert_eq!(status.discard, 0, "records were left to look at");
            if let Some(traffic) = self.take(status.state?)? {
                return write(traffic.ok_or(Error::HandshakeNotComplete)?, word, out);
            }
        }
    }
}

fn write<Data>(
    mut traffic: WriteTraffic<'_, Data>,
    word: Word<'_>,
    out: &mut Vec<u8>,
) -> Result<(), Error> {
    let start = out.len();
    let mut room = match word {
        Word::Data(data) => data.len() + data.len().div_ceil(RECORD) * OVERHEAD,
        Word::Close => ALERT,
        Word::Keys => return traffic.refresh_traffic_keys(),
    };
    loop {
        out.resize(start + room, 0);
        let written = match word {
            Word::Data(data) => traffic.encrypt(data, &mut out[start..]),
            _ => traffic.queue_close_notify(&mut out[start..]),
        };
        match written {
            Ok(written) => {
                out.truncate(start + written);
                return Ok(());
            }
            // An update of the keys goes before it.
            Err(EncryptError::InsufficientSize(needs)) if needs.required_size > room => {
                room = needs.required_size;
            }
            Err(_) => {
                out.truncate(start);
                return Err(Error::EncryptError);
            }
        }
    }
}

/// Encodes the next message that waits to be sent; false when there is none.
fn encode_next<P: Process>(connection: &mut P, outgoing: &mut Vec<u8>) -> bool {
    // What waits to be sent comes before anything else, so that nothing received is looked at.
    match connection.process(&mut []).state {
        Ok(ConnectionState::EncodeTlsData(mut message)) => {
            encode(&mut message, outgoing);
            true
        }
        _ => false,
    }
}

fn encode<Data>(message: &mut EncodeTlsData<'_, Data>, outgoing: &mut Vec<u8>) {
    let start = outgoing.len();
    if let Err(EncodeError::InsufficientSize(needs)) = message.encode(&mut []) {
        outgoing.resize(start + needs.required_size, 0);
        let written = message.encode(&mut outgoing[start..]).unwrap_or(0);
        outgoing.truncate(start + written);
    }
}
