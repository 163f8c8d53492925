//! What holds for every input: splits do not matter, both sides of the engine understand each
//! other, hostile bytes and orders of calls end in errors and not in panics or growth.

use proptest::prelude::*;
use ringway_http::h2::{Connection, ErrorCode, Event, Options, PREFACE, StreamId};
use ringway_http::{RequestHead, ResponseHead};

use crate::echo::{Asker, Echo, Exchange};
use crate::wire::*;

fn pairs(prefix: &'static str) -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![Just(format!("{prefix}same")), "[a-z0-9]{1,12}"].prop_map(move |name| {
        if name.starts_with(prefix) { name } else { format!("{prefix}{name}") }
    });
    let value = prop_oneof![Just("same".to_owned()), "[!-~]{0,40}", "[!-~]{300}"];
    prop::collection::vec((name, value), 0..6).prop_map(|mut pairs| {
        pairs.sort();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs
    })
}

fn exchanges() -> impl Strategy<Value = Vec<Exchange>> {
    let body = prop_oneof![Just(0), 1..100usize, 10_000..120_000usize];
    let exchange = ("/[!-\"$-~]{0,40}", pairs("x-"), body, pairs("t-")).prop_map(
        |(path, fields, len, trailers)| {
            let body = (0..len).map(|at| (at % 251) as u8).collect();
            Exchange { path, fields, body, trailers }
        },
    );
    prop::collection::vec(exchange, 1..12)
}

fn options() -> impl Strategy<Value = Options> {
    let window = prop_oneof![Just(65_535), Just(70_000), Just(16 << 20)];
    let table = prop_oneof![Just(0), Just(100), Just(4096)];
    (window, table, 1..20u32, any::<bool>(), 1..200_000usize).prop_map(
        |(window, table, streams, use_huffman, outbound)| {
            let mut options = Options { use_huffman, ..Options::default() };
            options.settings.initial_stream_window = window;
            options.settings.initial_connection_window = window;
            options.settings.header_table_size = table;
            options.settings.max_concurrent_streams = streams;
            options.limits.max_outbound_bytes = outbound;
            options
        },
    )
}

/// Lets both sides talk, `step` bytes at a time, until the client is content.
fn talk(asker: &mut Asker, echo: &mut Echo, step: usize) {
    let (mut to_server, mut to_client) = (Vec::new(), Vec::new());
    asker.turn(b"", &mut to_server).unwrap();
    for _ in 0..10_000_000 {
        if asker.is_over() {
            return;
        }
        let len = step.min(to_server.len());
        let input: Vec<u8> = to_server.drain(..len).collect();
        echo.turn(&input, &mut to_client).unwrap();
        let len = step.min(to_client.len());
        let input: Vec<u8> = to_client.drain(..len).collect();
        asker.turn(&input, &mut to_server).unwrap();
        let is_stuck = to_server.is_empty() && to_client.is_empty() && !asker.is_over();
        assert!(!is_stuck, "nobody has anything to say");
    }
    panic!("no end");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn both_sides_understand_each_other(
        (exchanges, ours, theirs, step) in
            (exchanges(), options(), options(), prop_oneof![500..3000usize, Just(1 << 20)])
    ) {
        let mut asker = Asker::new(ours, exchanges.clone());
        let mut echo = Echo::new(theirs);
        talk(&mut asker, &mut echo, step);
        prop_assert_eq!(asker.done, exchanges.len());
        prop_assert_eq!(echo.connection.open_streams(), 0);
    }
}

