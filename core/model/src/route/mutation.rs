//! Header mutations (Envoy `request_headers_to_add` and its companions).

use ringway_http::{FieldName, Fields, Known, RequestHead, ResponseHead};
use thiserror::Error;

use super::rewrite::Scratch;
use crate::format::{Format, FormatContext};

/// What one level does to the headers.
#[derive(Debug, Default)]
pub struct HeaderMutations {
    /// `*_headers_to_add`.
    pub add: Vec<HeaderAdd>,
    /// `*_headers_to_remove`; they go first.
    pub remove: Vec<FieldName>,
}

/// One header to add (Envoy `HeaderValueOption`).
#[derive(Debug)]
pub struct HeaderAdd {
    /// `header.key`, checked by [`mutable_name`].
    pub name: FieldName,
    /// `header.value`, made by [`Format::text_omitting_empty`].
    pub value: Format,
    /// `append_action`.
    pub action: AppendAction,
    /// `keep_empty_value`: without it an empty value adds nothing.
    pub keep_empty_value: bool,
}

/// `HeaderAppendAction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AppendAction {
    /// `APPEND_IF_EXISTS_OR_ADD`
    #[default]
    AppendIfExistsOrAdd,
    /// `ADD_IF_ABSENT`
    AddIfAbsent,
    /// `OVERWRITE_IF_EXISTS_OR_ADD`
    OverwriteIfExistsOrAdd,
    /// `OVERWRITE_IF_EXISTS`
    OverwriteIfExists,
}

/// Why a header may not be changed.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MutationError {
    /// It is a pseudo header or `host`.
    #[error(":-prefixed or host headers may not be {0}")]
    Pseudo(&'static str),
    /// It is not a header's name.
    #[error("\"{0}\" is not the name of a header")]
    Invalid(String),
}

/// The name of a header that may be added.
pub fn mutable_name(name: &str) -> Result<FieldName, MutationError> {
    checked_name(name, "modified")
}

/// The name of a header that may be removed.
pub fn removable_name(name: &str) -> Result<FieldName, MutationError> {
    checked_name(name, "removed")
}

fn checked_name(name: &str, verb: &'static str) -> Result<FieldName, MutationError> {
    if name.starts_with(':') || name.eq_ignore_ascii_case("host") {
        return Err(MutationError::Pseudo(verb));
    }
    FieldName::new(name).ok_or_else(|| MutationError::Invalid(name.to_owned()))
}

impl HeaderMutations {
    /// Whether nothing is done.
    pub fn is_empty(&self) -> bool {
        self.add.is_empty() && self.remove.is_empty()
    }

    /// Applies them to a request; `cx.request` is taken from `head`.
    pub fn apply_request(
        &self,
        head: &mut RequestHead,
        cx: &FormatContext<'_>,
        scratch: &mut Scratch,
    ) {
        if self.is_empty() {
            return;
        }
        self.remove_from(&mut head.fields);
        self.compose(&head.fields, &FormatContext { request: Some(head), ..*cx }, scratch);
        self.store(&mut head.fields, is_single_in_requests, scratch);
    }

    /// Applies them to a response; `cx.response` is taken from `head`.
    pub fn apply_response(
        &self,
        head: &mut ResponseHead,
        cx: &FormatContext<'_>,
        scratch: &mut Scratch,
    ) {
        if self.is_empty() {
            return;
        }
        self.remove_from(&mut head.fields);
        self.compose(&head.fields, &FormatContext { response: Some(head), ..*cx }, scratch);
        self.store(&mut head.fields, is_single_in_responses, scratch);
    }

    fn remove_from(&self, fields: &mut Fields) {
        for name in &self.remove {
            fields.remove_named(name);
        }
    }

    /// Writes all values before any is stored: each speaks of the headers as they came.
    fn compose(&self, fields: &Fields, cx: &FormatContext<'_>, scratch: &mut Scratch) {
        scratch.clear();
        for (index, add) in self.add.iter().enumerate() {
            let exists = || fields.get_named(&add.name).is_some();
            let wanted = match add.action {
                AppendAction::AddIfAbsent => !exists(),
                AppendAction::OverwriteIfExists => exists(),
                _ => true,
            };
            if !wanted {
                continue;
            }
            let start = scratch.bytes.len();
            add.value.write(cx, &mut scratch.bytes);
            if scratch.bytes.len() > start || add.keep_empty_value {
                scratch.pieces.push((index, scratch.bytes.len()));
            }
        }
    }

