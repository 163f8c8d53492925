//! RFC 9113 rule by rule: what ends a stream, what ends the connection, what is let pass.

use ringway_http::h2::{
    Cause, Connection, ErrorCode, Event, Keepalive, MessageError, Options, SendError, State,
    StreamId,
};
use ringway_http::{Body, Known, Method, RequestHead, ResetReason, ResponseHead};

use crate::wire::*;

fn id(number: u32) -> StreamId {
    StreamId::from_number(number).unwrap()
}

fn ok() -> ResponseHead {
    let mut head = ResponseHead::new();
    head.status = 200;
    head
}

fn request(method: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(method.as_bytes());
    head.set_scheme(b"http");
    head.set_authority(b"a");
    head.set_path(b"/");
    head
}

fn lenient() -> Options {
    Options { stream_error_on_invalid_message: true, ..Options::default() }
}

/// A request whose block is `GET` and `fields`.
fn with_fields(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = GET.to_vec();
    block.extend(fields.iter().flat_map(|(name, value)| literal(name, value)));
    frame(HEADERS, END_HEADERS | END_STREAM, 1, &block)
}

#[test]
fn a_server_greets_as_envoy_does() {
    let mut server = Connection::server(Options::default(), 0);
    let frames = sent(&mut server);
    let expected = [(1, 4096), (8, 0), (3, 1024), (4, 16_777_216)];
    assert_eq!(frames[0].payload, settings(&expected)[9..]);
    assert_eq!(frames[1].kind, WINDOW_UPDATE);
    assert_eq!(frames[1].payload, 25_100_289u32.to_be_bytes());
    let mut client = Connection::client(Options::default(), 0);
    assert_eq!(sent(&mut client)[0].payload[..6], [0, 2, 0, 0, 0, 0]);
}

#[test]
fn a_request_is_read_and_answered() {
    let mut server = server(Options::default());
    let events =
        feed(&mut server, &with_fields(&[("x-a", " b "), ("cookie", "a=1"), ("cookie", "b=2")]));
    let expected = [Event::Head { stream: id(1), body: Body::None }, Event::Complete(id(1))];
    assert_eq!(events.unwrap(), expected);
    let head = server.request_mut();
    assert_eq!(
        (head.method_kind(), head.path(), head.authority()),
        (Method::Get, &b"/"[..], &b"a"[..])
    );
    assert_eq!(head.fields.get("x-a"), Some(&b"b"[..]));
    assert_eq!(head.fields.known(Known::Cookie), Some(&b"a=1; b=2"[..]));
    assert_eq!(server.state(id(1)), State::HalfClosedRemote);
    server.send_response(id(1), &ok(), true).unwrap();
    assert_eq!(server.state(id(1)), State::Closed);
    let frames = sent(&mut server);
    assert_eq!((frames[0].kind, frames[0].flags, &frames[0].payload[..]), (1, 5, &[0x88][..]));
}