#[test]
fn byte_by_byte_is_the_same_as_all_at_once() {
    let padded = frame(DATA, PADDED | END_STREAM, 5, b"\x03abc\0\0\0");
    let unknown = frame(0xfa, 0xff, 9, b"whatever");
    let block = [GET, &literal("x-a", "b")].concat();
    let split =
        [frame(HEADERS, END_STREAM, 7, &block[..4]), frame(CONTINUATION, 4, 7, &block[4..])];
    let input = [
        PREFACE.to_vec(),
        settings(&[(3, 7), (0x99, 1)]),
        get(1),
        post(3),
        frame(DATA, 0, 3, b"hello"),
        unknown,
        post(5),
        padded,
        frame(PING, 0, 0, &[1; 8]),
        frame(HEADERS, 5, 3, &literal("t", "v")),
        split.concat(),
        frame(RST_STREAM, 0, 7, &[0, 0, 0, 8]),
    ]
    .concat();
    let all = summary(&input, input.len());
    assert!(all.0.contains(&"data 3 hello".to_owned()), "{all:?}");
    for step in [1, 2, 3, 7, 10] {
        assert_eq!(summary(&input, step), all, "{step}");
    }
}

/// Events in words, with pieces of data joined, and the bytes sent.
fn summary(input: &[u8], step: usize) -> (Vec<String>, Vec<u8>) {
    let mut server = Connection::server(Options::default(), 0);
    let mut words: Vec<String> = Vec::new();
    for piece in input.chunks(step) {
        let mut at = 0;
        while at < piece.len() {
            let rest = &piece[at..];
            at += server.receive(rest, 0).unwrap();
            while let Some(event) = server.poll_event() {
                note(&mut words, &mut server, event, rest);
            }
        }
    }
    let mut bytes = Vec::new();
    server.poll_transmit(&mut bytes);
    (words, bytes)
}

fn note(words: &mut Vec<String>, server: &mut Connection, event: Event, input: &[u8]) {
    let Event::Data { stream, range } = event else {
        let fields = match event {
            Event::Head { .. } => format!("{:?}", server.request_mut()),
            Event::Trailers(_) => format!("{:?}", server.trailers_mut()),
            _ => String::new(),
        };
        return words.push(format!("{event:?} {}", fields.len()));
    };
    let text = String::from_utf8_lossy(&input[range]).into_owned();
    let start = format!("data {} ", stream.number());
    match words.last_mut().filter(|last| last.starts_with(&start)) {
        Some(last) => last.push_str(&text),
        None => words.push(start + &text),
    }
}

/// Frames that are nearly right: their random sequences get further than random bytes.
fn scraps() -> impl Strategy<Value = Vec<u8>> {
    let stream = prop_oneof![Just(0u32), Just(1), Just(3), Just(5), 0..12u32];
    let block = prop_oneof![
        Just(GET.to_vec()),
        Just(POST.to_vec()),
        Just(b"\x88".to_vec()),
        Just([POST, b"\x0f\x0d\x013"].concat()),
        Just(b"\x40\x01a\x01b\xbe".to_vec()),
        Just(b"\x3f\xe1\x1f\x82".to_vec()),
        prop::collection::vec(any::<u8>(), 0..40),
    ];
    let scrap = prop_oneof![
        4 => (stream.clone(), 0..64u8, block).prop_map(|(id, flags, block)| frame(HEADERS, flags, id, &block)),
        3 => (stream.clone(), 0..16u8, prop::collection::vec(0..9u8, 0..30))
            .prop_map(|(id, flags, data)| frame(DATA, flags, id, &data)),
        4 => (0..12u8, any::<u8>(), stream, prop::collection::vec(any::<u8>(), 0..12))
            .prop_map(|(kind, flags, id, payload)| frame(kind, flags, id, &payload)),
        1 => (0..10u16, prop_oneof![0..70_000u32, any::<u32>()]).prop_map(|at| settings(&[at])),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ];
    prop::collection::vec(scrap, 0..40).prop_map(|scraps| scraps.concat())
}

/// What a careless caller may do between two pieces of input.
#[derive(Clone, Debug)]
enum Call {
    Respond(u32, u16, bool),
    Request(bool),
    Data(u32, usize, bool),
    Release(u32, usize),
    Reset(u32),
    Trailers(u32),
    Transmit,
    Announce,
    GoAway,
    Shrink,
    Timeout,
}

