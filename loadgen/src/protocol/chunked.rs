//! The chunked transfer coding (RFC 9112 section 7.1), strictly, for requests and responses.
//!
//! Owns the place between calls; never keeps bytes of a body.

use std::ops::Range;

/// Bytes of one size line with its extensions, and of all trailers.
const MAX_LINE_BYTES: u32 = 4096;
const MAX_TRAILER_BYTES: u32 = 16 * 1024;

/// Where in the coding the next byte stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// In the size; so many digits were read.
    Size {
        digits: u32,
    },
    /// In extensions, which mean nothing here; so many bytes of the line were read.
    Extension {
        seen: u32,
    },
    /// Before the line feed of a size line.
    SizeLineFeed,
    /// In the data of a chunk.
    Data,
    /// Behind the data: `\r`, then `\n`.
    DataReturn,
    DataLineFeed,
    /// At the start of a trailer line or of the empty line.
    TrailerStart {
        seen: u32,
    },
    /// Within a trailer line; `colon` once its name is over.
    Trailer {
        seen: u32,
        colon: bool,
    },
    TrailerLineFeed {
        seen: u32,
    },
    FinalLineFeed,
    Done,
}

/// Reads one chunked body.
#[derive(Debug)]
pub(crate) struct Chunked {
    place: Place,
    left: u64,
}

/// What one step found.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// All input is read.
    NeedMore,
    /// Data at this range of the input.
    Data(Range<usize>),
    /// The body is over.
    Done,
}

impl Chunked {
    pub(crate) fn new() -> Self {
        Self { place: Place::Size { digits: 0 }, left: 0 }
    }

    /// One step over `input`: how many bytes were consumed and what was found.
    pub(crate) fn step(&mut self, input: &[u8]) -> Result<(usize, Found), &'static str> {
        for (at, byte) in input.iter().copied().enumerate() {
            if self.place == Place::Data {
                return Ok(self.data(at, input.len()));
            }
            self.place = self.after(byte)?;
            if self.place == Place::Done {
                return Ok((at + 1, Found::Done));
            }
        }
        Ok((input.len(), Found::NeedMore))
    }

    fn data(&mut self, from: usize, end: usize) -> (usize, Found) {
        let available = end - from;
        let taken = usize::try_from(self.left).map_or(available, |left| left.min(available));
        self.left -= taken as u64;
        if self.left == 0 {
            self.place = Place::DataReturn;
        }
        (from + taken, Found::Data(from..from + taken))
    }

    fn after(&mut self, byte: u8) -> Result<Place, &'static str> {
        match self.place {
            Place::Size { digits } => self.size(byte, digits),
            Place::Extension { seen } => extension(byte, seen),
            Place::SizeLineFeed if byte != b'\n' => Err("a chunk size line without CRLF"),
            Place::SizeLineFeed if self.left == 0 => Ok(Place::TrailerStart { seen: 0 }),
            Place::SizeLineFeed => Ok(Place::Data),
            Place::DataReturn if byte == b'\r' => Ok(Place::DataLineFeed),
            Place::DataLineFeed if byte == b'\n' => {
                self.left = 0;
                Ok(Place::Size { digits: 0 })
            }
            Place::DataReturn | Place::DataLineFeed => Err("chunk data longer than its size"),
            Place::TrailerStart { .. } if byte == b'\r' => Ok(Place::FinalLineFeed),
            Place::TrailerStart { seen } => trailer(byte, seen, false),
            Place::Trailer { seen, colon } => trailer(byte, seen, colon),
            Place::TrailerLineFeed { seen } if byte == b'\n' => Ok(Place::TrailerStart { seen }),
            Place::FinalLineFeed if byte == b'\n' => Ok(Place::Done),
            Place::TrailerLineFeed { .. } | Place::FinalLineFeed => {
                Err("a trailer line without CRLF")
            }
            // `step` does not come here with these.
            Place::Data | Place::Done => Err("bytes behind the last chunk"),
        }
    }

    fn size(&mut self, byte: u8, digits: u32) -> Result<Place, &'static str> {
        if let Some(digit) = char::from(byte).to_digit(16) {
            // 15 digits are an exabyte; a sixteenth could overflow the sum of later arithmetic.
            if digits == 15 {
                return Err("a chunk size out of range");
            }
            self.left = self.left * 16 + u64::from(digit);
            return Ok(Place::Size { digits: digits + 1 });
        }
        match byte {
            _ if digits == 0 => Err("a chunk without a size"),
            b'\r' => Ok(Place::SizeLineFeed),
            b';' => Ok(Place::Extension { seen: 0 }),
            _ => Err("a chunk size that is no number"),
        }
    }
}

