//! What the admin server answers, with the headers that Envoy gives every admin reply.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue, SERVER};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::ser::{PrettyFormatter, Serializer};

/// A status, a kind of content and the content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) content: Content,
    pub(crate) body: String,
}

/// The kinds of content that commands give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Content {
    Text,
    Json,
    Html,
}

impl Reply {
    /// 200 with plain text.
    pub(crate) fn text(body: impl Into<String>) -> Self {
        Self::with(StatusCode::OK, Content::Text, body)
    }

    /// 200 and `OK`, the answer of commands that only do something.
    pub(crate) fn ok() -> Self {
        Self::text("OK\n")
    }

    /// 200 with a page.
    pub(crate) fn html(body: impl Into<String>) -> Self {
        Self::with(StatusCode::OK, Content::Html, body)
    }

    /// 200 with JSON that is rendered already.
    pub(crate) fn json(body: impl Into<String>) -> Self {
        Self::with(StatusCode::OK, Content::Json, body)
    }

    /// 200 with `value` as JSON, indented by one space as Envoy prints protobuf messages.
    pub(crate) fn pretty(value: &impl Serialize) -> Self {
        match pretty(value) {
            Ok(text) => Self::json(text),
            Err(error) => Self::error(StatusCode::INTERNAL_SERVER_ERROR, error.to_string()),
        }
    }

    /// A refusal with plain text.
    pub(crate) fn error(status: StatusCode, body: impl Into<String>) -> Self {
        Self::with(status, Content::Text, body)
    }

    /// 400 with plain text.
    pub(crate) fn bad_request(body: impl Into<String>) -> Self {
        Self::error(StatusCode::BAD_REQUEST, body)
    }

    fn with(status: StatusCode, content: Content, body: impl Into<String>) -> Self {
        Self { status, content, body: body.into() }
    }

    /// The reply as it goes on the wire: chunked like Envoy's, since a length was never promised.
    pub(crate) fn into_response(self) -> Response<Chunked> {
        let mut response = Response::new(Chunked(Some(Bytes::from(self.body))));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, self.content.header());
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache, max-age=0"));
        // Without it a browser may read the text of an error as HTML and run what is in it.
        let options = HeaderName::from_static("x-content-type-options");
        headers.insert(options, HeaderValue::from_static("nosniff"));
        headers.insert(SERVER, HeaderValue::from_static("envoy"));
        response
    }
}

impl Content {
    fn header(self) -> HeaderValue {
        HeaderValue::from_static(match self {
            Self::Text => "text/plain; charset=UTF-8",
            Self::Json => "application/json",
            Self::Html => "text/html; charset=UTF-8",
        })
    }
}

/// JSON with one space of indentation and a line end.
pub(crate) fn pretty(value: &impl Serialize) -> serde_json::Result<String> {
    let mut bytes = Vec::new();
    let formatter = PrettyFormatter::with_indent(b" ");
    value.serialize(&mut Serializer::with_formatter(&mut bytes, formatter))?;
    bytes.push(b'\n');
    // The serializer writes UTF-8 only, so nothing is replaced here.
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// A body in one piece whose length is not announced.
#[derive(Debug)]
pub(crate) struct Chunked(Option<Bytes>);

impl Body for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let piece = self.0.take().filter(|bytes| !bytes.is_empty());
        Poll::Ready(piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_indented_by_one_space() {
        let value = serde_json::json!({"a": [], "b": {"c": 1}});
        assert_eq!(
            pretty(&value).expect("valid"),
            "{\n \"a\": [],\n \"b\": {\n  \"c\": 1\n }\n}\n"
        );
    }
}
