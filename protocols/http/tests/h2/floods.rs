//! Each flood by name: the connection ends with the limit's own error, and nothing has grown.

use ringway_http::h2::{
    Cause, Connection, ConnectionError, ErrorCode, Event, Flood, Limits, MessageError, Options,
};
use ringway_http::{Known, ResponseHead};

use crate::wire::*;

/// Feeds `input` again and again, and says after how many times the connection ended.
fn until_error(
    connection: &mut Connection,
    mut input: impl FnMut(u32) -> Vec<u8>,
    reads_answers: bool,
) -> (u32, ConnectionError) {
    for count in 1..100_000 {
        if let Err(error) = feed(connection, &input(count)) {
            return (count, error);
        }
        if reads_answers {
            sent(connection);
        }
        assert!(connection.pending_bytes() < 1 << 20, "answers pile up");
    }
    panic!("nothing ends this flood");
}

#[track_caller]
fn assert_flood(result: (u32, ConnectionError), count: u32, flood: Flood) {
    assert_eq!((result.0, result.1.flood()), (count, Some(flood)), "{}", result.1);
    let code = match flood {
        Flood::StreamResets => ErrorCode::InternalError,
        _ => ErrorCode::EnhanceYourCalm,
    };
    assert_eq!(result.1.code, code);
}

#[test]
fn cve_2019_9512_ping_flood() {
    let mut server = server(Options::default());
    let result = until_error(&mut server, |_| frame(PING, 0, 0, &[0; 8]), false);
    assert_flood(result, 1001, Flood::OutboundControlFrames);
    assert_eq!(result.1.details(), "http2.outbound_frames_flood");
    let last = sent(&mut server).pop().unwrap();
    assert_eq!((last.kind, &last.payload[4..]), (GOAWAY, &[0, 0, 0, 11][..]));
}

#[test]
fn cve_2019_9515_settings_flood() {
    let mut server = server(Options::default());
    let result = until_error(&mut server, |_| settings(&[(4, 70_000)]), false);
    assert_flood(result, 1001, Flood::OutboundControlFrames);
}

#[test]
fn settings_with_more_entries_than_there_are() {
    let mut server = server(Options::default());
    let result = until_error(&mut server, |_| settings(&[(4, 1); 33]), false);
    assert_flood(result, 1, Flood::SettingsEntries);
}

#[test]
fn cve_2019_9514_reset_flood_is_made_of_answers_that_nobody_reads() {
    let limits = Limits { max_outbound_control_frames: 50, ..Limits::default() };
    let options = Options { stream_error_on_invalid_message: true, limits, ..Options::default() };
    let mut server = server(options);
    let invalid = |count: u32| frame(HEADERS, END_HEADERS | END_STREAM, count * 2 - 1, b"\x82");
    let result = until_error(&mut server, invalid, false);
    assert_flood(result, 51, Flood::OutboundControlFrames);
}

#[test]
fn cve_2019_9518_empty_frames_flood() {
    let mut server = server(Options::default());
    feed(&mut server, &post(1)).unwrap();
    let result = until_error(&mut server, |_| frame(DATA, 0, 1, b""), true);
    assert_flood(result, 2, Flood::EmptyPayloads);
    assert_eq!(result.1.details(), "http2.inbound_empty_frames_flood");
}

#[test]
fn data_that_is_nothing_but_padding_is_empty() {
    let mut server = server(Options::default());
    feed(&mut server, &post(1)).unwrap();
    let result = until_error(&mut server, |_| frame(DATA, PADDED, 1, &[3, 0, 0, 0]), true);
    assert_flood(result, 2, Flood::EmptyPayloads);
}

#[test]
fn cve_2019_9513_priority_flood() {
    let mut server = server(Options::default());
    let result = until_error(&mut server, |_| frame(PRIORITY, 0, 1, &[0; 5]), true);
    assert_flood(result, 101, Flood::Priority);
}

#[test]
fn window_update_flood() {
    let mut server = server(Options::default());
    let result = until_error(&mut server, |_| frame(WINDOW_UPDATE, 0, 0, &[0, 0, 0, 1]), true);
    assert_flood(result, 6, Flood::WindowUpdates);
}

