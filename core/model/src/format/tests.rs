//! What stands in the tables was seen on Envoy 1.40.

mod json;
mod time;
mod tls;

use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use proptest::prelude::*;
use ringway_http::{Fields, RequestHead, ResponseHead, Version};

use super::*;
use crate::address::Address;
use crate::listener::ChainName;
use crate::stream::ResponseFlags;

/// A finished request with its response.
struct Stream {
    request: RequestHead,
    response: ResponseHead,
    trailers: Fields,
    info: StreamInfo,
    connection: ConnectionInfo,
}

fn address(text: &str) -> Address {
    Address::Ip(text.parse().expect("an address"))
}

impl Stream {
    /// As it begins: nothing is known.
    fn new() -> Self {
        let connection = ConnectionInfo {
            id: 7,
            local: address("127.0.0.1:10000"),
            direct_remote: address("[::1]:5555"),
            listener: Arc::from("l"),
            tls: None,
            preamble: None,
            notes: None,
            chain: None,
            socket_local: None,
            transport_failure: None,
            start: Instant::now(),
        };
        Self {
            request: RequestHead::new(),
            response: ResponseHead::new(),
            trailers: Fields::new(),
            info: StreamInfo::new(Instant::now(), UNIX_EPOCH + Duration::from_millis(1_500)),
            connection,
        }
    }

    /// As it ends, all known.
    fn finished() -> Self {
        let mut stream = Self::new();
        stream.request.set_method(b"GET");
        stream.request.set_path(b"/x/a?q=1&z=2");
        stream.request.set_authority(b"h");
        stream.request.set_scheme(b"http");
        stream.request.fields.push(b"x-a", b"abcdef");
        stream.request.fields.push(b"x-empty", b"");
        stream.request.fields.push(b"x-request-id", b"an-id");
        stream.response.status = 200;
        stream.response.fields.push(b"x-up", b"upv");
        stream.trailers.push(b"grpc-status", b"0");
        let info = &mut stream.info;
        info.protocol = Some(Version::Http11);
        info.response_code = 200;
        info.details = "via upstream".into();
        info.bytes_received = 3;
        info.bytes_sent = 122;
        info.remote = Some("10.1.2.3:4000".parse().expect("an address"));
        info.route_name = Some(Rc::from("rname"));
        info.cluster = Some(Rc::from("c1"));
        info.upstream_host = Some(Rc::from("[fd00::1]:8080"));
        info.upstream_name = Some(Rc::from("up.example:8080"));
        info.upstream_protocol = Some(Version::Http2);
        info.request_sent = Some(Duration::from_millis(3));
        stream.connection.chain =
            Some(Arc::new(ChainName { text: "chain".into(), is_given: true }));
        let info = &mut stream.info;
        info.upstream_local = Some("127.0.0.1:6666".parse().expect("an address"));
        info.upstream_transport_failure = Some("refused".into());
        info.attempts = 2;
        info.request_received = Some(Duration::from_micros(1_900));
        info.response_received = Some(Duration::from_millis(5));
        info.finished = Some(Duration::from_millis(12));
        info.flags.insert(ResponseFlags::UPSTREAM_CONNECTION_FAILURE);
        info.flags.insert(ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED);
        stream
    }

    fn cx(&self) -> FormatContext<'_> {
        let cx = FormatContext::new(&self.info, &self.connection).request(&self.request);
        cx.response(&self.response).trailers(&self.trailers).on(Occasion::DownstreamEnd)
    }

    fn write(&self, format: &Format) -> String {
        let mut out = b"before".to_vec();
        format.write(&self.cx(), &mut out);
        String::from_utf8_lossy(out.strip_prefix(b"before").expect("appended")).into_owned()
    }

    fn text(&self, source: &str) -> String {
        self.write(&Format::text(source).unwrap_or_else(|error| panic!("{source}: {error}")))
    }
}

