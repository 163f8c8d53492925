use expect_test::{Expect, expect};

use super::*;
use crate::record::{self, Failure, Record};
use crate::summary::{
    Connections, FailureCount, Generator, PlanSummary, RequestCount, StatusCount, StepSummary,
};

/// Times of 100 us to 10 ms, denser where they are short.
fn record() -> Record {
    let mut record = Record::new(1);
    for n in 1..=10_000_u64 {
        record.latency.saturating_record(100_000 + n * n / 10);
    }
    record
}

fn summary() -> Summary {
    let record = record();
    Summary {
        format: crate::summary::FORMAT.to_owned(),
        plan: PlanSummary {
            load: "closed".to_owned(),
            rate: None,
            profile: None,
            urls: vec!["http://127.0.0.1:8080/".to_owned()],
            protocols: vec!["HTTP/1.1".to_owned()],
            connections: 8,
            pipeline: 1,
            threads: 1,
            requests_per_connection: None,
            warmup_s: 0.0,
        },
        elapsed_s: 2.0,
        interrupted: false,
        right: 10_000,
        failed: 0,
        unsent: 0,
        rate: 5000.0,
        bytes_received: 1_500_000,
        bytes_sent: 400_000,
        statuses: vec![StatusCount { status: 200, count: 10_000 }],
        failures: Vec::new(),
        requests: vec![RequestCount { name: "GET /".to_owned(), right: 10_000 }],
        latency: Times::of(&record.latency),
        service: None,
        lateness: None,
        connect: Times::of(&record::times()),
        connections: Connections { opened: 8, min: 1100, mean: 1250.0, max: 1400, imbalance: 0.08 },
        steps: Vec::new(),
        handshakes: None,
        unfriendly: None,
        generator: Generator {
            cpu_us_per_request: 4.9,
            user_us_per_request: 0.34,
            system_us_per_request: 4.56,
            cores: 0.5,
            spins: false,
        },
    }
}

fn check(summary: &Summary, expected: Expect) {
    expected.assert_eq(&report(summary));
}

