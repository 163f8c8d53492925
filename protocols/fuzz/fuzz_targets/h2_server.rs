//! Raw bytes to an HTTP/2 server: how they are cut does not matter.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::h2::{server, told};
use ringway_fuzz::{parts, pieces};
use ringway_http::h1::Underscores;
use ringway_http::h2::{Connection, Options};

fn options(flags: u8) -> Options {
    let mut options = Options {
        stream_error_on_invalid_message: flags & 1 != 0,
        underscores: if flags & 2 != 0 { Underscores::Drop } else { Underscores::Allow },
        ..Options::default()
    };
    options.settings.allow_connect = flags & 4 != 0;
    if flags & 8 != 0 {
        options.settings.header_table_size = 64;
        options.settings.max_concurrent_streams = 2;
    }
    options
}

fuzz_target!(|data: &[u8]| {
    let Some((flags, cuts, input)) = parts(data) else { return };
    let connection = || match flags & 16 {
        0 => server(options(flags)),
        _ => Connection::server(options(flags), 0),
    };
    let whole = told(connection(), &[input]);
    assert_eq!(told(connection(), &pieces(input, cuts)), whole);
    assert_eq!(told(connection(), &input.chunks(1).collect::<Vec<_>>()), whole);
});