/// Each operator: its value when all is known, and when nothing is.
const OPERATORS: &[(&str, &str, &str)] = &[
    ("%START_TIME%", "1970-01-01T00:00:01.500Z", "1970-01-01T00:00:01.500Z"),
    ("%REQ(X-A)%", "abcdef", "-"),
    ("%REQ(X-NONE?X-A)%", "abcdef", "-"),
    ("%REQ(X-A?X-NONE)%", "abcdef", "-"),
    ("%REQ(X-A):2%", "ab", "-"),
    ("%REQ(X-A):0%", "", "-"),
    ("%REQ(X-A?)%", "abcdef", "-"),
    ("%REQ(?X-A)%", "abcdef", "-"),
    ("%REQ(X-EMPTY)%", "", "-"),
    ("%REQUEST_HEADER(x-a)%", "abcdef", "-"),
    ("%REQ(:PATH)%", "/x/a?q=1&z=2", "-"),
    ("%REQ(:nope)%", "-", "-"),
    ("%REQ(HOST)%", "h", "-"),
    ("%REQ(:AUTHORITY)%", "h", "-"),
    ("%REQ(:METHOD):2%", "GE", "-"),
    ("%REQ(:SCHEME)%", "http", "-"),
    ("%REQ_WITHOUT_QUERY(:PATH)%", "/x/a", "-"),
    ("%RESP(X-UP)%", "upv", "-"),
    ("%RESP(X-NONE?X-UP):2%", "up", "-"),
    ("%RESP(:STATUS)%", "200", "-"),
    ("%TRAILER(grpc-status)%", "0", "-"),
    ("%RESPONSE_TRAILER(x?grpc-status)%", "0", "-"),
    ("%PROTOCOL%", "HTTP/1.1", "-"),
    ("%PROTOCOL()%", "HTTP/1.1", "-"),
    ("%RESPONSE_CODE%", "200", "0"),
    ("%RESPONSE_CODE_DETAILS%", "via_upstream", "-"),
    ("%RESPONSE_CODE_DETAILS(ALLOW_WHITESPACES)%", "via upstream", "-"),
    ("%RESPONSE_FLAGS%", "UF,URX", "-"),
    ("%RESPONSE_FLAGS_LONG%", "UpstreamConnectionFailure,UpstreamRetryLimitExceeded", "-"),
    ("%BYTES_RECEIVED%", "3", "0"),
    ("%BYTES_SENT%", "122", "0"),
    ("%DURATION%", "12", "-"),
    ("%REQUEST_DURATION%", "1", "-"),
    ("%RESPONSE_DURATION%", "5", "-"),
    ("%RESPONSE_TX_DURATION%", "7", "-"),
    ("%UPSTREAM_HOST%", "[fd00::1]:8080", "-"),
    ("%UPSTREAM_REMOTE_ADDRESS%", "[fd00::1]:8080", "-"),
    ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "fd00::1", "-"),
    ("%UPSTREAM_REMOTE_PORT%", "8080", "-"),
    ("%UPSTREAM_CLUSTER%", "c1", "-"),
    ("%UPSTREAM_PROTOCOL%", "HTTP/2", "-"),
    ("%UPSTREAM_HOST_NAME%", "up.example:8080", "-"),
    ("%UPSTREAM_HOST_NAME_WITHOUT_PORT%", "up.example", "-"),
    ("%FILTER_CHAIN_NAME%", "chain", "-"),
    ("%ACCESS_LOG_TYPE%", "DownstreamEnd", "DownstreamEnd"),
    ("%DOWNSTREAM_DIRECT_LOCAL_ADDRESS%", "127.0.0.1:10000", "127.0.0.1:10000"),
    ("%DOWNSTREAM_DIRECT_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1", "127.0.0.1"),
    ("%DOWNSTREAM_DIRECT_LOCAL_PORT%", "10000", "10000"),
    ("%REQUEST_TX_DURATION%", "3", "-"),
    ("%COMMON_DURATION(DS_RX_BEG:US_RX_BEG:us)%", "5000", "-"),
    ("%COMMON_DURATION(US_TX_END:US_RX_BEG:ms)%", "2", "-"),
    ("%GRPC_STATUS%", "-", "-"),
    ("%GRPC_STATUS_NUMBER%", "-", "-"),
    ("%CUSTOM_FLAGS%", "", ""),
    ("%VIRTUAL_CLUSTER_NAME%", "-", "-"),
    ("%ROUNDTRIP_DURATION%", "-", "-"),
    ("%BYTES_RETRANSMITTED%", "0", "0"),
    ("%UPSTREAM_LOCAL_ADDRESS%", "127.0.0.1:6666", "-"),
    ("%UPSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1", "-"),
    ("%UPSTREAM_LOCAL_PORT%", "6666", "-"),
    ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2", "0"),
    ("%UPSTREAM_TRANSPORT_FAILURE_REASON%", "refused", "-"),
    ("%DOWNSTREAM_LOCAL_ADDRESS%", "127.0.0.1:10000", "127.0.0.1:10000"),
    ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT%", "127.0.0.1", "127.0.0.1"),
    ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(8)%", "127.0.0.0/8", "127.0.0.0/8"),
    ("%DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT(32)%", "127.0.0.1/32", "127.0.0.1/32"),
    ("%DOWNSTREAM_LOCAL_PORT%", "10000", "10000"),
    ("%DOWNSTREAM_REMOTE_ADDRESS%", "10.1.2.3:4000", "[::1]:5555"),
    ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.1.2.3", "::1"),
    ("%DOWNSTREAM_REMOTE_PORT%", "4000", "5555"),
    ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS%", "[::1]:5555", "[::1]:5555"),
    ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "::1", "::1"),
    ("%DOWNSTREAM_DIRECT_REMOTE_PORT%", "5555", "5555"),
    ("%CONNECTION_TERMINATION_DETAILS%", "-", "-"),
    ("%CONNECTION_ID%", "7", "7"),
    ("%ROUTE_NAME%", "rname", "-"),
    ("%LISTENER_NAME%", "l", "l"),
    ("%PATH%", "/x/a?q=1&z=2", "-"),
    ("%PATH(NQ)%", "/x/a", "-"),
    ("%PATH:2%", "/x", "-"),
    ("%PATH(WQ:ORIG)%", "-", "-"),
    ("%PATH(NQ:PATH)%", "/x/a", "-"),
    ("%QUERY_PARAM(z)%", "2", "-"),
    ("%QUERY_PARAM(none)%", "-", "-"),
    ("%QUERY_PARAMS%", "q=1&z=2", "-"),
    ("%QUERY_PARAMS:2%", "q=", "-"),
    ("%STREAM_ID%", "an-id", "-"),
    ("%LOCAL_REPLY_BODY%", "", ""),
    ("%ENVIRONMENT(RINGWAY_NO_SUCH_VARIABLE)%", "-", "-"),
    ("%%%PROTOCOL%%%", "%HTTP/1.1%", "%-%"),
    ("100%% of %PROTOCOL%!", "100% of HTTP/1.1!", "100% of -!"),
];

