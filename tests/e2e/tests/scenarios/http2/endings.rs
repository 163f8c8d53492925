//! Streams that end before their answer: the words of the log, and what is counted as a broken
//! message. Each line was asked of Envoy 1.40.

use ringway_test_support::{Bootstrap, H2, Origin, Proxy, Reply};

use super::{client, start};

const LOGGING: &str = "access_log:
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{folder}/access.log'
    log_format: { text_format_source: { inline_string: \"%REQ(:METHOD)% %RESPONSE_CODE% \
%RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %BYTES_RECEIVED%\\n\" } }
route_config:
  virtual_hosts:
  - name: all
    domains: ['*']
    routes: [{ match: { prefix: / }, route: { cluster: a } }]
";

fn silent() -> (Origin, Proxy) {
    let origin = Origin::start(|_| Reply::silence());
    let bootstrap = Bootstrap::new().http("main", LOGGING).cluster("a", &[origin.address()]);
    let proxy = start(&bootstrap);
    (origin, proxy)
}

/// What the log says of the streams of one connection, whose `client` did what it wants, in any
/// order.
fn logged(proxy: &Proxy, streams: usize, client: H2) -> Vec<String> {
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == 0);
    drop(client);
    // Lines of a head that never was a request are Envoy's alone.
    let of_requests = |log: &str| -> Vec<String> {
        log.lines().filter(|line| !line.starts_with("- ")).map(str::to_owned).collect()
    };
    let log = proxy.wait_file("access.log", |log| of_requests(log).len() == streams);
    let mut lines = of_requests(&log);
    lines.sort();
    lines
}

fn under_way(proxy: &Proxy, streams: u64) {
    proxy.wait_stat("http.main.downstream_rq_active", |active| active == streams);
}

#[test]
fn a_reset_is_told_by_its_code() {
    for (method, code, line) in [
        ("GET", 0, "GET 0 - - 0"),
        ("POST", 0, "POST 0 DR http2.remote_reset 0"),
        ("GET", 1, "GET 0 DPE http2.remote_reset 0"),
        ("GET", 7, "GET 0 DR http2.remote_refuse 0"),
        ("GET", 8, "GET 0 DR http2.remote_reset 0"),
    ] {
        let (_origin, proxy) = silent();
        let mut client = client(&proxy);
        let stream = client.request(method, "/", &[], method == "GET");
        under_way(&proxy, 1);
        client.reset_stream(stream, code);
        assert_eq!(logged(&proxy, 1, client), [line], "{code}");
        assert_eq!(proxy.stat("http2.rx_messaging_error"), 0);
    }
}

#[test]
fn data_that_do_not_add_up_are_no_broken_message() {
    for (length, data) in [("5", "abc"), ("2", "abc")] {
        let (_origin, proxy) = silent();
        let mut client = client(&proxy);
        let stream = client.request("POST", "/", &[("content-length", length)], false);
        under_way(&proxy, 1);
        client.data(stream, data.as_bytes(), true);
        assert_eq!(logged(&proxy, 1, client), ["POST 0 DPE http2.remote_reset 0"]);
        assert_eq!((proxy.stat("http2.rx_messaging_error"), proxy.stat("http2.tx_reset")), (0, 1));
    }
}

/// The stream at fault has its own words, its neighbour those of the connection.
#[test]
fn a_broken_message_is_told_to_its_stream() {
    let (_origin, proxy) = silent();
    let mut client = client(&proxy);
    client.request("GET", "/", &[], true);
    let stream = client.request("POST", "/", &[("content-length", "5")], false);
    under_way(&proxy, 2);
    client.data(stream, b"ab", false).headers(stream, &[("x-t", "1")], true);
    let lines = logged(&proxy, 2, client);
    assert_eq!(lines[0], "GET 0 DPE codec_error:The_user_callback_function_failed 0");
    assert!(lines[1].starts_with("POST 0 DPE http2.violation.of.messaging.rule"), "{lines:?}");
    assert_eq!(proxy.stat("http2.rx_messaging_error"), 1);
    assert_eq!(proxy.stat("http.main.downstream_cx_protocol_error"), 1);
}

#[test]
fn a_frame_out_of_place_is_no_broken_message() {
    let (_origin, proxy) = silent();
    let mut client = client(&proxy);
    client.request("GET", "/", &[], true);
    under_way(&proxy, 1);
    // DATA on the connection itself.
    client.send(0, 0, 0, b"x");
    let line = "GET 0 DPE codec_error:The_user_callback_function_failed 0";
    assert_eq!(logged(&proxy, 1, client), [line]);
    assert_eq!(proxy.stat("http2.rx_messaging_error"), 0);
    assert_eq!(proxy.stat("http.main.downstream_cx_protocol_error"), 1);
}
