//! What a proxy has to know of gRPC: which messages are gRPC, their deadlines, and their status.
//!
//! Owns the reading and writing of those fields, as Envoy 1.40 does both. Does not own when a
//! deadline counts (`route`) nor the frames inside of bodies (the filters that look there).

use std::io::Write;
use std::time::Duration;

use ringway_http::{Fields, Known, RequestHead};

use crate::format::FormatContext;

/// `content-type` of gRPC over HTTP/2.
pub const CONTENT_TYPE: &[u8] = b"application/grpc";

/// `DEADLINE_EXCEEDED`
pub const DEADLINE_EXCEEDED: u8 = 4;
/// `UNAVAILABLE`
pub const UNAVAILABLE: u8 = 14;

/// The highest status that has a name.
const LAST_STATUS: u8 = 16;
/// Digits of a `grpc-timeout`, and the largest number of so many.
const TIMEOUT_DIGITS: usize = 8;
const TIMEOUT_MAX: u128 = 99_999_999;

/// Whether a message says that it is gRPC: `application/grpc` or `application/grpc+proto`, but not
/// `application/grpc-web`.
#[must_use]
pub fn is_grpc(fields: &Fields) -> bool {
    let content_type = fields.known(Known::ContentType).unwrap_or_default();
    let rest = content_type.strip_prefix(CONTENT_TYPE);
    rest.is_some_and(|rest| matches!(rest.first(), None | Some(b'+')))
}

/// `/package.Service/Method`, split; `None` for any other path.
#[must_use]
pub fn service_and_method(head: &RequestHead) -> Option<(&[u8], &[u8])> {
    let path = head.path_without_query().strip_prefix(b"/")?;
    let slash = path.iter().position(|byte| *byte == b'/')?;
    let (service, method) = (&path[..slash], &path[slash + 1..]);
    let plain = !service.is_empty() && !method.is_empty() && !method.contains(&b'/');
    plain.then_some((service, method))
}

/// `grpc-status` of a head or of trailers; `None` without one that is a known number.
#[must_use]
pub fn status(fields: &Fields) -> Option<u8> {
    let text = std::str::from_utf8(fields.known(Known::GrpcStatus)?).ok()?;
    text.parse().ok().filter(|status| *status <= LAST_STATUS)
}

/// The status of a call, as in Envoy: what the trailers say, else the head, else what the HTTP
/// status stands for, else 2.
#[must_use]
pub fn status_of(cx: &FormatContext<'_>) -> u8 {
    let of_trailers = cx.trailers.and_then(status);
    let of_head = || cx.response.and_then(|head| status(&head.fields));
    let told = of_trailers.or_else(of_head);
    told.unwrap_or_else(|| status_of_http(cx.info.response_code))
}

/// The status that stands for an HTTP one (Envoy's `Grpc::Utility::httpToGrpcStatus`).
#[must_use]
pub fn status_of_http(status: u16) -> u8 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => UNAVAILABLE,
        _ => 2,
    }
}

/// `grpc-timeout` of a request, in whole milliseconds, rounded up; `None` without one that is one
/// to eight digits and a unit.
#[must_use]
pub fn timeout(fields: &Fields) -> Option<Duration> {
    let text = fields.known(Known::GrpcTimeout)?;
    let (unit, number) = text.split_last()?;
    // Envoy takes a sign that a gRPC client never sends.
    let digits = number.strip_prefix(b"+").unwrap_or(number);
    if digits.is_empty() || digits.len() > TIMEOUT_DIGITS || !digits.iter().all(u8::is_ascii_digit)
    {
        return None;
    }
    let number = digits.iter().fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 3600),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_millis(number.div_ceil(1000)),
        b'n' => Duration::from_millis(number.div_ceil(1_000_000)),
        _ => return None,
    })
}