#[test]
fn operators() {
    let (finished, new) = (Stream::finished(), Stream::new());
    for (source, known, unknown) in OPERATORS {
        assert_eq!(finished.text(source), *known, "{source}");
        assert_eq!(new.text(source), *unknown, "{source} when nothing is known");
    }
}

#[test]
fn sizes_of_heads_are_counted_as_envoy_does() {
    // A GET of /d to h with x-forwarded-proto and x-envoy-expected-rq-timeout-ms, on Envoy.
    let mut stream = Stream::new();
    stream.request.set_method(b"GET");
    stream.request.set_path(b"/d");
    stream.request.set_authority(b"h");
    stream.request.set_scheme(b"http");
    stream.request.fields.push(b"x-forwarded-proto", b"http");
    assert_eq!(stream.text("%REQUEST_HEADERS_BYTES%"), "60");
    stream.response.status = 404;
    stream.response.fields.push(b"date", b"Sat, 21 Nov 2026 08:35:00 GMT");
    stream.response.fields.push(b"server", b"envoy");
    assert_eq!(stream.text("%RESPONSE_HEADERS_BYTES%"), "54");
    assert_eq!(stream.text("%RESPONSE_TRAILERS_BYTES%"), "0");
}

#[test]
fn a_rewritten_path_and_the_one_before() {
    let mut stream = Stream::finished();
    stream.request.fields.push(b"x-envoy-original-path", b"/old?o");
    for (source, expected) in [
        ("%PATH%", "/old?o"),
        ("%PATH(NQ)%", "/old"),
        ("%PATH(WQ:PATH)%", "/x/a?q=1&z=2"),
        ("%PATH(NQ:ORIG)%", "/old"),
        ("%PATH(:ORIG_OR_PATH)%", "/old?o"),
    ] {
        assert_eq!(stream.text(source), expected, "{source}");
    }
}

