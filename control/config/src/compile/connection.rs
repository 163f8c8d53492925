//! The HTTP connection manager.

use std::sync::Arc;
use std::time::Duration;

use ringway_http::h1::RequestLimits;
use ringway_http::normalize::EscapedSlashes;
use ringway_model::http::{
    ClientAddress, ClientCertDetails, Codec, ConnectionManager, ForwardClientCert, HostPolicy,
    HttpTimeouts, InternalAddresses, PathPolicy, RequestIdPolicy, ServerHeader, Upgrade,
};
use ringway_model::route::RouteTable;

use super::at::At;
use super::http2::{self, Heads, Http2};
use super::proto::{core, hcm, uuid};
use super::protocol::{self, Common, Http1, Side};
use super::value::{cidrs, or_bool, or_u32, timeout, unpack};
use super::{Cx, access_log, filters, local_reply, route_table, stat_names};
use hcm::http_connection_manager as options;

const STREAM_IDLE_TIMEOUT: Duration = Duration::from_secs(300);
const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);
const DELAYED_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);
const MAX_REQUEST_HEAD_KIB: u32 = 60;
const SERVER_NAME: &str = "envoy";

/// `scope` is the name of the listener's statistics.
pub(super) fn manager(
    cx: &Cx<'_>,
    at: &At<'_>,
    manager: &hcm::HttpConnectionManager,
    scope: &str,
) -> Option<ConnectionManager> {
    let common = protocol::common(
        &at.field("common_http_protocol_options"),
        manager.common_http_protocol_options.as_ref(),
        Side::Downstream,
    );
    let http1 = protocol::http1(
        &at.field("http_protocol_options"),
        manager.http_protocol_options.as_ref(),
        Side::Downstream,
    );
    let http2 = http2(at, manager, &common);
    let codec = codec(at, manager.codec_type);
    let upgrades = upgrades(cx, at, manager);
    let routes = routes(cx, at, manager);
    let chain = filters::chain(cx, &at.field("http_filters"), &manager.http_filters);
    let host = host_policy(at, manager);
    let request_id = request_id(at, manager);
    let h1 = request_limits(manager, &common, &http1);
    let keep = manager.stream_error_on_invalid_http_message;
    let timeouts = timeouts(at, manager, &common);
    let access_logs = access_log::http_logs(cx, &at.field("access_log"), &manager.access_log);
    let client_address = client_address(cx, at, manager);
    let at_replies = at.field("local_reply_config");
    let local_replies = local_reply::config(cx, &at_replies, manager.local_reply_config.as_ref());
    let (filters, http2, catalog) = (chain?, http2?, &cx.env.catalog);
    Some(ConnectionManager {
        stat_prefix: Arc::from(manager.stat_prefix.as_str()),
        routes: Arc::new(routes?),
        filters,
        access_logs,
        h1,
        codec: codec?,
        h2: http2.options,
        h2_keepalive: http2.keepalive,
        upgrades: upgrades?,
        enable_trailers: http1.enable_trailers,
        default_host_for_http_10: http1.default_host_for_http_10,
        proper_case: http1.proper_case,
        allow_absolute_url: http1.allow_absolute_url,
        keep_connection_on_error: http1
            .keep_connection_on_error
            .unwrap_or_else(|| or_bool(keep, false)),
        path: path_policy(manager),
        host: host?,
        server_name: match manager.server_name.as_str() {
            "" => SERVER_NAME.into(),
            name => name.into(),
        },
        server_header: server_header(manager.server_header_transformation),
        via: manager.via.as_str().into(),
        client_address,
        request_id: request_id?,
        forward_client_cert: forward_client_cert(manager.forward_client_cert_details),
        client_cert_details: client_cert_details(manager.set_current_client_cert_details.as_ref()),
        scheme_to_overwrite: scheme(manager.scheme_header_transformation.as_ref()),
        local_replies: local_replies?,
        proxy_100_continue: manager.proxy_100_continue,
        timeouts,
        max_requests_per_connection: common.max_requests_per_connection,
        stats: stat_names::manager(catalog, &manager.stat_prefix),
        h2_stats: stat_names::http2(catalog),
        listener_stats: stat_names::listener_manager(catalog, scope, &manager.stat_prefix),
        latency_us: stat_names::latency(catalog, &manager.stat_prefix),
    })
}

fn routes(cx: &Cx<'_>, at: &At<'_>, manager: &hcm::HttpConnectionManager) -> Option<RouteTable> {
    match inline_routes(manager) {
        Some(table) => route_table::table(cx, &at.field("route_config"), table),
        None => {
            at.unsupported("another source of routes than route_config");
            None
        }
    }
}