#[test]
fn what_ends_the_connection() {
    let long = frame(DATA, 0, 1, &[0; 16385]);
    let cases: &[(&str, Vec<u8>, ErrorCode)] = &[
        ("DATA on stream 0", frame(DATA, 0, 0, b"x"), ErrorCode::ProtocolError),
        ("DATA on an idle stream", frame(DATA, 0, 1, b"x"), ErrorCode::ProtocolError),
        ("HEADERS on stream 0", frame(HEADERS, 5, 0, GET), ErrorCode::ProtocolError),
        ("HEADERS on an even stream", frame(HEADERS, 5, 2, GET), ErrorCode::ProtocolError),
        ("too long", long, ErrorCode::FrameSizeError),
        ("PING of 7", frame(PING, 0, 0, &[0; 7]), ErrorCode::FrameSizeError),
        ("PING on a stream", frame(PING, 0, 1, &[0; 8]), ErrorCode::ProtocolError),
        ("SETTINGS of 5", frame(SETTINGS, 0, 0, &[0; 5]), ErrorCode::FrameSizeError),
        ("SETTINGS on a stream", frame(SETTINGS, 0, 1, b""), ErrorCode::ProtocolError),
        ("ACK with payload", frame(SETTINGS, 1, 0, &[0; 6]), ErrorCode::FrameSizeError),
        ("ACK not due", frame(SETTINGS, 1, 0, b""), ErrorCode::ProtocolError),
        ("window of 2^31", settings(&[(4, 1 << 31)]), ErrorCode::FlowControlError),
        ("frame size too small", settings(&[(5, 16383)]), ErrorCode::ProtocolError),
        ("push 2", settings(&[(2, 2)]), ErrorCode::ProtocolError),
        ("connect 2", settings(&[(8, 2)]), ErrorCode::ProtocolError),
        ("PUSH_PROMISE", frame(5, 4, 1, &[0, 0, 0, 2]), ErrorCode::ProtocolError),
        ("GOAWAY of 7", frame(GOAWAY, 0, 0, &[0; 7]), ErrorCode::FrameSizeError),
        ("RST on an idle stream", frame(RST_STREAM, 0, 1, &[0; 4]), ErrorCode::ProtocolError),
        ("RST of 3", frame(RST_STREAM, 0, 1, &[0; 3]), ErrorCode::FrameSizeError),
        ("PRIORITY of 4", frame(PRIORITY, 0, 1, &[0; 4]), ErrorCode::FrameSizeError),
        ("WINDOW_UPDATE of 0", frame(WINDOW_UPDATE, 0, 0, &[0; 4]), ErrorCode::ProtocolError),
        ("on an idle stream", frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1]), ErrorCode::ProtocolError),
        (
            "overflow",
            frame(WINDOW_UPDATE, 0, 0, &[127, 255, 255, 255]),
            ErrorCode::FlowControlError,
        ),
        ("CONTINUATION alone", frame(CONTINUATION, 4, 1, b""), ErrorCode::ProtocolError),
        ("within a block", [frame(HEADERS, 1, 1, GET), get(3)].concat(), ErrorCode::ProtocolError),
        ("index of nothing", frame(HEADERS, 5, 1, b"\xff\x80\x01"), ErrorCode::CompressionError),
        ("padding too long", frame(HEADERS, 13, 1, b"\x09\x82"), ErrorCode::ProtocolError),
    ];
    for (name, input, code) in cases {
        let mut server = server(Options::default());
        let error = feed(&mut server, input).expect_err(name);
        assert_eq!(error.code, *code, "{name}: {error}");
        assert!(server.receive(b"", 0).is_err(), "{name}: it stays over");
        let goaway = sent(&mut server).pop().unwrap();
        assert_eq!((goaway.kind, &goaway.payload[4..]), (GOAWAY, &code.number().to_be_bytes()[..]));
    }
}

#[test]
fn the_first_frame_must_be_settings() {
    let mut server = Connection::server(Options::default(), 0);
    assert!(feed(&mut server, b"PRI * HTTP/2.0\r\n\r\nXX").is_err());
    let mut server = Connection::server(Options::default(), 0);
    let input = [ringway_http::h2::PREFACE.to_vec(), frame(PING, 0, 0, &[0; 8])].concat();
    assert!(feed(&mut server, &input).is_err());
}

