//! Blanks, and what fills them.

use ringway_http::RequestHead;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Bytes(Vec<u8>),
    /// The number of the request: no other one of the run has it.
    Sequence,
    /// A number from `.0` to `.1`, both included.
    Random(u64, u64),
    /// A random UUID (version 4).
    Uuid,
    /// So many random hexadecimal digits.
    Hex(u32),
    /// The number of the connection.
    Connection,
}

/// What fills the blanks; one for each worker.
#[derive(Debug)]
pub(crate) struct Filler {
    pub(crate) rng: fastrand::Rng,
    sequence: u64,
    stride: u64,
    pub(super) scratch: Vec<u8>,
    /// For heads with blanks.
    pub(super) head: RequestHead,
}

impl Filler {
    /// Worker `index` of `of` counts `index`, `index + of`, `index + 2 of`, ...
    pub(crate) fn new(index: usize, of: usize, rng: fastrand::Rng) -> Self {
        let (scratch, head) = (Vec::new(), RequestHead::new());
        Self { rng, sequence: index as u64, stride: of as u64, scratch, head }
    }

    pub(super) fn sequence(&mut self) -> u64 {
        let number = self.sequence;
        self.sequence += self.stride;
        number
    }
}

/// What stays the same within one request.
#[derive(Clone, Copy)]
pub(super) struct Place {
    pub(super) connection: u64,
    pub(super) sequence: u64,
}

pub(super) fn append(parts: &[Part], filler: &mut Filler, place: Place, out: &mut Vec<u8>) {
    for part in parts {
        match part {
            Part::Bytes(bytes) => out.extend_from_slice(bytes),
            Part::Sequence => append_number(place.sequence, out),
            Part::Random(from, to) => append_number(filler.rng.u64(*from..=*to), out),
            Part::Connection => append_number(place.connection, out),
            Part::Hex(digits) => append_hex(*digits, &mut filler.rng, out),
            Part::Uuid => append_uuid(filler.rng.u128(..), out),
        }
    }
}

pub(super) fn append_number(number: u64, out: &mut Vec<u8>) {
    let mut digits = [0_u8; 20];
    let (mut at, mut rest) = (digits.len(), number);
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

const HEX: &[u8; 16] = b"0123456789abcdef";

fn append_hex(digits: u32, rng: &mut fastrand::Rng, out: &mut Vec<u8>) {
    out.extend((0..digits).map(|_| HEX[rng.usize(..16)]));
}

/// RFC 9562 section 5.4: version 4, variant 10.
fn append_uuid(random: u128, out: &mut Vec<u8>) {
    let bits = (random & !(0xf << 76) & !(0b11 << 62)) | (4 << 76) | (0b10 << 62);
    for digit in 0..32 {
        if matches!(digit, 8 | 12 | 16 | 20) {
            out.push(b'-');
        }
        out.push(HEX[(bits >> (124 - 4 * digit)) as usize & 0xf]);
    }
}

/// Splits text at its `{{...}}`.
pub(super) fn parts(text: &[u8]) -> Result<Vec<Part>, String> {
    let (mut parts, mut rest) = (Vec::new(), text);
    while let Some(from) = memchr::memmem::find(rest, b"{{") {
        let inner = &rest[from + 2..];
        let Some(length) = memchr::memmem::find(inner, b"}}") else { break };
        if from > 0 {
            parts.push(Part::Bytes(rest[..from].to_vec()));
        }
        parts.push(blank(&String::from_utf8_lossy(&inner[..length]))?);
        rest = &inner[length + 2..];
    }
    if !rest.is_empty() {
        parts.push(Part::Bytes(rest.to_vec()));
    }
    Ok(parts)
}

fn blank(text: &str) -> Result<Part, String> {
    let words: Vec<&str> = text.split_whitespace().collect();
    let number = |word: &str| word.parse().map_err(|_| format!("`{{{{{text}}}}}`: `{word}`?"));
    match words.as_slice() {
        ["seq"] => Ok(Part::Sequence),
        ["uuid"] => Ok(Part::Uuid),
        ["connection"] => Ok(Part::Connection),
        ["random", from, to] => match (number(from)?, number(to)?) {
            (from, to) if from <= to => Ok(Part::Random(from, to)),
            _ => Err(format!("`{{{{{text}}}}}`: the first number is larger than the second")),
        },
        ["hex", digits] => Ok(Part::Hex(number(digits)?.clamp(1, 65_536) as u32)),
        _ => Err(format!(
            "`{{{{{text}}}}}` is unknown: there are seq, uuid, connection, random A B, hex N"
        )),
    }
}
