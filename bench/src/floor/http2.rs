//! The floor of HTTP/2: what the kernel costs a proxy whose own work is for nothing.
//!
//! It finds the frames of a client and looks into none of them. Each HEADERS is answered by the
//! same bytes, at once or when an HTTP/1.1 origin has answered the same request. It has no windows,
//! no header compression and no errors: only the benchmark's clients can talk to it. What is said
//! to one connection in one turn leaves in one send.
//!
//! Bounded by its clients: a connection to the origin for each stream that is open at a time.

use std::io;
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use slab::Slab;

use super::relay::upstream_socket;
use super::ring::{Completion, Ring};
use super::{Answers, Options};

const PREFACE_LEN: usize = 24;
const FRAME_HEADER_LEN: usize = 9;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const ACK: u8 = 1;

/// An empty SETTINGS frame, as it begins a connection and as it answers one.
const GREETING: [u8; 9] = [0, 0, 0, SETTINGS, 0, 0, 0, 0, 0];
const SETTINGS_ACK: [u8; 9] = [0, 0, 0, SETTINGS, ACK, 0, 0, 0, 0];
/// `:status: 200` and `content-length: 64`, as RFC 7541 writes them without a table.
const HEAD: [u8; 15] = [0, 0, 6, HEADERS, 4, 0, 0, 0, 0, 0x88, 0x0f, 0x0d, 0x02, b'6', b'4'];
/// The frame header of the body: DATA with END_STREAM.
const DATA: [u8; 9] = [0, 0, BODY_LEN as u8, 0, 1, 0, 0, 0, 0];
const BODY_LEN: usize = 64;
const BODY: [u8; BODY_LEN] = [b'x'; BODY_LEN];
/// As long as what a proxy makes of the load generator's request.
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n\
    x-forwarded-proto: http\r\nx-request-id: 01234567-89ab-4def-8000-000000000000\r\n\
    x-envoy-expected-rq-timeout-ms: 15000\r\n\r\n";

/// What an operation was.
#[derive(Debug, Clone, Copy)]
enum Operation {
    Accept,
    FromClient(usize),
    ToClient(usize),
    Connect(usize),
    FromServer(usize),
    ToServer(usize),
}

impl Operation {
    fn token(self) -> u64 {
        let (code, index) = match self {
            Self::Accept => (0, 0),
            Self::FromClient(index) => (1, index),
            Self::ToClient(index) => (2, index),
            Self::Connect(index) => (3, index),
            Self::FromServer(index) => (4, index),
            Self::ToServer(index) => (5, index),
        };
        (index as u64) << 3 | code
    }

    fn of(token: u64) -> Self {
        let index = (token >> 3) as usize;
        match token & 7 {
            0 => Self::Accept,
            1 => Self::FromClient(index),
            2 => Self::ToClient(index),
            3 => Self::Connect(index),
            4 => Self::FromServer(index),
            _ => Self::ToServer(index),
        }
    }
}

/// A connection of a client.
#[derive(Debug)]
struct Client {
    socket: TcpStream,
    /// The beginning of a frame whose rest has not come.
    partial: Vec<u8>,
    greeted: bool,
    out: Vec<u8>,
    /// What is being sent; untouched until that is done.
    sending: Vec<u8>,
    is_sending: bool,
    /// It is in the list of those that have something to send.
    is_due: bool,
    /// Operations under way, and streams that wait for the origin.
    uses: usize,
    dead: bool,
}

/// A connection to the origin.
#[derive(Debug)]
struct Server {
    socket: TcpStream,
    /// Client and stream that wait for its answer.
    asks: Option<(usize, [u8; 4])>,
}

/// The relay.
pub(super) struct Http2 {
    ring: Ring,
    listener: TcpListener,
    options: Options,
    clients: Slab<Client>,
    servers: Slab<Server>,
    /// Connections to the origin that nobody uses; the last one is the next.
    idle: Vec<usize>,
    due: Vec<usize>,
    /// Streams of the input that is looked at.
    requests: Vec<[u8; 4]>,
    /// Receives that found no buffer.
    starved: Vec<Operation>,
}

impl Http2 {
    pub(super) fn new(ring: Ring, listener: TcpListener, options: &Options) -> Self {
        Self {
            ring,
            listener,
            options: options.clone(),
            clients: Slab::new(),
            servers: Slab::new(),
            idle: Vec::new(),
            due: Vec::new(),
            requests: Vec::new(),
            starved: Vec::new(),
        }
    }