#[test]
fn malformed_heads_end_the_stream_or_by_default_the_connection() {
    let cases: &[(&str, &[u8])] = &[
        ("no path", b"\x82\x86\x01\x01a"),
        ("no method", b"\x86\x84\x01\x01a"),
        ("no scheme", b"\x82\x84\x01\x01a"),
        ("method twice", b"\x82\x82\x86\x84"),
        ("status in a request", b"\x82\x86\x84\x88"),
        ("unknown pseudo field", b"\x82\x86\x84\x00\x02:x\x01a"),
        ("pseudo behind regular", b"\x82\x86\x00\x01a\x01b\x84"),
        ("capital in a name", b"\x82\x86\x84\x00\x01A\x01b"),
        ("line feed in a value", b"\x82\x86\x84\x00\x01a\x03b\nc"),
        ("blank in the path", b"\x82\x86\x04\x04/ HT"),
        ("empty path", b"\x82\x86\x04\x00"),
        ("comma in the authority", b"\x82\x86\x84\x01\x03a,b"),
        ("user information", b"\x82\x86\x84\x01\x03a@b"),
        ("connection", b"\x82\x86\x84\x00\x0aconnection\x05close"),
        ("transfer-encoding", b"\x82\x86\x84\x00\x11transfer-encoding\x07chunked"),
        ("te", b"\x82\x86\x84\x00\x02te\x04gzip"),
        (
            "protocol without announcement",
            b"\x02\x07CONNECT\x86\x84\x01\x01a\x00\x09:protocol\x02ws",
        ),
        ("CONNECT with a path", b"\x02\x07CONNECT\x84\x01\x01a"),
        ("length that is no number", b"\x82\x86\x84\x00\x0econtent-length\x02+1"),
        ("lengths that differ", b"\x82\x86\x84\x0f\x0d\x010\x0f\x0d\x011"),
        ("length without data", b"\x83\x86\x84\x0f\x0d\x011"),
    ];
    for (name, block) in cases {
        let input = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
        let mut strict = server(Options::default());
        let error = feed(&mut strict, &input).expect_err(name);
        assert!(matches!(error.cause, Cause::Message(_)), "{name}: {error}");
        let mut lenient = server(lenient());
        let events = feed(&mut lenient, &input).expect(name);
        assert!(matches!(events[..], [Event::Refused { .. }]), "{name}: {events:?}");
        assert_eq!(sent(&mut lenient).pop().unwrap().kind, RST_STREAM, "{name}");
        assert!(matches!(feed(&mut lenient, &get(3)).unwrap()[0], Event::Head { .. }), "{name}");
    }
}

/// What Envoy 1.40 writes into its access log for each of these.
#[test]
fn details_are_envoys() {
    for (block, details) in [
        (&b"\x82\x86\x84\x00\x01A\x01b"[..], "http2.invalid.header.field"),
        (b"\x82\x86\x84\x00\x0aconnection\x05close", "http2.invalid.header.field"),
        (b"\x82\x86\x84\x00\x02te\x04gzip", "http2.invalid.header.field"),
        (b"\x82\x86\x84\x01\x03a@b", "http2.invalid.header.field"),
        (b"\x82\x86\x04\x04/ HT", "http2.invalid.header.field"),
        (b"\x02\x07CONNECT\x86\x84\x01\x01a\x00\x09:protocol\x02ws", "http2.invalid.header.field"),
        (b"\x82\x86\x01\x01a", "http2.violation.of.messaging.rule"),
        (b"\x83\x86\x84\x0f\x0d\x011", "http2.violation.of.messaging.rule"),
    ] {
        let input = frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
        let error = feed(&mut server(Options::default()), &input).unwrap_err();
        assert_eq!(error.details(), "codec_error:The_user_callback_function_failed");
        let Cause::Message(message) = error.cause else { panic!("{error}") };
        assert_eq!(message.details(), details, "{error}");
    }
}

#[test]
fn data_must_add_up_to_the_length() {
    let head = [POST, b"\x0f\x0d\x013"].concat();
    let open = frame(HEADERS, END_HEADERS, 1, &head);
    for (data, is_sound) in [
        (vec![frame(DATA, 0, 1, b"ab"), frame(DATA, END_STREAM, 1, b"c")], true),
        (vec![frame(DATA, 0, 1, b"abc"), frame(DATA, END_STREAM, 1, b"")], true),
        (vec![frame(DATA, END_STREAM, 1, b"ab")], false),
        (vec![frame(DATA, 0, 1, b"abcd")], false),
        (vec![frame(DATA, 0, 1, b"abc"), frame(DATA, 0, 1, b"d")], false),
    ] {
        let mut server = server(Options::default());
        feed(&mut server, &open).unwrap();
        let events = feed(&mut server, &data.concat()).unwrap();
        let is_reset = events.iter().any(|event| {
            matches!(event, Event::Reset { error: Some(MessageError::DataLength), .. })
        });
        assert_eq!(is_reset, !is_sound, "{events:?}");
        assert_eq!(events.contains(&Event::Complete(id(1))), is_sound, "{events:?}");
    }
}

