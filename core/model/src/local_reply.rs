//! What becomes of the replies that the proxy makes itself (Envoy `LocalReplyConfig`), compiled.
//!
//! Owns: which reply is changed and into what. Does not own: making replies (`ringway-proxy`).

use std::sync::Arc;

use crate::access_log::LogFilter;
use crate::format::{Format, FormatContext};
use crate::route::HeaderMutations;

/// `local_reply_config`.
#[derive(Debug)]
pub struct LocalReplyConfig {
    /// `mappers`, of which the first that matches counts.
    pub mappers: Vec<ReplyMapper>,
    /// `body_format`: how bodies read for which no mapper has a format.
    pub body_format: Option<BodyFormat>,
}

/// One of `mappers` (Envoy `ResponseMapper`).
#[derive(Debug)]
pub struct ReplyMapper {
    /// `filter`.
    pub filter: LogFilter,
    /// `status_code`, 200 to 599.
    pub status: Option<u16>,
    /// `body`, in place of that of the reply.
    pub body: Option<Arc<[u8]>>,
    /// `body_format_override`.
    pub body_format: Option<BodyFormat>,
    /// `headers_to_add`.
    pub headers: HeaderMutations,
}

/// How a body reads, and what it says that it is (Envoy `SubstitutionFormatString`).
#[derive(Debug)]
pub struct BodyFormat {
    /// What it writes is the body.
    pub format: Format,
    /// `content_type`; without one [`BodyFormat::content_type`] tells.
    pub content_type: Option<Box<str>>,
}

impl LocalReplyConfig {
    /// The mapper for a reply. The status is the one in `cx.info`.
    pub fn mapper(&self, cx: &FormatContext<'_>) -> Option<&ReplyMapper> {
        self.mappers.iter().find(|mapper| mapper.filter.accepts(cx))
    }

    /// How the body of a reply reads that this mapper is for.
    pub fn format_of<'a>(&'a self, mapper: Option<&'a ReplyMapper>) -> Option<&'a BodyFormat> {
        let own = mapper.and_then(|mapper| mapper.body_format.as_ref());
        own.or(self.body_format.as_ref())
    }
}

impl BodyFormat {
    /// The configured type, `application/json` for a JSON format, or `text/plain`.
    pub fn content_type(&self) -> &str {
        match &self.content_type {
            Some(text) => text,
            None if self.format.is_json() => "application/json",
            None => "text/plain",
        }
    }

    /// Writes a body in whose format `%LOCAL_REPLY_BODY%` is `body`.
    pub fn write(&self, cx: &FormatContext<'_>, body: &[u8]) -> Vec<u8> {
        let mut written = Vec::new();
        let cx = FormatContext { local_reply_body: Some(body), ..*cx };
        self.format.write(&cx, &mut written);
        written
    }
}
