//! Origins: the servers behind the proxy, told by the test what to answer.
//!
//! [`Origin`] answers each request by a script and records what it received, byte-exact and in
//! order. [`RawOrigin`] hands each connection to the test, for conversations step by step.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread;
use std::time::{Duration, Instant};

use crate::wire::{Framing, Head, Message, Stream, Wire, WireError};
use crate::{PATIENCE, Transcript};

/// One step of an answer.
#[derive(Clone, Debug)]
pub enum Act {
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send FIN and wait until the peer closes too.
    Close,
    /// Send RST.
    Reset,
    /// Do nothing until the peer closes.
    Silence,
}

/// What the origin does with one request.
#[derive(Clone, Debug, Default)]
pub struct Reply {
    early: bool,
    acts: Vec<Act>,
}

impl Reply {
    /// These bytes, once the request is complete.
    pub fn raw(bytes: impl Into<Vec<u8>>) -> Self {
        Self::default().send(bytes)
    }

    /// `200 OK` with a sized body.
    pub fn ok(body: &str) -> Self {
        Self::status(200, body)
    }

    /// A status with a sized body.
    pub fn status(status: u16, body: &str) -> Self {
        let length = body.len();
        Self::raw(format!("HTTP/1.1 {status} Told\r\ncontent-length: {length}\r\n\r\n{body}"))
    }

    /// Never an answer.
    pub fn silence() -> Self {
        Self { early: false, acts: vec![Act::Silence] }
    }

    /// Then these bytes.
    pub fn send(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.acts.push(Act::Send(bytes.into()));
        self
    }

    /// Then FIN.
    pub fn close(mut self) -> Self {
        self.acts.push(Act::Close);
        self
    }

    /// Then RST.
    pub fn reset(mut self) -> Self {
        self.acts.push(Act::Reset);
        self
    }

    /// Then nothing until the peer closes.
    pub fn hang(mut self) -> Self {
        self.acts.push(Act::Silence);
        self
    }

    /// Answer as soon as the head is read, before the body.
    pub fn early(mut self) -> Self {
        self.early = true;
        self
    }
}

/// A request as the origin received it.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Head, body and trailers; `message.cut` says what ended the body early.
    pub message: Message,
    /// Number of the connection it came on, from 0.
    pub connection: usize,
    /// Set where not even the head could be read.
    pub unreadable: Option<WireError>,
    done: bool,
}

type Script = Arc<dyn Fn(&Head) -> Reply + Send + Sync>;

#[derive(Default)]
struct Record {
    asked: Vec<Asked>,
    /// A handle of each connection while it is open, to end it when the origin ends.
    connections: Vec<Option<TcpStream>>,
    closing: usize,
}

struct Shared {
    script: Mutex<Script>,
    record: Mutex<Record>,
    changed: Condvar,
}

impl Shared {
    fn record(&self) -> MutexGuard<'_, Record> {
        self.record.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    fn update(&self, change: impl FnOnce(&mut Record)) {
        change(&mut self.record());
        self.changed.notify_all();
    }

    /// Waits until `ready` holds, at most `patience`; gives the record as it is then.
    fn wait(&self, patience: Duration, ready: impl Fn(&Record) -> bool) -> MutexGuard<'_, Record> {
        let waited = self.changed.wait_timeout_while(self.record(), patience, |r| !ready(r));
        waited.unwrap_or_else(|poisoned| poisoned.into_inner()).0
    }
}

/// A server on a port of its own that answers by a script.
pub struct Origin {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Origin {
    /// Starts an origin on 127.0.0.1; `script` is asked once per request, when its head is read.
    pub fn start(script: impl Fn(&Head) -> Reply + Send + Sync + 'static) -> Self {
        Self::start_on("127.0.0.1:0", script)
    }

    /// Starts an origin on an address; port 0 takes a free one.
    pub fn start_on(
        address: &str,
        script: impl Fn(&Head) -> Reply + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind(address).expect("an origin can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let shared = Arc::new(Shared {
            script: Mutex::new(Arc::new(script)),
            record: Mutex::default(),
            changed: Condvar::new(),
        });
        let theirs = shared.clone();
        thread::spawn(move || accept(&listener, &theirs));
        Self { address, shared }
    }

