//! The access log in Envoy's default format, to a file, written off the worker.

use ringway_test_support::{Bootstrap, Origin, Proxy, RawClient, Reply, indent};

fn logging_to(log: &str, origin: &Origin) -> Proxy {
    let route = "routes: [{ match: { prefix: /o }, route: { cluster: origin } }]";
    let manager = format!(
        "access_log:\n{}\nroute_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    {route}\n",
        indent(log, 0)
    );
    let bootstrap = Bootstrap::new().http("main", &manager).cluster("origin", &[origin.address()]);
    Proxy::start(bootstrap.to_yaml())
}

const FILE: &str = "
- name: envoy.access_loggers.file
  typed_config:
    \"@type\": type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog
    path: '{folder}/access.log'
";

/// The fields of a line: what stands in brackets or quotes is one.
fn fields(line: &str) -> Vec<String> {
    let mut fields = Vec::new();
    let mut rest = line.trim();
    while !rest.is_empty() {
        let close = match rest.as_bytes()[0] {
            b'"' => Some('"'),
            b'[' => Some(']'),
            _ => None,
        };
        let end = match close {
            Some(close) => rest[1..].find(close).map_or(rest.len(), |at| at + 2),
            None => rest.find(' ').unwrap_or(rest.len()),
        };
        fields.push(rest[..end].to_owned());
        rest = rest[end..].trim_start();
    }
    fields
}

#[test]
fn default_format() {
    let origin = Origin::named("a");
    let proxy = logging_to(FILE, &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.ask(
        "POST /o?q HTTP/1.1\r\nhost: h.org\r\nuser-agent: me\r\nx-forwarded-for: 1.2.3.4\r\n\
                x-request-id: id-1\r\ncontent-length: 5\r\n\r\nhello",
    );
    client.ask("GET /nowhere HTTP/1.1\r\nhost: h.org\r\n\r\n");
    origin.answer(|_| Reply::default().close());
    client.ask("GET /o HTTP/1.1\r\nhost: h.org\r\n\r\n");
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 3);
    let lines: Vec<Vec<String>> = log.lines().map(fields).collect();

    let served = &lines[0];
    assert_eq!(served[0].len(), "[2026-01-01T00:00:00.000Z]".len(), "{log}");
    assert_eq!(served[1], "\"POST /o?q HTTP/1.1\"");
    // Status, flags, bytes received and sent.
    assert_eq!(served[2..5], ["200", "-", "5"]);
    assert!(served[5].parse::<u32>().unwrap() > 0, "{log}");
    assert!(served[6].parse::<u32>().is_ok() && served[7].parse::<u32>().is_ok(), "{log}");
    let upstream = format!("\"{}\"", origin.address());
    assert_eq!(served[8..], ["\"1.2.3.4\"", "\"me\"", "\"id-1\"", "\"h.org\"", &upstream]);

    assert_eq!(lines[1][1..6], ["\"GET /nowhere HTTP/1.1\"", "404", "NR", "0", "0"]);
    assert_eq!(lines[1][7], "-");
    assert_eq!(lines[1][12], "\"-\"");
    assert_eq!(lines[2][2..4], ["503", "UC"]);
}

#[test]
fn broken_requests_are_logged_too() {
    let origin = Origin::named("a");
    let proxy = logging_to(FILE, &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    assert_eq!(client.ask("GET /o HTTP/1.1\r\nhost: a\r\ncontent-length: x\r\n\r\n").status(), 400);
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 1);
    assert_eq!(fields(&log)[2..4], ["400", "DPE"], "{log}");
}

#[test]
fn own_format() {
    let origin = Origin::named("a");
    let format = "    log_format: { text_format_source: { inline_string: \
                  \"%RESPONSE_CODE% %REQ(:PATH)% %RESPONSE_CODE_DETAILS% %UPSTREAM_CLUSTER%\\n\" } }\n";
    let proxy = logging_to(&format!("{FILE}{format}"), &origin);
    let mut client = RawClient::connect(proxy.listener("main"));
    client.get("/o/1");
    client.get("/x");
    let log = proxy.wait_file("access.log", |log| log.lines().count() == 2);
    assert_eq!(log, "200 /o/1 via_upstream origin\n404 /x route_not_found -\n");
}

#[test]
fn no_line_is_lost_under_load() {
    let origin = Origin::start(|_| Reply::ok("x"));
    let proxy = logging_to(FILE, &origin);
    let address = proxy.listener("main");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let mut client = RawClient::connect(address);
                (0..250).for_each(|_| assert_eq!(client.get("/o").status(), 200));
            });
        }
    });
    let log = proxy.wait_file("access.log", |log| log.lines().count() >= 1000);
    assert_eq!(log.lines().count(), 1000);
    assert!(log.lines().all(|line| fields(line).len() == 13), "a line was torn");
}

#[test]
fn standard_output() {
    let origin = Origin::named("a");
    let log = "
- name: envoy.access_loggers.stdout
  typed_config: { \"@type\": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StdoutAccessLog }
";
    let proxy = logging_to(log, &origin);
    RawClient::connect(proxy.listener("main")).get("/o/stdout");
    proxy.wait_file("stdout", |out| out.contains("\"GET /o/stdout HTTP/1.1\" 200"));
}
