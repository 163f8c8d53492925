//! Feeds bytes to the decoders in every way and writes down what they say.
//!
//! A transcript is one line per step; data that comes in several pieces is joined, so that
//! transcripts of different splits can be compared.
#![allow(dead_code, reason = "each test file uses its part")]

use ringway_http::h1::{
    RequestDecoder, RequestError, RequestLimits, ResponseDecoder, ResponseError, ResponseLimits,
    Upgrade,
};
use ringway_http::{Body, Fields, Method, RequestHead, ResponseHead, Step};

/// What a decoder said, line by line; the last line may be an error.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Transcript {
    pub(crate) lines: Vec<String>,
    data: Vec<u8>,
}

impl Transcript {
    fn data(&mut self, bytes: &[u8]) {
        assert!(!bytes.is_empty(), "data is never empty");
        self.data.extend_from_slice(bytes);
    }

    fn line(&mut self, line: String) {
        if !self.data.is_empty() {
            self.lines.push(format!("data {}", self.data.escape_ascii()));
            self.data.clear();
        }
        self.lines.push(line);
    }

    fn finish(mut self) -> Self {
        if !self.data.is_empty() {
            self.line("...".to_owned());
        }
        self
    }
}

fn fields(fields: &Fields) -> String {
    let each = |(name, value): (&[u8], &[u8])| {
        format!(" [{}: {}]", name.escape_ascii(), value.escape_ascii())
    };
    fields.iter().map(each).collect()
}

fn body(body: Body) -> String {
    match body {
        Body::None => "none".to_owned(),
        Body::Length(length) => length.to_string(),
        Body::Chunked => "chunked".to_owned(),
        Body::UntilClose => "until close".to_owned(),
    }
}

/// `GET h /path body close upgrade expect [name: value]...`
fn request_line(head: &RequestHead, decoder: &RequestDecoder) -> String {
    let mut line = format!(
        "{} {} {} {}",
        head.method().escape_ascii(),
        if head.has_authority() {
            format!("{}", head.authority().escape_ascii())
        } else {
            "-".into()
        },
        head.path().escape_ascii(),
        body(decoder.body()),
    );
    for (mark, says) in [
        ("1.0", head.version().text() == "HTTP/1.0"),
        ("close", !decoder.keep_alive()),
        ("upgrade", decoder.upgrade() != Upgrade::None),
        ("expect", decoder.expect_continue()),
    ] {
        if says {
            line += &format!(" {mark}");
        }
    }
    line + &fields(&head.fields)
}

fn response_line(head: &ResponseHead, decoder: &ResponseDecoder) -> String {
    let close = if decoder.keep_alive() { "" } else { " close" };
    format!("{} {}{close}{}", head.status, body(decoder.body()), fields(&head.fields))
}

/// The transcript of requests that arrive in these pieces.
pub(crate) fn requests(limits: RequestLimits, pieces: &[&[u8]]) -> Transcript {
    let mut decoder = RequestDecoder::new(limits);
    let mut head = RequestHead::new();
    let mut transcript = Transcript::default();
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (consumed, step) = match decoder.decode(rest, &mut head) {
                Ok(found) => found,
                Err(error) => {
                    assert_eq!(decoder.decode(b"", &mut head), Err(error), "errors last");
                    transcript.line(request_error(error));
                    return transcript.finish();
                }
            };
            assert!(consumed <= rest.len());
            match step {
                Step::NeedMore => break assert_eq!(consumed, rest.len(), "all input is taken"),
                Step::Head => transcript.line(request_line(&head, &decoder)),
                Step::Data(range) => transcript.data(&rest[range]),
                Step::Trailers => {
                    transcript.line(format!("trailers{}", fields(decoder.trailers())));
                }
                Step::Complete => {
                    assert!(decoder.is_idle());
                    transcript.line("complete".to_owned());
                }
                Step::Informational => panic!("requests have no informational heads"),
            }
            rest = &rest[consumed..];
        }
    }
    transcript.finish()
}

pub(crate) fn request_error(error: RequestError) -> String {
    format!("{} {}", error.status(), error.details())
}

/// The transcript of responses to such requests that arrive in these pieces, then end.
pub(crate) fn responses(
    limits: ResponseLimits,
    asked: &[(Method, Upgrade)],
    pieces: &[&[u8]],
    then_eof: bool,
) -> Transcript {
    let mut decoder = ResponseDecoder::new(limits);
    let mut head = ResponseHead::new();
    let mut transcript = Transcript::default();
    let mut asked = asked.iter();
    let mut ask = |decoder: &mut ResponseDecoder| {
        if let Some((method, upgrade)) = asked.next() {
            decoder.expect(*method, *upgrade);
        }
    };
    ask(&mut decoder);
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (consumed, step) = match decoder.decode(rest, &mut head) {
                Ok(found) => found,
                Err(error) => {
                    assert_eq!(decoder.decode(b"", &mut head), Err(error), "errors last");
                    transcript.line(response_error(error));
                    return transcript.finish();
                }
            };
            assert!(consumed <= rest.len());
            match step {
                Step::NeedMore => break assert_eq!(consumed, rest.len(), "all input is taken"),
                Step::Head => transcript.line(response_line(&head, &decoder)),
                Step::Informational => {
                    transcript.line(format!("{} info{}", head.status, fields(&head.fields)));
                }
                Step::Data(range) => transcript.data(&rest[range]),
                Step::Trailers => {
                    transcript.line(format!("trailers{}", fields(decoder.trailers())));
                }
                Step::Complete => {
                    transcript.line("complete".to_owned());
                    ask(&mut decoder);
                }
            }
            rest = &rest[consumed..];
        }
    }
    if then_eof {
        match decoder.finish_on_eof() {
            Ok(Step::Complete) => transcript.line("complete".to_owned()),
            Ok(_) => {}
            Err(error) => transcript.line(response_error(error)),
        }
    }
    transcript.finish()
}

pub(crate) fn response_error(error: ResponseError) -> String {
    format!("{} {error:?}", error.status())
}

/// Every way of cutting `input` in two, and into single bytes.
pub(crate) fn splits(input: &[u8]) -> impl Iterator<Item = Vec<&[u8]>> {
    let halves = (0..=input.len()).map(|at| {
        let (left, right) = input.split_at(at);
        vec![left, right]
    });
    halves.chain(std::iter::once(input.chunks(1).collect()))
}

/// The transcript of `input`, which must be the same at every split.
pub(crate) fn request_transcript(limits: RequestLimits, input: &[u8]) -> Vec<String> {
    let whole = requests(limits, &[input]);
    for pieces in splits(input) {
        let pieced = requests(limits, &pieces);
        assert_eq!(pieced, whole, "{} in {:?}", input.escape_ascii(), lengths(&pieces));
    }
    whole.lines
}

/// The transcript of `input`, which must be the same at every split.
pub(crate) fn response_transcript(
    limits: ResponseLimits,
    asked: &[(Method, Upgrade)],
    input: &[u8],
    then_eof: bool,
) -> Vec<String> {
    let whole = responses(limits, asked, &[input], then_eof);
    for pieces in splits(input) {
        let pieced = responses(limits, asked, &pieces, then_eof);
        assert_eq!(pieced, whole, "{} in {:?}", input.escape_ascii(), lengths(&pieces));
    }
    whole.lines
}

fn lengths(pieces: &[&[u8]]) -> Vec<usize> {
    pieces.iter().map(|piece| piece.len()).collect()
}