#[test]
fn trailers_before_the_promised_length_end_the_connection() {
    let head = [POST, b"\x0f\x0d\x013"].concat();
    let cut = [frame(DATA, 0, 1, b"ab"), frame(HEADERS, 5, 1, b"")].concat();
    let open = frame(HEADERS, END_HEADERS, 1, &head);
    let mut strict = server(Options::default());
    feed(&mut strict, &open).unwrap();
    let error = feed(&mut strict, &cut).unwrap_err();
    assert_eq!(error.cause, Cause::StreamMessage(MessageError::ContentLength));
    let mut told = std::iter::from_fn(|| strict.poll_event());
    let own = told.find_map(|event| match event {
        Event::Reset { error, .. } => error,
        _ => None,
    });
    assert_eq!(own.map(MessageError::details), Some("http2.violation.of.messaging.rule"));
    let mut lenient = server(lenient());
    feed(&mut lenient, &open).unwrap();
    let events = feed(&mut lenient, &cut).unwrap();
    assert!(matches!(events.last(), Some(Event::Reset { .. })), "{events:?}");
}

/// RFC 9110 section 6.5.1, as in HTTP/1.
#[test]
fn fields_that_frame_or_route_are_dropped_from_trailers() {
    let mut server = server(Options::default());
    feed(&mut server, &post(1)).unwrap();
    let tail = [
        ("content-length", "5"),
        ("host", "h"),
        ("te", "trailers"),
        ("authorization", "x"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("x", "y"),
    ];
    let block: Vec<u8> = tail.iter().flat_map(|(name, value)| literal(name, value)).collect();
    feed(&mut server, &frame(HEADERS, 5, 1, &block)).unwrap();
    let stored: Vec<_> = server.trailers_mut().iter().collect();
    let kept = tail[3..].iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let kept: Vec<_> = kept.collect();
    assert_eq!(stored, kept);
}

#[test]
fn streams_that_are_over_are_left_alone() {
    let mut server = server(Options::default());
    feed(&mut server, &post(1)).unwrap();
    server.reset(id(1), ErrorCode::Cancel);
    sent(&mut server);
    let late = [
        frame(DATA, 0, 1, b"late"),
        frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 9]),
        frame(HEADERS, END_HEADERS | END_STREAM, 1, b"\x40\x01a\x01b"),
        frame(RST_STREAM, 0, 1, &[0; 4]),
    ];
    assert_eq!(feed(&mut server, &late.concat()).unwrap(), []);
    assert_eq!(sent(&mut server), []);
    // The late block filled the table all the same.
    feed(&mut server, &frame(HEADERS, 5, 3, &[GET, &[0xbe]].concat())).unwrap();
    assert_eq!(server.request_mut().fields.get("a"), Some(&b"b"[..]));
}

#[test]
fn data_behind_the_end_reset_the_stream() {
    let mut server = server(Options::default());
    feed(&mut server, &get(1)).unwrap();
    let events = feed(&mut server, &frame(DATA, 0, 1, b"x")).unwrap();
    assert!(matches!(events[..], [Event::Reset { code: ErrorCode::StreamClosed, .. }]));
}

#[test]
fn a_slow_stream_does_not_block_its_neighbour() {
    let mut options = Options::default();
    options.settings.initial_stream_window = 65_535;
    let mut server = server(options);
    feed(&mut server, &[post(1), post(3)].concat()).unwrap();
    let full = [frame(DATA, 0, 1, &[0; 16384]).repeat(3), frame(DATA, 0, 1, &[0; 16383])].concat();
    feed(&mut server, &full).unwrap();
    assert_eq!(sent(&mut server), [], "nothing was read, nothing is given back");
    let events = feed(&mut server, &frame(DATA, 0, 3, b"neighbour")).unwrap();
    assert_eq!(events, [Event::Data { stream: id(3), range: 9..18 }]);
    let events = feed(&mut server, &frame(DATA, 0, 1, b"x")).unwrap();
    assert!(matches!(events[..], [Event::Reset { code: ErrorCode::FlowControlError, .. }]));
}

