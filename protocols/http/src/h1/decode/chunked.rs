//! Chunked transfer coding (RFC 9112 section 7.1), strictly: hexadecimal digits, CRLF line ends,
//! bounded extensions that are dropped, bounded trailers.
//!
//! Envoy takes any bytes between the data of a chunk and its line end, and a lone LF there and
//! behind trailers. Both let two parsers disagree on where a message ends, so neither is taken
//! here.

use super::body::at_most;
use super::collect::Collected;
use super::error::HeadError;
use super::lenient::unfold;
use crate::hop_by_hop::NOT_IN_TRAILERS;
use crate::known::Known;
use crate::{Fields, Step};

/// Walks over the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    state: State,
    /// The size being read, then the bytes of the chunk that are left.
    left: u64,
    /// Digits of the size, then bytes behind it on its line: both are bounded.
    line_bytes: u16,
    /// Bytes of extensions that chunk data has not yet paid for.
    overhead: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    /// Blanks behind the size.
    Blank,
    Extension,
    SizeLf,
    Data,
    DataCr,
    DataLf,
    Trailers,
    Done,
}

/// Where trailers go, and how many may.
pub(super) struct TrailerSink<'a> {
    pub(super) collected: &'a mut Collected,
    pub(super) trailers: &'a mut Fields,
    pub(super) enabled: bool,
    pub(super) max_bytes: usize,
    pub(super) max_fields: usize,
}

/// 16 hexadecimal digits are the 64 bits of a size.
const MAX_SIZE_DIGITS: u16 = 16;

/// Bytes behind one size, on its line.
const MAX_EXTENSION_BYTES: u16 = 4096;

/// CVE-2023-39326: extensions may not be used to send much more than the body that they come
/// with. Each chunk allows for as many bytes of them as it has data, and a few more; beyond that
/// so many are tolerated in all.
const MAX_OVERHEAD_BYTES: u64 = 16 * 1024;
const FREE_EXTENSION_BYTES: u64 = 16;

