//! Chunked transfer coding (RFC 9112 section 7.1), strictly: hexadecimal digits, CRLF line ends,
//! no white space, bounded extensions that are dropped, bounded trailers.

use super::BodyError;
use super::collect::{Collected, has_fold, unfold};
use super::fields::slots;
use crate::{Fields, Step};

/// Walks over the chunks of one body.
#[derive(Debug, Default)]
pub(super) struct ChunkedReader {
    state: State,
    /// The size being read, then the bytes of the chunk that are left.
    left: u64,
    /// Digits of the size, then bytes of the extension: both are bounded.
    line_bytes: u16,
    /// Framing bytes that chunk data has not yet paid for.
    overhead: u64,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
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

/// One extension may be so long.
const MAX_EXTENSION_BYTES: u16 = 4096;

/// CVE-2023-39326: extensions may not be used to send much more than the body that they carry.
/// Each chunk earns its framing and as much again as its data; beyond that so much is tolerated.
const MAX_OVERHEAD_BYTES: u64 = 16 * 1024;

/// What a plain chunk line costs at the most: digits and line end.
const FREE_LINE_BYTES: u64 = MAX_SIZE_DIGITS as u64 + 2;

impl ChunkedReader {
    pub(super) fn is_done(&self) -> bool {
        self.state == State::Done
    }

    /// Walks to the next piece of data, to the end of the trailers, or over all of `input`.
    /// `NeedMore` in state `Done` means that the body ended without trailers to report.
    pub(super) fn step(
        &mut self,
        input: &[u8],
        mut sink: TrailerSink<'_>,
    ) -> Result<(usize, Step), BodyError> {
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
        let room = input.len() - at;
        let taken = usize::try_from(self.left).map_or(room, |left| left.min(room));
        self.left -= taken as u64;
        if self.left == 0 {
            self.state = State::DataCr;
        }
        (at + taken, Step::Data(at..at + taken))
    }

    fn framing(&mut self, byte: u8) -> Result<(), BodyError> {
        self.state = match (self.state, byte) {
            (State::Size, b'\r') if self.line_bytes > 0 => State::SizeLf,
            (State::Size, b';') if self.line_bytes > 0 => {
                self.line_bytes = 0;
                State::Extension
            }
            (State::Size, _) => self.size_digit(byte)?,
            (State::Extension, b'\r') => State::SizeLf,
            (State::Extension, _) => self.extension_byte(byte)?,
            (State::SizeLf, b'\n') => self.begin_chunk()?,
            (State::DataCr, b'\r') => State::DataLf,
            (State::DataLf, b'\n') => State::Size,
            _ => return Err(BodyError::Malformed("invalid line end in chunk framing")),
        };
        Ok(())
    }

    fn size_digit(&mut self, byte: u8) -> Result<State, BodyError> {
        let digit = (byte as char).to_digit(16);
        let digit = digit.ok_or(BodyError::Malformed("invalid chunk size"))?;
        self.line_bytes += 1;
        if self.line_bytes > MAX_SIZE_DIGITS {
            return Err(BodyError::Malformed("chunk size overflow"));
        }
        self.left = self.left << 4 | u64::from(digit);
        Ok(State::Size)
    }

    fn extension_byte(&mut self, byte: u8) -> Result<State, BodyError> {
        // A lone LF inside an extension is where parsers disagree on the end of the line.
        if byte != b'\t' && (byte < b' ' || byte == 0x7f) {
            return Err(BodyError::Malformed("invalid chunk extension"));
        }
        self.line_bytes += 1;
        if self.line_bytes > MAX_EXTENSION_BYTES {
            return Err(BodyError::Malformed("chunk extension too long"));
        }
        self.overhead += 1;
        Ok(State::Extension)
    }

    fn begin_chunk(&mut self) -> Result<State, BodyError> {
        self.line_bytes = 0;
        self.overhead = self.overhead.saturating_sub(FREE_LINE_BYTES.saturating_add(self.left));
        if self.overhead > MAX_OVERHEAD_BYTES {
            return Err(BodyError::Malformed("chunk extensions outweigh the body"));
        }
        Ok(if self.left == 0 { State::Trailers } else { State::Data })
    }

    fn trailers(
        &mut self,
        input: &[u8],
        at: usize,
        sink: &mut TrailerSink<'_>,
    ) -> Result<(usize, Step), BodyError> {
        let (taken, ended) = sink.collected.take(&input[at..]);
        if sink.collected.len() > sink.max_bytes {
            return Err(BodyError::TrailersTooLarge);
        }
        if !ended {
            return Ok((at + taken, Step::NeedMore));
        }
        self.state = State::Done;
        let result = sink.parse();
        sink.collected.clear();
        Ok((at + taken, if result? { Step::Trailers } else { Step::NeedMore }))
    }
}

impl TrailerSink<'_> {
    /// Reads the gathered trailers; they must be valid even when they are dropped. Returns whether
    /// there are any to report.
    fn parse(&mut self) -> Result<bool, BodyError> {
        let unfolded;
        let lines = match has_fold(self.collected.bytes()) {
            true => {
                unfolded = unfold(self.collected.bytes());
                &unfolded
            }
            false => self.collected.bytes(),
        };
        let mut slots = slots();
        let _ = &mut slots;
        let mut many = vec![httparse::EMPTY_HEADER; self.max_fields.min(lines.len() / 3) + 1];
        let fields = match httparse::parse_headers(lines, &mut many) {
            Ok(httparse::Status::Complete((_, fields))) => fields,
            Err(httparse::Error::TooManyHeaders) => return Err(BodyError::TrailersTooLarge),
            _ => return Err(BodyError::Malformed("invalid trailers")),
        };
        if fields.len() > self.max_fields {
            return Err(BodyError::TrailersTooLarge);
        }
        self.trailers.clear();
        if self.enabled {
            for field in fields {
                self.trailers.push_lowered(field.name.as_bytes(), field.value, |_| true);
            }
        }
        Ok(!self.trailers.is_empty())
    }
}
