//! What can be wrong on either side; `RequestError` and `ResponseError` say whose fault it was.

use crate::h1::{RequestError, ResponseError};

/// Why a head, a chunk or trailers cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Malformed(&'static str),
    InvalidCharacters,
    LowVersion,
    TooManyFields,
    TooLarge,
}

impl HeadError {
    /// What httparse's complaint means, where a second look found nothing more precise.
    pub(super) fn parse(error: httparse::Error) -> Self {
        Self::Malformed(match error {
            httparse::Error::HeaderName => "invalid field name",
            httparse::Error::HeaderValue => "invalid field value",
            httparse::Error::NewLine => "invalid line end",
            httparse::Error::Status => "invalid status",
            httparse::Error::Token => "invalid start line",
            httparse::Error::TooManyHeaders => return Self::TooManyFields,
            httparse::Error::Version => "invalid protocol version",
        })
    }
}

impl From<HeadError> for RequestError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(what) => Self::Malformed(what),
            HeadError::InvalidCharacters => Self::InvalidCharacters,
            HeadError::LowVersion => Self::LowVersion,
            HeadError::TooManyFields => Self::TooManyFields,
            HeadError::TooLarge => Self::HeadTooLarge,
        }
    }
}

impl From<HeadError> for ResponseError {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::Malformed(what) => Self::Malformed(what),
            HeadError::InvalidCharacters => Self::InvalidCharacters,
            HeadError::LowVersion => Self::Malformed("invalid protocol version"),
            HeadError::TooManyFields => Self::TooManyFields,
            HeadError::TooLarge => Self::HeadTooLarge,
        }
    }
}
