use super::*;

/// Writes down answers.
#[derive(Default)]
struct Transcript {
    open: usize,
    text: String,
}

impl Answers for Transcript {
    fn oldest_is_head(&self) -> Option<bool> {
        (self.open > 0).then_some(false)
    }

    fn head(&mut self, status: u16) {
        assert_eq!(status, 0);
    }

    fn data(&mut self, data: &[u8]) {
        self.text.push_str(&String::from_utf8_lossy(data));
    }

    fn end(&mut self, _: bool) {
        self.open -= 1;
        self.text.push('.');
    }
}

fn receive(input: &[u8], open: usize) -> (Result<(), Malformed>, String, Messages) {
    let mut results = Vec::new();
    let mut last = Messages::default();
    for size in 1..=input.len() {
        let mut messages = Messages::default();
        let mut transcript = Transcript { open, ..Transcript::default() };
        let result = input.chunks(size).try_for_each(|p| messages.receive(p, &mut transcript));
        results.push((result, transcript.text));
        last = messages;
    }
    assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
    let (result, text) = results.swap_remove(0);
    (result, text, last)
}

#[test]
fn the_key_of_the_rfc_has_the_answer_of_the_rfc() {
    assert_eq!(accept(b"dGhlIHNhbXBsZSBub25jZQ=="), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(base64(b"a") + &base64(b"ab") + &base64(b"abc"), "YQ==YWI=YWJj");
}

#[test]
fn messages_come_in_one_frame_or_many_with_pings_between() {
    let input = b"\x82\x02hi\x01\x01a\x89\x01p\x80\x01b\x81\x00";
    let (result, text, mut messages) = receive(input, 3);
    assert_eq!((result, text.as_str()), (Ok(()), "hi.ab.."));
    let mut out = Vec::new();
    messages.transmit(&mut out);
    assert_eq!(out, b"\x8a\x81\0\0\0\0p", "the pong, under a mask");
}

#[test]
fn frames_that_break_the_rules_are_told() {
    for (input, text) in [
        (&b"\xc2\x00"[..], "reserved bit"),
        (b"\x82\x80abcd", "mask from a server"),
        (b"\x80\x00", "continuation of nothing"),
        (b"\x09\x00", "control frame that is cut"),
        (b"\x89\x7e\x00\x80", "control frame that is cut or too long"),
        (b"\x83\x00", "opcode"),
        (b"\x82\x7f\xff\0\0\0\0\0\0\0", "2^63"),
    ] {
        let (result, ..) = receive(input, 1);
        let error = result.expect_err(text).text();
        assert!(error.contains(text), "{error}");
    }
    assert_eq!(receive(b"\x82\x00", 0).0, Err(Malformed::Unsolicited));
}

#[test]
fn what_is_sent_is_read_back_at_any_length() {
    for length in [0, 1, 125, 126, 65_535, 65_536, 70_001] {
        let payload: Vec<u8> = (0..length).map(|n| n as u8).collect();
        let (mut out, mut frames, mut back) = (Vec::new(), Frames::default(), Vec::new());
        Messages::default().request(&payload, [1, 2, 3, 4], &mut out);
        let mut rest = &out[..];
        while !rest.is_empty() {
            // Odd pieces, so that masks begin anywhere.
            let piece = &rest[..rest.len().min(1003)];
            let (consumed, found) = frames.step(piece).expect("a frame");
            if let Piece::Payload { frame, offset, range, .. } = found {
                let from = back.len();
                back.extend_from_slice(&piece[range]);
                apply_mask(&mut back[from..], frame.mask.expect("a mask"), offset);
            }
            rest = &rest[consumed..];
        }
        assert!(back == payload, "{length}");
    }
}

#[test]
fn a_handshake_is_checked() {
    let answer = |accept: &str| {
        format!(
            "HTTP/1.1 101 Switching Protocols\r\nUpgrade: WebSocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Accept: {accept}\r\n\r\n"
        )
    };
    let mut out = Vec::new();
    let mut opening = Opening::begin(b"GET / HTTP/1.1\r\n", 7, &mut out);
    let right = answer(&opening.expected);
    assert_eq!(opening.receive(&right.as_bytes()[..30]), Ok(false));
    assert_eq!(opening.receive(&right.as_bytes()[30..]), Ok(true));
    for (text, error) in [
        (answer("x"), "another sec-websocket-accept"),
        ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), "status 200"),
        ("HTTP/1.1 101 X\r\n\r\n".to_owned(), "upgrade to something else"),
        (right + "more", "no message asked for"),
    ] {
        let mut opening = Opening::begin(b"", 7, &mut out);
        let found = opening.receive(text.as_bytes()).expect_err(error);
        assert!(found.contains(error), "{found}");
    }
}
