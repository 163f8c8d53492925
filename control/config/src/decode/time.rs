//! Durations and timestamps in the text forms of proto-JSON.

/// Longest duration that protobuf allows, in seconds (about 10,000 years).
const MAX_SECONDS: i64 = 315_576_000_000;
/// 9999-12-31T23:59:59Z, the last second that protobuf allows.
const MAX_TIMESTAMP: i64 = 253_402_300_799;
/// 0001-01-01T00:00:00Z, the first.
const MIN_TIMESTAMP: i64 = -62_135_596_800;

/// `1s`, `0.25s`, `-3s` as seconds and nanoseconds of one sign.
pub(super) fn duration(text: &str) -> Result<(i64, i32), &'static str> {
    let number = text.strip_suffix('s').ok_or("a duration must end with a single 's'")?;
    let (negative, number) = match number.strip_prefix('-') {
        Some(positive) => (true, positive),
        None => (false, number),
    };
    let (whole, fraction) = match number.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (number, None),
    };
    let seconds = digits(whole).ok_or("a duration must start with a whole number")?;
    let nanos = fraction.map_or(Some(0), nanos).ok_or("a duration has at most nine decimals")?;
    if seconds > MAX_SECONDS {
        return Err("the duration is out of range");
    }
    Ok(if negative { (-seconds, -nanos) } else { (seconds, nanos) })
}

/// `2024-02-29T12:00:00.5Z`, or with an offset such as `+01:00` (RFC 3339).
pub(super) fn timestamp(text: &str) -> Option<(i64, i32)> {
    let (date, time) = text.split_at_checked(10)?;
    let days = date_days(date)?;
    let time = time.strip_prefix(['T', 't', ' '])?;
    let (clock, rest) = time.split_at_checked(8)?;
    let (nanos, zone) = fraction_and_zone(rest)?;
    let seconds = days * 86_400 + clock_seconds(clock, ':')? - offset_seconds(zone)?;
    (MIN_TIMESTAMP..=MAX_TIMESTAMP).contains(&seconds).then_some((seconds, nanos))
}

fn digits(text: &str) -> Option<i64> {
    let all_digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    all_digits.then(|| text.parse().ok()).flatten()
}

fn nanos(fraction: &str) -> Option<i32> {
    let value = digits(fraction).filter(|_| fraction.len() <= 9)?;
    let scale = 10_i64.pow(9 - u32::try_from(fraction.len()).ok()?);
    i32::try_from(value * scale).ok()
}

fn fraction_and_zone(rest: &str) -> Option<(i32, &str)> {
    let Some(fraction) = rest.strip_prefix('.') else { return Some((0, rest)) };
    let end = fraction.find(|c: char| !c.is_ascii_digit())?;
    let (fraction, zone) = fraction.split_at_checked(end)?;
    Some((nanos(fraction)?, zone))
}

/// Days from 1970-01-01 of a date in the Gregorian calendar.
fn date_days(date: &str) -> Option<i64> {
    let mut parts = date.splitn(3, '-');
    let (year, month, day) =
        (digits(parts.next()?)?, digits(parts.next()?)?, digits(parts.next()?)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let february = if leap { 29 } else { 28 };
    let lengths = [31, february, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let month = usize::try_from(month).ok().filter(|month| (1..=12).contains(month))?;
    if year < 1 || !(1..=lengths[month - 1]).contains(&day) {
        return None;
    }
    let before = year - 1;
    let from_years = before * 365 + before / 4 - before / 100 + before / 400;
    let from_months: i64 = lengths[..month - 1].iter().sum();
    // 719162 days lie between 0001-01-01 and 1970-01-01.
    Some(from_years + from_months + day - 1 - 719_162)
}

/// `12:30:05` or `12:30` as seconds.
fn clock_seconds(text: &str, separator: char) -> Option<i64> {
    let mut total = 0;
    for (part, (limit, unit)) in text.split(separator).zip([(23, 3600), (59, 60), (59, 1)]) {
        let value = digits(part).filter(|value| part.len() == 2 && *value <= limit)?;
        total += value * unit;
    }
    (text.len() == 8 || text.len() == 5).then_some(total)
}

fn offset_seconds(zone: &str) -> Option<i64> {
    if matches!(zone, "Z" | "z") {
        return Some(0);
    }
    let sign = match zone.as_bytes().first()? {
        b'+' => 1,
        b'-' => -1,
        _ => return None,
    };
    let clock = zone.get(1..).filter(|clock| clock.len() == 5)?;
    Some(sign * clock_seconds(clock, ':')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("1s"), Ok((1, 0)));
        assert_eq!(duration("0.25s"), Ok((0, 250_000_000)));
        assert_eq!(duration("-1.5s"), Ok((-1, -500_000_000)));
        assert_eq!(duration("-0.5s"), Ok((0, -500_000_000)));
        for bad in ["1", "1ms", "1.s", ".5s", "+1s", "s", "-s", "1 s", "1.1234567891s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
        assert!(duration("315576000000s").is_ok() && duration("315576000001s").is_err());
        assert!(duration("99999999999999999999s").is_err());
    }

    #[test]
    fn timestamps() {
        assert_eq!(timestamp("1970-01-01T00:00:00Z"), Some((0, 0)));
        assert_eq!(timestamp("2024-02-29T12:00:00.5Z"), Some((1_709_208_000, 500_000_000)));
        assert_eq!(timestamp("1970-01-01T01:00:00+01:00"), Some((0, 0)));
        assert_eq!(timestamp("0001-01-01T00:00:00Z"), Some((MIN_TIMESTAMP, 0)));
        for bad in ["", "2023-02-29T00:00:00Z", "1970-01-01", "1970-01-01T00:00:00", "é"] {
            assert_eq!(timestamp(bad), None, "{bad}");
        }
    }
}