#[test]
fn unix_sockets_have_no_port() {
    let mut stream = Stream::new();
    stream.connection.direct_remote = Address::Pipe(Arc::new("/run/x:1.sock".into()));
    stream.info.upstream_host = Some(Rc::from("/run/y:2.sock"));
    for (source, expected) in [
        ("%DOWNSTREAM_REMOTE_ADDRESS%", "/run/x:1.sock"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "/run/x:1.sock"),
        ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "-"),
        ("%DOWNSTREAM_REMOTE_PORT%", "-"),
        ("%UPSTREAM_HOST%", "/run/y:2.sock"),
        ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "/run/y:2.sock"),
        ("%UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(8)%", "-"),
        ("%UPSTREAM_REMOTE_PORT%", "-"),
    ] {
        assert_eq!(stream.text(source), expected, "{source}");
    }
}

#[test]
fn the_hostname_is_that_of_the_host() {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").expect("Linux");
    assert_eq!(Stream::new().text("%HOSTNAME%"), name.trim());
}

#[test]
fn nothing_stands_for_what_is_missing_where_empty_values_are_omitted() {
    let stream = Stream::new();
    let format = Format::text_omitting_empty("a%REQ(x-none)%b|%RESPONSE_FLAGS%|%UPSTREAM_HOST%");
    // The dash of the flags is their value.
    assert_eq!(stream.write(&format.expect("a format")), "ab|-|");
    assert_eq!(stream.write(&Format::literal("100% raw")), "100% raw");
}

#[test]
fn text_is_written_as_it_came() {
    let mut stream = Stream::new();
    stream.request.fields.push(b"x-a", b"b\t\"\\\xe9");
    let mut out = Vec::new();
    Format::text("%REQ(x-a)%").expect("a format").write(&stream.cx(), &mut out);
    assert_eq!(out, b"b\t\"\\\xe9");
}

#[test]
fn the_default_access_log() {
    let mut stream = Stream::finished();
    stream.request.fields.push(b"user-agent", b"ua");
    let expected = "[1970-01-01T00:00:01.500Z] \"GET /x/a?q=1&z=2 HTTP/1.1\" 200 UF,URX 3 122 12 \
                    - \"-\" \"ua\" \"an-id\" \"h\" \"[fd00::1]:8080\"\n";
    assert_eq!(stream.text(DEFAULT_ACCESS_LOG_FORMAT), expected);
}

