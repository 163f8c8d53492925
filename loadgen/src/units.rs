//! Durations, sizes, rates and counts as people write and read them.
//!
//! Owns the text forms only. Times inside the program are nanoseconds in `u64`.

use std::time::Duration;

/// Reads `250us`, `20ms`, `1.5s`, `2m`, `1h`; a bare number is seconds.
pub(crate) fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "ns" => 1e-9,
        "us" | "µs" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        _ => return Err(format!("`{unit}` is no unit of time: use us, ms, s, m or h")),
    };
    let seconds = parse_number(number)? * scale;
    Duration::try_from_secs_f64(seconds).map_err(|_| format!("`{text}` is out of range"))
}

/// Reads `512`, `64k`, `64KiB`, `1MiB`, `2G`: steps of 1024, in bytes.
pub(crate) fn parse_size(text: &str) -> Result<u64, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit.trim_end_matches("iB").trim_end_matches(['b', 'B']) {
        "" => 1.0,
        "k" | "K" => 1024.0,
        "m" | "M" => 1024.0 * 1024.0,
        "g" | "G" => 1024.0 * 1024.0 * 1024.0,
        _ => return Err(format!("`{unit}` is no unit of size: use k, M or G")),
    };
    let bytes = parse_number(number)? * scale;
    if bytes > 1e15 { Err(format!("`{text}` is out of range")) } else { Ok(bytes as u64) }
}

/// Reads `500`, `10k`, `1.5M`: steps of 1000.
pub(crate) fn parse_rate(text: &str) -> Result<f64, String> {
    let (number, unit) = split_unit(text);
    let scale = match unit {
        "" | "/s" => 1.0,
        "k" | "K" => 1e3,
        "m" | "M" => 1e6,
        _ => return Err(format!("`{unit}` is no unit of a rate: use k or M, per second")),
    };
    let rate = parse_number(number)? * scale;
    if rate > 0.0 && rate < 1e9 { Ok(rate) } else { Err(format!("`{text}` is out of range")) }
}

/// Reads a whole count with the same units as a rate.
pub(crate) fn parse_count(text: &str) -> Result<u64, String> {
    let count = parse_rate(text)?;
    if count.fract() == 0.0 { Ok(count as u64) } else { Err(format!("`{text}` is not whole")) }
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end =
        text.find(|c: char| !c.is_ascii_digit() && c != '.' && c != '_').unwrap_or(text.len());
    (&text[..end], text[end..].trim())
}

fn parse_number(text: &str) -> Result<f64, String> {
    let plain: String = text.chars().filter(|c| *c != '_').collect();
    plain.parse().map_err(|_| format!("`{text}` is no number"))
}

/// `873ns`, `51.2us`, `1.23ms`, `4.56s`: three digits and a unit.
pub(crate) fn duration(ns: u64) -> String {
    let ns = ns as f64;
    let (value, unit) = match ns {
        n if n < 999.5 => return format!("{n:.0}ns"),
        n if n < 999_500.0 => (n / 1e3, "us"),
        n if n < 999_500_000.0 => (n / 1e6, "ms"),
        n => (n / 1e9, "s"),
    };
    format!("{}{unit}", three_digits(value))
}

fn three_digits(value: f64) -> String {
    match value {
        v if v < 9.995 => format!("{v:.2}"),
        v if v < 99.95 => format!("{v:.1}"),
        v => format!("{v:.0}"),
    }
}

/// `1,234,567`.
pub(crate) fn count(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// `98,123` above a hundred, with decimals below.
pub(crate) fn rate(per_second: f64) -> String {
    match per_second {
        r if r >= 100.0 => count(r.round() as u64),
        r if r >= 10.0 => format!("{r:.1}"),
        r => format!("{r:.2}"),
    }
}

/// `12.3 MB`: steps of 1000, as networks count.
pub(crate) fn bytes(n: f64) -> String {
    let (value, unit) = match n {
        n if n < 1e3 => return format!("{n:.0} B"),
        n if n < 1e6 => (n / 1e3, "kB"),
        n if n < 1e9 => (n / 1e6, "MB"),
        n => (n / 1e9, "GB"),
    };
    format!("{} {unit}", three_digits(value))
}

/// `10s`, `1m 30s`, `250ms`: a planned time, without more digits than it has.
pub(crate) fn plain_duration(duration: Duration) -> String {
    let seconds = duration.as_secs_f64();
    if seconds >= 60.0 && seconds.fract() == 0.0 {
        let (minutes, rest) = (seconds as u64 / 60, seconds as u64 % 60);
        return if rest == 0 { format!("{minutes}m") } else { format!("{minutes}m {rest}s") };
    }
    if seconds >= 1.0 || seconds == 0.0 {
        return format!("{seconds}s");
    }
    if seconds >= 1e-3 { format!("{}ms", seconds * 1e3) } else { format!("{}us", seconds * 1e6) }
}

/// Nanoseconds of a duration; 584 years are enough.
pub(crate) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_in_every_unit() {
        let read = |text| parse_duration(text).expect(text).as_nanos();
        assert_eq!(read("10"), 10_000_000_000);
        assert_eq!(read("250us"), 250_000);
        assert_eq!(read("1.5s"), 1_500_000_000);
        assert_eq!(read("2m"), 120_000_000_000);
        assert_eq!(read("20 ms"), 20_000_000);
        assert!(parse_duration("5x").expect_err("no unit").contains("`x` is no unit"));
        assert!(parse_duration("").is_err());
        assert!(parse_duration("1e9").is_err());
        assert!(parse_duration("-1s").is_err());
    }

    #[test]
    fn sizes_step_by_1024_and_rates_by_1000() {
        assert_eq!(parse_size("64k"), Ok(65_536));
        assert_eq!(parse_size("64KiB"), Ok(65_536));
        assert_eq!(parse_size("1MiB"), Ok(1 << 20));
        assert_eq!(parse_size("0"), Ok(0));
        assert_eq!(parse_rate("10k"), Ok(10_000.0));
        assert_eq!(parse_rate("1.5M"), Ok(1_500_000.0));
        assert!(parse_rate("0").is_err());
        assert!(parse_size("3 apples").is_err());
        assert_eq!(parse_count("1_000"), Ok(1000));
        assert!(parse_count("1.5").is_err());
    }

    #[test]
    fn times_have_three_digits() {
        let shown: Vec<_> =
            [7, 999, 1000, 51_234, 999_400, 999_600, 1_234_000, 999_600_000, 61_000_000_000]
                .into_iter()
                .map(duration)
                .collect();
        assert_eq!(
            shown,
            ["7ns", "999ns", "1.00us", "51.2us", "999us", "1.00ms", "1.23ms", "1.00s", "61.0s"]
        );
    }

    #[test]
    fn counts_have_groups() {
        assert_eq!([0, 999, 1000, 1_234_567].map(count), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(bytes(12_345_678.0), "12.3 MB");
        assert_eq!(plain_duration(Duration::from_secs(90)), "1m 30s");
        assert_eq!(plain_duration(Duration::from_millis(1500)), "1.5s");
        assert_eq!(plain_duration(Duration::from_micros(250)), "250us");
    }
}
