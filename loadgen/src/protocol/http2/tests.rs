use ringway_http::h2::MessageError;
use ringway_http::{Fields, ResponseHead};

use super::*;

/// Writes down answers, for so many requests.
#[derive(Default)]
struct Transcript {
    open: Vec<bool>,
    current: usize,
    text: String,
}

impl Transcript {
    fn of(requests: usize) -> Self {
        Self { open: vec![true; requests], ..Self::default() }
    }

    fn write(&mut self, text: &str) {
        self.text.push_str(&format!("{}:{text} ", self.current));
    }
}

impl Answers for Transcript {
    fn oldest_is_head(&self) -> Option<bool> {
        self.open.contains(&true).then_some(false)
    }

    fn select(&mut self, number: u32) -> bool {
        self.current = number as usize;
        self.open.get(self.current).copied().unwrap_or(false)
    }

    fn head(&mut self, status: u16) {
        self.write(&status.to_string());
    }

    fn data(&mut self, data: &[u8]) {
        self.write(&data.len().to_string());
    }

    fn grpc_status(&mut self, status: Option<u32>) {
        self.write(&format!("grpc{status:?}"));
    }

    fn end(&mut self, keep_alive: bool) {
        self.open[self.current] = false;
        self.write(if keep_alive { "end" } else { "last" });
    }

    fn reset(&mut self, code: ErrorCode, _: Option<MessageError>) {
        self.open[self.current] = false;
        self.write(&format!("{code:?}"));
    }

    fn not_processed(&mut self) {
        self.open[self.current] = false;
        self.write("again");
    }
}

/// A client, and the server's engine.
struct Pair {
    client: Streams,
    server: Connection,
    transcript: Transcript,
}

impl Pair {
    fn new(grpc: bool, requests: usize) -> Self {
        let mut options = Options::default();
        options.settings.initial_stream_window = 65_535;
        let server = Connection::server(options, 0);
        let mut pair =
            Self { client: Streams::new(grpc), server, transcript: Transcript::of(requests) };
        pair.deliver_down();
        pair
    }

    fn request(&mut self, body: &[u8]) {
        let mut head = RequestHead::new();
        head.set_method(b"POST");
        head.set_path(b"/");
        head.set_scheme(b"http");
        head.set_authority(b"host");
        self.client.request(&head, body).expect("room");
    }

    /// What the client sends; the streams of which all has come, and the bytes of bodies.
    fn deliver_up(&mut self) -> (Vec<StreamId>, usize) {
        let (mut out, mut complete, mut bytes) = (Vec::new(), Vec::new(), 0);
        self.client.transmit(&mut out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            let taken = self.server.receive(rest, 0).expect("the rules are kept");
            while let Some(event) = self.server.poll_event() {
                match event {
                    Event::Data { stream, range } => {
                        bytes += range.len();
                        self.server.release(stream, range.len());
                    }
                    Event::Complete(stream) => complete.push(stream),
                    _ => {}
                }
            }
            rest = &rest[taken..];
        }
        (complete, bytes)
    }

    fn deliver_down(&mut self) {
        let mut out = Vec::new();
        self.server.poll_transmit(&mut out);
        // In pieces of an odd size: frames are cut anywhere.
        for piece in out.chunks(7) {
            self.client.receive(piece, &mut self.transcript).expect("the rules are kept");
        }
    }

    fn answer(&mut self, stream: StreamId, body: &[u8], trailers: Option<&[u8]>) {
        let head = ResponseHead { status: 200, ..ResponseHead::new() };
        self.server.send_response(stream, &head, false).expect("open");
        self.server.send_data(stream, body, trailers.is_none()).expect("open");
        if let Some(status) = trailers {
            let mut trailers = Fields::new();
            trailers.push(b"grpc-status", status);
            self.server.send_trailers(stream, &trailers).expect("open");
        }
    }
}

#[test]
fn answers_come_in_any_order() {
    let mut pair = Pair::new(false, 3);
    (0..3).for_each(|_| pair.request(b""));
    let (streams, _) = pair.deliver_up();
    for stream in streams.iter().rev() {
        pair.answer(*stream, b"hello", None);
    }
    pair.deliver_down();
    // How many pieces of data there are depends on where frames are cut.
    let words = pair.transcript.text.split_whitespace();
    let words: Vec<&str> = words.filter(|w| w.ends_with("200") || w.ends_with("end")).collect();
    assert_eq!(words, ["2:200", "2:end", "1:200", "1:end", "0:200", "0:end"]);
}

#[test]
fn a_call_has_a_status_in_its_trailers_or_in_a_head_that_is_all() {
    let mut pair = Pair::new(true, 2);
    (0..2).for_each(|_| pair.request(b"\0\0\0\0\0"));
    let (streams, _) = pair.deliver_up();
    pair.answer(streams[0], b"\0\0\0\0\0", Some(b"0"));
    let mut head = ResponseHead { status: 200, ..ResponseHead::new() };
    head.fields.push(b"grpc-status", b"5");
    pair.server.send_response(streams[1], &head, true).expect("open");
    pair.deliver_down();
    let text = &pair.transcript.text;
    assert!(text.contains("0:grpcNone") && text.contains("0:grpcSome(0) 0:end"), "{text}");
    assert!(text.contains("1:200 1:grpcSome(5) 1:end"), "{text}");
}

#[test]
fn what_a_leaving_server_did_not_process_goes_again() {
    let mut pair = Pair::new(false, 3);
    pair.request(b"");
    let (streams, _) = pair.deliver_up();
    pair.server.go_away(ErrorCode::NoError);
    pair.request(b"");
    pair.request(b"");
    pair.deliver_down();
    assert_eq!(pair.transcript.text, "2:again 1:again ");
    assert!(pair.client.is_leaving() && pair.client.room() == 0);
    pair.answer(streams[0], b"", None);
    pair.deliver_down();
    assert_eq!(pair.transcript.text, "2:again 1:again 0:200 0:last ");
}

#[test]
fn bodies_follow_the_windows_and_stop_with_the_answer() {
    let mut pair = Pair::new(false, 2);
    let body = vec![b'x'; 200_000];
    pair.request(&body);
    let (mut complete, mut total) = (Vec::new(), 0);
    while complete.is_empty() {
        let bytes;
        (complete, bytes) = pair.deliver_up();
        assert!(bytes > 0 || !complete.is_empty(), "it goes on as windows open");
        total += bytes;
        pair.deliver_down();
    }
    assert_eq!(total, body.len());
    pair.request(&body);
    // Nobody reads it: the answer comes first.
    let mut out = Vec::new();
    pair.client.transmit(&mut out);
    pair.server.receive(&out, 0).expect("the rules are kept");
    while pair.server.poll_event().is_some() {}
    let stream = StreamId::from_number(3).expect("odd");
    pair.answer(stream, b"", None);
    pair.deliver_down();
    assert!(pair.transcript.text.ends_with("1:200 1:end "), "{}", pair.transcript.text);
    assert!(pair.client.unsent.is_empty());
}

#[test]
fn a_request_that_is_given_up_leaves_the_others() {
    let mut pair = Pair::new(false, 2);
    pair.request(b"");
    pair.request(b"");
    let (streams, _) = pair.deliver_up();
    pair.client.cancel(0);
    pair.transcript.open[0] = false;
    pair.deliver_up();
    assert_eq!(pair.server.open_streams(), 1);
    pair.answer(streams[1], b"", None);
    pair.deliver_down();
    assert_eq!(pair.transcript.text, "1:200 1:end ");
}
