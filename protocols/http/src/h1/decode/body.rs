//! Walks over a body of any framing.

use super::chunked::{ChunkedReader, TrailerSink};
use super::error::HeadError;
use crate::{Body, Step};

/// What is left of the body of the current message.
#[derive(Debug, Default)]
pub(super) enum BodyReader {
    /// All of it was read: `Complete` is due.
    #[default]
    Done,
    /// So many bytes.
    Length(u64),
    Chunked(ChunkedReader),
    /// Whatever comes until the peer closes.
    UntilClose,
}

impl BodyReader {
    #[inline]
    pub(super) fn new(body: Body) -> Self {
        match body {
            Body::None | Body::Length(0) => Self::Done,
            Body::Length(length) => Self::Length(length),
            Body::Chunked => Self::Chunked(ChunkedReader::default()),
            Body::UntilClose => Self::UntilClose,
        }
    }

    /// The next step of the body; consumed bytes first. `Complete` is for the caller to act on.
    #[inline]
    pub(super) fn step(
        &mut self,
        input: &[u8],
        trailers: TrailerSink<'_>,
    ) -> Result<(usize, Step), HeadError> {
        match self {
            Self::Done => Ok((0, Step::Complete)),
            _ if input.is_empty() => Ok((0, Step::NeedMore)),
            Self::Length(left) => {
                let taken = at_most(*left, input.len());
                *left -= taken as u64;
                if *left == 0 {
                    *self = Self::Done;
                }
                Ok((taken, Step::Data(0..taken)))
            }
            Self::Chunked(reader) => {
                let (consumed, step) = reader.step(input, trailers)?;
                if reader.is_done() {
                    *self = Self::Done;
                }
                Ok((consumed, step))
            }
            Self::UntilClose => Ok((input.len(), Step::Data(0..input.len()))),
        }
    }
}

/// The smaller of the two.
#[inline]
pub(super) fn at_most(left: u64, room: usize) -> usize {
    usize::try_from(left).map_or(room, |left| left.min(room))
}