#[test]
fn windows_are_given_back_as_data_are_read() {
    let mut options = Options::default();
    options.settings.initial_stream_window = 65_535;
    options.settings.initial_connection_window = 65_535;
    let mut server = server(options);
    feed(&mut server, &post(1)).unwrap();
    let mut given = [0u64; 2];
    for _ in 0..100 {
        feed(&mut server, &frame(DATA, PADDED, 1, &[&[9], &[0; 10_009][..]].concat())).unwrap();
        server.release(id(1), 10_000);
        for update in sent(&mut server) {
            let by = u32::from_be_bytes(update.payload.try_into().unwrap());
            given[update.stream as usize] += u64::from(by);
        }
    }
    for given in given {
        assert!((1_001_000 - 65_535..=1_001_000).contains(&given), "{given}");
    }
}

#[test]
fn windows_of_a_reset_stream_come_back_to_the_connection() {
    let mut options = Options::default();
    options.settings.initial_connection_window = 65_535;
    let mut server = server(options);
    feed(&mut server, &post(1)).unwrap();
    feed(&mut server, &frame(DATA, 0, 1, &[0; 16384]).repeat(3)).unwrap();
    feed(&mut server, &frame(RST_STREAM, 0, 1, &[0, 0, 0, 8])).unwrap();
    let updates = sent(&mut server);
    assert_eq!((updates[0].stream, &updates[0].payload[..]), (0, &49_152u32.to_be_bytes()[..]));
}

#[test]
fn streams_take_turns_at_the_connections_window() {
    let mut server = server(Options::default());
    feed(&mut server, &[get(1), get(3), get(5)].concat()).unwrap();
    let body = vec![7; 70_000];
    for number in [1, 3, 5] {
        server.send_response(id(number), &ok(), false).unwrap();
        let taken = server.send_data(id(number), &body, true).unwrap();
        assert_eq!(taken, if number == 1 { 65_535 } else { 0 });
    }
    assert_eq!(server.poll_event(), None);
    // Stream 1 has used its own window up; the others wait for the connection's.
    let update = frame(WINDOW_UPDATE, 0, 0, &100u32.to_be_bytes());
    assert_eq!(
        feed(&mut server, &update).unwrap(),
        [Event::Writable(id(3)), Event::Writable(id(5))]
    );
    assert_eq!(server.send_data(id(3), &body, true), Ok(100));
    assert_eq!(server.send_data(id(5), &body, true), Ok(0));
    assert_eq!(feed(&mut server, &update).unwrap()[0], Event::Writable(id(3)));
    let update = frame(WINDOW_UPDATE, 0, 1, &100u32.to_be_bytes());
    assert!(feed(&mut server, &update).unwrap().contains(&Event::Writable(id(1))));
}

#[test]
fn a_lowered_initial_window_may_go_below_zero() {
    let mut server = server(Options::default());
    feed(&mut server, &get(1)).unwrap();
    server.send_response(id(1), &ok(), false).unwrap();
    assert_eq!(server.send_data(id(1), &[0; 60_000], false), Ok(60_000));
    feed(&mut server, &settings(&[(4, 10)])).unwrap();
    assert_eq!(server.send_data(id(1), b"x", false), Ok(0));
    feed(&mut server, &frame(WINDOW_UPDATE, 0, 1, &59_990u32.to_be_bytes())).unwrap();
    assert_eq!(server.send_capacity(id(1)), 0);
    let events = feed(&mut server, &frame(WINDOW_UPDATE, 0, 1, &1u32.to_be_bytes())).unwrap();
    assert_eq!(events, [Event::Writable(id(1))]);
    assert_eq!(server.send_capacity(id(1)), 1);
}

#[test]
fn two_steps_of_leaving() {
    let mut server = server(Options::default());
    feed(&mut server, &get(1)).unwrap();
    server.announce_leaving();
    assert_eq!(sent(&mut server)[0].payload, [0x7f, 255, 255, 255, 0, 0, 0, 0]);
    assert_eq!(feed(&mut server, &get(3)).unwrap().len(), 2);
    server.go_away(ErrorCode::NoError);
    assert_eq!(sent(&mut server)[0].payload, [0, 0, 0, 3, 0, 0, 0, 0]);
    assert_eq!(feed(&mut server, &get(5)).unwrap(), []);
    assert!(!server.is_done());
    server.send_response(id(1), &ok(), true).unwrap();
    server.send_response(id(3), &ok(), true).unwrap();
    assert!(server.is_done());
}

