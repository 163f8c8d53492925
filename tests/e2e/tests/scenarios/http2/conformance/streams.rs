//! RFC 9113 section 5: the states of streams, their identifiers and their number.

use ringway_test_support::kind;

use super::*;

const PROTOCOL: Expect = Connection(&[PROTOCOL_ERROR]);

#[test]
fn frames_fit_the_state_of_their_stream() {
    play("main", &[idle(), half_closed_remote(), over(), identifiers(), priorities()].concat());
}

#[test]
fn a_stream_too_many_is_refused() {
    let many = case("RFC 9113 5.1.2", "more than SETTINGS_MAX_CONCURRENT_STREAMS", REFUSED, |c| {
        half_closed(c);
        half_closed(c)
    })
    .envoy("connection ended");
    const REFUSED: Expect = Stream(&[REFUSED_STREAM]);
    play("narrow", &[many]);
}

fn idle() -> Vec<Case> {
    let idle = |what, play| case("RFC 9113 5.1, idle", what, PROTOCOL, play);
    vec![
        idle("DATA", |c| on(c, kind::DATA, kind::END_STREAM, 1, b"test")),
        idle("RST_STREAM", |c| on(c, kind::RST_STREAM, 0, 1, &[0, 0, 0, 8])),
        idle("WINDOW_UPDATE", |c| on(c, kind::WINDOW_UPDATE, 0, 1, &[0, 0, 0, 100])),
        idle("CONTINUATION", |c| on(c, kind::CONTINUATION, kind::END_HEADERS, 1, GET)),
        idle("DATA on a stream of the server's", |c| on(c, kind::DATA, 0, 2, b"test")),
        idle("WINDOW_UPDATE of a stream of the server's", |c| {
            on(c, kind::WINDOW_UPDATE, 0, 2, &[0, 0, 0, 1])
        }),
    ]
}

fn half_closed_remote() -> Vec<Case> {
    const CLOSED: Expect = Stream(&[STREAM_CLOSED]);
    let half = |what, expect, play| case("RFC 9113 5.1, half-closed", what, expect, play);
    vec![
        half("DATA", CLOSED, |c| {
            let stream = half_closed(c);
            on(c, kind::DATA, kind::END_STREAM, stream, b"test")
        })
        .envoy("connection error 5"),
        half("HEADERS", CLOSED, |c| {
            let stream = half_closed(c);
            on(c, kind::HEADERS, WHOLE, stream, GET)
        })
        .envoy("connection ended"),
        half("CONTINUATION", PROTOCOL, |c| {
            let stream = half_closed(c);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
        half("WINDOW_UPDATE", Nothing, |c| {
            let stream = half_closed(c);
            c.window_update(stream, 100);
            stream
        }),
        half("PRIORITY", Nothing, |c| {
            let stream = half_closed(c);
            on(c, kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 7])
        }),
        half("RST_STREAM", Nothing, |c| {
            let stream = half_closed(c);
            c.reset_stream(stream, 8);
            0
        }),
    ]
}

/// The standard lets what comes on a closed stream pass, except for a head, which would wait for
/// its answer for ever.
fn over() -> Vec<Case> {
    const CLOSED: Expect = Connection(&[STREAM_CLOSED]);
    let over = |what, expect, play| case("RFC 9113 5.1, closed", what, expect, play);
    let torn = |what, expect, play| case("RFC 9113 5.1, reset", what, expect, play);
    vec![
        over("DATA", CLOSED, |c| {
            let stream = closed(c);
            on(c, kind::DATA, kind::END_STREAM, stream, b"test")
        })
        .envoy("answer 200"),
        over("HEADERS", CLOSED, |c| {
            let stream = closed(c);
            on(c, kind::HEADERS, WHOLE, stream, GET)
        })
        .envoy("answer 200"),
        over("CONTINUATION", PROTOCOL, |c| {
            let stream = closed(c);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
        over("PRIORITY", Nothing, |c| {
            let stream = closed(c);
            on(c, kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 7])
        }),
        over("WINDOW_UPDATE", Nothing, |c| {
            let stream = closed(c);
            c.window_update(stream, 100);
            stream
        }),
        over("RST_STREAM", Nothing, |c| {
            let stream = closed(c);
            c.reset_stream(stream, 8);
            stream
        }),
        torn("DATA", CLOSED, |c| {
            let stream = reset(c);
            on(c, kind::DATA, kind::END_STREAM, stream, b"test")
        })
        .envoy("nothing"),
        torn("HEADERS", CLOSED, |c| {
            let stream = reset(c);
            on(c, kind::HEADERS, WHOLE, stream, GET)
        })
        .envoy("nothing"),
        torn("CONTINUATION", PROTOCOL, |c| {
            let stream = reset(c);
            on(c, kind::CONTINUATION, kind::END_HEADERS, stream, GET)
        }),
        torn("PRIORITY", Nothing, |c| {
            let stream = reset(c);
            on(c, kind::PRIORITY, 0, stream, &[0, 0, 0, 0, 7]);
            0
        }),
        case("RFC 9113 5.1", "what follows a stream that the server has reset", Nothing, |c| {
            let stream = open(c);
            c.window_update(stream, 0).data(stream, b"on its way", false);
            c.headers(stream, &[("x-trailer", "on its way")], true);
            0
        })
        .envoy("connection ended"),
    ]
}

fn identifiers() -> Vec<Case> {
    const LOWER: Expect = Connection(&[PROTOCOL_ERROR, STREAM_CLOSED]);
    let identifier = |what, play| case("RFC 9113 5.1.1", what, PROTOCOL, play);
    vec![
        identifier("an even stream of a client", |c| on(c, kind::HEADERS, WHOLE, 2, GET)),
        // It counts as closed (the same section), which has a code of its own.
        case("RFC 9113 5.1.1", "a stream below one that was opened", LOWER, |c| {
            on(c, kind::HEADERS, WHOLE, 5, GET);
            c.answer(5);
            on(c, kind::HEADERS, WHOLE, 3, GET)
        })
        .envoy("nothing"),
        case("RFC 9113 5.1.1", "streams that are left out", Answer, |c| {
            on(c, kind::HEADERS, WHOLE, 0x7fff_ffff, GET)
        }),
        case("RFC 9113 5.4.1", "GOAWAY names the last stream", PROTOCOL, |c| {
            closed(c);
            c.window_update(0, 0);
            c.read_to_end();
            let last = c.goaways.last().map(|goaway| goaway.0);
            let is_named = last == Some(1) || Make::subject() == Make::Envoy;
            assert!(is_named, "{last:?}");
            0
        }),
    ]
}

/// RFC 9113 section 5.3 takes back the priorities of RFC 7540, and nearly all errors that they knew.
fn priorities() -> Vec<Case> {
    let own = |what, expect, play| case("RFC 9113 5.3.2", what, expect, play);
    vec![
        own("HEADERS whose stream depends on itself", PROTOCOL, |c| {
            let stream = c.next_stream();
            let payload = [b"\0\0\0\x01\xff", GET].concat();
            on(c, kind::HEADERS, WHOLE | HAS_PRIORITY, stream, &payload)
        }),
        own("PRIORITY whose stream depends on itself", Nothing, |c| {
            on(c, kind::PRIORITY, 0, 1, &[0, 0, 0, 1, 255]);
            0
        }),
        own("PRIORITY of an idle stream", Nothing, |c| {
            on(c, kind::PRIORITY, 0, 1, &[0, 0, 0, 0, 255]);
            0
        }),
    ]
}