fn calls() -> impl Strategy<Value = Vec<Call>> {
    let stream = || (0..8u32).prop_map(|at| at * 2 + 1);
    let call = prop_oneof![
        (stream(), prop::sample::select(vec![100, 101, 200, 304]), any::<bool>())
            .prop_map(|(id, status, is_end)| Call::Respond(id, status, is_end)),
        any::<bool>().prop_map(Call::Request),
        (stream(), prop_oneof![0..10usize, 0..100_000usize], any::<bool>())
            .prop_map(|(id, len, is_end)| Call::Data(id, len, is_end)),
        (stream(), 0..100_000usize).prop_map(|(id, len)| Call::Release(id, len)),
        stream().prop_map(Call::Reset),
        stream().prop_map(Call::Trailers),
        Just(Call::Transmit),
        Just(Call::Transmit),
        Just(Call::Announce),
        Just(Call::GoAway),
        Just(Call::Shrink),
        Just(Call::Timeout),
    ];
    prop::collection::vec(call, 0..20)
}

fn call(connection: &mut Connection, call: &Call) {
    let id = |number: &u32| StreamId::from_number(*number).unwrap();
    match call {
        Call::Respond(stream, status, is_end) => {
            let mut head = ResponseHead::new();
            head.status = *status;
            connection.send_response(id(stream), &head, *is_end).ok();
        }
        Call::Request(is_end) => {
            let mut head = RequestHead::new();
            head.set_method(b"HEAD");
            connection.send_request(&head, *is_end).ok();
        }
        Call::Data(stream, len, is_end) => {
            let taken = connection.send_data(id(stream), &vec![0; *len], *is_end);
            assert!(taken.is_ok_and(|taken| taken <= *len) || taken.is_err());
        }
        Call::Release(stream, len) => connection.release(id(stream), *len),
        Call::Reset(stream) => connection.reset(id(stream), ErrorCode::Cancel),
        Call::Trailers(stream) => {
            connection.send_trailers(id(stream), &Default::default()).ok();
        }
        Call::Transmit => drop(connection.poll_transmit(&mut Vec::new())),
        Call::Announce => connection.announce_leaving(),
        Call::GoAway => _ = connection.go_away(ErrorCode::NoError),
        Call::Shrink => connection.shrink(),
        Call::Timeout => drop(connection.handle_timeout(1)),
    }
}

/// Feeds `input` in pieces with calls between them, until the connection ends.
fn torment(mut connection: Connection, input: &[u8], step: usize, calls: &[Call]) {
    let mut calls = calls.iter().cycle();
    for piece in input.chunks(step) {
        let mut at = 0;
        loop {
            let Ok(taken) = connection.receive(&piece[at..], 0) else { return };
            while let Some(event) = connection.poll_event() {
                if let Event::Data { range, .. } = event {
                    assert!(!range.is_empty() && at + range.end <= piece.len());
                }
            }
            at += taken;
            if at == piece.len() {
                break;
            }
        }
        if let Some(next) = calls.next() {
            call(&mut connection, next);
        }
        assert!(connection.open_streams() <= 1024);
        assert!(connection.pending_bytes() <= (1 << 20) + (1 << 17));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1500, ..ProptestConfig::default() })]

    #[test]
    fn hostile_frames_and_careless_callers_never_panic(
        (input, calls, step, is_server) in (scraps(), calls(), 1..200usize, any::<bool>())
    ) {
        let options = Options { stream_error_on_invalid_message: true, ..Options::default() };
        let connection = if is_server { server(options) } else { client(options) };
        torment(connection, &input, step, &calls);
    }

    #[test]
    fn random_bytes_never_panic(
        (input, step) in (prop::collection::vec(any::<u8>(), 0..400), 1..100usize)
    ) {
        torment(server(Options::default()), &input, step, &[]);
        torment(client(Options::default()), &input, step, &[]);
        torment(Connection::server(Options::default(), 0), &input, step, &[]);
    }
}