#[test]
fn requests_above_the_line_of_a_goaway_may_be_sent_again() {
    let mut client = client(Options::default());
    for _ in 0..3 {
        client.send_request(&request("GET"), true).unwrap();
    }
    let events = feed(&mut client, &frame(GOAWAY, 0, 0, &[0, 0, 0, 1, 0, 0, 0, 0])).unwrap();
    assert!(matches!(events[0], Event::GoAway { last_stream: 1, .. }));
    for (event, number) in events[1..].iter().zip([5, 3]) {
        let reason = ResetReason::RemoteRefusedStreamReset;
        let code = ErrorCode::RefusedStream;
        assert_eq!(*event, Event::Reset { stream: id(number), code, reason, error: None });
    }
    assert_eq!(client.send_request(&request("GET"), true), Err(SendError::GoingAway));
    feed(&mut client, &frame(HEADERS, 5, 1, b"\x88")).unwrap();
    assert!(client.is_done());
}

#[test]
fn responses_of_all_kinds() {
    let mut client = client(Options::default());
    let first = client.send_request(&request("GET"), true).unwrap();
    let input = [
        frame(HEADERS, END_HEADERS, 1, b"\x08\x03103"),
        frame(HEADERS, END_HEADERS, 1, b"\x88\x0f\x0d\x012"),
        frame(DATA, 0, 1, b"ab"),
        frame(HEADERS, 5, 1, &literal("grpc-status", "0")),
    ];
    let events = feed(&mut client, &input.concat()).unwrap();
    assert_eq!(events[0], Event::Informational(first));
    assert_eq!(events[1], Event::Head { stream: first, body: Body::Length(2) });
    assert_eq!(events[3..], [Event::Trailers(first), Event::Complete(first)]);
    assert_eq!(client.trailers_mut().known(Known::GrpcStatus), Some(&b"0"[..]));
    assert_eq!(client.open_streams(), 0);
    let head = client.send_request(&request("HEAD"), true).unwrap();
    let events = feed(&mut client, &frame(HEADERS, 5, 3, b"\x88\x0f\x0d\x019")).unwrap();
    assert_eq!(events[0], Event::Head { stream: head, body: Body::None });
    for bad in [&b"\x08\x03101"[..], b"\x08\x0299", b"\x82", b"\x88\x88"] {
        let mut client = self::client(lenient());
        client.send_request(&request("GET"), true).unwrap();
        let events = feed(&mut client, &frame(HEADERS, 4, 1, bad)).unwrap();
        assert!(matches!(events[..], [Event::Reset { .. }]), "{bad:?}");
    }
}

#[test]
fn lengths_that_promise_nothing() {
    let length_9 = b"\x88\x0f\x0d\x019";
    let mut client = client(Options::default());
    let head = client.send_request(&request("HEAD"), true).unwrap();
    let events = feed(&mut client, &frame(HEADERS, END_HEADERS, 1, length_9)).unwrap();
    assert_eq!(events, [Event::Head { stream: head, body: Body::Length(0) }]);
    let events = feed(&mut client, &frame(DATA, END_STREAM, 1, b"")).unwrap();
    assert_eq!(events, [Event::Complete(head)]);
    client.send_request(&request("HEAD"), true).unwrap();
    feed(&mut client, &frame(HEADERS, END_HEADERS, 3, length_9)).unwrap();
    let events = feed(&mut client, &frame(DATA, END_STREAM, 3, b"body")).unwrap();
    assert!(matches!(events[..], [Event::Reset { .. }]), "{events:?}");
    let tunnel = client.send_request(&request("CONNECT"), false).unwrap();
    let events = feed(&mut client, &frame(HEADERS, END_HEADERS, 5, length_9)).unwrap();
    assert_eq!(events, [Event::Head { stream: tunnel, body: Body::UntilClose }]);
    assert_eq!(feed(&mut client, &frame(DATA, 0, 5, &[0; 20])).unwrap().len(), 1);
    assert_eq!(client.send_data(tunnel, b"to the tunnel", false), Ok(13));
}