    /// Overwrites first, then adds, as Envoy does.
    fn store(&self, fields: &mut Fields, is_single: fn(Known) -> bool, scratch: &Scratch) {
        for overwrite in [true, false] {
            let mut start = 0;
            for (index, end) in &scratch.pieces {
                let add = &self.add[*index];
                if add.action.overwrites() == overwrite {
                    if overwrite {
                        // What is overwritten goes to the end.
                        fields.remove_named(&add.name);
                    }
                    push(fields, &add.name, is_single, &scratch.bytes[start..*end]);
                }
                start = *end;
            }
        }
    }
}

impl AppendAction {
    fn overwrites(self) -> bool {
        matches!(self, Self::OverwriteIfExists | Self::OverwriteIfExistsOrAdd)
    }
}

fn push(fields: &mut Fields, name: &FieldName, is_single: fn(Known) -> bool, value: &[u8]) {
    match name {
        FieldName::Known(known) if is_single(*known) => fields.append_known(*known, b",", value),
        FieldName::Known(known) => fields.push_known(*known, value),
        FieldName::Other(name) => fields.push(name, value),
    }
}

/// Whether Envoy keeps a request header as one field, to whose value more is appended behind a
/// comma: the slots of its request header map.
#[rustfmt::skip]
pub(super) fn is_single_in_requests(known: Known) -> bool {
    use Known::*;
    matches!(
        known,
        Accept | AcceptEncoding | AccessControlRequestHeaders | AccessControlRequestMethod
        | AccessControlRequestPrivateNetwork | Authentication | Authorization | CacheControl
        | CdnLoop | Connection | ContentEncoding | ContentLength | ContentType | Expect
        | GrpcAcceptEncoding | GrpcTimeout | IfMatch | IfModifiedSince | IfNoneMatch | IfRange
        | IfUnmodifiedSince | KeepAlive | Origin | Pragma | ProxyConnection | ProxyStatus
        | Referer | Te | TransferEncoding | Upgrade | UserAgent | Via | XClientTraceId
        | XEnvoyAttemptCount | XEnvoyDecoratorOperation | XEnvoyDownstreamServiceCluster
        | XEnvoyDownstreamServiceNode | XEnvoyExpectedRqTimeoutMs | XEnvoyExternalAddress
        | XEnvoyForceTrace | XEnvoyHedgeOnPerTryTimeout | XEnvoyInternal | XEnvoyIpTags
        | XEnvoyIsTimeoutRetry | XEnvoyMaxRetries | XEnvoyOriginalHost | XEnvoyOriginalPath
        | XEnvoyOriginalUrl | XEnvoyRetriableHeaderNames | XEnvoyRetriableStatusCodes
        | XEnvoyRetryGrpcOn | XEnvoyRetryOn | XEnvoyUpstreamAltStatName
        | XEnvoyUpstreamRqPerTryTimeoutMs | XEnvoyUpstreamRqTimeoutAltResponse
        | XEnvoyUpstreamRqTimeoutMs | XEnvoyUpstreamStreamDurationMs | XForwardedClientCert
        | XForwardedFor | XForwardedHost | XForwardedPort | XForwardedProto | XRequestId
    )
}

/// As [`is_single_in_requests`] for Envoy's response header map.
#[rustfmt::skip]
fn is_single_in_responses(known: Known) -> bool {
    use Known::*;
    matches!(
        known,
        AccessControlAllowCredentials | AccessControlAllowHeaders | AccessControlAllowMethods
        | AccessControlAllowOrigin | AccessControlAllowPrivateNetwork
        | AccessControlExposeHeaders | AccessControlMaxAge | Age | CacheControl | Connection
        | ContentEncoding | ContentLength | ContentType | Date | Etag | Expires | GrpcMessage
        | GrpcStatus | KeepAlive | LastModified | Location | ProxyConnection | ProxyStatus
        | Server | TransferEncoding | Upgrade | Vary | Via | XEnvoyAttemptCount
        | XEnvoyDecoratorOperation | XEnvoyDegraded | XEnvoyImmediateHealthCheckFail
        | XEnvoyRatelimited | XEnvoyUpstreamCanary | XEnvoyUpstreamHealthcheckedCluster
        | XEnvoyUpstreamServiceTime | XRequestId
    )
}
