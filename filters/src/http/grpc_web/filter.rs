//! The filter itself. It remembers of a call its form and its statistics.

use ringway_http::{Known, RequestHead, ResponseHead};
use ringway_model::filter::{
    End, FilterState, HttpFilter, Interest, Piece, ResponseStep, Step, StreamCx, Whole,
};
use ringway_model::grpc;
use ringway_model::stream::LocalReply;

use super::base64::{Decoder, Encoder};
use crate::http::call_stats::Names;
use crate::http::frames::Frames;

const WEB: &[u8] = b"application/grpc-web";
const WEB_PROTO: &[u8] = b"application/grpc-web+proto";
const TEXT: &[u8] = b"application/grpc-web-text";
const TEXT_PROTO: &[u8] = b"application/grpc-web-text+proto";

/// The flag of the frame that holds the trailers.
const TRAILERS: u8 = 0x80;
/// How much of a body that is no gRPC becomes a message.
const MESSAGE_MAX: usize = 16 << 10;

#[derive(Debug)]
pub(super) struct Filter;

#[derive(Debug)]
struct Call {
    names: Option<Names>,
    /// The request's body is text.
    request: Option<Decoder>,
    /// The response's body is to be text.
    response: Option<Text>,
}

/// A body as text: every message, and the trailers, are encoded apart.
#[derive(Debug, Default)]
struct Text {
    frames: Frames,
    encoder: Encoder,
}

impl Text {
    fn encode(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() * 4 / 3 + 8);
        let encoder = &mut self.encoder;
        let part = |part: &[u8], ends: bool| {
            encoder.push(part, &mut out);
            if ends {
                encoder.finish(&mut out);
            }
        };
        self.frames.split(bytes, part, |_| {});
        out
    }
}

fn call(state: &mut FilterState) -> Option<&mut Call> {
    state.as_mut()?.downcast_mut()
}

fn is_text(value: Option<&[u8]>) -> bool {
    value.is_some_and(|value| value == TEXT || value == TEXT_PROTO)
}

impl HttpFilter for Filter {
    fn interest(&self) -> Interest {
        Interest {
            request_head: true,
            request_body: true,
            response_head: true,
            response_body: true,
        }
    }

    fn request_head(
        &self,
        state: &mut FilterState,
        head: &mut RequestHead,
        _: &mut StreamCx<'_>,
    ) -> Step {
        let kind = head.fields.known(Known::ContentType);
        let text = is_text(kind);
        if !text && !kind.is_some_and(|kind| kind == WEB || kind == WEB_PROTO) {
            return Step::Continue;
        }
        let text_back = is_text(head.fields.known(Known::Accept));
        *state = Some(Box::new(Call {
            names: Names::of("grpc-web", head, false),
            request: text.then(Decoder::default),
            response: text_back.then(Text::default),
        }));
        let fields = &mut head.fields;
        fields.remove_known(Known::ContentLength);
        fields.set_known(Known::ContentType, grpc::CONTENT_TYPE);
        fields.set_known(Known::Te, b"trailers");
        fields.set_known(Known::GrpcAcceptEncoding, b"identity");
        Step::Continue
    }

    fn request_data(
        &self,
        state: &mut FilterState,
        piece: &mut Piece<'_>,
        _: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        let Some(decoder) = call(state).and_then(|call| call.request.as_mut()) else {
            return Ok(());
        };
        let mut bytes = Vec::with_capacity(piece.bytes().len() / 4 * 3 + 3);
        decoder.push(piece.bytes(), &mut bytes).map_err(|_| not_base64())?;
        piece.replace(bytes);
        Ok(())
    }

    fn request_end(
        &self,
        state: &mut FilterState,
        _: &mut End<'_>,
        _: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        match call(state).and_then(|call| call.request.as_ref()) {
            Some(decoder) if !decoder.is_complete() => Err(not_base64()),
            _ => Ok(()),
        }
    }

    fn response_head(
        &self,
        state: &mut FilterState,
        _: &RequestHead,
        head: &mut ResponseHead,
        cx: &mut StreamCx<'_>,
    ) -> ResponseStep {
        let Some(call) = call(state) else { return ResponseStep::Continue };
        if let Some(names) = &call.names
            && head.fields.has(Known::GrpcStatus)
        {
            names.end(cx, grpc::status(&head.fields));
        }
        let is_grpc = grpc::is_grpc(&head.fields);
        let kind = if call.response.is_some() { TEXT_PROTO } else { WEB_PROTO };
        head.fields.set_known(Known::ContentType, kind);
        if is_grpc {
            head.fields.remove_known(Known::ContentLength);
            return ResponseStep::Continue;
        }
        // Whoever answers so is no gRPC server: what it says becomes the message of a failure.
        if !head.fields.has(Known::GrpcStatus) {
            call.response = None;
        }
        ResponseStep::Collect
    }

    fn response_data(&self, state: &mut FilterState, piece: &mut Piece<'_>, _: &mut StreamCx<'_>) {
        if let Some(text) = call(state).and_then(|call| call.response.as_mut()) {
            let encoded = text.encode(piece.bytes());
            piece.replace(encoded);
        }
    }

    fn response_end(&self, state: &mut FilterState, end: &mut End<'_>, cx: &mut StreamCx<'_>) {
        let Some(call) = call(state) else { return };
        if end.trailers.is_empty() {
            return;
        }
        if let Some(names) = &call.names {
            names.end(cx, grpc::status(end.trailers));
        }
        let mut frame = vec![TRAILERS, 0, 0, 0, 0];
        for (name, value) in end.trailers.iter() {
            frame.extend_from_slice(&[name, b":", value, b"\r\n"].concat());
        }
        // Trailers are bounded by the limits on heads, far below 4 GiB.
        let length = u32::try_from(frame.len() - 5).unwrap_or(u32::MAX);
        frame[1..5].copy_from_slice(&length.to_be_bytes());
        match &mut call.response {
            Some(text) => end.tail.extend_from_slice(&text.encode(&frame)),
            None => end.tail.append(&mut frame),
        }
        end.trailers.clear();
    }

    fn response_whole(
        &self,
        _: &mut FilterState,
        _: &RequestHead,
        whole: &mut Whole<'_>,
        _: &mut StreamCx<'_>,
    ) {
        let fields = &mut whole.head.fields;
        let message = &whole.body[..whole.body.len().min(MESSAGE_MAX)];
        fields.set_known_with(Known::GrpcMessage, |out| grpc::percent_encode(message, out));
        if !fields.has(Known::GrpcStatus) {
            let status = grpc::status_of_http(whole.head.status).to_string();
            fields.set_known(Known::GrpcStatus, status.as_bytes());
        }
        fields.remove_known(Known::ContentLength);
        whole.body.clear();
        whole.trailers.clear();
    }
}

fn not_base64() -> Box<LocalReply> {
    let reply = LocalReply::new(400, "grpc_base_64_decode_failed");
    Box::new(reply.body("Bad gRPC-web request, invalid base64 data."))
}
