//! Escaping of JSON strings, in their place.

/// Escapes what was written from `start` on. There is mostly nothing to escape.
///
/// A text that is not UTF-8 cannot stand in JSON as it is: as in Envoy each of its bytes beyond
/// ASCII is written as the character of its number then, and every escape is a long one.
pub(in crate::format) fn escape_tail(out: &mut Vec<u8>, start: usize) {
    let text = &out[start..];
    if !text.iter().any(|byte| class(*byte) != Class::Plain) {
        return;
    }
    let length = match std::str::from_utf8(text) {
        Ok(_) => short_length,
        Err(_) => long_length,
    };
    let grown: usize = text.iter().map(|byte| length(*byte) - 1).sum();
    let mut read = out.len();
    out.resize(read + grown, 0);
    let mut write = out.len();
    // From the end, so that nothing is overwritten before it was read.
    while read > start {
        read -= 1;
        let byte = out[read];
        write -= length(byte);
        put(byte, &mut out[write..write + length(byte)]);
    }
}

/// The same for a text of the configuration.
pub(super) fn escape_constant(text: &[u8]) -> Vec<u8> {
    let mut escaped = text.to_vec();
    escape_tail(&mut escaped, 0);
    escaped
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    /// Stands for itself.
    Plain,
    /// Has an escape of two characters.
    Short,
    /// Has an escape of six characters only.
    Control,
    /// Beyond ASCII: stands for itself in UTF-8.
    High,
}

fn class(byte: u8) -> Class {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => Class::Short,
        0x00..0x20 => Class::Control,
        0x80.. => Class::High,
        _ => Class::Plain,
    }
}

fn short_length(byte: u8) -> usize {
    match class(byte) {
        Class::Plain | Class::High => 1,
        Class::Short => 2,
        Class::Control => 6,
    }
}

fn long_length(byte: u8) -> usize {
    if class(byte) == Class::Plain { 1 } else { 6 }
}

fn put(byte: u8, target: &mut [u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        other => other,
    };
    match target {
        [only] => *only = byte,
        [slash, letter] => (*slash, *letter) = (b'\\', short),
        long => {
            long[..4].copy_from_slice(b"\\u00");
            long[4] = HEX[usize::from(byte >> 4)];
            long[5] = HEX[usize::from(byte & 15)];
        }
    }
}
