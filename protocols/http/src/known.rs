//! The header fields that a proxy looks at, as an enum of one byte.
//!
//! Owns: the table of names and the classification of a lower-case name. A field whose name stands
//! in the table is found by one bit test when it is absent and by a scan over one-byte tags when it
//! is present. Does not own what any of them means.

macro_rules! known_fields {
    ($($variant:ident = $name:literal,)*) => {
        /// A header field name that the proxy, its filters or Envoy's header maps treat specially.
        #[allow(missing_docs, reason = "each variant is the name beside it in the table")]
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[repr(u8)]
        pub enum Known { $($variant,)* }

        const NAMES: &[&[u8]] = &[$($name,)*];

        impl Known {
            /// Every known name, in the order of its number.
            pub const ALL: &'static [Known] = &[$(Known::$variant,)*];

            /// The number of a lower-case `name`, or `None` when the table does not hold it.
            #[must_use]
            pub fn classify(name: &[u8]) -> Option<Known> {
                match name {
                    $($name => Some(Known::$variant),)*
                    _ => None,
                }
            }
        }
    };
}

known_fields! {
    // Framing and connection control: RFC 9112, RFC 9110 section 7.6.1.
    Host = b"host",
    Connection = b"connection",
    ContentLength = b"content-length",
    TransferEncoding = b"transfer-encoding",
    Te = b"te",
    Trailer = b"trailer",
    Upgrade = b"upgrade",
    Expect = b"expect",
    KeepAlive = b"keep-alive",
    ProxyConnection = b"proxy-connection",
    Http2Settings = b"http2-settings",
    // What the connection manager reads and writes.
    Date = b"date",
    Server = b"server",
    Via = b"via",
    UserAgent = b"user-agent",
    Location = b"location",
    Forwarded = b"forwarded",
    XForwardedFor = b"x-forwarded-for",
    XForwardedProto = b"x-forwarded-proto",
    XForwardedHost = b"x-forwarded-host",
    XForwardedPort = b"x-forwarded-port",
    XForwardedClientCert = b"x-forwarded-client-cert",
    XRealIp = b"x-real-ip",
    XRequestId = b"x-request-id",
    XClientTraceId = b"x-client-trace-id",
    // Content and negotiation.
    Accept = b"accept",
    AcceptEncoding = b"accept-encoding",
    AcceptLanguage = b"accept-language",
    AcceptRanges = b"accept-ranges",
    Allow = b"allow",
    AltSvc = b"alt-svc",
    ContentEncoding = b"content-encoding",
    ContentLanguage = b"content-language",
    ContentDisposition = b"content-disposition",
    ContentRange = b"content-range",
    ContentType = b"content-type",
    Cookie = b"cookie",
    SetCookie = b"set-cookie",
    Link = b"link",
    MaxForwards = b"max-forwards",
    Range = b"range",
    Referer = b"referer",
    Origin = b"origin",
    RetryAfter = b"retry-after",
    StrictTransportSecurity = b"strict-transport-security",
    UpgradeInsecureRequests = b"upgrade-insecure-requests",
    // Caches.
    Age = b"age",
    CacheControl = b"cache-control",
    CdnLoop = b"cdn-loop",
    Etag = b"etag",
    Expires = b"expires",
    IfMatch = b"if-match",
    IfModifiedSince = b"if-modified-since",
    IfNoneMatch = b"if-none-match",
    IfRange = b"if-range",
    IfUnmodifiedSince = b"if-unmodified-since",
    LastModified = b"last-modified",
    Pragma = b"pragma",
    Vary = b"vary",
    // Who asks.
    Authentication = b"authentication",
    Authorization = b"authorization",
    ProxyAuthenticate = b"proxy-authenticate",
    ProxyAuthorization = b"proxy-authorization",
    ProxyStatus = b"proxy-status",
    WwwAuthenticate = b"www-authenticate",
    // Cross-origin requests.
    AccessControlAllowCredentials = b"access-control-allow-credentials",
    AccessControlAllowHeaders = b"access-control-allow-headers",
    AccessControlAllowMethods = b"access-control-allow-methods",
    AccessControlAllowOrigin = b"access-control-allow-origin",
    AccessControlAllowPrivateNetwork = b"access-control-allow-private-network",
    AccessControlExposeHeaders = b"access-control-expose-headers",
    AccessControlMaxAge = b"access-control-max-age",
    AccessControlRequestHeaders = b"access-control-request-headers",
    AccessControlRequestMethod = b"access-control-request-method",
    AccessControlRequestPrivateNetwork = b"access-control-request-private-network",
    // WebSocket.
    SecWebsocketAccept = b"sec-websocket-accept",
    SecWebsocketExtensions = b"sec-websocket-extensions",
    SecWebsocketKey = b"sec-websocket-key",
    SecWebsocketProtocol = b"sec-websocket-protocol",
    SecWebsocketVersion = b"sec-websocket-version",
    // gRPC.
    GrpcAcceptEncoding = b"grpc-accept-encoding",
    GrpcMessage = b"grpc-message",
    GrpcStatus = b"grpc-status",
    GrpcTimeout = b"grpc-timeout",
    // Tracing.
    B3 = b"b3",
    Traceparent = b"traceparent",
    Tracestate = b"tracestate",
    // Envoy's own, requests.
    XEnvoyAttemptCount = b"x-envoy-attempt-count",
    XEnvoyDecoratorOperation = b"x-envoy-decorator-operation",
    XEnvoyDownstreamServiceCluster = b"x-envoy-downstream-service-cluster",
    XEnvoyDownstreamServiceNode = b"x-envoy-downstream-service-node",
    XEnvoyExpectedRqTimeoutMs = b"x-envoy-expected-rq-timeout-ms",
    XEnvoyExternalAddress = b"x-envoy-external-address",
    XEnvoyForceTrace = b"x-envoy-force-trace",
    XEnvoyHedgeOnPerTryTimeout = b"x-envoy-hedge-on-per-try-timeout",
    XEnvoyInternal = b"x-envoy-internal",
    XEnvoyIpTags = b"x-envoy-ip-tags",
    XEnvoyIsTimeoutRetry = b"x-envoy-is-timeout-retry",
    XEnvoyMaxRetries = b"x-envoy-max-retries",
    XEnvoyOriginalHost = b"x-envoy-original-host",
    XEnvoyOriginalPath = b"x-envoy-original-path",
    XEnvoyOriginalUrl = b"x-envoy-original-url",
    XEnvoyRetriableHeaderNames = b"x-envoy-retriable-header-names",
    XEnvoyRetriableStatusCodes = b"x-envoy-retriable-status-codes",
    XEnvoyRetryGrpcOn = b"x-envoy-retry-grpc-on",
    XEnvoyRetryOn = b"x-envoy-retry-on",
    XEnvoyUpstreamAltStatName = b"x-envoy-upstream-alt-stat-name",
    XEnvoyUpstreamRqPerTryTimeoutMs = b"x-envoy-upstream-rq-per-try-timeout-ms",
    XEnvoyUpstreamRqTimeoutAltResponse = b"x-envoy-upstream-rq-timeout-alt-response",
    XEnvoyUpstreamRqTimeoutMs = b"x-envoy-upstream-rq-timeout-ms",
    XEnvoyUpstreamStreamDurationMs = b"x-envoy-upstream-stream-duration-ms",
    // Envoy's own, responses.
    XEnvoyDegraded = b"x-envoy-degraded",
    XEnvoyImmediateHealthCheckFail = b"x-envoy-immediate-health-check-fail",
    XEnvoyLocalOverloaded = b"x-envoy-local-overloaded",
    XEnvoyOverloaded = b"x-envoy-overloaded",
    XEnvoyRatelimited = b"x-envoy-ratelimited",
    XEnvoyUpstreamCanary = b"x-envoy-upstream-canary",
    XEnvoyUpstreamHealthcheckedCluster = b"x-envoy-upstream-healthchecked-cluster",
    XEnvoyUpstreamServiceTime = b"x-envoy-upstream-service-time",
}