fn extension(byte: u8, seen: u32) -> Result<Place, &'static str> {
    match byte {
        b'\r' => Ok(Place::SizeLineFeed),
        // RFC 9112 section 7.1.1: a bare line feed in an extension is a way to smuggle.
        b'\n' | 0 => Err("a bare line feed in a chunk extension"),
        _ if seen >= MAX_LINE_BYTES => Err("chunk extensions that never end"),
        _ => Ok(Place::Extension { seen: seen + 1 }),
    }
}

fn trailer(byte: u8, seen: u32, colon: bool) -> Result<Place, &'static str> {
    match byte {
        b'\r' if colon => Ok(Place::TrailerLineFeed { seen }),
        b'\r' | b'\n' | 0 => Err("a malformed trailer"),
        _ if seen >= MAX_TRAILER_BYTES => Err("trailers that never end"),
        _ => Ok(Place::Trailer { seen: seen + 1, colon: colon || byte == b':' }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads `input` in pieces of `size` bytes: the body, and how much was consumed.
    fn read(input: &[u8], size: usize) -> Result<(Vec<u8>, usize), &'static str> {
        let (mut chunked, mut body, mut at) = (Chunked::new(), Vec::new(), 0);
        for piece in input.chunks(size) {
            let mut rest = piece;
            while !rest.is_empty() {
                let (consumed, found) = chunked.step(rest)?;
                at += consumed;
                match found {
                    Found::Data(range) => body.extend_from_slice(&rest[range]),
                    Found::Done => return Ok((body, at)),
                    Found::NeedMore => {}
                }
                rest = &rest[consumed..];
            }
        }
        Err("not over")
    }

    #[test]
    fn a_body_reads_the_same_in_pieces_of_any_size() {
        let input = b"5;x=y\r\nhello\r\n1\r\n \r\n005\r\nworld\r\n0\r\nA: b\r\nC: d\r\n\r\nNEXT";
        for size in 1..input.len() {
            let (body, consumed) = read(input, size).expect("read");
            assert_eq!((&body[..], consumed), (&b"hello world"[..], input.len() - 4), "by {size}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        let cases: [&[u8]; 10] = [
            b"\r\n",
            b"5\nhello",
            b"x\r\n",
            b"5 \r\nhello",
            b"2\r\nhello\r\n",
            b"5;a\nb\r\nhello",
            b"1234567890abcdef\r\n",
            b"0\r\nno colon\r\n\r\n",
            b"0\r\n\rX",
            b"-1\r\n",
        ];
        for case in cases {
            let error = read(case, 64).expect_err("refused");
            assert_ne!(error, "not over", "{:?}", String::from_utf8_lossy(case));
        }
    }

    #[test]
    fn endless_lines_are_cut() {
        let mut extension = b"1;".to_vec();
        extension.resize(8192, b'a');
        assert_eq!(read(&extension, 1000), Err("chunk extensions that never end"));
        let mut trailers = b"0\r\n".to_vec();
        trailers.extend(b"a: b\r\n".repeat(20_000));
        assert_eq!(read(&trailers, 1000), Err("trailers that never end"));
    }
}
