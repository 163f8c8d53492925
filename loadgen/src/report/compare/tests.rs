use expect_test::expect;

use super::*;
use crate::summary::FORMAT;

/// A report as the program writes it, with two figures of its own.
fn stored(rate: f64, p99: u64) -> String {
    let times = format!(
        r#"{{"count": 5, "min": 1, "mean": 150000.0, "deviation": 1.0, "max": 900000,
            "percentiles": [[50.0, 120000], [99.0, {p99}]], "buckets": []}}"#
    );
    format!(
        r#"{{"format": "{FORMAT}", "plan": {{"load": "closed", "rate": null, "urls": ["http://a/"],
            "connections": 8, "pipeline": 1, "threads": 1, "requests_per_connection": null,
            "warmup_s": 0.0}}, "elapsed_s": 2.0, "interrupted": false, "right": 10, "failed": 0,
            "unsent": 0, "rate": {rate}, "bytes_received": 1, "bytes_sent": 1, "statuses": [],
            "failures": [], "requests": [], "latency": {times}, "service": null, "lateness": null,
            "connect": {times}, "connections": {{"opened": 1, "min": 1, "mean": 1.0, "max": 1,
            "imbalance": 0.0}}, "steps": [], "unfriendly": null, "generator":
            {{"cpu_us_per_request": 5.0, "user_us_per_request": 1.0, "system_us_per_request": 4.0,
            "cores": 1.0, "spins": false}}}}"#
    )
}

#[test]
fn a_table_with_ratios_and_the_worst_figure() {
    let base = parse(&stored(10_000.0, 500_000)).expect("a report");
    let mut other = parse(&stored(12_000.0, 800_000)).expect("a report");
    other.plan.threads = 2;
    other.plan.profile = Some("at 5, 10 requests/s in turn".to_owned());
    other.plan.protocols = vec!["HTTP/2".to_owned()];
    other.failed = 3;
    let comparison = compare(&base, &other, ("before.json", "after.json"));
    expect![[r#"
                               before.json    after.json     ratio
        requests/s                  10,000        12,000     1.200  better
        errors                           0             3         -
        latency mean                 150us         150us     1.000
        latency p50                  120us         120us     1.000
        latency p99                  500us         800us     1.600  worse
        latency max                  900us         900us     1.000
        generator us/request          5.00          5.00         -
        Note: the runs differ in load, threads, protocols
        Note: the second run was not clean
    "#]]
    .assert_eq(&comparison.text);
    let (name, worse) = comparison.worst.expect("a figure");
    assert_eq!((name.as_str(), worse.round()), ("latency p99", 60.0));
}

#[test]
fn a_run_does_not_differ_from_itself() {
    let run = parse(&stored(10_000.0, 500_000)).expect("a report");
    let comparison = compare(&run, &run, ("a", "b"));
    assert!(comparison.worst.is_some_and(|(_, worse)| worse.abs() < 1e-9));
    assert!(!comparison.text.contains("Note") && !comparison.text.contains("worse"));
}

#[test]
fn what_is_no_report_is_refused() {
    assert!(parse("{}").is_err());
    let other = stored(1.0, 1).replace(FORMAT, "ringway-load/9");
    assert!(parse(&other).expect_err("refused").contains("`ringway-load/9`"));
}
