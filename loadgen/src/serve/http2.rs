//! HTTP/2 and gRPC: the same answers as HTTP/1.1 gives, many at a time.
//!
//! A call of gRPC gets its messages back, as they come or so many times when it is over.

use std::io;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use ringway_http::h2::{Connection, ErrorCode, Event, Options, StreamId};
use ringway_http::{Body as Framing, Fields, RequestHead, ResponseHead};
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;
use rustc_hash::FxHashMap;

use super::answer::{Answer, Body, Defaults, Ending, FIELD, piece};
use super::connection::{Client, MAX_QUEUED};
use crate::link::Link;

/// Streams of one client at a time.
const MAX_STREAMS: u32 = 1024;
/// Bytes of a request body that is sent back, or repeated.
const MAX_ECHO_BYTES: usize = 16 << 20;

/// Serves until the client has enough; `first` came before HTTP/2 was noticed.
pub(super) async fn serve(client: &mut Client, first: Buf, defaults: Defaults) -> io::Result<()> {
    let mut server = Server::new(defaults);
    server.receive(&first);
    std::future::poll_fn(|cx| server.poll(&mut client.link, cx)).await
}

/// One connection.
struct Server {
    connection: Connection,
    defaults: Defaults,
    /// The path and the field that came last, and what they mean.
    known: Option<(Vec<u8>, Vec<u8>, Rc<Prepared>)>,
    streams: FxHashMap<StreamId, Stream>,
    /// Streams that wait for a time.
    waiting: Vec<(Instant, StreamId)>,
    timer: Deadline,
    begun: Instant,
    is_over: bool,
}

/// What a path and a field ask for.
#[derive(Debug)]
struct Prepared {
    answer: Answer,
    head: ResponseHead,
}

/// One stream whose request or answer is not complete.
#[derive(Debug)]
enum Stream {
    /// The body comes, kept where it is wanted back. After it, an answer may wait for its time.
    Request {
        prepared: Rc<Prepared>,
        is_head: bool,
        body: Vec<u8>,
    },
    Answer(Outgoing),
}

/// A body under way to the client.
#[derive(Debug)]
struct Outgoing {
    /// What is sent; the pattern where there is none.
    bytes: Option<Vec<u8>>,
    at: u64,
    end: u64,
    /// How often it is sent, this time included.
    times: u64,
    /// More may follow the end.
    grows: bool,
    /// Nothing beyond is sent before its time.
    allowed: u64,
    /// So many bytes are allowed each time.
    step: (u64, Duration),
    finish: Finish,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finish {
    End,
    /// Trailers with this status of gRPC.
    Status(u32),
    Reset,
}

impl Server {
    fn new(defaults: Defaults) -> Self {
        let mut options = Options::default();
        options.settings.max_concurrent_streams = MAX_STREAMS;
        // Clients that give up are part of a load.
        options.limits.stream_reset_burst = u64::MAX;
        options.stream_error_on_invalid_message = true;
        Self {
            connection: Connection::server(options, 0),
            defaults,
            known: None,
            streams: FxHashMap::default(),
            waiting: Vec::new(),
            timer: Deadline::new(),
            begun: Instant::now(),
            is_over: false,
        }
    }

    fn poll(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            self.wake_waiting(cx);
            let sent = self.transmit(link, cx);
            if let Poll::Ready(Err(error)) = sent {
                return Poll::Ready(Err(error));
            }
            if self.is_over || self.connection.is_done() {
                return link.poll_flush(cx);
            }
            let Poll::Ready(input) = link.poll_receive(cx) else { return Poll::Pending };
            match input? {
                input if input.is_empty() => return Poll::Ready(Ok(())),
                input => self.receive(&input),
            }
        }
    }

    /// Sends what there is to send, as far as the client takes it.
    fn transmit(&mut self, link: &mut Link, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        loop {
            if link.queued_bytes() > MAX_QUEUED && link.poll_flush(cx)?.is_pending() {
                return Poll::Pending;
            }
            if !self.connection.poll_transmit(link.tail()) {
                return link.poll_send(cx);
            }
            self.events(&[]);
        }
    }

