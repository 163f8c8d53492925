use super::*;

fn fields(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

fn request(method: &str, pairs: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(method.as_bytes());
    head.set_path(b"/a?b");
    head.set_authority(b"H:80");
    head.fields = fields(pairs);
    head
}

fn check_request(head: &RequestHead, framing: Framing, options: RequestOptions, expected: &str) {
    let mut out = b"before ".to_vec();
    encode_request(head, framing, options, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), format!("before {expected}\r\n\r\n"));
}

fn check_response(
    status: u16,
    pairs: &[(&str, &str)],
    framing: Framing,
    options: ResponseOptions,
    expected: &str,
) {
    let head = ResponseHead { status, version: Version::Http11, fields: fields(pairs) };
    let mut out = Vec::new();
    encode_response(&head, framing, options, &mut out);
    assert_eq!(String::from_utf8(out).unwrap(), format!("{expected}\r\n\r\n"));
}

#[test]
fn requests_as_envoy_writes_them() {
    let head = request("GET", &[("x", "y"), ("a", ""), ("x-forwarded-proto", "http")]);
    let expected = "GET /a?b HTTP/1.1\r\nhost: H:80\r\nx: y\r\na: \r\nx-forwarded-proto: http";
    check_request(&head, Framing::None, RequestOptions::default(), expected);
}

#[test]
fn the_framing_of_the_message_is_never_copied() {
    let hostile = [
        ("content-length", "99"),
        ("transfer-encoding", "gzip"),
        ("connection", "close"),
        ("upgrade", "x"),
        ("content-length", "98"),
        ("host", "evil"),
        ("a", "b"),
    ];
    let post = |rest: &str| format!("POST /a?b HTTP/1.1\r\nhost: H:80\r\n{rest}");
    let head = request("POST", &hostile);
    for (framing, rest) in [
        (Framing::Length(5), "content-length: 5\r\na: b"),
        (Framing::Chunked, "a: b\r\ntransfer-encoding: chunked"),
        (Framing::None, "a: b\r\ncontent-length: 0"),
    ] {
        check_request(&head, framing, RequestOptions::default(), &post(rest));
    }
    for (framing, rest) in [
        (Framing::Length(5), "content-length: 5\r\na: b"),
        (Framing::Chunked, "a: b\r\ntransfer-encoding: chunked"),
        (Framing::None, "a: b"),
    ] {
        let expected = format!("HTTP/1.1 200 OK\r\n{rest}");
        check_response(200, &hostile, framing, ResponseOptions::default(), &expected);
    }
}

/// Asked of Envoy 1.40, method by method.
#[test]
fn methods_that_expect_a_body_say_when_there_is_none() {
    for method in ["GET", "HEAD", "DELETE", "TRACE"] {
        let expected = format!("{method} /a?b HTTP/1.1\r\nhost: H:80");
        check_request(&request(method, &[]), Framing::None, RequestOptions::default(), &expected);
    }
    for method in ["POST", "PUT", "PATCH", "OPTIONS", "PURGE", "QUERY"] {
        let expected = format!("{method} /a?b HTTP/1.1\r\nhost: H:80\r\ncontent-length: 0");
        check_request(&request(method, &[]), Framing::None, RequestOptions::default(), &expected);
    }
}

#[test]
fn targets() {
    let options = RequestOptions { absolute_form: true, ..RequestOptions::default() };
    let mut head = request("GET", &[]);
    check_request(&head, Framing::None, options, "GET http://H:80/a?b HTTP/1.1\r\nhost: H:80");
    head.set_scheme(b"https");
    check_request(&head, Framing::None, options, "GET https://H:80/a?b HTTP/1.1\r\nhost: H:80");
    head.set_path(b"");
    let origin = RequestOptions::default();
    check_request(&head, Framing::None, origin, "GET / HTTP/1.1\r\nhost: H:80");
    head.set_path(b"*");
    check_request(&head, Framing::None, options, "GET * HTTP/1.1\r\nhost: H:80");
    head.set_method(b"CONNECT");
    check_request(&head, Framing::None, origin, "CONNECT H:80 HTTP/1.1\r\nhost: H:80");
}

