//! `envoy.extensions.transport_sockets.tls.v3`.

use super::{Message, extension, field, message, only};

const DOWNSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
const UPSTREAM: &str = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
const RAW: &str = "envoy.extensions.transport_sockets.raw_buffer.v3.RawBuffer";

const PROXY_HEADER: &str =
    "envoy.extensions.transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport";
pub(super) const SPIFFE: &str =
    "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";

/// TLS 1.0 and 1.1 are not built (RFC 8996).
const VERSIONS: &[&str] = &["TLS_AUTO", "TLSv1_2", "TLSv1_3"];

const SECRET: &str = "envoy.extensions.transport_sockets.tls.v3.Secret";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.core.v3.TransportSocket",
        &[field("name"), extension("typed_config", &[RAW, DOWNSTREAM, UPSTREAM, PROXY_HEADER])],
    ),
    message(
        "envoy.config.cluster.v3.Cluster.TransportSocketMatch",
        &[field("name"), field("match"), field("transport_socket")],
    ),
    message(RAW, &[]),
    message(PROXY_HEADER, &[field("config"), field("transport_socket")]),
    message(
        DOWNSTREAM,
        &[
            field("common_tls_context"),
            field("require_client_certificate"),
            field("session_ticket_keys"),
            field("disable_stateless_session_resumption"),
            field("session_ticket_keys_sds_secret_config"),
            field("disable_stateful_session_resumption"),
            field("session_timeout"),
            field("require_sni"),
            field("full_scan_certs_on_sni_mismatch"),
            field("prefer_client_ciphers"),
            field("ocsp_staple_policy"),
        ],
    ),
    message(
        UPSTREAM,
        &[
            field("common_tls_context"),
            field("sni"),
            field("auto_host_sni"),
            field("auto_sni_san_validation"),
            field("max_session_keys"),
            field("enforce_rsa_key_usage"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext",
        &[
            field("tls_params"),
            field("tls_certificates"),
            field("tls_certificate_sds_secret_configs"),
            field("alpn_protocols"),
            field("validation_context"),
            field("validation_context_sds_secret_config"),
            field("combined_validation_context"),
            field("key_log"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.TlsKeyLog",
        &[field("path"), field("local_address_range"), field("remote_address_range")],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CommonTlsContext.\
         CombinedCertificateValidationContext",
        &[field("default_validation_context"), field("validation_context_sds_secret_config")],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.TlsParameters",
        &[
            only("tls_minimum_protocol_version", VERSIONS),
            only("tls_maximum_protocol_version", VERSIONS),
            field("cipher_suites"),
            field("ecdh_curves"),
            field("signature_algorithms"),
            only("compliance_policies", &["FIPS_202205"]),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.TlsCertificate",
        &[
            field("certificate_chain"),
            field("private_key"),
            field("watched_directory"),
            field("ocsp_staple"),
            field("password"),
            field("pkcs12"),
        ],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext",
        &[
            field("trusted_ca"),
            field("system_root_certs"),
            field("watched_directory"),
            field("verify_certificate_spki"),
            field("verify_certificate_hash"),
            field("match_typed_subject_alt_names"),
            field("match_subject_alt_names"),
            field("crl"),
            field("allow_expired_certificate"),
            field("trust_chain_verification"),
            field("only_verify_leaf_cert_crl"),
            field("max_verify_depth"),
            field("suppress_client_ca_list"),
            field("custom_validator_config"),
        ],
    ),
    message(SPIFFE, &[field("trust_domains"), field("trust_bundles")]),
    message(
        "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.TrustDomain",
        &[field("name"), field("trust_bundle")],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.CertificateValidationContext.SystemRootCerts",
        &[],
    ),
    message(
        "envoy.extensions.transport_sockets.tls.v3.SubjectAltNameMatcher",
        &[field("san_type"), field("matcher"), field("oid")],
    ),
    message("envoy.extensions.transport_sockets.tls.v3.TlsSessionTicketKeys", &[field("keys")]),
    message(
        "envoy.extensions.transport_sockets.tls.v3.SdsSecretConfig",
        &[field("name"), field("sds_config")],
    ),
    message(
        SECRET,
        &[
            field("name"),
            field("tls_certificate"),
            field("session_ticket_keys"),
            field("validation_context"),
        ],
    ),
    // A file that holds secrets; there is no other kind of resource in a file yet.
    message(
        "envoy.service.discovery.v3.DiscoveryResponse",
        &[field("version_info"), field("type_url"), extension("resources", &[SECRET])],
    ),
    message(
        "envoy.config.core.v3.ConfigSource",
        &[
            field("path"),
            field("path_config_source"),
            only("resource_api_version", &["AUTO", "V3"]),
        ],
    ),
    message("envoy.config.core.v3.PathConfigSource", &[field("path"), field("watched_directory")]),
    message("envoy.config.core.v3.WatchedDirectory", &[field("path")]),
];