// The presence bitmap of `Fields` has one bit for each name.
const _: () = assert!(NAMES.len() <= 128);

impl Known {
    /// The lower-case name.
    #[inline]
    #[must_use]
    pub fn as_bytes(self) -> &'static [u8] {
        NAMES[self as usize]
    }

    /// The bit of this name in a presence bitmap.
    #[inline]
    pub(crate) const fn bit(self) -> u128 {
        1 << (self as u8)
    }
}

/// A set of names, to test many of them at once.
pub(crate) const fn mask(names: &[Known]) -> u128 {
    let mut bits = 0;
    let mut index = 0;
    while index < names.len() {
        bits |= names[index].bit();
        index += 1;
    }
    bits
}

/// Fields of requests that stand once: Envoy keeps them in fixed slots of its header map, and
/// joins the values of further lines with a comma.
pub(crate) const JOINED_IN_REQUESTS: u128 = mask(&[
    Known::Accept,
    Known::AcceptEncoding,
    Known::AccessControlRequestHeaders,
    Known::AccessControlRequestMethod,
    Known::AccessControlRequestPrivateNetwork,
    Known::Authentication,
    Known::Authorization,
    Known::CacheControl,
    Known::CdnLoop,
    Known::Connection,
    Known::ContentEncoding,
    Known::ContentLength,
    Known::ContentType,
    Known::Expect,
    Known::GrpcAcceptEncoding,
    Known::GrpcTimeout,
    Known::IfMatch,
    Known::IfModifiedSince,
    Known::IfNoneMatch,
    Known::IfRange,
    Known::IfUnmodifiedSince,
    Known::KeepAlive,
    Known::Origin,
    Known::Pragma,
    Known::ProxyConnection,
    Known::ProxyStatus,
    Known::Referer,
    Known::Te,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::UserAgent,
    Known::Via,
    Known::XClientTraceId,
    Known::XEnvoyAttemptCount,
    Known::XEnvoyDecoratorOperation,
    Known::XEnvoyDownstreamServiceCluster,
    Known::XEnvoyDownstreamServiceNode,
    Known::XEnvoyExpectedRqTimeoutMs,
    Known::XEnvoyExternalAddress,
    Known::XEnvoyForceTrace,
    Known::XEnvoyHedgeOnPerTryTimeout,
    Known::XEnvoyInternal,
    Known::XEnvoyIpTags,
    Known::XEnvoyIsTimeoutRetry,
    Known::XEnvoyMaxRetries,
    Known::XEnvoyOriginalHost,
    Known::XEnvoyOriginalPath,
    Known::XEnvoyOriginalUrl,
    Known::XEnvoyRetriableHeaderNames,
    Known::XEnvoyRetriableStatusCodes,
    Known::XEnvoyRetryGrpcOn,
    Known::XEnvoyRetryOn,
    Known::XEnvoyUpstreamAltStatName,
    Known::XEnvoyUpstreamRqPerTryTimeoutMs,
    Known::XEnvoyUpstreamRqTimeoutAltResponse,
    Known::XEnvoyUpstreamRqTimeoutMs,
    Known::XEnvoyUpstreamStreamDurationMs,
    Known::XForwardedClientCert,
    Known::XForwardedFor,
    Known::XForwardedHost,
    Known::XForwardedPort,
    Known::XForwardedProto,
    Known::XRequestId,
]);

