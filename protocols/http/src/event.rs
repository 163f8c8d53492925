//! The one vocabulary between any two codecs.
//!
//! A message is `Head`, then any number of `Data`, then at most one `Trailers`, then `Complete`;
//! before the head of a response any number of `Informational` may come. A stream that cannot go on
//! ends by a [`ResetReason`] instead of `Complete`. The pump of the proxy knows these words only,
//! so that it is written once and not once for each pair of protocols: an HTTP/2 engine yields the
//! same steps for each of its streams.
//!
//! Does not own the bytes: `Data` is a range within the input that the caller gave, so that a body
//! is never copied here. Heads and trailers are written into storage that is reused.

use std::ops::Range;

/// What a decoder found next. One call gives one step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// All input was consumed, and more is needed for the next step.
    NeedMore,
    /// A head of a 1xx response (other than 101) was written; the final head is still to come.
    Informational,
    /// The head was written.
    Head,
    /// The next piece of the body, as a range within the input of this call. Never empty.
    Data(Range<usize>),
    /// Trailers were written (the decoder's `trailers()`).
    Trailers,
    /// The message is over. The next call begins the next message.
    Complete,
}

/// How long a body is, as its head says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Body {
    /// There is none: `Complete` follows the head.
    #[default]
    None,
    /// Exactly this many bytes.
    Length(u64),
    /// Chunks until the one of size zero (RFC 9112 section 7.1), then trailers.
    Chunked,
    /// Everything until the peer closes; also the bytes of a tunnel after CONNECT or an upgrade.
    UntilClose,
}

impl Body {
    /// Whether no byte of body will come. A declared length of zero is an empty body too.
    #[inline]
    #[must_use]
    pub fn is_empty(self) -> bool {
        matches!(self, Self::None | Self::Length(0))
    }
}

/// Why a stream ended before its message was complete. The words are Envoy's `StreamResetReason`,
/// in the form that local reply bodies and response code details use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// This side gave up the stream.
    LocalReset,
    /// This side refused the stream before any work was done on it.
    LocalRefusedStreamReset,
    /// The peer gave up the stream.
    RemoteReset,
    /// The peer refused the stream before any work was done on it: a retry is safe.
    RemoteRefusedStreamReset,
    /// The connection to the peer could not be opened, by a failure on this host.
    LocalConnectionFailure,
    /// The connection to the peer could not be opened, by its refusal.
    RemoteConnectionFailure,
    /// The connection to the peer was not open in time.
    ConnectionTimeout,
    /// The connection ended under the stream.
    ConnectionTermination,
    /// A limit of the cluster was reached.
    Overflow,
    /// The peer broke the protocol.
    ProtocolError,
    /// The peer of an HTTP/2 CONNECT reported an error.
    ConnectError,
    /// A message was larger than what this side is willing to buffer.
    ExcessiveData,
}

impl ResetReason {
    /// The words in the body of Envoy's local reply: `reset reason: connection termination`.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::LocalReset => "local reset",
            Self::LocalRefusedStreamReset => "local refused stream reset",
            Self::RemoteReset => "remote reset",
            Self::RemoteRefusedStreamReset => "remote refused stream reset",
            Self::LocalConnectionFailure => "local connection failure",
            Self::RemoteConnectionFailure => "remote connection failure",
            Self::ConnectionTimeout => "connection timeout",
            Self::ConnectionTermination => "connection termination",
            Self::Overflow => "overflow",
            Self::ProtocolError => "protocol error",
            Self::ConnectError => "remote error with CONNECT request",
            Self::ExcessiveData => "excessive data",
        }
    }

    /// The same with `_` for blanks, as in `upstream_reset_before_response_started{...}`.
    #[must_use]
    pub fn detail(self) -> &'static str {
        match self {
            Self::LocalReset => "local_reset",
            Self::LocalRefusedStreamReset => "local_refused_stream_reset",
            Self::RemoteReset => "remote_reset",
            Self::RemoteRefusedStreamReset => "remote_refused_stream_reset",
            Self::LocalConnectionFailure => "local_connection_failure",
            Self::RemoteConnectionFailure => "remote_connection_failure",
            Self::ConnectionTimeout => "connection_timeout",
            Self::ConnectionTermination => "connection_termination",
            Self::Overflow => "overflow",
            Self::ProtocolError => "protocol_error",
            Self::ConnectError => "remote_error_with_CONNECT_request",
            Self::ExcessiveData => "excessive_data",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_are_the_text_with_underscores() {
        for reason in [
            ResetReason::LocalReset,
            ResetReason::RemoteConnectionFailure,
            ResetReason::ConnectionTermination,
            ResetReason::ConnectError,
            ResetReason::ProtocolError,
        ] {
            assert_eq!(reason.text().replace(' ', "_"), reason.detail());
        }
    }
}
