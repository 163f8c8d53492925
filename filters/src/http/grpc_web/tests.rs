use ringway_http::{Fields, Known, RequestHead, ResponseHead};
use ringway_model::filter::{
    End, FilterState, HttpFilter, HttpFilterFactory, Piece, ResponseStep, Whole,
};

use super::Factory;
use crate::http::rig::Rig;

const MESSAGE: &[u8] = &[0, 0, 0, 0, 2, 8, 9];

struct Stream {
    rig: Rig,
    filter: std::sync::Arc<dyn HttpFilter>,
    state: FilterState,
    head: RequestHead,
}

impl Stream {
    fn of(content_type: &str, accept: &str) -> Self {
        let mut head = RequestHead::new();
        head.set_path(b"/a.B/C");
        head.fields.push_known(Known::ContentType, content_type.as_bytes());
        head.fields.push_known(Known::Accept, accept.as_bytes());
        head.fields.push_known(Known::ContentLength, b"7");
        let filter = Factory.compile(&[]).expect("a filter");
        let mut stream = Self { rig: Rig::new(), filter, state: None, head };
        stream.filter.request_head(&mut stream.state, &mut stream.head, &mut stream.rig.cx());
        stream
    }

    fn up(&mut self, bytes: &[u8]) -> Option<Vec<u8>> {
        let mut piece = Piece::new(bytes);
        self.filter.request_data(&mut self.state, &mut piece, &mut self.rig.cx()).ok()?;
        Some(piece.bytes().to_vec())
    }

    fn ends_well(&mut self) -> bool {
        let mut end = End { trailers: &mut Fields::new(), tail: &mut Vec::new() };
        self.filter.request_end(&mut self.state, &mut end, &mut self.rig.cx()).is_ok()
    }

    fn answer(&mut self, content_type: &str) -> (ResponseStep, ResponseHead) {
        let mut head = ResponseHead::new();
        head.status = 200;
        head.fields.push_known(Known::ContentType, content_type.as_bytes());
        let (state, cx) = (&mut self.state, &mut self.rig.cx());
        (self.filter.response_head(state, &self.head, &mut head, cx), head)
    }

    fn down(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut piece = Piece::new(bytes);
        self.filter.response_data(&mut self.state, &mut piece, &mut self.rig.cx());
        piece.bytes().to_vec()
    }

    /// What stands behind the body.
    fn tail(&mut self, trailers: &[(&str, &str)]) -> Vec<u8> {
        let (mut fields, mut tail) = (Fields::new(), Vec::new());
        for (name, value) in trailers {
            fields.push(name.as_bytes(), value.as_bytes());
        }
        let mut end = End { trailers: &mut fields, tail: &mut tail };
        self.filter.response_end(&mut self.state, &mut end, &mut self.rig.cx());
        assert!(fields.is_empty(), "a browser reads no trailers");
        tail
    }
}

/// As Envoy 1.40 writes it.
#[test]
fn trailers_become_the_last_frame() {
    let mut stream = Stream::of("application/grpc-web", "*/*");
    let fields = &stream.head.fields;
    assert_eq!(fields.known(Known::ContentType), Some(b"application/grpc".as_slice()));
    assert_eq!(fields.known(Known::Te), Some(b"trailers".as_slice()));
    assert!(!fields.has(Known::ContentLength));
    assert_eq!(stream.up(MESSAGE).as_deref(), Some(MESSAGE));
    let (step, head) = stream.answer("application/grpc");
    assert!(matches!(step, ResponseStep::Continue));
    let kind = head.fields.known(Known::ContentType);
    assert_eq!(kind, Some(b"application/grpc-web+proto".as_slice()));
    assert_eq!(stream.down(MESSAGE), MESSAGE);
    let tail = stream.tail(&[("grpc-status", "0"), ("grpc-message", ""), ("x-tail", "1")]);
    assert_eq!(tail, b"\x80\x00\x00\x00\x28grpc-status:0\r\ngrpc-message:\r\nx-tail:1\r\n");
    assert_eq!(stream.rig.counter("grpc-web.a.B.C.success"), 1);
}

/// As Envoy 1.40 writes it: each frame has its own padding.
#[test]
fn text_is_decoded_and_encoded_frame_by_frame() {
    let text = "application/grpc-web-text";
    let mut stream = Stream::of(text, text);
    let encoded = b"AAAAAAIICQ==";
    let halves = [stream.up(&encoded[..5]), stream.up(&encoded[5..])];
    let halves: Vec<u8> = halves.into_iter().flatten().flatten().collect();
    assert_eq!(halves, MESSAGE);
    assert!(stream.ends_well());
    let (_, head) = stream.answer("application/grpc+proto");
    let kind = head.fields.known(Known::ContentType);
    assert_eq!(kind, Some(b"application/grpc-web-text+proto".as_slice()));
    let both = [MESSAGE, MESSAGE].concat();
    let down: Vec<u8> = both.chunks(3).flat_map(|piece| stream.down(piece)).collect();
    assert_eq!(down, b"AAAAAAIICQ==AAAAAAIICQ==");
    assert_eq!(stream.tail(&[("grpc-status", "0")]), b"gAAAAA9ncnBjLXN0YXR1czowDQo=");
}

#[test]
fn a_body_that_is_no_base64_is_refused() {
    let mut stream = Stream::of("application/grpc-web-text+proto", "");
    assert_eq!(stream.up(b"!!!!"), None);
    let mut stream = Stream::of("application/grpc-web-text+proto", "");
    assert_eq!(stream.up(b"AAA"), Some(Vec::new()));
    assert!(!stream.ends_well());
}

#[test]
fn an_answer_that_is_no_grpc_becomes_a_failure() {
    let mut stream = Stream::of("application/grpc-web", "*/*");
    let (step, mut head) = stream.answer("text/plain");
    assert!(matches!(step, ResponseStep::Collect));
    head.status = 503;
    let (mut body, mut trailers) = (b"told you".to_vec(), Fields::new());
    let mut whole = Whole { head: &mut head, body: &mut body, trailers: &mut trailers };
    let (state, cx) = (&mut stream.state, &mut stream.rig.cx());
    stream.filter.response_whole(state, &stream.head, &mut whole, cx);
    assert!(body.is_empty());
    assert_eq!(head.fields.known(Known::GrpcMessage), Some(b"told you".as_slice()));
    assert_eq!(head.fields.known(Known::GrpcStatus), Some(b"14".as_slice()));
}

#[test]
fn other_requests_pass_as_they_are() {
    for kind in ["application/grpc", "application/grpc-web+json", "text/plain"] {
        let mut stream = Stream::of(kind, "");
        assert!(stream.state.is_none());
        assert!(matches!(stream.answer("text/plain").0, ResponseStep::Continue));
    }
}
