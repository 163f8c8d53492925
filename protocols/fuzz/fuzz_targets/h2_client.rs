//! Raw bytes to an HTTP/2 client that has asked for a few things: how they are cut does not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::h2::{client, told};
use ringway_fuzz::{parts, pieces};
use ringway_http::h2::{Connection, Options};
use ringway_http::{Known, RequestHead};

/// Streams 1 to 7: GET, HEAD, an upgrade, and a POST whose body is still to come.
fn asking(flags: u8) -> Connection {
    let stream_error_on_invalid_message = flags & 1 != 0;
    let mut client = client(Options { stream_error_on_invalid_message, ..Options::default() });
    for (method, is_end) in [("GET", true), ("HEAD", true), ("GET", false), ("POST", false)] {
        let mut head = RequestHead::new();
        head.set_method(method.as_bytes());
        head.set_path(b"/");
        head.set_authority(b"a");
        if method == "GET" && !is_end {
            head.fields.push_known(Known::Upgrade, b"websocket");
            head.fields.push_known(Known::Connection, b"upgrade");
        }
        client.send_request(&head, is_end).expect("there is room for a stream");
    }
    client
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, cuts, input)) = parts(data) else { return };
    let whole = told(asking(flags), &[input]);
    assert_eq!(told(asking(flags), &pieces(input, cuts)), whole);
    assert_eq!(told(asking(flags), &input.chunks(1).collect::<Vec<_>>()), whole);
});