    pub(super) fn run(mut self) -> io::Result<()> {
        self.accept()?;
        let mut completions = Vec::new();
        loop {
            self.ring.turn(&mut completions)?;
            self.ring.gather(&mut completions)?;
            for completion in completions.drain(..) {
                self.complete(&completion)?;
            }
            for operation in std::mem::take(&mut self.starved) {
                self.receive(operation)?;
            }
            self.send_all()?;
        }
    }

    fn accept(&mut self) -> io::Result<()> {
        self.ring.accept(self.listener.as_raw_fd(), Operation::Accept.token())
    }

    fn complete(&mut self, completion: &Completion) -> io::Result<()> {
        match Operation::of(completion.token) {
            Operation::Accept => self.accepted(completion),
            Operation::FromClient(index) => self.client_said(index, completion),
            Operation::ToClient(index) => {
                let client = &mut self.clients[index];
                client.is_sending = false;
                client.dead |= completion.result < 0;
                self.used(index);
                self.note_due(index);
                Ok(())
            }
            Operation::Connect(index) => match completion.result {
                0 => self.connected(index),
                error => Err(io::Error::from_raw_os_error(-error)),
            },
            Operation::FromServer(index) => self.origin_said(index, completion),
            // An origin that is gone says so to the receive.
            Operation::ToServer(_) => Ok(()),
        }
    }

    fn accepted(&mut self, completion: &Completion) -> io::Result<()> {
        if !completion.more {
            self.accept()?;
        }
        if completion.result < 0 {
            return Ok(());
        }
        // SAFETY: the kernel has just made this descriptor for us.
        let socket: TcpStream = unsafe { OwnedFd::from_raw_fd(completion.result) }.into();
        let index = self.clients.insert(Client {
            socket,
            partial: Vec::new(),
            greeted: false,
            out: GREETING.to_vec(),
            sending: Vec::new(),
            is_sending: false,
            is_due: false,
            uses: 0,
            dead: false,
        });
        self.note_due(index);
        self.receive(Operation::FromClient(index))
    }

    /// Arms a receive that goes on until further notice.
    fn receive(&mut self, operation: Operation) -> io::Result<()> {
        let fd = match operation {
            Operation::FromClient(index) => {
                let Some(client) = self.clients.get_mut(index) else { return Ok(()) };
                client.uses += 1;
                client.socket.as_raw_fd()
            }
            Operation::FromServer(index) => self.servers[index].socket.as_raw_fd(),
            _ => return Ok(()),
        };
        self.ring.receive(fd, true, operation.token())
    }

    fn client_said(&mut self, index: usize, completion: &Completion) -> io::Result<()> {
        if let (1.., Some(buffer)) = (completion.result, completion.buffer) {
            let mut input = std::mem::take(&mut self.clients[index].partial);
            let received = self.ring.bytes(buffer, completion.result as u32);
            let mut requests = std::mem::take(&mut self.requests);
            let client = &mut self.clients[index];
            // Whole frames are looked at where they are.
            if input.is_empty() {
                let rest = client.walk(received, &mut requests);
                input.extend_from_slice(&received[rest..]);
            } else {
                input.extend_from_slice(received);
                let rest = client.walk(&input, &mut requests);
                input.drain(..rest);
            }
            client.partial = input;
            self.ring.give(buffer);
            for stream in requests.drain(..) {
                self.ask(index, stream)?;
            }
            self.requests = requests;
            self.note_due(index);
        }
        if !completion.more {
            self.receive_again(Operation::FromClient(index), completion.result)?;
            self.used(index);
        }
        Ok(())
    }

    fn receive_again(&mut self, operation: Operation, result: i32) -> io::Result<()> {
        match result {
            1.. => self.receive(operation),
            error if error == -libc::ENOBUFS => {
                self.starved.push(operation);
                Ok(())
            }
            _ => self.gone(operation),
        }
    }

    fn gone(&mut self, operation: Operation) -> io::Result<()> {
        match operation {
            Operation::FromClient(index) => {
                self.clients[index].dead = true;
                // It may be gone already.
                let _ = self.clients[index].socket.shutdown(Shutdown::Both);
                Ok(())
            }
            _ => Err(io::Error::other("the origin has closed a connection")),
        }
    }