    fn receive(&mut self, input: &[u8]) {
        let mut rest = input;
        while !rest.is_empty() {
            let now_ms = u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
            let taken = self.connection.receive(rest, now_ms);
            self.events(rest);
            match taken {
                Ok(taken) => rest = &rest[taken..],
                Err(_) => {
                    // What is queued, the reason last, is still sent.
                    self.is_over = true;
                    return;
                }
            }
        }
    }

    fn events(&mut self, input: &[u8]) {
        while let Some(event) = self.connection.poll_event() {
            match event {
                Event::Head { stream, body } => self.head(stream, body),
                Event::Data { stream, range } => self.data(stream, &input[range]),
                Event::Complete(stream) => self.complete(stream),
                Event::Writable(stream) => self.go_on(stream),
                Event::Reset { stream, .. } => {
                    self.streams.remove(&stream);
                }
                Event::Informational(_)
                | Event::Trailers(_)
                | Event::Refused { .. }
                | Event::GoAway { .. } => {}
            }
        }
    }

    fn head(&mut self, stream: StreamId, body: Framing) {
        let request = self.connection.request_mut();
        let is_head = request.method() == b"HEAD";
        let is_call = request.fields.get("content-type").is_some_and(is_grpc);
        let prepared = match prepare(&mut self.known, request, self.defaults) {
            Ok(prepared) => prepared,
            Err(text) => return self.refuse(stream, &text),
        };
        if is_call {
            return self.call(stream, &prepared.answer);
        }
        if body.is_empty() && prepared.answer.delay.is_zero() {
            return self.answer(stream, &prepared, is_head, Vec::new());
        }
        self.streams.insert(stream, Stream::Request { prepared, is_head, body: Vec::new() });
    }

    /// Begins the answer to a call at once: a client may wait for it before it sends on.
    fn call(&mut self, stream: StreamId, answer: &Answer) {
        let mut head = ResponseHead { status: 200, ..ResponseHead::new() };
        head.fields.push(b"content-type", b"application/grpc");
        if self.connection.send_response(stream, &head, false).is_err() {
            return;
        }
        let outgoing = Outgoing {
            bytes: Some(Vec::new()),
            at: 0,
            end: 0,
            times: answer.messages,
            grows: true,
            // What is sent several times must be whole first.
            allowed: if answer.messages == 1 { u64::MAX } else { 0 },
            step: (u64::MAX, answer.delay),
            finish: Finish::Status(answer.grpc_status),
        };
        self.streams.insert(stream, Stream::Answer(outgoing));
    }

    fn data(&mut self, stream: StreamId, data: &[u8]) {
        let mut released = data.len();
        match self.streams.get_mut(&stream) {
            Some(Stream::Request { prepared, body, .. }) if prepared.answer.body == Body::Echo => {
                body.extend_from_slice(data);
                if body.len() > MAX_ECHO_BYTES {
                    self.streams.remove(&stream);
                    self.connection.reset(stream, ErrorCode::EnhanceYourCalm);
                }
            }
            Some(Stream::Answer(outgoing)) if outgoing.grows => {
                // What has not been sent back holds the client back.
                released = outgoing.grow(&mut self.connection, stream, data);
                if outgoing.bytes.as_ref().is_some_and(|bytes| bytes.len() > MAX_ECHO_BYTES) {
                    self.streams.remove(&stream);
                    self.connection.reset(stream, ErrorCode::EnhanceYourCalm);
                }
            }
            _ => {}
        }
        self.connection.release(stream, released);
    }