#[test]
fn errors_name_the_place_and_the_operator() {
    for (source, message) in [
        (
            "100% x",
            "at byte 3 of the format: a '%' begins an operator such as %PROTOCOL%; write \
                    %% for the character",
        ),
        (
            "%",
            "at byte 0 of the format: a '%' begins an operator such as %PROTOCOL%; write %% \
               for the character",
        ),
        (
            "%req(a)%",
            "at byte 0 of the format: a '%' begins an operator such as %PROTOCOL%; \
                      write %% for the character",
        ),
        ("a %NOPE%", "at byte 2 of the format: not supported yet: %NOPE%"),
        ("%PROTOCOL", "at byte 0 of the format: %PROTOCOL has no closing '%'"),
        ("%REQ(a)", "at byte 0 of the format: %REQ has no closing '%'"),
        ("%REQ(a", "at byte 0 of the format: %REQ has no closing '%'"),
        ("%REQ(a)b%", "at byte 0 of the format: %REQ has no closing '%'"),
        ("%REQ%", "at byte 0 of the format: %REQ%: arguments in parentheses are required"),
        ("%REQ()%", "at byte 0 of the format: %REQ%: arguments in parentheses are required"),
        ("%REQ(?)%", "at byte 0 of the format: %REQ%: the name of a header is required"),
        ("%REQ(a?b?c)%", "at byte 0 of the format: %REQ%: more than one alternative header"),
        ("%REQ(a b)%", "at byte 0 of the format: %REQ%: \"a b\" is not the name of a header"),
        ("%REQ(a):x%", "at byte 0 of the format: %REQ%: \"x\" is not a length"),
        ("%REQ(a):-1%", "at byte 0 of the format: %REQ%: \"-1\" is not a length"),
        ("%PROTOCOL(x)%", "at byte 0 of the format: %PROTOCOL%: takes no arguments"),
        ("%PROTOCOL:3%", "at byte 0 of the format: %PROTOCOL%: takes no length"),
        ("%PATH(XX)%", "at byte 0 of the format: %PATH%: \"XX\" is neither WQ nor NQ"),
        (
            "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT(x)%",
            "at byte 0 of the format: %DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%: \"x\" is not a \
             prefix length",
        ),
        (
            "%START_TIME(%Q)%",
            "at byte 0 of the format: %START_TIME%: unknown conversion %Q in the time format",
        ),
    ] {
        let error = Format::text(source).expect_err(source);
        assert_eq!(error.to_string(), message, "{source}");
    }
}

proptest! {
    #[test]
    fn no_format_panics(source in "[%():?a-cA-Z_0-9{}\u{e9} -]{0,24}") {
        if let Ok(format) = Format::text(&source) {
            Stream::finished().write(&format);
        }
    }

    #[test]
    fn no_arguments_panic(
        index in 0..OPERATORS.len(),
        arguments in "[%():?a-cXNQW0-9*fES\u{e9}]{0,8}",
        length in prop::option::of(0..300_usize),
    ) {
        let operator = OPERATORS[index].0;
        let name = operator[1..].split(|c: char| !c.is_ascii_uppercase() && c != '_').next();
        let length = length.map_or_else(String::new, |length| format!(":{length}"));
        let source = format!("%{}({arguments}){length}%", name.unwrap_or_default());
        if let Ok(format) = Format::text(&source) {
            Stream::finished().write(&format);
        }
    }
}

#[test]
fn a_line_is_written_without_the_time_of_day_of_the_machine() {
    let mut stream = Stream::new();
    stream.info.start_time = SystemTime::UNIX_EPOCH - Duration::from_secs(1);
    assert_eq!(stream.text("%START_TIME%"), "1970-01-01T00:00:00.000Z");
}

#[test]
fn the_status_of_a_call_has_three_spellings() {
    let mut stream = Stream::finished();
    stream.request.fields.push(b"content-type", b"application/grpc");
    stream.trailers = Fields::new();
    stream.trailers.push(b"grpc-status", b"5");
    let all = "%GRPC_STATUS% %GRPC_STATUS(SNAKE_STRING)% %GRPC_STATUS(NUMBER)%";
    assert_eq!(stream.text(all), "NotFound NOT_FOUND 5");
    // What gRPC does not say, HTTP does.
    stream.trailers = Fields::new();
    stream.info.response_code = 503;
    assert_eq!(stream.text(all), "Unavailable UNAVAILABLE 14");
    assert!(Format::text("%GRPC_STATUS(OTHER)%").is_err());
}

#[test]
fn moments_that_nobody_knows_are_refused() {
    let error = Format::text("%COMMON_DURATION(US_CX_BEG:US_CX_END:ms)%").expect_err("unknown");
    let unknown = FormatProblem::Unsupported("COMMON_DURATION(US_CX_BEG)".to_owned());
    assert_eq!(error.problem, unknown);
}