#[test]
fn a_target_cannot_break_the_request_line() {
    let mut head = request("GET", &[]);
    head.set_path(b"/a HTTP/1.1\r\nx: y\x7f");
    let expected = "GET /a%20HTTP/1.1%0D%0Ax:%20y%7F HTTP/1.1\r\nhost: H:80";
    check_request(&head, Framing::None, RequestOptions::default(), expected);
}

#[test]
fn upgrades_keep_their_fields() {
    let pairs = [("connection", "Upgrade"), ("upgrade", "websocket"), ("a", "b")];
    let connection = ConnectionField::Upgrade;
    let options = RequestOptions { connection, ..RequestOptions::default() };
    let fields = "connection: Upgrade\r\nupgrade: websocket\r\na: b";
    let expected = format!("GET /a?b HTTP/1.1\r\nhost: H:80\r\n{fields}");
    check_request(&request("GET", &pairs), Framing::None, options, &expected);
    let options = ResponseOptions { connection, ..ResponseOptions::default() };
    let expected = format!("HTTP/1.1 101 Switching Protocols\r\n{fields}");
    check_response(101, &pairs, Framing::None, options, &expected);
}

#[test]
fn connection_stands_before_the_framing_that_is_added() {
    let close = ResponseOptions { connection: ConnectionField::Close, ..Default::default() };
    let expected = "HTTP/1.1 200 OK\r\na: b\r\nconnection: close\r\ntransfer-encoding: chunked";
    check_response(200, &[("a", "b")], Framing::Chunked, close, expected);
    let expected =
        "HTTP/1.1 503 Service Unavailable\r\na: b\r\nconnection: close\r\ncontent-length: 0";
    check_response(503, &[("a", "b")], Framing::Length(0), close, expected);
    let keep = ResponseOptions {
        version: Version::Http10,
        connection: ConnectionField::KeepAlive,
        ..Default::default()
    };
    let expected = "HTTP/1.0 200 OK\r\ncontent-length: 0\r\na: b\r\nconnection: keep-alive";
    check_response(200, &[("content-length", "0"), ("a", "b")], Framing::Length(0), keep, expected);
}

/// Asked of Envoy 1.40: HEAD without a length says `chunked`, 204 and 304 do not.
#[test]
fn heads_that_describe_a_body() {
    let head = ResponseOptions { asked: Method::Head, ..Default::default() };
    let described = Framing::Described;
    let length = [("content-length", "5"), ("content-length", "6")];
    check_response(200, &length, described, head, "HTTP/1.1 200 OK\r\ncontent-length: 5");
    let chunked = "HTTP/1.1 404 Not Found\r\ntransfer-encoding: chunked";
    check_response(404, &[], described, head, chunked);
    check_response(204, &[], described, head, "HTTP/1.1 204 No Content");
    check_response(304, &[], described, head, "HTTP/1.1 304 Not Modified");
    let http10 = ResponseOptions { version: Version::Http10, ..head };
    check_response(200, &[], described, http10, "HTTP/1.0 200 OK");
    let get = ResponseOptions::default();
    let pairs = [("content-length", "5"), ("transfer-encoding", "chunked")];
    check_response(304, &pairs, described, get, "HTTP/1.1 304 Not Modified\r\ncontent-length: 5");
}

#[test]
fn framing_by_status_and_method() {
    let of = |body, status, asked| Framing::of_response(body, status, asked, Version::Http11);
    assert_eq!(of(Body::Length(3), 200, Method::Get), Framing::Length(3));
    assert_eq!(of(Body::Chunked, 200, Method::Get), Framing::Chunked);
    assert_eq!(of(Body::UntilClose, 200, Method::Get), Framing::Chunked);
    assert_eq!(of(Body::None, 200, Method::Head), Framing::Described);
    assert_eq!(of(Body::None, 304, Method::Get), Framing::Described);
    assert_eq!(of(Body::None, 204, Method::Get), Framing::None);
    assert_eq!(of(Body::UntilClose, 101, Method::Get), Framing::None);
    assert_eq!(of(Body::UntilClose, 200, Method::Connect), Framing::None);
    assert_eq!(of(Body::Length(2), 403, Method::Connect), Framing::Length(2));
    let old = |body| Framing::of_response(body, 200, Method::Get, Version::Http10);
    assert_eq!(old(Body::Chunked), Framing::None);
    assert_eq!(old(Body::Length(2)), Framing::Length(2));
    assert_eq!(Framing::of_request(Body::Chunked), Framing::Chunked);
    assert_eq!(Framing::of_request(Body::None), Framing::None);
}

