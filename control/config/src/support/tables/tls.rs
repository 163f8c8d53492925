//! `envoy.extensions.transport_sockets.tls.v3`.

use super::{Message, extension, field, message, only};

const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

/// TLS 1.0 and 1.1 are not built (RFC 8996).
const VERSIONS: &[&str] = &["TLS_AUTO", "TLSv1_2", "TLSv1_3"];

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.core.v3.TransportSocket",
        &[field("name"), extension("typed_config", &[RAW, DOWNSTREAM, UPSTREAM])],
    ),
    message(RAW, &[]),
    message(DOWNSTREAM, &[field("common_tls_context")]),
    message(
        UPSTREAM,
        &[
            field("common_tls_context"),
            field("sni"),
            field("auto_host_sni"),
            field("max_session_keys"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
        &[
            field("tls_params"),
            field("tls_certificates"),
            field("alpn_protocols"),
            field("validation_context"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
        &[
            only("tls_minimum_protocol_version", VERSIONS),
            only("tls_maximum_protocol_version", VERSIONS),
            field("cipher_suites"),
            field("ecdh_curves"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
        &[field("certificate_chain"), field("private_key")],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
        &[field("trusted_ca")],
    ),
];
