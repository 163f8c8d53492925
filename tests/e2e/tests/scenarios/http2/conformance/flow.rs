//! RFC 9113 sections 5.2 and 6.9: windows.

use ringway_test_support::{Bootstrap, Frame, H2, Make, RawOrigin, kind};

use super::super::ready;
use super::*;

/// The length of the next DATA frame.
fn data(client: &mut H2) -> usize {
    loop {
        if let Frame::Data { data, .. } = client.take_frame().expect("a frame") {
            return data.len();
        }
    }
}

fn narrow(proxy: &Proxy, window: u32) -> H2 {
    let mut client = H2::connect(proxy.listener("main"), &[(4, window)]);
    client.opens_windows = false;
    client.round_trip().expect("a connection");
    client
}

/// RFC 9113 section 6.9.1.
#[test]
fn no_more_data_than_the_window_has_room_for() {
    let (_origin, proxy) = target();
    let mut client = narrow(&proxy, 1);
    let stream = client.request("GET", "/", &[], true);
    assert_eq!(data(&mut client), 1);
    client.round_trip().unwrap();
    assert_eq!(client.so_far(stream).body.len(), 1);
    client.window_update(stream, 3);
    assert_eq!(data(&mut client), 3);
    client.window_update(stream, 100);
    assert_eq!(client.answer(stream).text(), "a short text");
}

/// RFC 9113 section 6.9.2: the window of a stream moves with the setting.
#[test]
fn a_larger_initial_window_counts_for_open_streams() {
    let (_origin, proxy) = target();
    let mut client = narrow(&proxy, 0);
    let stream = client.request("GET", "/", &[], true);
    let head = client.head(stream);
    assert_eq!((head.status(), head.body.len()), (200, 0));
    client.settings(&[(4, 1)]);
    assert_eq!(data(&mut client), 1);
    client.settings(&[(4, 100)]);
    assert_eq!(client.answer(stream).text(), "a short text");
}

/// RFC 9113 section 6.9.2: a window may fall below zero, and is waited for.
#[test]
fn a_window_below_zero_is_respected() {
    let (_origin, proxy) = target();
    let mut client = narrow(&proxy, 3);
    let stream = client.request("GET", "/", &[], true);
    assert_eq!(data(&mut client), 3);
    client.settings(&[(4, 2)]).window_update(stream, 1);
    client.round_trip().unwrap();
    assert_eq!(client.so_far(stream).body.len(), 3, "the window is zero");
    client.window_update(stream, 1);
    assert_eq!(data(&mut client), 1);
    client.window_update(stream, 100);
    assert_eq!(client.answer(stream).text(), "a short text");
}

/// RFC 9113 section 6.5.3: the last of several values counts.
#[test]
fn the_last_value_of_a_setting_counts() {
    let (_origin, proxy) = target();
    let mut client = narrow(&proxy, 0);
    client.settings(&[(4, 100), (4, 1)]);
    client.request("GET", "/", &[], true);
    assert_eq!(data(&mut client), 1);
}

/// RFC 9113 section 6.9.1: the windows that the server gave. An origin that reads nothing keeps it
/// from opening them again for more than what sockets hold.
#[test]
fn data_beyond_a_window_is_an_error() {
    ready();
    let origin = RawOrigin::bind();
    let proxy = start(&Bootstrap::proxying_to(origin.address()).patient());
    let mut client = H2::connect(proxy.listener("main"), &[]);
    client.round_trip().unwrap();
    let stream = open(&mut client);
    let _reads_nothing = origin.accept();
    let frame = H2::frame(kind::DATA, 0, stream, &[b'x'; 16_384]);
    // 48 MiB; the windows are of 16 and 24.
    for _ in 0..3_072 {
        if !client.try_send(&frame) {
            break;
        }
    }
    let outcome = outcome(&mut client, stream, Nothing);
    let is_refused = outcome == format!("stream error {FLOW_CONTROL_ERROR}")
        || outcome == format!("connection error {FLOW_CONTROL_ERROR}");
    assert!(is_refused || Make::subject() == Make::Envoy, "{outcome}");
}