    /// Starts an origin that names itself in `x-origin` and answers by path:
    /// `/status/N` that status, `/bytes/N` a sized body of N bytes, `/chunked/N` the same in chunks
    /// of at most 1,000; otherwise 200 with the request line and fields as the body.
    pub fn named(name: &str) -> Self {
        let name = name.to_owned();
        Self::start(move |head| echo(&name, head))
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers by this script from the next request on.
    pub fn answer(&self, script: impl Fn(&Head) -> Reply + Send + Sync + 'static) {
        *self.shared.script.lock().unwrap_or_else(|p| p.into_inner()) = Arc::new(script);
    }

    /// What has been received so far, complete or not.
    pub fn requests(&self) -> Vec<Asked> {
        self.shared.record().asked.clone()
    }

    /// Waits until `count` requests were received whole, and gives them.
    pub fn wait_for(&self, count: usize) -> Vec<Asked> {
        let enough = |record: &Record| record.asked.iter().filter(|asked| asked.done).count();
        let record = self.shared.wait(PATIENCE, |record| enough(record) >= count);
        assert!(enough(&record) >= count, "the origin has {:#?}", record.asked);
        record.asked.clone()
    }

    /// Waits until no answer is under way and no connection half closed, and takes the requests
    /// received since the last call. After two seconds takes what there is.
    pub fn settle(&self) -> Vec<Asked> {
        let quiet = |record: &Record| record.closing == 0 && record.asked.iter().all(|a| a.done);
        let mut record = self.shared.wait(Duration::from_secs(2), quiet);
        // A request that is still under way keeps its place, because its thread writes to it.
        let quiet = quiet(&record);
        match quiet {
            true => std::mem::take(&mut record.asked),
            false => record.asked.clone(),
        }
    }

    /// Waits until a request has begun to arrive, at most two seconds; says whether one has.
    pub fn heard(&self) -> bool {
        let heard = |record: &Record| !record.asked.is_empty();
        heard(&self.shared.wait(Duration::from_secs(2), heard))
    }

    /// How many connections were accepted since the start.
    pub fn connections(&self) -> usize {
        self.shared.record().connections.len()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        // The accepting thread ends when its record says so; a connection wakes it.
        let mut record = self.shared.record();
        for connection in record.connections.drain(..).flatten() {
            let _closed_already = connection.shutdown(Shutdown::Both);
        }
        record.closing = usize::MAX;
        drop(record);
        let _refused = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for connection in listener.incoming() {
        let Ok(socket) = connection else { continue };
        let Ok(handle) = socket.try_clone() else { continue };
        let mut record = shared.record();
        if record.closing == usize::MAX {
            return;
        }
        record.connections.push(Some(handle));
        let number = record.connections.len() - 1;
        drop(record);
        shared.changed.notify_all();
        let shared = shared.clone();
        thread::spawn(move || serve(socket, number, &shared));
    }
}

fn serve(socket: TcpStream, number: usize, shared: &Shared) {
    let transcript = Arc::new(Transcript::new(format!("origin, connection {number}")));
    if let Ok(wire) = Wire::new(Stream::Tcp(socket), transcript) {
        converse(wire, number, shared);
    }
    release(shared, number);
}

/// Lets go of the handle, without which the socket would stay open.
fn release(shared: &Shared, number: usize) {
    shared.update(|record| {
        record.connections.get_mut(number).map(Option::take);
    });
}

fn converse(mut wire: Wire, number: usize, shared: &Shared) {
    loop {
        match wire.head() {
            Ok(head) => match answer(wire, number, head, shared) {
                Some(kept) => wire = kept,
                None => return,
            },
            // A pooled connection may rest for longer than a test waits for an answer.
            Err(WireError::Silent) => {}
            Err(WireError::Closed | WireError::Reset) => return,
            Err(error) => {
                return begin(shared, number, Head::default(), Some(error)).finish(shared);
            }
        }
    }
}

/// The place of one request in the record.
#[derive(Clone, Copy)]
struct Place {
    ordinal: usize,
}

impl Place {
    fn edit(self, shared: &Shared, change: impl FnOnce(&mut Asked)) {
        // `settle` may have taken the record away; then nobody waits for this request any more.
        shared.update(|record| record.asked.get_mut(self.ordinal).map(change).unwrap_or(()));
    }

    fn finish(self, shared: &Shared) {
        self.edit(shared, |asked| asked.done = true);
    }
}

fn begin(shared: &Shared, connection: usize, head: Head, error: Option<WireError>) -> Place {
    let message = Message { head, ..Message::default() };
    let mut ordinal = 0;
    shared.update(|record| {
        ordinal = record.asked.len();
        record.asked.push(Asked { message, connection, unreadable: error, done: false });
    });
    Place { ordinal }
}

/// Answers one request; gives the connection back when it can carry another.
fn answer(wire: Wire, number: usize, head: Head, shared: &Shared) -> Option<Wire> {
    let place = begin(shared, number, head.clone(), None);
    let script = shared.script.lock().unwrap_or_else(|p| p.into_inner()).clone();
    let reply = script(&head);
    let kept = match reply.early {
        true => perform(wire, number, &reply.acts, shared)
            .and_then(|wire| read_body(wire, &head, place, shared)),
        false => read_body(wire, &head, place, shared)
            .and_then(|wire| perform(wire, number, &reply.acts, shared)),
    };
    place.finish(shared);
    kept
}

/// Reads the body into the record; the connection is given up when the body was cut or its framing
/// is wrong.
fn read_body(mut wire: Wire, head: &Head, place: Place, shared: &Shared) -> Option<Wire> {
    let message = match crate::wire::request_framing(head) {
        Ok(framing) => wire.rest(head.clone(), framing),
        Err(error) => {
            let cut = Some(error);
            Message { head: head.clone(), framing: Framing::None, cut, ..Message::default() }
        }
    };
    let whole = message.cut.is_none();
    place.edit(shared, |asked| asked.message = message);
    whole.then_some(wire)
}

/// Does the acts in order; gives the connection back when it is still open.
fn perform(mut wire: Wire, number: usize, acts: &[Act], shared: &Shared) -> Option<Wire> {
    for act in acts {
        match act {
            Act::Send(bytes) => wire.send(bytes).ok()?,
            Act::Close => {
                shared.update(|record| record.closing += 1);
                let _reset_already = wire.finish();
                drain(&mut wire);
                shared.update(|record| record.closing = record.closing.saturating_sub(1));
                return None;
            }
            Act::Reset => {
                // The last handle sends the RST.
                release(shared, number);
                let _reset_already = wire.reset();
                return None;
            }
            Act::Silence => {
                drain(&mut wire);
                return None;
            }
        }
    }
    Some(wire)
}

fn drain(wire: &mut Wire) {
    let deadline = Instant::now() + PATIENCE;
    while Instant::now() < deadline && wire.read_some().is_ok() {}
}

fn echo(name: &str, head: &Head) -> Reply {
    let path = head.target().split('?').next().unwrap_or("");
    let number = path.rsplit('/').next().and_then(|last| last.parse::<usize>().ok()).unwrap_or(0);
    let (status, body) = match path {
        _ if path.starts_with("/status/") => (number, Vec::new()),
        _ if path.starts_with("/bytes/") || path.starts_with("/chunked/") => (200, letters(number)),
        _ => (200, shown(head).into_bytes()),
    };
    let mut bytes = format!("HTTP/1.1 {status} Echo\r\nx-origin: {name}\r\n").into_bytes();
    match path.starts_with("/chunked/") {
        true => bytes.extend(b"transfer-encoding: chunked\r\n\r\n"),
        false => bytes.extend(format!("content-length: {}\r\n\r\n", body.len()).bytes()),
    }
    match head.method() {
        "HEAD" => {}
        _ if path.starts_with("/chunked/") => bytes.extend(chunks(&body)),
        _ => bytes.extend(body),
    }
    Reply::raw(bytes)
}

fn shown(head: &Head) -> String {
    let fields = head.fields.iter().map(|(name, value)| format!("{name}: {value}\n"));
    format!("{}\n{}", head.start, fields.collect::<String>())
}

fn letters(length: usize) -> Vec<u8> {
    (b'a'..=b'z').cycle().take(length).collect()
}

fn chunks(body: &[u8]) -> Vec<u8> {
    let each = body.chunks(1000);
    let framed =
        each.map(|chunk| [format!("{:x}\r\n", chunk.len()).as_bytes(), chunk, b"\r\n"].concat());
    [framed.collect::<Vec<_>>().concat(), b"0\r\n\r\n".to_vec()].concat()
}

/// A server whose connections the test serves itself.
pub struct RawOrigin {
    address: SocketAddr,
    accepted: Receiver<Wire>,
}

impl RawOrigin {
    /// Listens on a free port of 127.0.0.1.
    pub fn bind() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("an origin can listen");
        let address = listener.local_addr().expect("a listener has an address");
        let (give, accepted) = channel();
        thread::spawn(move || {
            for (number, socket) in listener.incoming().flatten().enumerate() {
                let transcript = Arc::new(Transcript::new(format!("raw origin, {number}")));
                let Ok(wire) = Wire::new(Stream::Tcp(socket), transcript) else { continue };
                if give.send(wire).is_err() {
                    return;
                }
            }
        });
        Self { address, accepted }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The next connection of the proxy.
    pub fn accept(&self) -> Wire {
        self.accepted.recv_timeout(PATIENCE).expect("the proxy did not connect to the origin")
    }
}

impl Drop for RawOrigin {
    fn drop(&mut self) {
        let _wakes_the_accepting_thread = TcpStream::connect(self.address);
    }
}
