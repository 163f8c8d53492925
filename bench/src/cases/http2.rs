//! One request and its answer between two HTTP/2 engines: header blocks, frames and streams of both
//! sides.

use std::hint::black_box;

use ringway_http::h2::{Connection, Event, Options};
use ringway_http::{Known, RequestHead, ResponseHead};

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "http2/exchange", make: || exchange(1) },
    Case { name: "http2/ten-exchanges", make: || exchange(10) },
];

const BODY: &[u8] = &[b'x'; 64];

fn request() -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    head.set_scheme(b"http");
    head.set_authority(b"www.example.com");
    head.set_path(b"/api/items?page=2");
    head.fields.push_known(Known::UserAgent, b"curl/8.5.0");
    head.fields.push_known(Known::Accept, b"*/*");
    head
}

fn response() -> ResponseHead {
    let mut head = ResponseHead::new();
    head.status = 200;
    head.fields.push_known(Known::ContentType, b"text/plain");
    head.fields.push_known(Known::ContentLength, b"64");
    head.fields.push_known(Known::Date, b"Sat, 21 Nov 2026 09:00:00 GMT");
    head.fields.push_known(Known::Server, b"envoy");
    head
}

/// So many requests at once, and their answers.
fn exchange(at_once: usize) -> Box<dyn FnMut()> {
    let mut client = Connection::client(Options::default(), 0);
    let mut server = Connection::server(Options::default(), 0);
    let (request, response) = (request(), response());
    let mut wire = Vec::new();
    Box::new(move || {
        for _ in 0..at_once {
            client.send_request(&request, true).expect("there is room for a stream");
        }
        carry(&mut client, &mut server, &mut wire, |server, event| {
            if let Event::Head { stream, .. } = event {
                server.send_response(stream, &response, false).expect("the stream is open");
                let sent = server.send_data(stream, BODY, true);
                assert_eq!(sent, Ok(BODY.len()), "the windows have room");
            }
        });
        carry(&mut server, &mut client, &mut wire, |client, event| {
            if let Event::Data { stream, range } = event {
                client.release(stream, black_box(range).len());
            }
        });
    })
}

/// Moves what one side has to say to the other, which looks at what happened.
fn carry(
    from: &mut Connection,
    to: &mut Connection,
    wire: &mut Vec<u8>,
    mut look: impl FnMut(&mut Connection, Event),
) {
    wire.clear();
    from.poll_transmit(wire);
    let mut rest = &wire[..];
    while !rest.is_empty() {
        let taken = to.receive(rest, 0).expect("sound frames");
        rest = &rest[taken..];
        while let Some(event) = to.poll_event() {
            look(to, event);
        }
    }
}
