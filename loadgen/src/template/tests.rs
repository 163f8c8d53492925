use std::fmt::Write as _;

use expect_test::{Expect, expect};

use super::*;

fn filler() -> Filler {
    Filler::new(1, 4, fastrand::Rng::with_seed(1))
}

fn filled(request: &Request, filler: &mut Filler, last: bool) -> String {
    let mut out = Vec::new();
    request.fill(filler, 7, last, &mut out);
    String::from_utf8(out).expect("text").replace("\r\n", "\n")
}

fn base() -> Url {
    Url::parse("http://origin:8080/base").expect("a URL")
}

/// Reads a file and shows what each request is.
fn check(text: &str, expected: Expect) {
    let mut shown = String::new();
    match parse_file(text, &base(), &Draft::default()) {
        Err(error) => shown.push_str(&error),
        Ok(requests) => {
            let mut filler = filler();
            for request in requests {
                let head = format!("== {} x{}", request.name, request.weight);
                writeln!(shown, "{head} {}", request.url.authority).expect("a string");
                writeln!(shown, "{}", filled(&request, &mut filler, false)).expect("a string");
            }
        }
    }
    expected.assert_eq(&shown);
}

#[test]
fn a_plain_request_has_a_host_and_nothing_else() {
    let request = Request::new(Draft::default(), base()).expect("a request");
    let text = filled(&request, &mut filler(), false);
    assert_eq!(text, "GET /base HTTP/1.1\nhost: origin:8080\n\n");
    let text = filled(&request, &mut filler(), true);
    assert_eq!(text, "GET /base HTTP/1.1\nhost: origin:8080\nconnection: close\n\n");
}

#[test]
fn a_file_holds_several_requests_with_weights_and_blanks() {
    check(
        "# a comment\nGET /one\n\n### two\n# @weight 3\nPOST /items/{{seq}} HTTP/1.1\n\
         Content-Type: text/plain\nHost: other\n\n{\"n\": {{random 5 5}}, \"c\": {{connection}}}\n\
         next {{seq}}\n\n### elsewhere\nHEAD http://b:81/x?y={{seq}}\n",
        expect![[r#"
            == GET /one x1 origin:8080
            GET /one HTTP/1.1
            host: origin:8080


            == two x3 origin:8080
            POST /items/1 HTTP/1.1
            Content-Type: text/plain
            Host: other
            content-length: 23

            {"n": 5, "c": 7}
            next 1
            == elsewhere x1 b:81
            HEAD /x?y=5 HTTP/1.1
            host: b:81


        "#]],
    );
}

#[test]
fn what_is_wrong_in_a_file_is_named_with_its_line() {
    check("", expect!["it holds no request"]);
    check("GET /\n### x\nnothing", expect!["line 3: write METHOD /path"]);
    check(
        "GET /{{what}}",
        expect![
            "line 1: `{{what}}` is unknown: there are seq, uuid, connection, random A B, hex N"
        ],
    );
    check("GET /\nno field", expect!["line 2: `no field` has no `:`"]);
    check(
        "# @colour red\nGET /",
        expect![
            "line 1: `@colour` is unknown: there are name, weight, status, length, hash, chunked"
        ],
    );
    check("CONNECT /", expect!["line 1: CONNECT is not supported"]);
    check(
        "POST /\ntransfer-encoding: chunked\n\nx",
        expect!["line 1: transfer-encoding: chunked bodies are sent with --chunked"],
    );
    check(
        "GET /{{random 9 1}}",
        expect!["line 1: `{{random 9 1}}`: the first number is larger than the second"],
    );
    check("# @status 9xx\nGET /", expect!["line 1: `9xx` is no status: write 200, 2xx or 200-204"]);
}

#[test]
fn random_blanks_have_their_form() {
    let draft = Draft { body: b"{{uuid}} {{hex 6}}".to_vec(), ..Draft::default() };
    let request = Request::new(Draft { method: "PUT".to_owned(), ..draft }, base()).expect("made");
    let (mut filler, mut seen) = (filler(), std::collections::HashSet::new());
    for _ in 0..100 {
        let text = filled(&request, &mut filler, false);
        let (head, body) = text.split_once("\n\n").expect("a head");
        assert!(head.ends_with("content-length: 43"), "{head}");
        let (uuid, hex) = body.split_once(' ').expect("two parts");
        assert!(hex.len() == 6 && hex.bytes().all(|b| b.is_ascii_hexdigit()), "{hex}");
        let groups: Vec<_> = uuid.split('-').map(str::len).collect();
        assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
        assert!(uuid[14..].starts_with('4') && "89ab".contains(&uuid[19..20]), "{uuid}");
        assert!(seen.insert(uuid.to_owned()), "{uuid} came twice");
    }
}

#[test]
fn a_post_without_body_says_so_and_a_given_length_is_kept() {
    let post = Draft { method: "POST".to_owned(), ..Draft::default() };
    let request = Request::new(post.clone(), base()).expect("made");
    assert!(filled(&request, &mut filler(), false).contains("content-length: 0\n"));
    let fields = vec![("Content-Length".to_owned(), "3".to_owned())];
    let request = Request::new(Draft { fields, body: b"abc".to_vec(), ..post }, base());
    let text = filled(&request.expect("made"), &mut filler(), false);
    assert_eq!(text.matches("ength").count(), 1, "{text}");
}

#[test]
fn fields_that_would_break_the_head_are_refused() {
    assert!(parse_field("a b: c").is_err());
    assert!(parse_field("a: b\rc").is_err());
    assert!(parse_field(": c").is_err());
    assert_eq!(parse_field("A:b"), Ok(("A".to_owned(), "b".to_owned())));
}