    /// A request has come.
    fn ask(&mut self, client: usize, stream: [u8; 4]) -> io::Result<()> {
        if self.options.http2 == Some(Answers::Direct) {
            self.clients[client].answer(stream, &BODY);
            return Ok(());
        }
        self.clients[client].uses += 1;
        if let Some(index) = self.idle.pop() {
            self.servers[index].asks = Some((client, stream));
            return self.ask_origin(index);
        }
        let socket = upstream_socket(self.options.upstream)?;
        let fd = socket.as_raw_fd();
        let index = self.servers.insert(Server { socket, asks: Some((client, stream)) });
        self.ring.connect(fd, Operation::Connect(index).token())
    }

    fn connected(&mut self, index: usize) -> io::Result<()> {
        self.receive(Operation::FromServer(index))?;
        self.ask_origin(index)
    }

    fn ask_origin(&mut self, index: usize) -> io::Result<()> {
        let fd = self.servers[index].socket.as_raw_fd();
        self.ring.send_static(fd, REQUEST, Operation::ToServer(index).token())
    }

    /// An answer of the origin, which comes as a whole.
    fn origin_said(&mut self, index: usize, completion: &Completion) -> io::Result<()> {
        if let (1.., Some(buffer)) = (completion.result, completion.buffer) {
            if let Some((client, stream)) = self.servers[index].asks.take() {
                let received = self.ring.bytes(buffer, completion.result as u32);
                let body = received.last_chunk().unwrap_or(&BODY);
                self.clients[client].answer(stream, body);
                self.note_due(client);
                self.used(client);
                self.idle.push(index);
            }
            self.ring.give(buffer);
        }
        match completion.more {
            true => Ok(()),
            false => self.receive_again(Operation::FromServer(index), completion.result),
        }
    }

    fn note_due(&mut self, index: usize) {
        if let Some(client) = self.clients.get_mut(index)
            && !client.out.is_empty()
            && !std::mem::replace(&mut client.is_due, true)
        {
            self.due.push(index);
        }
    }

    /// At the end of a turn: what is to be said to each client.
    fn send_all(&mut self) -> io::Result<()> {
        for index in std::mem::take(&mut self.due) {
            let Some(client) = self.clients.get_mut(index) else { continue };
            client.is_due = false;
            if client.is_sending || client.dead {
                continue;
            }
            client.sending.clear();
            std::mem::swap(&mut client.sending, &mut client.out);
            client.is_sending = true;
            client.uses += 1;
            let fd = client.socket.as_raw_fd();
            // SAFETY: `sending` stays as it is, and the client where it is, until the completion.
            unsafe {
                self.ring.send_slice(fd, &client.sending, Operation::ToClient(index).token())?
            };
        }
        Ok(())
    }

    /// Something that used a client is over.
    fn used(&mut self, index: usize) {
        let client = &mut self.clients[index];
        client.uses -= 1;
        if client.dead && client.uses == 0 {
            self.clients.remove(index);
        }
    }
}

impl Client {
    /// Finds the requests in the frames of `input`, and answers what must be. Returns where the
    /// first frame begins that is not whole.
    fn walk(&mut self, input: &[u8], requests: &mut Vec<[u8; 4]>) -> usize {
        let mut at = 0;
        if !self.greeted {
            if input.len() < PREFACE_LEN {
                return 0;
            }
            self.greeted = true;
            at = PREFACE_LEN;
        }
        while let Some(header) = input[at..].first_chunk::<FRAME_HEADER_LEN>() {
            let [high, middle, low, kind, flags, stream @ ..] = *header;
            let end = at + FRAME_HEADER_LEN + u32::from_be_bytes([0, high, middle, low]) as usize;
            if end > input.len() {
                break;
            }
            match kind {
                HEADERS => requests.push(stream),
                SETTINGS if flags & ACK == 0 => self.out.extend_from_slice(&SETTINGS_ACK),
                PING if flags & ACK == 0 => {
                    self.out.extend_from_slice(&input[at..end]);
                    let pong = self.out.len() - (end - at);
                    self.out[pong + 4] |= ACK;
                }
                _ => {}
            }
            at = end;
        }
        at
    }

    fn answer(&mut self, stream: [u8; 4], body: &[u8; BODY_LEN]) {
        let at = self.out.len();
        self.out.extend_from_slice(&HEAD);
        let data = self.out.len();
        self.out.extend_from_slice(&DATA);
        self.out.extend_from_slice(body);
        for header in [at, data] {
            self.out[header + 5..header + FRAME_HEADER_LEN].copy_from_slice(&stream);
        }
    }
}