/// Sets `grpc-timeout`, in the finest unit from milliseconds on that takes eight digits.
pub fn set_timeout(fields: &mut Fields, timeout: Duration) {
    let millis = timeout.as_millis();
    let units = [(1, 'm'), (1000, 'S'), (60_000, 'M'), (3_600_000, 'H')];
    let fitting = units.into_iter().find(|(size, _)| millis / size <= TIMEOUT_MAX);
    let (number, unit) = match fitting {
        Some((size, unit)) => (millis / size, unit),
        None => (TIMEOUT_MAX, 'H'),
    };
    fields.set_known_with(Known::GrpcTimeout, |out| {
        // Writing to a vector cannot fail.
        let _ = write!(out, "{number}{unit}");
    });
}

/// The encoding of `grpc-message`: everything but printable ASCII, and `%` itself.
pub fn percent_encode(text: &[u8], out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in text {
        match byte {
            b' '..=b'}' if *byte != b'%' => out.push(*byte),
            _ => {
                let (high, low) = (usize::from(byte >> 4), usize::from(byte & 0xf));
                out.extend_from_slice(&[b'%', DIGITS[high], DIGITS[low]]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(name: Known, value: &str) -> Fields {
        let mut fields = Fields::new();
        fields.push_known(name, value.as_bytes());
        fields
    }

    #[test]
    fn grpc_is_known_by_its_content_type() {
        for (content_type, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("application/grpc;x", false),
            ("application/grp", false),
            ("text/plain", false),
        ] {
            let fields = fields(Known::ContentType, content_type);
            assert_eq!(is_grpc(&fields), expected, "{content_type}");
        }
        assert!(!is_grpc(&Fields::new()));
    }

    /// As Envoy 1.40 wrote them to the upstream.
    #[test]
    fn timeouts_are_read_and_written_as_envoy_does() {
        for (read, written) in [
            ("7S", "7000m"),
            ("+7S", "7000m"),
            ("00000010S", "10000m"),
            ("700000u", "700m"),
            ("1500001u", "1501m"),
            ("99999999n", "100m"),
            ("5n", "1m"),
            ("60M", "3600000m"),
            ("5H", "18000000m"),
            ("100000S", "100000S"),
            ("99999999M", "99999999M"),
            ("99999999H", "99999999H"),
            ("0m", "0m"),
        ] {
            let mut fields = fields(Known::GrpcTimeout, read);
            let timeout = timeout(&fields).unwrap_or_else(|| panic!("{read}"));
            set_timeout(&mut fields, timeout);
            assert_eq!(fields.known(Known::GrpcTimeout), Some(written.as_bytes()), "{read}");
        }
        for text in ["", "m", "7", "7s", "7h", "7x", "-1m", "100000000m", "1 m", "++1m", "é"] {
            assert_eq!(timeout(&fields(Known::GrpcTimeout, text)), None, "{text}");
        }
    }

    #[test]
    fn a_status_is_a_number_with_a_name() {
        for (text, expected) in
            [("0", Some(0)), ("16", Some(16)), ("17", None), ("-1", None), ("", None), ("x", None)]
        {
            assert_eq!(status(&fields(Known::GrpcStatus, text)), expected, "{text}");
        }
    }

    #[test]
    fn paths_name_a_service_and_a_method() {
        let split = |path: &str| {
            let mut head = RequestHead::new();
            head.set_path(path.as_bytes());
            let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
            service_and_method(&head).map(|(service, method)| (text(service), text(method)))
        };
        assert_eq!(split("/a.B/C"), Some(("a.B".to_owned(), "C".to_owned())));
        for path in ["/a.B", "/a.B/", "//C", "/a/b/c", "*", ""] {
            assert_eq!(split(path), None, "{path}");
        }
    }

    #[test]
    fn the_message_is_printable_ascii() {
        let mut out = Vec::new();
        percent_encode("50 % of\nthé".as_bytes(), &mut out);
        assert_eq!(out, b"50 %25 of%0Ath%C3%A9");
    }
}
