//! Times: each conversion as Envoy wrote it at one moment.

use super::*;

/// Saturday, 21 November 2026, 08:40:03.039685 UTC.
const MOMENT: Duration = Duration::from_micros(1_795_250_403_039_685);

fn at(moment: Duration, format: &str) -> String {
    let mut stream = Stream::new();
    stream.info.start_time = UNIX_EPOCH + moment;
    stream.text(&format!("%START_TIME({format})%"))
}

#[test]
fn conversions() {
    for (format, expected) in [
        ("", "2026-11-21T08:40:03.039Z"),
        ("%Y-%m-%dT%H:%M:%S", "2026-11-21T08:40:03"),
        ("%s", "1795250403"),
        ("%3s", "1795250403"),
        ("%f", "039685000"),
        ("%1f", "0"),
        ("%3f", "039"),
        ("%6f", "039685"),
        ("%9f", "039685000"),
        ("%E3S", "03.039"),
        ("%E*S", "03.039685"),
        ("%E6S", "03.039685"),
        ("%E3f", "039"),
        ("%E*f", "039685"),
        ("%E4Y", "2026"),
        ("%Ez", "+00:00"),
        ("%E*z", "+00:00:00"),
        ("%:z", "+00:00"),
        ("%z", "+0000"),
        ("%Z", "UTC"),
        ("%a %A %b %B %h %c", "Sat Saturday Nov November Nov Sat Nov 21 08:40:03 2026"),
        ("%C", "20"),
        ("%d %e %D %F", "21 21 11/21/26 2026-11-21"),
        ("%H %I", "08 08"),
        ("%j", "325"),
        ("%p %P", "AM am"),
        ("%r", "08:40:03 AM"),
        ("%R", "08:40"),
        ("%T", "08:40:03"),
        ("%t.", "\t."),
        ("%u %w", "6 6"),
        ("%x %X", "11/21/26 08:40:03"),
        ("%y", "26"),
        ("%%", "%"),
        ("%%Y", "%Y"),
        ("%s.%3f", "1795250403.039"),
        ("a)b", "a)b"),
        ("%H:%M:%S.%6f%z", "08:40:03.039685+0000"),
    ] {
        assert_eq!(at(MOMENT, format), expected, "{format}");
    }
}

#[test]
fn calendars_edges() {
    let days = |days: u64| Duration::from_secs(days * 86_400);
    for (moment, expected) in [
        (days(0), "Thu 1970-01-01 001  1 4 12 AM"),
        (days(0) + Duration::from_secs(12 * 3600), "Thu 1970-01-01 001  1 4 12 PM"),
        // 2000 is a leap year, 2100 is none.
        (days(11_016), "Tue 2000-02-29 060 29 2 12 AM"),
        (days(11_322), "Sun 2000-12-31 366 31 0 12 AM"),
        (days(47_541), "Mon 2100-03-01 060  1 1 12 AM"),
        (Duration::from_secs(u64::from(u32::MAX) * 1000), "Fri 9999-12-31 365 31 5 11 PM"),
    ] {
        assert_eq!(at(moment, "%a %F %j %e %w %I %p"), expected);
    }
}

#[test]
fn seconds_without_a_fraction_need_no_point() {
    let moment = Duration::from_secs(5);
    assert_eq!(at(moment, "%E*S|%E*f|%E3S"), "05|0|05.000");
}

#[test]
fn unknown_conversions_are_errors() {
    for format in ["%Q", "%", "%0f", "%10f", "%n", "%E", "%E15S", "%L", "%v", "%5", "%-d", "%3S"] {
        let source = format!("%START_TIME({format})%");
        assert!(Format::text(&source).is_err(), "{format}");
    }
}