/// `route_config`, if that is where routes come from.
pub(super) fn inline_routes(
    manager: &hcm::HttpConnectionManager,
) -> Option<&super::proto::route::RouteConfiguration> {
    match manager.route_specifier.as_ref()? {
        options::RouteSpecifier::RouteConfig(table) => Some(table),
        _ => None,
    }
}

fn codec(at: &At<'_>, number: i32) -> Option<Codec> {
    match options::CodecType::try_from(number) {
        Ok(options::CodecType::Http1) => Some(Codec::Http1),
        Ok(options::CodecType::Http2) => Some(Codec::Http2),
        Ok(options::CodecType::Http3) => {
            at.field("codec_type").invalid("HTTP/3 codec configured on non-QUIC listener.");
            None
        }
        Ok(options::CodecType::Auto) | Err(_) => Some(Codec::Auto),
    }
}

fn http2(at: &At<'_>, manager: &hcm::HttpConnectionManager, common: &Common) -> Option<Http2> {
    let heads = Heads {
        max_kib: or_u32(manager.max_request_headers_kb, MAX_REQUEST_HEAD_KIB),
        max_kib_field: Some("max_request_headers_kb"),
        max_fields: common.max_headers,
        underscores: common.underscores,
        stream_error: manager.stream_error_on_invalid_http_message.map(|wrapper| wrapper.value),
    };
    let at = at.field("http2_protocol_options");
    http2::options(&at, manager.http2_protocol_options.as_ref(), heads)
}

/// `upgrade_configs`, each type at most once.
fn upgrades(
    cx: &Cx<'_>,
    at: &At<'_>,
    manager: &hcm::HttpConnectionManager,
) -> Option<Vec<Upgrade>> {
    let at = at.field("upgrade_configs");
    let mut upgrades: Vec<Upgrade> = Vec::with_capacity(manager.upgrade_configs.len());
    let mut whole = true;
    for (index, config) in manager.upgrade_configs.iter().enumerate() {
        let (at, kind) = (at.index(index), config.upgrade_type.as_str());
        if upgrades.iter().any(|before| before.kind.eq_ignore_ascii_case(kind)) {
            whole = false;
            at.field("upgrade_type").invalid(format_args!(
                "Error: multiple upgrade configs with the same name: '{kind}'"
            ));
        }
        let mut filters = None;
        if !config.filters.is_empty() {
            filters = filters::chain(cx, &at.field("filters"), &config.filters);
            whole &= filters.is_some();
        }
        let enabled = or_bool(config.enabled, true);
        upgrades.push(Upgrade { kind: kind.into(), enabled, filters });
    }
    whole.then_some(upgrades)
}

fn request_limits(
    manager: &hcm::HttpConnectionManager,
    common: &Common,
    http1: &Http1,
) -> RequestLimits {
    let head_kib = or_u32(manager.max_request_headers_kb, MAX_REQUEST_HEAD_KIB);
    RequestLimits {
        max_head_bytes: head_kib as usize * 1024,
        max_fields: common.max_headers,
        allow_http10: http1.accept_http_10,
        allow_chunked_length: http1.allow_chunked_length,
        allow_absolute_url: http1.allow_absolute_url,
        allow_custom_methods: http1.allow_custom_methods,
        enable_trailers: http1.enable_trailers,
        underscores: common.underscores,
    }
}

fn path_policy(manager: &hcm::HttpConnectionManager) -> PathPolicy {
    use options::PathWithEscapedSlashesAction as Action;
    let escaped_slashes = match Action::try_from(manager.path_with_escaped_slashes_action) {
        Ok(Action::RejectRequest) => EscapedSlashes::RejectRequest,
        Ok(Action::UnescapeAndRedirect) => EscapedSlashes::UnescapeAndRedirect,
        Ok(Action::UnescapeAndForward) => EscapedSlashes::UnescapeAndForward,
        Ok(Action::KeepUnchanged | Action::ImplementationSpecificDefault) | Err(_) => {
            EscapedSlashes::KeepUnchanged
        }
    };
    PathPolicy {
        normalize: or_bool(manager.normalize_path, false),
        merge_slashes: manager.merge_slashes,
        escaped_slashes,
    }
}

fn host_policy(at: &At<'_>, manager: &hcm::HttpConnectionManager) -> Option<HostPolicy> {
    let any = match manager.strip_port_mode {
        Some(options::StripPortMode::StripAnyHostPort(any)) => any,
        None => false,
    };
    if any && manager.strip_matching_host_port {
        at.field("strip_any_host_port").invalid(
            "Error: Only one of `strip_matching_host_port` or `strip_any_host_port` can be set.",
        );
        return None;
    }
    Some(HostPolicy {
        strip_matching_port: manager.strip_matching_host_port,
        strip_any_port: any,
        strip_trailing_dot: manager.strip_trailing_host_dot,
    })
}

