//! Limits on streams and responses, and `grpc-timeout`.

use std::time::Duration;

use super::*;

const MANAGER: Option<Duration> = Some(Duration::from_secs(50));

fn millis(number: u64) -> Option<Duration> {
    Some(Duration::from_millis(number))
}

fn deadline(max: u64, offset: u64) -> Option<GrpcDeadline> {
    let max = millis(max).filter(|max| !max.is_zero());
    Some(GrpcDeadline { max, offset: Duration::from_millis(offset) })
}

fn asking(grpc_timeout: &str) -> RequestHead {
    let grpc = ("content-type", "application/grpc");
    match grpc_timeout {
        "" => get("/", &[grpc]),
        timeout => get("/", &[grpc, ("grpc-timeout", timeout)]),
    }
}

/// What the upstream is told after the route's limits have been set.
fn told(route: &Forward, grpc_timeout: &str, manager: Option<Duration>) -> String {
    let mut head = asking(grpc_timeout);
    let response = route.response_timeout(&head);
    route.set_grpc_timeout(&mut head, manager, response);
    let value = head.fields.get("grpc-timeout").unwrap_or_default();
    String::from_utf8(value.to_vec()).expect("UTF-8")
}

#[test]
fn a_stream_lasts_as_long_as_the_most_specific_limit_says() {
    let with = |grpc_stream| Forward { grpc_stream, limits_streams: true, ..forward() };
    let cases = [
        (with(None), "700m", MANAGER),
        (with(deadline(0, 0)), "700m", millis(700)),
        (with(deadline(500, 0)), "700m", millis(500)),
        (with(deadline(0, 200)), "700m", millis(500)),
        (with(deadline(0, 200)), "100m", millis(0)),
        (with(deadline(0, 0)), "0m", millis(0)),
        (with(deadline(500, 0)), "", MANAGER),
        (with(deadline(500, 0)), "x", MANAGER),
        (Forward { max_stream_duration: Some(None), ..with(deadline(500, 0)) }, "", None),
        (Forward { max_stream_duration: Some(millis(9)), ..with(deadline(0, 0)) }, "", millis(9)),
    ];
    for (route, timeout, expected) in cases {
        assert_eq!(route.stream_duration(&asking(timeout), MANAGER), expected, "{route:?}");
    }
    let anybody = get("/", &[("grpc-timeout", "7m")]);
    assert_eq!(with(deadline(0, 0)).stream_duration(&anybody, None), millis(7));
}

#[test]
fn a_response_takes_as_long_as_the_client_waits() {
    let with = |grpc_response| Forward { grpc_response, timeout: millis(500), ..forward() };
    for (deadline, timeout, expected) in [
        (None, "700m", millis(500)),
        (deadline(1000, 0), "700m", millis(700)),
        (deadline(1000, 0), "3S", millis(1000)),
        (deadline(1000, 0), "", millis(1000)),
        (deadline(0, 0), "", None),
        (deadline(0, 200), "700m", millis(500)),
        // The offset would leave nothing, which would mean for ever.
        (deadline(0, 200), "150m", millis(150)),
        (deadline(0, 200), "0m", None),
    ] {
        assert_eq!(with(deadline).response_timeout(&asking(timeout)), expected, "{deadline:?}");
    }
    let http = get("/", &[("grpc-timeout", "700m")]);
    assert_eq!(with(deadline(0, 0)).response_timeout(&http), millis(500));
}

/// As Envoy 1.40 told its upstream.
#[test]
fn a_grpc_upstream_is_told_how_long_the_proxy_waits() {
    let streams = |duration, grpc_stream| Forward {
        max_stream_duration: duration,
        grpc_stream,
        limits_streams: true,
        ..forward()
    };
    let response = |grpc_response| Forward { grpc_response, ..forward() };
    for (route, timeout, manager, expected) in [
        (forward(), "7S", MANAGER, "7S"),
        (streams(Some(millis(1000)), None), "", None, "1000m"),
        (streams(Some(millis(1000)), None), "7S", None, "1000m"),
        (streams(None, None), "7S", None, "7S"),
        (streams(None, deadline(0, 0)), "", MANAGER, "50000m"),
        (streams(None, deadline(0, 0)), "", None, ""),
        (streams(None, deadline(0, 200)), "700m", None, "500m"),
        (streams(Some(None), None), "7S", MANAGER, ""),
        (streams(Some(None), None), "7S", None, "7S"),
        (response(deadline(0, 0)), "7S", None, "7000m"),
        (response(deadline(0, 0)), "0m", None, "0m"),
        (response(deadline(0, 0)), "", None, ""),
    ] {
        assert_eq!(told(&route, timeout, manager), expected, "{route:?}");
    }
    let mut http = get("/", &[("grpc-timeout", "7S")]);
    streams(Some(millis(1)), None).set_grpc_timeout(&mut http, MANAGER, None);
    assert_eq!(http.fields.get("grpc-timeout"), Some(b"7S".as_slice()));
}