#[test]
fn a_clean_closed_loop() {
    check(
        &summary(),
        expect![[r#"
            Requests    10,000 right in 2.00s, 5,000 requests/s
            Bytes       750 kB/s received, 200 kB/s sent
            Statuses    200: 10,000
            Errors      none

            Latency     from when each request began
                   min     100us
                  mean    3.43ms
                stddev    2.98ms
                   10%     200us
                   25%     726us
                   50%    2.60ms
                   75%    5.73ms
                   90%    8.20ms
                   95%    9.13ms
                   99%    9.90ms
                 99.9%    10.1ms
                99.99%    10.1ms
                   max    10.1ms

            Histogram   how many took at most
                 152us  ███████████████▏                          721
                 231us  ████████▉                                 425
                 352us  █████████▎                                441
                 535us  ██████████▍                               498
                 814us  ████████████▎                             587
                1.24ms  ██████████████▋                           701
                1.88ms  █████████████████▊                        849
                2.87ms  █████████████████████▋                    1,036
                4.36ms  ██████████████████████████▌               1,267
                6.63ms  ████████████████████████████████▌         1,554
                10.1ms  ████████████████████████████████████████  1,913
                10.1ms  ▏                                         8

            Connections 1,250 answers each on average (fewest 1,100, most 1,400, imbalance 8.0%)
            Generator   4.90 us of CPU per request (0.34 user, 4.56 system), 50% of a core
        "#]],
    );
}

#[test]
fn errors_come_with_their_first_example() {
    let failures = vec![
        FailureCount { failure: Failure::Timeout, count: 20, example: String::new() },
        FailureCount {
            failure: Failure::WrongStatus,
            count: 1234,
            example: "status 503 to GET /".to_owned(),
        },
    ];
    let times = Times::of(&record::times());
    let failed =
        Summary { failed: 1254, unsent: 7, failures, right: 0, latency: times, ..summary() };
    check(
        &failed,
        expect![[r#"
            Requests    0 right in 2.00s, 5,000 requests/s
            Bytes       750 kB/s received, 200 kB/s sent
            Statuses    200: 10,000
            Errors      1,261 (100.00%)
                      20  request timed out
                   1,234  wrong status
                            first: status 503 to GET /
                       7  due but never sent: no connection was free until the end

            Connections 1,250 answers each on average (fewest 1,100, most 1,400, imbalance 8.0%)
            Generator   4.90 us of CPU per request (0.34 user, 4.56 system), 50% of a core
            Note: the wished rate was not kept up: latencies grow for as long as the run lasts
        "#]],
    );
}

#[test]
fn an_open_loop_shows_both_times_and_its_own_lateness() {
    let mut late = record::times();
    (0..100).for_each(|_| late.saturating_record(300));
    let mut open =
        Summary { service: Some(summary().latency), lateness: Some(Times::of(&late)), ..summary() };
    open.latency.buckets.clear();
    open.plan.load = "open".to_owned();
    open.plan.rate = Some(6000.0);
    open.unsent = 2000;
    open.generator.spins = true;
    let step = |wished| StepSummary { wished, rate: 999.5, failed: 0, latency: summary().latency };
    open.steps = vec![step(1000.0), step(20_000.0)];
    check(
        &open,
        expect![[r#"
            Requests    10,000 right in 2.00s, 5,000 requests/s
            Bytes       750 kB/s received, 200 kB/s sent
            Statuses    200: 10,000
            Errors      2,000 (16.67%)
                   2,000  due but never sent: no connection was free until the end

            Latency     from the time each request was due; in brackets from when it was sent
                   min     100us  (100us)
                  mean    3.43ms  (3.43ms)
                stddev    2.98ms  (2.98ms)
                   10%     200us  (200us)
                   25%     726us  (726us)
                   50%    2.60ms  (2.60ms)
                   75%    5.73ms  (5.73ms)
                   90%    8.20ms  (8.20ms)
                   95%    9.13ms  (9.13ms)
                   99%    9.90ms  (9.90ms)
                 99.9%    10.1ms  (10.1ms)
                99.99%    10.1ms  (10.1ms)
                   max    10.1ms  (10.1ms)

            Steps       wished/s  reached/s    errors       p50       p99     p99.9
                           1,000      1,000         0    2.60ms    9.90ms    10.1ms
                          20,000      1,000         0    2.60ms    9.90ms    10.1ms

            Connections 1,250 answers each on average (fewest 1,100, most 1,400, imbalance 8.0%)
            Generator   4.90 us of CPU per request (0.34 user, 4.56 system), 50% of a core, spinning while it waits
                        sent 100 requests from waiting connections: p50 319ns late, p99 319ns, max 319ns
            Note: the wished rate was not kept up: latencies grow for as long as the run lasts
        "#]],
    );
}

#[test]
fn headlines_say_what_will_be_done() {
    let mut plan = summary().plan;
    let ten = Some(Duration::from_secs(10));
    let closed = headline(&plan, ten);
    plan.load = "open".to_owned();
    plan.rate = Some(20_000.0);
    plan.pipeline = 4;
    plan.connections = 1;
    plan.urls = (0..6).map(|n| format!("http://h/{n}")).collect();
    let open = headline(&plan, None);
    plan.rate = None;
    plan.profile = Some("from 100 to 2,000 requests/s".to_owned());
    let changing = headline(&plan, ten);
    let first = changing.lines().next().unwrap_or_default();
    expect![[r#"
        Running 10s at full speed, 8 connections, 1 thread, HTTP/1.1
          http://127.0.0.1:8080/
        Running at 20,000 requests/s, 1 connection with 4 requests in flight each, 1 thread, HTTP/1.1
          http://h/0
          http://h/1
          http://h/2
          http://h/3
          and 2 more
        Running 10s from 100 to 2,000 requests/s, 1 connection with 4 requests in flight each, 1 thread, HTTP/1.1"#]].assert_eq(&format!("{closed}\n{open}\n{first}"));
}

#[test]
fn trials_say_what_broke() {
    let objective: Objective = "p99=5ms,p99.9=20ms,errors=1%".parse().expect("an objective");
    let kept = Trial {
        rate: 2000.0,
        reached: 2000.0,
        latencies: vec![4_000_000, 9_000_000],
        errors: 0.0,
        late: false,
    };
    let (kept, broken) =
        (trial(&objective, &kept, None), trial(&objective, &kept, Some("p99 6.00ms")));
    expect![[r#"
        Trials
               2,000 requests/s  p99   4.00ms  p99.9   9.00ms  errors 0.00%  kept
               2,000 requests/s  p99   4.00ms  p99.9   9.00ms  errors 0.00%  broken: p99 6.00ms
    "#]]
    .assert_eq(&format!("Trials\n{kept}\n{broken}\n"));
}

#[test]
fn bars_are_as_long_as_their_share_and_never_invisible() {
    assert_eq!(bar(0.0), "");
    assert_eq!(bar(1e-9), "▏");
    assert_eq!(bar(0.5), "█".repeat(20));
    assert_eq!(bar(1.0), "█".repeat(40));
}
