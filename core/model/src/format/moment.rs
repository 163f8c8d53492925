//! `%COMMON_DURATION(from:to:unit)%`: the time between two moments of a stream.

use std::time::Duration;

use crate::stream::StreamInfo;

/// Two moments and the unit in which the time between them is written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Between {
    from: Moment,
    to: Moment,
    unit: Unit,
}

/// What happens in the life of a stream, by Envoy's names.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// `DS_RX_BEG`
    Begin,
    /// `DS_RX_END`
    RequestReceived,
    /// `US_TX_BEG`
    RequestPassedOn,
    /// `US_TX_END`
    RequestSent,
    /// `US_RX_BEG`
    ResponseBegins,
    /// `US_RX_END`
    ResponseReceived,
    /// `DS_TX_BEG`
    ResponsePassedOn,
    /// `DS_TX_END`
    ResponseSent,
}

#[derive(Debug, Clone, Copy)]
enum Unit {
    Milliseconds,
    Microseconds,
    Nanoseconds,
}

/// What is wrong with the arguments.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrong {
    /// They are none.
    Form,
    /// This moment is not known here.
    Moment(String),
}

impl Between {
    /// Reads `from:to:unit`.
    pub(super) fn parse(arguments: &str) -> Result<Self, Wrong> {
        let mut parts = arguments.split(':');
        let (Some(from), Some(to), Some(unit), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(Wrong::Form);
        };
        let unit = match unit {
            "ms" => Unit::Milliseconds,
            "us" => Unit::Microseconds,
            "ns" => Unit::Nanoseconds,
            _ => return Err(Wrong::Form),
        };
        let moment = |name: &str| Moment::named(name).ok_or_else(|| Wrong::Moment(name.to_owned()));
        Ok(Self { from: moment(from)?, to: moment(to)?, unit })
    }

    /// The time, unless one of the moments did not come, or they came the other way round.
    pub(super) fn of(self, info: &StreamInfo) -> Option<u64> {
        let time = self.to.of(info)?.checked_sub(self.from.of(info)?)?;
        let whole = match self.unit {
            Unit::Milliseconds => time.as_millis(),
            Unit::Microseconds => time.as_micros(),
            Unit::Nanoseconds => time.as_nanos(),
        };
        u64::try_from(whole).ok()
    }
}

impl Moment {
    fn named(name: &str) -> Option<Self> {
        Some(match name {
            "DS_RX_BEG" => Self::Begin,
            "DS_RX_END" => Self::RequestReceived,
            "US_TX_BEG" => Self::RequestPassedOn,
            "US_TX_END" => Self::RequestSent,
            "US_RX_BEG" => Self::ResponseBegins,
            "US_RX_END" => Self::ResponseReceived,
            "DS_TX_BEG" => Self::ResponsePassedOn,
            "DS_TX_END" => Self::ResponseSent,
            _ => return None,
        })
    }

    fn of(self, info: &StreamInfo) -> Option<Duration> {
        match self {
            Self::Begin => Some(Duration::ZERO),
            Self::RequestReceived => info.request_received,
            Self::RequestPassedOn => info.upstream_sent,
            Self::RequestSent => info.request_sent,
            Self::ResponseBegins => info.response_received,
            Self::ResponseReceived => info.response_complete,
            Self::ResponsePassedOn => info.response_sent,
            Self::ResponseSent => info.response_sent.and(info.finished),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Instant, SystemTime};

    use super::*;

    #[test]
    fn time_passes_from_one_moment_to_the_next() {
        let mut info = StreamInfo::new(Instant::now(), SystemTime::UNIX_EPOCH);
        info.upstream_sent = Some(Duration::from_micros(1_500));
        info.response_received = Some(Duration::from_micros(4_000));
        let of = |text: &str| Between::parse(text).expect(text).of(&info);
        assert_eq!(of("US_TX_BEG:US_RX_BEG:ms"), Some(2));
        assert_eq!(of("US_TX_BEG:US_RX_BEG:us"), Some(2_500));
        assert_eq!(of("DS_RX_BEG:US_TX_BEG:ns"), Some(1_500_000));
        assert_eq!(of("US_RX_BEG:US_TX_BEG:us"), None, "the other way round");
        assert_eq!(of("DS_RX_BEG:DS_TX_END:us"), None, "it did not come");
    }

    #[test]
    fn what_is_no_duration_is_refused() {
        for text in ["", "DS_RX_BEG:US_TX_BEG", "DS_RX_BEG:US_TX_BEG:s", "DS_RX_BEG:a:b:c"] {
            assert_eq!(Between::parse(text).err(), Some(Wrong::Form), "{text}");
        }
        let unknown = Between::parse("US_CX_BEG:US_TX_BEG:ms").err();
        assert_eq!(unknown, Some(Wrong::Moment("US_CX_BEG".to_owned())));
    }
}
