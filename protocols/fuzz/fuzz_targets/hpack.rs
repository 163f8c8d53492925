//! Header blocks, one after another on one connection, which the dynamic table outlives: what is
//! understood means the same when it is written anew, to a decoder with a table of its own.
#![no_main]

use libfuzzer_sys::fuzz_target;
use ringway_fuzz::h2::{client, frame, server};
use ringway_http::h2::{Connection, Event, Options};
use ringway_http::{Fields, RequestHead};

/// A head that any block may go on with.
const START: &[u8] = b"\x82\x86\x84\x01\x01a";

fn options() -> Options {
    Options { stream_error_on_invalid_message: true, ..Options::default() }
}

/// The head that `bytes` bring, if they bring one.
fn head(server: &mut Connection, bytes: &[u8]) -> Option<RequestHead> {
    let mut head = None;
    let mut at = 0;
    while at < bytes.len() {
        at += server.receive(&bytes[at..], 0).ok()?;
        while let Some(event) = server.poll_event() {
            if let Event::Head { .. } = event {
                head = Some(server.request_mut().clone());
            }
        }
    }
    server.poll_transmit(&mut Vec::new());
    head
}

fn pairs(fields: &Fields) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut pairs: Vec<_> = fields.iter().map(|(n, v)| (n.to_vec(), v.to_vec())).collect();
    pairs.sort();
    pairs
}

fuzz_target!(|data: &[u8]| {
    let Some((sizes, data)) = data.split_at_checked(8) else { return };
    let (mut first, mut writer, mut second) =
        (server(options()), client(options()), server(options()));
    writer.poll_transmit(&mut Vec::new());
    let mut rest = data;
    for (at, size) in sizes.iter().enumerate() {
        let (block, after) = rest.split_at(rest.len().min(usize::from(*size)));
        rest = after;
        // An update of the table's size stands at the beginning of a block.
        let updates = block.iter().take_while(|byte| **byte & 0xe0 == 0x20).count();
        let block = [&block[..updates], START, &block[updates..]].concat();
        let Some(head_of_first) = head(&mut first, &frame(1, 5, at as u32 * 2 + 1, &block)) else {
            return;
        };
        if writer.send_request(&head_of_first, true).is_err() {
            return;
        }
        let mut wire = Vec::new();
        writer.poll_transmit(&mut wire);
        let head_of_second = head(&mut second, &wire).expect("what was written is a head");
        assert_eq!(head_of_second.authority(), head_of_first.authority());
        assert_eq!(pairs(&head_of_second.fields), pairs(&head_of_first.fields));
    }
});