    fn complete(&mut self, stream: StreamId) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Request { prepared, .. }) if !prepared.answer.delay.is_zero() => {
                let at = Instant::now() + prepared.answer.delay;
                self.waiting.push((at, stream));
            }
            Some(Stream::Request { .. }) => self.answer_kept(stream),
            Some(Stream::Answer(outgoing)) if outgoing.grows => {
                outgoing.grows = false;
                if outgoing.step.1.is_zero() {
                    outgoing.allowed = u64::MAX;
                    self.go_on(stream);
                } else {
                    self.waiting.push((Instant::now() + outgoing.step.1, stream));
                }
            }
            // The answer to a request without a body has begun with its head.
            Some(Stream::Answer(_)) | None => {}
        }
    }

    /// Answers a request that was kept until its body, or its time, came.
    fn answer_kept(&mut self, stream: StreamId) {
        if let Some(Stream::Request { prepared, is_head, body }) = self.streams.remove(&stream) {
            self.answer(stream, &prepared, is_head, body);
        }
    }

    fn answer(&mut self, stream: StreamId, prepared: &Prepared, is_head: bool, echo: Vec<u8>) {
        let answer = &prepared.answer;
        if answer.ending == Ending::Silent {
            return self.connection.reset(stream, ErrorCode::Cancel);
        }
        let mut outgoing = Outgoing::of(answer, echo);
        let bodyless = is_head || answer.is_bodyless();
        let is_end = bodyless || outgoing.end == 0 && outgoing.finish == Finish::End;
        let sent = if answer.body == Body::Echo {
            let mut head = prepared.head.clone();
            push_number(&mut head.fields, b"content-length", outgoing.end);
            self.connection.send_response(stream, &head, is_end)
        } else {
            self.connection.send_response(stream, &prepared.head, is_end)
        };
        if answer.ending == Ending::Close {
            self.connection.go_away(ErrorCode::NoError);
        }
        if sent.is_err() || is_end {
            return;
        }
        if outgoing.allowed == 0 {
            self.waiting.push((Instant::now() + outgoing.step.1, stream));
        }
        if !outgoing.go_on(&mut self.connection, stream) {
            self.streams.insert(stream, Stream::Answer(outgoing));
        }
    }

    fn refuse(&mut self, stream: StreamId, text: &str) {
        let mut head = ResponseHead { status: 400, ..ResponseHead::new() };
        head.fields.push(b"content-type", b"text/plain");
        // A client that is gone needs no reason.
        if self.connection.send_response(stream, &head, false).is_ok() {
            let _ = self.connection.send_data(stream, text.as_bytes(), true);
        }
    }

    fn go_on(&mut self, stream: StreamId) {
        let Some(Stream::Answer(outgoing)) = self.streams.get_mut(&stream) else { return };
        let (before, is_call) = (outgoing.at, outgoing.grows);
        let is_over = outgoing.go_on(&mut self.connection, stream);
        let sent = outgoing.at.saturating_sub(before) as usize;
        if is_over {
            self.streams.remove(&stream);
        }
        if is_call {
            self.connection.release(stream, sent);
        }
    }

    /// Goes on with streams whose time has come.
    fn wake_waiting(&mut self, cx: &mut Context<'_>) {
        while let Some(next) = self.waiting.iter().map(|(at, _)| *at).min() {
            self.timer.set(Some(next));
            if self.timer.poll(cx).is_pending() {
                return;
            }
            let due: Vec<StreamId> =
                self.waiting.extract_if(.., |(at, _)| *at <= next).map(|(_, due)| due).collect();
            for stream in due {
                self.wake(stream);
            }
        }
    }

    fn wake(&mut self, stream: StreamId) {
        match self.streams.get_mut(&stream) {
            Some(Stream::Request { .. }) => self.answer_kept(stream),
            Some(Stream::Answer(outgoing)) => {
                outgoing.allowed = outgoing.allowed.saturating_add(outgoing.step.0);
                let more = outgoing.allowed < outgoing.end;
                let at = Instant::now() + outgoing.step.1;
                self.go_on(stream);
                if more && self.streams.contains_key(&stream) {
                    self.waiting.push((at, stream));
                }
            }
            None => {}
        }
    }
}

impl Outgoing {
    fn of(answer: &Answer, echo: Vec<u8>) -> Self {
        let (bytes, end, step) = match answer.body {
            Body::Bytes(size) | Body::UntilClose(size) => (None, size, None),
            Body::Chunked { count, size, pause } => {
                let step = (!pause.is_zero()).then_some((size, pause));
                (None, count.saturating_mul(size), step)
            }
            Body::Echo => (Some(echo), 0, None),
        };
        let end = bytes.as_ref().map_or(end, |bytes| bytes.len() as u64);
        let (end, finish) = match answer.ending {
            Ending::Truncated => (end / 2, Finish::Reset),
            _ => (end, Finish::End),
        };
        let allowed = if step.is_some() { 0 } else { u64::MAX };
        let step = step.unwrap_or((u64::MAX, Duration::ZERO));
        Self { bytes, at: 0, end, times: 1, grows: false, allowed, step, finish }
    }

