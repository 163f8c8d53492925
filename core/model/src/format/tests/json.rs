//! JSON formats.

use super::*;

fn text(text: &str) -> JsonNode {
    JsonNode::Text(text.to_owned())
}

fn object(entries: Vec<(&str, JsonNode)>) -> JsonNode {
    let entries = entries.into_iter().map(|(key, value)| (key.to_owned(), value));
    JsonNode::Object(entries.collect())
}

fn of(entries: &[(&str, &str)]) -> JsonNode {
    object(entries.iter().map(|(key, value)| (*key, text(value))).collect())
}

fn both(stream: &Stream, tree: &JsonNode) -> (String, String) {
    let full = Format::json(tree).expect("a format");
    let sparse = Format::json_omitting_empty(tree).expect("a format");
    assert!(full.is_json() && sparse.is_json());
    (stream.write(&full), stream.write(&sparse))
}

#[test]
fn values_keep_their_type() {
    let stream = Stream::finished();
    for (source, expected) in [
        ("%RESPONSE_CODE%", "200"),
        ("%BYTES_SENT%", "122"),
        ("%BYTES_RECEIVED%", "3"),
        ("%DURATION%", "12"),
        ("%RESPONSE_DURATION%", "5"),
        ("%UPSTREAM_REMOTE_PORT%", "8080"),
        ("%UPSTREAM_LOCAL_PORT%", "6666"),
        ("%DOWNSTREAM_REMOTE_PORT%", "4000"),
        ("%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "2"),
        ("%CONNECTION_ID%", "7"),
        ("%REQUEST_HEADERS_BYTES%", "82"),
        ("%RESPONSE_HEADERS_BYTES%", "17"),
        ("%RESP(:status)%", "\"200\""),
        ("%START_TIME(%s)%", "\"1\""),
        ("%QUERY_PARAM(q)%", "\"1\""),
        ("%PROTOCOL%", "\"HTTP/1.1\""),
        ("%RESPONSE_FLAGS%", "\"UF,URX\""),
        ("%LOCAL_REPLY_BODY%", "\"\""),
        ("%ENVIRONMENT(RINGWAY_NO_SUCH_VARIABLE)%", "\"-\""),
        ("%REQ(x-none)%", "null"),
        ("%TRAILER(x)%", "null"),
        // Only a value alone has a type.
        ("%RESPONSE_CODE%%RESPONSE_CODE%", "\"200200\""),
        ("x%RESPONSE_CODE%", "\"x200\""),
        ("100%%", "\"100%\""),
        ("", "\"\""),
    ] {
        let (full, _) = both(&stream, &of(&[("k", source)]));
        assert_eq!(full, format!("{{\"k\":{expected}}}\n"), "{source}");
    }
}

#[test]
fn a_tree_is_written_sorted_and_typed() {
    let tree = object(vec![
        ("z", text("lit")),
        ("a", text("x-%REQ(none)%-%RESPONSE_CODE%")),
        ("n", JsonNode::Number(5.0)),
        ("f", JsonNode::Number(1.5)),
        ("big", JsonNode::Number(1e20)),
        ("neg", JsonNode::Number(-3.0)),
        ("b", JsonNode::Bool(true)),
        ("nul", JsonNode::Null),
        ("o", object(vec![("k2", text("%PROTOCOL%")), ("k1", text("a")), ("e", object(vec![]))])),
        (
            "l",
            JsonNode::List(vec![
                text("%RESPONSE_CODE%"),
                text("s"),
                JsonNode::Number(1.0),
                of(&[("q", "%REQ(none)%")]),
                JsonNode::List(vec![]),
            ]),
        ),
        ("esc\"\\k", text("q\"\\\n\t\u{e9}")),
        ("nn", text("%REQ(none)%%REQ(none)%")),
        ("slash", text("a/b<&>")),
    ]);
    let (full, sparse) = both(&Stream::finished(), &tree);
    let expected = concat!(
        r#"{"a":"x---200","b":true,"big":1e+20,"esc\"\\k":"q\"\\\n\té","f":1.5,"#,
        r#""l":[200,"s",1,{"q":null},[]],"n":5,"neg":-3,"nn":"--","nul":null,"#,
        r#""o":{"e":{},"k1":"a","k2":"HTTP/1.1"},"slash":"a/b<&>","z":"lit"}"#,
    );
    assert_eq!(full.trim_end(), expected);
    let expected = concat!(
        r#"{"a":"x--200","b":true,"big":1e+20,"esc\"\\k":"q\"\\\n\té","f":1.5,"#,
        r#""l":[200,"s",1,[]],"n":5,"neg":-3,"nn":"","#,
        r#""o":{"k1":"a","k2":"HTTP/1.1"},"slash":"a/b<&>","z":"lit"}"#,
    );
    assert_eq!(sparse.trim_end(), expected);
}

#[test]
fn what_is_missing_is_left_out_on_request() {
    let none = || text("%REQ(none)%");
    let list = vec![
        none(),
        JsonNode::Null,
        object(vec![]),
        object(vec![("a", none())]),
        JsonNode::List(vec![none()]),
    ];
    for (tree, expected) in [
        (object(vec![("l", JsonNode::List(list))]), "{\"l\":[[]]}\n"),
        (object(vec![("o", object(vec![("p", object(vec![("q", none())]))]))]), "{}\n"),
        (
            of(&[("a", "%REQ(none)%"), ("b", "%PROTOCOL%"), ("c", "%REQ(none)%")]),
            "{\"b\":\"HTTP/1.1\"}\n",
        ),
        (of(&[("e", "%LOCAL_REPLY_BODY%"), ("h", "%REQ(x-empty)%")]), "{\"e\":\"\",\"h\":\"\"}\n"),
    ] {
        assert_eq!(both(&Stream::finished(), &tree).1, expected);
    }
}

#[test]
fn numbers_are_written_as_envoy_does() {
    for (value, expected) in [
        (0.0, "0"),
        (1e15, "1e+15"),
        (123_456_789_012.0, "123456789012"),
        (0.1, "0.1"),
        (1e-7, "1e-07"),
        (1e16, "1e+16"),
        (12345.678, "12345.678"),
        (f64::INFINITY, "null"),
    ] {
        let (full, _) = both(&Stream::new(), &object(vec![("k", JsonNode::Number(value))]));
        assert_eq!(full, format!("{{\"k\":{expected}}}\n"));
    }
}

fn with_header(value: &[u8]) -> String {
    let mut stream = Stream::new();
    stream.request.fields.push(b"x-a", value);
    both(&stream, &of(&[("v", "%REQ(x-a)%"), ("w", "\"p%REQ(x-a)%s")])).0
}

#[test]
fn strings_are_escaped() {
    assert_eq!(
        with_header("b\t\"\\/\u{e9}\u{2028}".as_bytes()),
        "{\"v\":\"b\\t\\\"\\\\/\u{e9}\u{2028}\",\"w\":\"\\\"pb\\t\\\"\\\\/\u{e9}\u{2028}s\"}\n"
    );
    assert_eq!(with_header(b"\x01"), "{\"v\":\"\\u0001\",\"w\":\"\\\"p\\u0001s\"}\n");
}

#[test]
fn what_is_not_utf8_is_escaped_byte_by_byte() {
    assert_eq!(
        with_header(b"b\xe9\"\t\\e"),
        "{\"v\":\"b\\u00e9\\u0022\\u0009\\u005ce\",\
         \"w\":\"\\\"pb\\u00e9\\u0022\\u0009\\u005ces\"}\n"
    );
}

#[test]
fn errors_are_those_of_the_strings_inside() {
    let tree = object(vec![("l", JsonNode::List(vec![text("ok"), text("a %NOPE%")]))]);
    for error in [Format::json(&tree), Format::json_omitting_empty(&tree)] {
        let error = error.expect_err("an operator that is none");
        assert_eq!(error.to_string(), "at byte 2 of the format: not supported yet: %NOPE%");
    }
}

proptest! {
    /// Whatever a header holds, a line stays one JSON string between its quotes.
    #[test]
    fn no_header_breaks_out_of_its_string(value in prop::collection::vec(any::<u8>(), 0..40)) {
        let line = with_header(&value);
        let inside = line.split_once("{\"v\":\"").expect("a key").1;
        let inside = inside.split_once("\",\"w\":").expect("a second key").0;
        let mut chars = inside.chars();
        while let Some(char) = chars.next() {
            prop_assert!(char != '"' && !char.is_control() || char >= '\u{7f}', "{}", line);
            if char == '\\' {
                let escaped = chars.next().expect("an escape");
                prop_assert!("\"\\nrtbfu".contains(escaped), "{}", line);
            }
        }
    }
}