#[test]
fn upgrades_cross_as_extended_connect() {
    let mut options = Options::default();
    options.settings.allow_connect = true;
    let (mut client, mut server) = (client(options.clone()), server(options));
    let mut head = request("GET");
    head.fields.push(b"connection", b"keep-alive, Upgrade");
    head.fields.push(b"upgrade", b"websocket");
    let stream = client.send_request(&head, false).unwrap();
    let mut bytes = Vec::new();
    client.poll_transmit(&mut bytes);
    let events = feed(&mut server, &bytes).unwrap();
    assert_eq!(events, [Event::Head { stream, body: Body::UntilClose }]);
    let seen = server.request_mut();
    assert_eq!(seen.method(), b"GET");
    assert_eq!(seen.fields.known(Known::Upgrade), Some(&b"websocket"[..]));
    let mut answer = ok();
    answer.status = 101;
    server.send_response(stream, &answer, false).unwrap();
    bytes.clear();
    server.poll_transmit(&mut bytes);
    feed(&mut client, &bytes).unwrap();
    assert_eq!(client.response_mut().status, 101);
    let mut old = Connection::client(Options::default(), 0);
    assert_eq!(old.send_request(&head, false), Err(SendError::NoExtendedConnect));
}

#[test]
fn keepalive_pings_and_gives_up() {
    let keepalive = Some(Keepalive { interval_ms: Some(100), timeout_ms: 20 });
    let mut server = server(Options { keepalive, ..Options::default() });
    assert_eq!(server.next_timeout_ms(), Some(100));
    server.handle_timeout(99).unwrap();
    assert_eq!(sent(&mut server), []);
    server.handle_timeout(100).unwrap();
    let ping = sent(&mut server).pop().unwrap();
    assert_eq!((ping.kind, server.next_timeout_ms()), (PING, Some(120)));
    feed_at(&mut server, &frame(PING, 1, 0, &ping.payload), 110).unwrap();
    assert_eq!(server.next_timeout_ms(), Some(210));
    server.handle_timeout(210).unwrap();
    let error = server.handle_timeout(230).unwrap_err();
    assert_eq!(error.cause, Cause::KeepaliveTimeout);
}

#[test]
fn a_probe_without_an_interval() {
    let keepalive = Some(Keepalive { interval_ms: None, timeout_ms: 20 });
    let mut client = client(Options { keepalive, ..Options::default() });
    assert_eq!(client.next_timeout_ms(), None);
    client.probe(1000);
    client.probe(1010);
    assert_eq!((sent(&mut client).len(), client.next_timeout_ms()), (1, Some(1020)));
    assert!(client.handle_timeout(1020).is_err());
}

#[test]
fn sending_out_of_order_is_refused() {
    let mut server = server(Options::default());
    feed(&mut server, &get(1)).unwrap();
    assert_eq!(server.send_data(id(1), b"x", false), Err(SendError::OutOfOrder));
    server.send_response(id(1), &ok(), false).unwrap();
    assert_eq!(server.send_response(id(1), &ok(), false), Err(SendError::OutOfOrder));
    assert_eq!(server.send_data(id(1), b"x", true), Ok(1));
    assert_eq!(server.send_data(id(1), b"x", true), Err(SendError::StreamClosed));
}

#[test]
fn heads_larger_than_a_frame_are_continued() {
    let (mut client, mut server) = (client(Options::default()), server(Options::default()));
    let mut head = request("GET");
    for number in 0..40 {
        let value = format!("{number}").repeat(500);
        head.fields.push(format!("x-{number}").as_bytes(), value.as_bytes());
    }
    client.send_request(&head, true).unwrap();
    let mut bytes = Vec::new();
    client.poll_transmit(&mut bytes);
    for byte in &bytes {
        feed(&mut server, &[*byte]).unwrap();
    }
    assert_eq!(server.request_mut().fields, head.fields);
}