impl ChunkedReader {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Walks to the next piece of data, to the end of the body, or over all of `input`.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        mut sink: TrailerSink<'_>,
    ) -> Result<(usize, Step), HeadError> {
        let mut at = 0;
        while at < input.len() {
            match self.state {
                State::Data => return Ok(self.data(input, at)),
                State::Trailers => return self.trailers(input, at, &mut sink),
                State::Done => break,
                _ => self.framing(input[at])?,
            }
            at += 1;
        }
        Ok((at, Step::NeedMore))
    }

    fn data(&mut self, input: &[u8], at: usize) -> (usize, Step) {
        let taken = at_most(self.left, input.len() - at);
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        (at + taken, Step::Data(at..at + taken))
    }

    fn framing(&mut self, byte: u8) -> Result<(), HeadError> {
        self.state = match (self.state, byte) {
            (State::Size, b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F') => self.size_digit(byte)?,
            (State::Size, b'\r' | b';' | b' ' | b'\t') if self.line_bytes == 0 => {
                return Err(HeadError::Malformed("missing chunk size"));
            }
            (State::Size | State::Blank | State::Extension, b'\r') => State::SizeLf,
            // Some servers pad the size with blanks; Envoy takes them.
            (State::Size | State::Blank, b' ' | b'\t') => self.line_byte(State::Blank)?,
            (State::Size | State::Blank, b';') => self.line_byte(State::Extension)?,
            // A lone LF inside an extension is where parsers disagree on the end of the line.
            (State::Extension, b'\t' | b' '..=0x7e | 0x80..) => self.line_byte(State::Extension)?,
            (State::SizeLf, b'\n') => self.begin_chunk()?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            (State::Size | State::Blank, _) => {
                return Err(HeadError::Malformed("invalid chunk size"));
            }
            _ => return Err(HeadError::Malformed("invalid chunk framing")),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, HeadError> {
        let digit = (byte as char).to_digit(16).unwrap_or(0);
        self.line_bytes += 1;
        if self.line_bytes > MAX_SIZE_DIGITS {
            return Err(HeadError::Malformed("chunk size overflow"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn line_byte(&mut self, next: State) -> Result<State, HeadError> {
        self.line_bytes += 1;
        self.overhead += 1;
        if self.line_bytes > MAX_EXTENSION_BYTES {
            return Err(HeadError::Malformed("chunk extension too long"));
        }
        Ok(next)
    }

    fn begin_chunk(&mut self) -> Result<State, HeadError> {
        self.line_bytes = 0;
        let allowance = self.left.saturating_add(FREE_EXTENSION_BYTES);
        self.overhead = self.overhead.saturating_sub(allowance);
        if self.overhead > MAX_OVERHEAD_BYTES {
            return Err(HeadError::Malformed("chunk extensions outweigh the body"));
        }
        Ok(if self.left == 0 { State::Trailers } else { State::Data })
    }

    fn trailers(
        &mut self,
        input: &[u8],
        at: usize,
        sink: &mut TrailerSink<'_>,
    ) -> Result<(usize, Step), HeadError> {
        let (taken, ended) = sink.collected.take(&input[at..]);
        if sink.collected.len() > sink.max_bytes {
            return Err(HeadError::TooLarge);
        }
        if !ended {
            return Ok((at + taken, Step::NeedMore));
        }
        self.state = State::Done;
        let reported = sink.read()?;
        sink.collected.clear();
        // Without trailers to report the message ends in the same step.
        Ok((at + taken, if reported { Step::Trailers } else { Step::Complete }))
    }
}

impl TrailerSink<'_> {
    /// Reads the gathered trailers, which must be valid even when they are dropped. Returns
    /// whether there are any to report.
    fn read(&mut self) -> Result<bool, HeadError> {
        self.trailers.clear();
        let lines = self.collected.bytes();
        if lines == b"\r\n" {
            return Ok(false);
        }
        if memchr::memchr_iter(b'\n', lines).any(|at| at == 0 || lines[at - 1] != b'\r') {
            return Err(HeadError::Malformed("lone LF in trailers"));
        }
        let Some((plain, _)) = unfold(lines)? else {
            return Err(HeadError::Malformed("unfinished trailers"));
        };
        self.parse(&plain)?;
        Ok(!self.trailers.is_empty())
    }

    fn parse(&mut self, lines: &[u8]) -> Result<(), HeadError> {
        let most = self.max_fields.min(lines.len() / 3) + 1;
        let mut slots = vec![httparse::EMPTY_HEADER; most];
        let fields = match httparse::parse_headers(lines, &mut slots) {
            Ok(httparse::Status::Complete((_, fields))) => fields,
            Ok(httparse::Status::Partial) => return Err(HeadError::Malformed("invalid trailers")),
            Err(error) => return Err(HeadError::parse(error)),
        };
        if fields.len() > self.max_fields {
            return Err(HeadError::TooManyFields);
        }
        if !self.enabled {
            return Ok(());
        }
        let mut held = self.trailers.hold(lines, lines);
        for field in fields {
            let stored = |known: Known| NOT_IN_TRAILERS & known.bit() == 0;
            self.trailers.push_held(&mut held, field.name.as_bytes(), field.value, 0, stored);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(input: &[u8], size: usize) -> Result<(Vec<u8>, Fields, usize), HeadError> {
        let (mut collected, mut trailers) = (Collected::default(), Fields::new());
        let mut reader = ChunkedReader::default();
        let (mut data, mut total) = (Vec::new(), 0);
        for piece in input.chunks(size) {
            let mut rest = piece;
            loop {
                let sink = TrailerSink {
                    collected: &mut collected,
                    trailers: &mut trailers,
                    enabled: true,
                    max_bytes: 1000,
                    max_fields: 5,
                };
                let (consumed, step) = reader.step(rest, sink)?;
                total += consumed;
                match step {
                    Step::Data(range) => data.extend_from_slice(&rest[range]),
                    Step::NeedMore => break assert_eq!(consumed, rest.len()),
                    Step::Trailers | Step::Complete => return Ok((data, trailers, total)),
                    other => panic!("{other:?}"),
                }
                rest = &rest[consumed..];
            }
        }
        panic!("not complete: {:?}", String::from_utf8_lossy(input));
    }

    #[test]
    fn bodies_are_the_same_at_every_split() {
        let input =
            b"5\r\nhello\r\n00A;x=\"y\"\r\n, wor\r\nld.\r\n1  ;\r\n!\r\n0\r\na: b\r\nC: d\r\n\r\n";
        for size in 1..=input.len() {
            let (data, trailers, total) = decode(input, size).unwrap();
            assert_eq!(data, b"hello, wor\r\nld.!", "by {size}");
            assert_eq!(trailers.get("c"), Some(&b"d"[..]));
            assert_eq!((trailers.len(), total), (2, input.len()));
        }
    }

    #[test]
    fn what_is_behind_the_body_is_left() {
        let (data, _, total) = decode(b"1\r\nx\r\n0\r\n\r\nGET / HTTP/1.1\r\n", 100).unwrap();
        assert_eq!((data.as_slice(), total), (&b"x"[..], 11));
    }

    #[test]
    fn invalid_framing_is_refused_at_every_split() {
        for input in [
            "0x1\r\nx\r\n0\r\n\r\n",
            "+1\r\nx\r\n0\r\n\r\n",
            "-1\r\nx\r\n0\r\n\r\n",
            " 1\r\nx\r\n0\r\n\r\n",
            "1_0\r\nx\r\n0\r\n\r\n",
            "g\r\nx\r\n0\r\n\r\n",
            "\r\n0\r\n\r\n",
            ";a\r\nx\r\n0\r\n\r\n",
            "1\nx\r\n0\r\n\r\n",
            "1;a\nx\r\n0\r\n\r\n",
            "1;a\rb\r\nx\r\n0\r\n\r\n",
            "1;\0\r\nx\r\n0\r\n\r\n",
            "1\r\r\nx\r\n0\r\n\r\n",
            "1 1\r\nx\r\n0\r\n\r\n",
            "1,\r\nx\r\n0\r\n\r\n",
            "1\u{b}\r\nx\r\n0\r\n\r\n",
            "1\r\nx\n0\r\n\r\n",
            "1\r\nxy\r\n0\r\n\r\n",
            "2\r\nx\r\n0\r\n\r\n",
            "1\r\nx0\r\n\r\n",
            "1\r\nx\r0\r\n\r\n",
            "0\n\r\n",
            "0\r\n\n",
            "0\r\na: b\n\r\n",
            "0\r\n\r\r\n\r\n",
            "10000000000000000\r\nx",
            "00000000000000001\r\nx\r\n0\r\n\r\n",
            "0\r\na : b\r\n\r\n",
            "0\r\na\r\n\r\n",
            "0\r\n: b\r\n\r\n",
            "0\r\n a: b\r\n\r\n",
            "0\r\na: b\rc\r\n\r\n",
            "0\r\n:path: x\r\n\r\n",
        ] {
            for size in 1..=input.len() {
                let result = decode(input.as_bytes(), size);
                assert!(matches!(result, Err(HeadError::Malformed(_))), "{input:?} {result:?}");
            }
        }
        assert_eq!(decode(b"0\r\na: \0\r\n\r\n", 1), Err(HeadError::InvalidCharacters));
    }

    #[test]
    fn cve_2023_39326_extensions_are_bounded() {
        let long = format!("1;{}\r\nx\r\n0\r\n\r\n", "a".repeat(5000));
        assert!(decode(long.as_bytes(), long.len()).is_err());
        let many = format!("1;{}\r\nx\r\n", "a".repeat(1000)).repeat(20);
        assert!(decode(many.as_bytes(), many.len()).is_err());
        let signed = format!("2000;{}\r\n{}\r\n", "a".repeat(100), "x".repeat(8192)).repeat(500);
        let (data, ..) = decode((signed + "0\r\n\r\n").as_bytes(), 65_536).unwrap();
        assert_eq!(data.len(), 500 * 8192);
    }

    #[test]
    fn trailers_are_bounded() {
        let trailers = |count: usize| format!("0\r\n{}\r\n", "a: b\r\n".repeat(count));
        assert_eq!(decode(trailers(5).as_bytes(), 7).unwrap().1.len(), 5);
        assert_eq!(decode(trailers(6).as_bytes(), 7), Err(HeadError::TooManyFields));
        let long = format!("0\r\na: {}", "b".repeat(1000));
        assert_eq!(decode(long.as_bytes(), 10), Err(HeadError::TooLarge));
    }

    #[test]
    fn framing_fields_are_dropped_from_trailers() {
        let input =
            b"0\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\nHost: h\r\nx: y\r\n\r\n";
        let (_, trailers, _) = decode(input, 3).unwrap();
        assert_eq!(trailers.iter().collect::<Vec<_>>(), [(&b"x"[..], &b"y"[..])]);
    }

    #[test]
    fn folded_trailers_are_joined() {
        let (_, trailers, _) = decode(b"0\r\na: b\r\n c\r\n\r\n", 2).unwrap();
        assert_eq!(trailers.get("a"), Some(&b"b c"[..]));
    }
}