fn server_header(number: i32) -> ServerHeader {
    use options::ServerHeaderTransformation as Kind;
    match Kind::try_from(number) {
        Ok(Kind::AppendIfAbsent) => ServerHeader::AppendIfAbsent,
        Ok(Kind::PassThrough) => ServerHeader::PassThrough,
        Ok(Kind::Overwrite) | Err(_) => ServerHeader::Overwrite,
    }
}

fn forward_client_cert(number: i32) -> ForwardClientCert {
    use options::ForwardClientCertDetails as Kind;
    match Kind::try_from(number) {
        Ok(Kind::ForwardOnly) => ForwardClientCert::ForwardOnly,
        Ok(Kind::AppendForward) => ForwardClientCert::AppendForward,
        Ok(Kind::SanitizeSet) => ForwardClientCert::SanitizeSet,
        Ok(Kind::AlwaysForwardOnly) => ForwardClientCert::AlwaysForwardOnly,
        Ok(Kind::Sanitize) | Err(_) => ForwardClientCert::Sanitize,
    }
}

fn client_cert_details(wanted: Option<&options::SetCurrentClientCertDetails>) -> ClientCertDetails {
    let Some(wanted) = wanted else { return ClientCertDetails::default() };
    ClientCertDetails {
        subject: or_bool(wanted.subject, false),
        cert: wanted.cert,
        chain: wanted.chain,
        dns: wanted.dns,
        uri: wanted.uri,
    }
}

fn scheme(transformation: Option<&core::SchemeHeaderTransformation>) -> Option<Box<str>> {
    use core::scheme_header_transformation::Transformation;
    match transformation?.transformation.as_ref()? {
        Transformation::SchemeToOverwrite(scheme) => Some(scheme.as_str().into()),
    }
}

fn client_address(cx: &Cx<'_>, at: &At<'_>, manager: &hcm::HttpConnectionManager) -> ClientAddress {
    let at = at.field("internal_address_config");
    let internal = manager.internal_address_config.as_ref().map(|config| InternalAddresses {
        unix_sockets: config.unix_sockets,
        ranges: cidrs(&at.field("cidr_ranges"), &config.cidr_ranges),
    });
    ClientAddress {
        local_ip: cx.env.local_ip,
        use_remote_address: or_bool(manager.use_remote_address, false),
        trusted_hops: manager.xff_num_trusted_hops as usize,
        skip_append: manager.skip_xff_append,
        append_port: manager.append_x_forwarded_port,
        ipv4_mapped: manager.represent_ipv4_remote_address_as_ipv4_mapped_ipv6,
        internal,
    }
}

fn request_id(at: &At<'_>, manager: &hcm::HttpConnectionManager) -> Option<RequestIdPolicy> {
    let extension = manager.request_id_extension.as_ref();
    let at = at.field("request_id_extension");
    let config = match extension.and_then(|extension| extension.typed_config.as_ref()) {
        Some(any) => unpack(&at.field("typed_config"), any)?,
        None => uuid::UuidRequestIdConfig::default(),
    };
    Some(RequestIdPolicy {
        generate: or_bool(manager.generate_request_id, true),
        preserve_external: manager.preserve_external_request_id,
        in_response: manager.always_set_request_id_in_response,
        pack_trace_reason: or_bool(config.pack_trace_reason, true),
    })
}

fn timeouts(at: &At<'_>, manager: &hcm::HttpConnectionManager, common: &Common) -> HttpTimeouts {
    let read = |field, value, default| timeout(&at.field(field), value, default);
    HttpTimeouts {
        stream_idle: read(
            "stream_idle_timeout",
            manager.stream_idle_timeout,
            Some(STREAM_IDLE_TIMEOUT),
        ),
        request: read("request_timeout", manager.request_timeout, None),
        request_headers: read("request_headers_timeout", manager.request_headers_timeout, None),
        connection_idle: common.idle_timeout,
        max_connection_duration: common.max_connection_duration,
        max_stream_duration: common.max_stream_duration,
        drain: read("drain_timeout", manager.drain_timeout, Some(DRAIN_TIMEOUT))
            .unwrap_or_default(),
        delayed_close: read(
            "delayed_close_timeout",
            manager.delayed_close_timeout,
            Some(DELAYED_CLOSE_TIMEOUT),
        ),
    }
}