    /// More to send; says how much of what was held back before is sent or need not be.
    fn grow(&mut self, connection: &mut Connection, stream: StreamId, data: &[u8]) -> usize {
        let bytes = self.bytes.get_or_insert_default();
        if self.allowed == 0 {
            bytes.extend_from_slice(data);
            self.end += data.len() as u64;
            return data.len();
        }
        if bytes.is_empty() {
            // The usual case is sent without being kept.
            let sent = connection.send_data(stream, data, false).unwrap_or(data.len());
            bytes.extend_from_slice(&data[sent..]);
            self.end += (data.len() - sent) as u64;
            return sent;
        }
        if self.at == self.end {
            bytes.clear();
            (self.at, self.end) = (0, 0);
        }
        bytes.extend_from_slice(data);
        self.end += data.len() as u64;
        0
    }

    /// Sends on; whether the stream is over.
    fn go_on(&mut self, connection: &mut Connection, stream: StreamId) -> bool {
        loop {
            if self.at == self.end && self.times > 1 && !self.grows && self.end > 0 {
                self.times -= 1;
                self.at = 0;
            }
            if self.at == self.end {
                return !self.grows && self.finish(connection, stream);
            }
            let to = self.end.min(self.allowed);
            let data = match &self.bytes {
                Some(bytes) => &bytes[self.at as usize..to.max(self.at) as usize],
                None => piece(self.at, to),
            };
            if data.is_empty() {
                return false;
            }
            let is_last = self.at + data.len() as u64 == self.end && self.times <= 1;
            let is_end = is_last && !self.grows && self.finish == Finish::End;
            match connection.send_data(stream, data, is_end) {
                // A stream that is over needs no more of it.
                Err(_) => return true,
                Ok(sent) => {
                    self.at += sent as u64;
                    if is_end && self.at == self.end {
                        return true;
                    }
                    if sent < data.len() {
                        return false;
                    }
                }
            }
        }
    }

    fn finish(&self, connection: &mut Connection, stream: StreamId) -> bool {
        match self.finish {
            // The last data said it.
            Finish::End => {}
            Finish::Reset => connection.reset(stream, ErrorCode::InternalError),
            Finish::Status(status) => {
                let mut trailers = Fields::new();
                push_number(&mut trailers, b"grpc-status", u64::from(status));
                // A client that is gone needs no status.
                let _ = connection.send_trailers(stream, &trailers);
            }
        }
        true
    }
}

fn is_grpc(content_type: &[u8]) -> bool {
    content_type.starts_with(b"application/grpc")
}

fn push_number(fields: &mut Fields, name: &[u8], number: u64) {
    fields.push(name, number.to_string().as_bytes());
}

/// What a request asks for: mostly the same as the last one.
fn prepare(
    known: &mut Option<(Vec<u8>, Vec<u8>, Rc<Prepared>)>,
    request: &RequestHead,
    defaults: Defaults,
) -> Result<Rc<Prepared>, String> {
    let wish = request.fields.get(FIELD).unwrap_or_default();
    if let Some((path, last, prepared)) = known
        && path == request.path()
        && last == wish
    {
        return Ok(Rc::clone(prepared));
    }
    let asked = if wish.is_empty() { request.path() } else { wish };
    let answer = Answer::read(&String::from_utf8_lossy(asked), defaults)?;
    let prepared = Rc::new(Prepared { head: response(&answer), answer });
    *known = Some((request.path().to_vec(), wish.to_vec(), Rc::clone(&prepared)));
    Ok(prepared)
}

fn response(answer: &Answer) -> ResponseHead {
    let mut head = ResponseHead { status: answer.status, ..ResponseHead::new() };
    if !answer.is_bodyless() {
        head.fields.push(b"content-type", b"text/plain");
        if let Body::Bytes(size) = answer.body {
            push_number(&mut head.fields, b"content-length", size);
        }
    }
    for number in 0..answer.fields {
        let name = format!("x-field-{number}");
        head.fields.push(name.as_bytes(), format!("value-{number}").as_bytes());
    }
    head
}