#[test]
fn proper_case_words_as_envoy_writes_them() {
    let names = ["x-foo-bar", "www-authenticate", "etag", "x--y", "a$b", "1a", "t_e"];
    let pairs: Vec<_> = names.iter().map(|name| (*name, "v")).collect();
    let options =
        RequestOptions { key_format: HeaderKeyFormat::ProperCaseWords, ..Default::default() };
    let expected = "GET /a?b HTTP/1.1\r\nHost: H:80\r\nX-Foo-Bar: v\r\nWww-Authenticate: v\r\n\
                    Etag: v\r\nX--Y: v\r\nA$B: v\r\n1a: v\r\nT_E: v\r\nTransfer-Encoding: chunked";
    check_request(&request("GET", &pairs), Framing::Chunked, options, expected);
}

#[test]
fn reason_phrases_as_envoy_writes_them() {
    for (status, line) in [
        (100, "HTTP/1.1 100 Continue"),
        (203, "HTTP/1.1 203 Non-Authoritative Information"),
        (306, "HTTP/1.1 306 Unknown"),
        (418, "HTTP/1.1 418 Unknown"),
        (425, "HTTP/1.1 425 Too Early"),
        (451, "HTTP/1.1 451 Unknown"),
        (599, "HTTP/1.1 599 Last Unassigned Server Error Code"),
        (999, "HTTP/1.1 999 Unknown"),
    ] {
        check_response(status, &[], Framing::None, ResponseOptions::default(), line);
    }
}

#[test]
fn chunks() {
    let mut out = Vec::new();
    for len in [0, 1, 15, 16, 255, 4096, usize::MAX] {
        encode_chunk_prefix(len, &mut out);
    }
    encode_chunk_end(&mut out);
    let expected = "1\r\nf\r\n10\r\nff\r\n1000\r\nffffffffffffffff\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn trailers_end_the_body() {
    let mut out = Vec::new();
    encode_trailers(None, &mut out);
    encode_trailers(Some(&fields(&[("t", "v"), ("x-y", "z")])), &mut out);
    let expected = "0\r\n\r\n0\r\nt: v\r\nx-y: z\r\n\r\n";
    assert_eq!(String::from_utf8(out).unwrap(), expected);
}

#[test]
fn control_characters_are_found_wherever_they_stand() {
    assert!(is_clean(b"a: b\r\n\r\n", 2));
    assert!(is_clean(b"a:\tb\xff\r\n\r\n", 2));
    for dirty in ["a: b\r\nc: d\r\n\r\n", "a: b\n\r\n\r\n", "a: \0\r\n\r\n", "a\u{1}: b\r\n\r\n"] {
        assert!(!is_clean(dirty.as_bytes(), 2), "{dirty:?}");
    }
    let long = format!("a: {}\r\n{}\r\n", "b".repeat(1000), "c: d\r\n".repeat(300));
    assert!(is_clean(long.as_bytes(), 302));
    assert!(!is_clean(long.replace("bb", "b\n").as_bytes(), 302));
    assert!(!is_clean("\n".repeat(256 + 2).as_bytes(), 1));
}

#[test]
fn control_characters_become_blanks() {
    let head = request("GET", &[("a", "b\r\nevil: 1\r\n\r\nGET /admin\0")]);
    let mut out = Vec::new();
    let options = RequestOptions::default();
    let lines = write_request(&head, Framing::None, options, Values::Cleaned, &mut out);
    let expected = "GET /a?b HTTP/1.1\r\nhost: H:80\r\na: b  evil: 1    GET /admin \r\n\r\n";
    assert_eq!(String::from_utf8(out.clone()).unwrap(), expected);
    assert!(is_clean(&out, lines));
}

#[test]
#[cfg(debug_assertions)]
#[should_panic(expected = "control character")]
fn a_defective_filter_is_noticed_in_debug_builds() {
    let head = request("GET", &[("a", "b\r\nevil: 1")]);
    encode_request(&head, Framing::None, RequestOptions::default(), &mut Vec::new());
}

#[test]
fn numbers() {
    for value in [0, 9, 10, 99, 100, 12_345, u64::MAX] {
        let text = decimal(value, &mut [0; 20]).to_vec();
        assert_eq!(String::from_utf8(text).unwrap(), value.to_string());
    }
}