#[test]
fn cve_2023_44487_rapid_reset() {
    let mut server = server(Options::default());
    let pair = |count: u32| {
        let id = count * 2 - 1;
        [get(id), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat()
    };
    let result = until_error(&mut server, pair, true);
    assert_flood(result, 1001, Flood::StreamResets);
    assert_eq!(server.open_streams(), 1, "only that whose reset was one too many");
}

#[test]
fn resets_within_the_rate_go_on_for_ever() {
    let mut server = server(Options::default());
    for count in 1..5000u32 {
        let id = count * 2 - 1;
        let pair = [get(id), frame(RST_STREAM, 0, id, &[0, 0, 0, 8])].concat();
        feed_at(&mut server, &pair, u64::from(count) * 31).unwrap();
    }
}

#[test]
fn cve_2025_8671_made_you_reset() {
    // Each request is sound, and each is followed by what makes the server reset it.
    let provocations: [fn(u32) -> Vec<u8>; 3] = [
        |id| frame(WINDOW_UPDATE, 0, id, &[0; 4]),
        |id| frame(WINDOW_UPDATE, 0, id, &[0x7f, 0xff, 0xff, 0xff]),
        |id| frame(DATA, 0, id, b"x"),
    ];
    for provocation in provocations {
        // So many windows are changed here that the limit on those would come first.
        let limits = Limits { max_window_updates_per_data_frame: u64::MAX, ..Limits::default() };
        let mut server = server(Options { limits, ..Options::default() });
        let mut head = ResponseHead::new();
        head.status = 200;
        let mut count = 0;
        let error = loop {
            count += 1;
            let id = count * 2 - 1;
            let events = feed(&mut server, &get(id)).unwrap();
            let Some(Event::Head { stream, .. }) = events.first() else { panic!("{events:?}") };
            server.send_response(*stream, &head, false).unwrap();
            server.send_data(*stream, b".", false).unwrap();
            if let Err(error) = feed(&mut server, &provocation(id)) {
                break error;
            }
            sent(&mut server);
        };
        assert_flood((count, error), 1001, Flood::StreamResets);
    }
}

#[test]
fn streams_beyond_the_limit_are_refused_and_charged() {
    let mut options = Options::default();
    options.settings.max_concurrent_streams = 2;
    let mut server = server(options);
    feed(&mut server, &[get(1), get(3)].concat()).unwrap();
    let events = feed(&mut server, &get(5)).unwrap();
    assert!(matches!(events[..], [Event::Refused { error: None, .. }]), "{events:?}");
    let reset = sent(&mut server).pop().unwrap();
    assert_eq!((reset.kind, reset.stream, &reset.payload[..]), (RST_STREAM, 5, &[0, 0, 0, 7][..]));
    let result = until_error(&mut server, |count| get(count * 2 + 5), true);
    assert_flood(result, 1000, Flood::StreamResets);
    assert_eq!(server.open_streams(), 2);
}

#[test]
fn cve_2024_27316_continuation_flood() {
    let mut server = server(Options::default());
    feed(&mut server, &frame(HEADERS, 0, 1, GET)).unwrap();
    let piece = literal("a", "b");
    let result = until_error(&mut server, |_| frame(CONTINUATION, 0, 1, &piece), true);
    assert_flood(result, 9, Flood::Continuations);
}

#[test]
fn continuations_without_payload() {
    let mut server = server(Options::default());
    feed(&mut server, &frame(HEADERS, 0, 1, GET)).unwrap();
    let result = until_error(&mut server, |_| frame(CONTINUATION, 0, 1, b""), true);
    assert_flood(result, 2, Flood::EmptyPayloads);
}

#[test]
fn a_header_block_larger_than_any_head() {
    let mut server = server(Options::default());
    feed(&mut server, &frame(HEADERS, 0, 1, GET)).unwrap();
    let piece = [0x82; 16384];
    let result = until_error(&mut server, |_| frame(CONTINUATION, 0, 1, &piece), true);
    assert_flood(result, 5, Flood::HeaderBlock);
}

/// HEADERS whose block refers to a table entry of `name` and 3 KiB again and again.
fn bomb(name: &str, stream: u32, references: usize) -> Vec<u8> {
    let mut block = GET.to_vec();
    block.extend([0x40, name.len() as u8]);
    block.extend(name.bytes());
    // 3000 as an integer of seven bits and more.
    block.extend([0x7f, 0xb9, 0x16]);
    block.extend([b'v'; 3000]);
    block.extend(vec![0xbe; references]);
    frame(HEADERS, END_HEADERS | END_STREAM, stream, &block)
}

#[test]
fn cve_2026_47774_http2_bomb_of_cookies() {
    let mut server = server(Options::default());
    let events = feed(&mut server, &bomb("cookie", 1, 10_000)).unwrap();
    let [Event::Refused { error: Some(error), .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(error, MessageError::CookiesTooLarge);
    assert_eq!(error.details(), "http2.header_list_size_too_large");
    // The connection lives, and its table still follows the peer's.
    let block = [GET, &[0xbe]].concat();
    let again = frame(HEADERS, END_HEADERS | END_STREAM, 3, &block);
    feed(&mut server, &again).unwrap();
    assert_eq!(server.request_mut().fields.known(Known::Cookie).unwrap().len(), 3000);
    assert!(server.request_mut().fields.capacity_bytes() < 256 * 1024);
}

#[test]
fn cve_2026_49975_http2_bomb_of_repeated_references() {
    let mut server = server(Options::default());
    let events = feed(&mut server, &bomb("x-bomb", 1, 10_000)).unwrap();
    let [Event::Refused { error: Some(error), .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(error.details(), "http2.header_list_size_too_large");
}

#[test]
fn empty_crumbs_count_as_what_they_become() {
    let mut server = server(Options::default());
    let mut block = GET.to_vec();
    block.extend(b"\x40\x06cookie\x00");
    block.extend([0xbe; 16_000]);
    let input = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let events = feed(&mut server, &input).unwrap();
    let [Event::Refused { error: Some(error), .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(error, MessageError::CookiesTooLarge);
}

#[test]
fn cve_2019_9516_fields_without_length() {
    let mut server = server(Options::default());
    let mut block = GET.to_vec();
    block.extend([0x00, 0x00, 0x00].repeat(200));
    let input = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let error = feed(&mut server, &input).unwrap_err();
    assert_eq!(error.cause, Cause::Message(MessageError::InvalidField));
}

#[test]
fn more_fields_than_allowed() {
    let mut server = server(Options::default());
    let mut block = GET.to_vec();
    block.extend(literal("a", "b").repeat(97));
    let input = frame(HEADERS, END_HEADERS | END_STREAM, 1, &block);
    let events = feed(&mut server, &input).unwrap();
    let [Event::Refused { error: Some(error), .. }] = events[..] else { panic!("{events:?}") };
    assert_eq!(error.details(), "http2.too_many_headers");
}

#[test]
fn cve_2019_9517_internal_buffering_is_bounded() {
    // A wide window and a peer that reads nothing: data stop at the outbound queue's limit.
    let mut server = server(Options::default());
    let wide = frame(WINDOW_UPDATE, 0, 0, &[0x7f, 0, 0, 0]);
    feed(&mut server, &[settings(&[(4, 0x7fff_ffff)]), wide, get(1)].concat()).unwrap();
    let mut head = ResponseHead::new();
    head.status = 200;
    let stream = server.poll_event();
    assert_eq!(stream, None);
    let id = ringway_http::h2::StreamId::from_number(1).unwrap();
    server.send_response(id, &head, false).unwrap();
    let body = vec![0; 8 << 20];
    let taken = server.send_data(id, &body, true).unwrap();
    assert!((1 << 20..(1 << 20) + 32 * 1024).contains(&taken), "{taken}");
    assert_eq!(server.poll_event(), None);
    sent(&mut server);
    assert_eq!(server.poll_event(), Some(Event::Writable(id)));
}

#[test]
fn cve_2019_9511_data_dribble_and_slow_read_keep_nothing() {
    let mut server = server(Options::default());
    feed(&mut server, &[settings(&[(4, 0)]), get(1)].concat()).unwrap();
    let id = ringway_http::h2::StreamId::from_number(1).unwrap();
    let mut head = ResponseHead::new();
    head.status = 200;
    server.send_response(id, &head, false).unwrap();
    assert_eq!(server.send_data(id, &[0; 100_000], true), Ok(0));
    sent(&mut server);
    // A window of one byte at a time gets one byte at a time, and nothing is kept in between.
    for _ in 0..1000 {
        let events = feed(&mut server, &frame(WINDOW_UPDATE, 0, 1, &[0, 0, 0, 1])).unwrap();
        assert_eq!(events, [Event::Writable(id)]);
        assert_eq!(server.send_data(id, &[0; 1000], true), Ok(1));
        assert_eq!(server.pending_bytes(), 10);
        sent(&mut server);
    }
}

#[test]
fn cve_2024_45506_goaway_again_and_again() {
    let mut server = server(Options::default());
    let goaway = frame(GOAWAY, 0, 0, &[0; 8]);
    assert_eq!(feed(&mut server, &goaway).unwrap().len(), 1);
    assert_eq!(feed(&mut server, &goaway.repeat(10_000)).unwrap(), []);
    assert_eq!(server.pending_bytes(), 0);
}

#[test]
fn cve_2018_14645_and_cve_2020_11100_table_indices_beyond_the_table() {
    // An entry that is evicted by the one that borrows its name, and indices around the last one.
    let mut server = server(Options::default());
    let big = [&b"\x40\x01a\x7f\x81\x1e"[..], &[b'v'; 3968]].concat();
    let borrow = [&b"\x7e\x7f\x81\x1e"[..], &[b'w'; 3968]].concat();
    let block = [GET, &big, &borrow, &[0xbe]].concat();
    feed(&mut server, &frame(HEADERS, 5, 1, &block)).unwrap();
    let values: Vec<_> = server.request_mut().fields.values("a").map(|at| at[0]).collect();
    assert_eq!(values, b"vww");
    let error = feed(&mut server, &frame(HEADERS, 5, 3, &[GET, &[0xbf]].concat())).unwrap_err();
    assert_eq!(error.code, ErrorCode::CompressionError);
}

#[test]
fn an_idle_connection_is_small() {
    assert!(size_of::<Connection>() <= 1536, "{}", size_of::<Connection>());
}
