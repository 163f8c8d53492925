//! RFC 7541: header blocks, the tables and the Huffman code.

use ringway_test_support::H2;

use super::*;

const COMPRESSION: Expect = Connection(&[COMPRESSION_ERROR]);

#[test]
fn every_form_of_a_field_is_understood() {
    play("main", &sound());
}

#[test]
fn blocks_that_cannot_be_decoded_end_their_connection() {
    play("main", &broken());
}

/// A request whose block goes on with these bytes.
fn more(client: &mut H2, bytes: &[u8]) -> u32 {
    head(client, &[GET, bytes].concat())
}

fn sound() -> Vec<Case> {
    let field = |section, what, play| case(section, what, Answer, play);
    vec![
        field("RFC 7541 6.1", "an index", |c| more(c, &[0x90])),
        field("RFC 7541 6.2.1", "indexed name, added", |c| more(c, b"\x7a\x01x")),
        field("RFC 7541 6.2.1", "new name, added", |c| more(c, b"\x40\x01x\x01y")),
        field("RFC 7541 6.2.1", "Huffman, added", |c| more(c, b"\x40\x81\xf3\x81\xf5")),
        field("RFC 7541 6.2.2", "indexed name, not added", |c| more(c, b"\x0f\x2b\x01x")),
        field("RFC 7541 6.2.2", "new name, not added", |c| more(c, b"\x00\x01x\x01y")),
        field("RFC 7541 6.2.2", "Huffman, not added", |c| more(c, b"\x00\x81\xf3\x81\xf5")),
        field("RFC 7541 6.2.3", "indexed name, never added", |c| more(c, b"\x1f\x2b\x01x")),
        field("RFC 7541 6.2.3", "new name, never added", |c| more(c, b"\x10\x01x\x01y")),
        field("RFC 7541 6.2.3", "Huffman, never added", |c| more(c, b"\x10\x81\xf3\x81\xf5")),
        field("RFC 7541 2.3.3", "the entry that was added last", |c| {
            more(c, b"\x40\x01x\x01y\xbe\xbe")
        }),
        field("RFC 7541 2.3.2", "an entry of an earlier block", |c| {
            let first = more(c, b"\x40\x01x\x01y");
            c.answer(first);
            more(c, &[0xbe])
        }),
        field("RFC 7541 6.3", "the table made empty", |c| head(c, &[b"\x20", GET].concat())),
        field("RFC 7541 4.2", "the table's size changed twice", |c| {
            head(c, &[b"\x20\x3f\xe1\x1f", GET].concat())
        }),
        field("RFC 7541 4.4", "an entry larger than the table", |c| {
            head(c, &[b"\x3f\x01", GET, b"\x40\x01x\x01y\x40\x01x\x01y"].concat())
        }),
        field("RFC 7541 5.1", "an integer with needless bytes", |c| {
            more(
                c,
                b"\x00\x01x\x7f\x82\x00"
                    .iter()
                    .chain(&[b'y'; 129])
                    .copied()
                    .collect::<Vec<_>>()
                    .as_slice(),
            )
        }),
        field("RFC 7541 5.2", "a value of nothing", |c| more(c, b"\x00\x01x\x00\x00\x01x\x80")),
        field("RFC 7541 5.2", "every byte that a value may hold, in Huffman", |c| {
            let text: String = (' '..='~').collect();
            c.request("GET", "/", &[("x-all", text.trim())], true)
        }),
    ]
}

fn broken() -> Vec<Case> {
    let broken = |section, what, play| case(section, what, COMPRESSION, play);
    vec![
        broken("RFC 9113 4.3", "a block that ends within a field", |c| more(c, b"\x00\x01x\x05y")),
        broken("RFC 7541 2.3.3", "an index above the tables", |c| more(c, &[0xbe])),
        broken("RFC 7541 2.3.3", "an index far above the tables", |c| more(c, b"\xff\xff\x7f")),
        broken("RFC 7541 2.3.3", "a name by an index above the tables", |c| more(c, b"\x7e\x01y")),
        broken("RFC 7541 2.3.3", "a name not added by such an index", |c| {
            more(c, b"\x0f\x2f\x01y")
        }),
        broken("RFC 7541 4.2", "a change of the table's size behind a field", |c| more(c, &[0x20])),
        broken("RFC 7541 5.1", "an integer without end", |c| {
            more(c, b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff")
        }),
        broken("RFC 7541 5.1", "an integer that is cut off", |c| more(c, b"\x00\x7f\xff")),
        broken("RFC 7541 5.2", "Huffman padding of more than 7 bits", |c| {
            more(c, b"\x00\x01x\x82\xf3\xff")
        }),
        broken("RFC 7541 5.2", "Huffman padding of zeros", |c| more(c, b"\x00\x01x\x81\xf0")),
        broken("RFC 7541 5.2", "Huffman with EOS", |c| more(c, b"\x00\x01x\x84\xff\xff\xff\xff")),
        broken("RFC 7541 5.2", "Huffman with EOS within", |c| {
            more(c, b"\x00\x01x\x86\xff\xff\xff\xfc\xf3\xff")
        }),
        broken("RFC 7541 6.1", "the index 0", |c| more(c, &[0x80])),
        broken("RFC 7541 6.3", "a table above SETTINGS_HEADER_TABLE_SIZE", |c| {
            head(c, &[b"\x3f\xe2\x1f", GET].concat())
        }),
        broken("RFC 9113 4.3", "a broken block in trailers", |c| {
            let stream = open(c);
            on(c, ringway_test_support::kind::HEADERS, WHOLE, stream, &[0x80])
        }),
        broken("RFC 9113 4.3", "a broken block of a stream that is over", |c| {
            let stream = open(c);
            c.window_update(stream, 0);
            on(c, ringway_test_support::kind::HEADERS, WHOLE, stream, &[0x80])
        }),
    ]
}