/// The same for responses.
pub(crate) const JOINED_IN_RESPONSES: u128 = mask(&[
    Known::AccessControlAllowCredentials,
    Known::AccessControlAllowHeaders,
    Known::AccessControlAllowMethods,
    Known::AccessControlAllowOrigin,
    Known::AccessControlAllowPrivateNetwork,
    Known::AccessControlExposeHeaders,
    Known::AccessControlMaxAge,
    Known::Age,
    Known::CacheControl,
    Known::Connection,
    Known::ContentEncoding,
    Known::ContentLength,
    Known::ContentType,
    Known::Date,
    Known::Etag,
    Known::Expires,
    Known::GrpcMessage,
    Known::GrpcStatus,
    Known::KeepAlive,
    Known::LastModified,
    Known::Location,
    Known::ProxyConnection,
    Known::ProxyStatus,
    Known::Server,
    Known::TransferEncoding,
    Known::Upgrade,
    Known::Vary,
    Known::Via,
    Known::XEnvoyAttemptCount,
    Known::XEnvoyDecoratorOperation,
    Known::XEnvoyDegraded,
    Known::XEnvoyImmediateHealthCheckFail,
    Known::XEnvoyRatelimited,
    Known::XEnvoyUpstreamCanary,
    Known::XEnvoyUpstreamHealthcheckedCluster,
    Known::XEnvoyUpstreamServiceTime,
    Known::XRequestId,
]);

impl AsRef<[u8]> for Known {
    fn as_ref(&self) -> &[u8] {
        self.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_lower_case_and_classified_as_itself() {
        for known in Known::ALL {
            assert_eq!(Known::classify(known.as_bytes()), Some(*known));
            assert!(!known.as_bytes().iter().any(u8::is_ascii_uppercase));
        }
    }

    #[test]
    fn near_misses_are_not_known() {
        for name in [&b""[..], b"hos", b"hosts", b"Host", b"x-envoy-foo", b"content_length"] {
            assert_eq!(Known::classify(name), None, "{name:?}");
        }
    }
}
