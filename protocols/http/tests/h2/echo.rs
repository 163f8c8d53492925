//! A server and a client on the engine, without IO: the server sends back what it gets.

use std::collections::BTreeMap;

use ringway_http::h2::{Connection, ConnectionError, Event, Options, StreamId};
use ringway_http::{Fields, RequestHead, ResponseHead};

/// A body that waits to be sent.
#[derive(Default)]
struct Outgoing {
    data: Vec<u8>,
    trailers: Option<Fields>,
    is_whole: bool,
}

/// Answers each request with its own `x-` fields, body and trailers.
pub(crate) struct Echo {
    pub(crate) connection: Connection,
    bodies: BTreeMap<StreamId, Outgoing>,
}

impl Echo {
    pub(crate) fn new(options: Options) -> Self {
        Self { connection: Connection::server(options, 0), bodies: BTreeMap::new() }
    }

    /// Takes input and appends output.
    pub(crate) fn turn(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ConnectionError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            at += self.connection.receive(rest, 0)?;
            while let Some(event) = self.connection.poll_event() {
                self.handle(event, rest);
            }
            self.connection.poll_transmit(out);
            while let Some(event) = self.connection.poll_event() {
                self.handle(event, rest);
                self.connection.poll_transmit(out);
            }
            if at == input.len() {
                return Ok(());
            }
        }
    }

    fn handle(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Head { stream, .. } => self.answer(stream),
            Event::Data { stream, range } => {
                self.bodies.entry(stream).or_default().data.extend_from_slice(&input[range]);
                self.pump(stream);
            }
            Event::Trailers(stream) => {
                let trailers = self.connection.trailers_mut().clone();
                self.bodies.entry(stream).or_default().trailers = Some(trailers);
            }
            Event::Complete(stream) => {
                self.bodies.entry(stream).or_default().is_whole = true;
                self.pump(stream);
            }
            Event::Writable(stream) => self.pump(stream),
            Event::Reset { stream, .. } => drop(self.bodies.remove(&stream)),
            _ => {}
        }
    }

    fn answer(&mut self, stream: StreamId) {
        let request = self.connection.request_mut();
        let mut head = ResponseHead::new();
        head.status = 200;
        head.fields.push(b"x-path", request.path());
        for (name, value) in request.fields.iter().filter(|(name, _)| name.starts_with(b"x-")) {
            head.fields.push(name, value);
        }
        self.connection.send_response(stream, &head, false).unwrap();
    }

    fn pump(&mut self, stream: StreamId) {
        let Some(body) = self.bodies.get_mut(&stream) else { return };
        let is_end = body.is_whole && body.trailers.is_none();
        let taken = self.connection.send_data(stream, &body.data, is_end).unwrap_or(0);
        self.connection.release(stream, taken);
        body.data.drain(..taken);
        if body.data.is_empty() && body.is_whole {
            if let Some(trailers) = &body.trailers {
                self.connection.send_trailers(stream, trailers).unwrap();
            }
            self.bodies.remove(&stream);
        }
    }
}

/// A request to send and what is expected back.
#[derive(Clone, Debug, Default)]
pub(crate) struct Exchange {
    pub(crate) path: String,
    pub(crate) fields: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    pub(crate) trailers: Vec<(String, String)>,
}

#[derive(Default)]
struct Running {
    exchange: Exchange,
    sent: usize,
    head: ResponseHead,
    body: Vec<u8>,
    trailers: Fields,
}

/// Sends exchanges, as many at once as the connection allows, and checks the echo.
pub(crate) struct Asker {
    pub(crate) connection: Connection,
    waiting: Vec<Exchange>,
    running: BTreeMap<StreamId, Running>,
    pub(crate) done: usize,
}

impl Asker {
    pub(crate) fn new(options: Options, mut exchanges: Vec<Exchange>) -> Self {
        exchanges.reverse();
        let connection = Connection::client(options, 0);
        Self { connection, waiting: exchanges, running: BTreeMap::new(), done: 0 }
    }

    pub(crate) fn is_over(&self) -> bool {
        self.waiting.is_empty() && self.running.is_empty()
    }

    pub(crate) fn turn(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<(), ConnectionError> {
        let mut at = 0;
        loop {
            let rest = &input[at..];
            at += self.connection.receive(rest, 0)?;
            while let Some(event) = self.connection.poll_event() {
                self.handle(event, rest);
            }
            self.ask();
            self.connection.poll_transmit(out);
            while let Some(event) = self.connection.poll_event() {
                self.handle(event, rest);
                self.connection.poll_transmit(out);
            }
            if at == input.len() {
                return Ok(());
            }
        }
    }

    fn ask(&mut self) {
        while self.connection.has_peer_settings() && self.connection.free_streams() > 0 {
            let Some(exchange) = self.waiting.pop() else { return };
            let mut head = RequestHead::new();
            head.set_method(b"POST");
            head.set_scheme(b"http");
            head.set_authority(b"localhost");
            head.set_path(exchange.path.as_bytes());
            for (name, value) in &exchange.fields {
                head.fields.push(name.as_bytes(), value.as_bytes());
            }
            let stream = self.connection.send_request(&head, false).unwrap();
            self.running.insert(stream, Running { exchange, ..Running::default() });
            self.pump(stream);
        }
    }

    fn pump(&mut self, stream: StreamId) {
        let Some(running) = self.running.get_mut(&stream) else { return };
        let rest = &running.exchange.body[running.sent..];
        let has_trailers = !running.exchange.trailers.is_empty();
        running.sent += self.connection.send_data(stream, rest, !has_trailers).unwrap();
        if running.sent == running.exchange.body.len() && has_trailers {
            let mut trailers = Fields::new();
            for (name, value) in &running.exchange.trailers {
                trailers.push(name.as_bytes(), value.as_bytes());
            }
            self.connection.send_trailers(stream, &trailers).unwrap();
        }
    }

    fn handle(&mut self, event: Event, input: &[u8]) {
        match event {
            Event::Head { stream, .. } => {
                let running = self.running.get_mut(&stream).unwrap();
                std::mem::swap(&mut running.head, self.connection.response_mut());
            }
            Event::Data { stream, range } => {
                self.connection.release(stream, range.len());
                self.running.get_mut(&stream).unwrap().body.extend_from_slice(&input[range]);
            }
            Event::Trailers(stream) => {
                let trailers = self.connection.trailers_mut();
                std::mem::swap(&mut self.running.get_mut(&stream).unwrap().trailers, trailers);
            }
            Event::Complete(stream) => {
                self.running.remove(&stream).unwrap().check();
                self.done += 1;
            }
            Event::Writable(stream) => self.pump(stream),
            other => panic!("{other:?}"),
        }
    }
}

impl Running {
    fn check(self) {
        assert_eq!(self.head.status, 200);
        assert_eq!(self.head.fields.get("x-path"), Some(self.exchange.path.as_bytes()));
        for (name, value) in &self.exchange.fields {
            let mut values = self.head.fields.values(name.as_bytes());
            assert!(values.any(|at| at == value.as_bytes()), "{name}: {value}");
        }
        assert_eq!(self.body, self.exchange.body);
        assert_eq!(self.trailers.len(), self.exchange.trailers.len());
        for (name, value) in &self.exchange.trailers {
            assert_eq!(self.trailers.get(name), Some(value.as_bytes()));
        }
    }
}
