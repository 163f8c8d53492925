//! How HTTP is spoken with a cluster: `HttpProtocolOptions` of the cluster's extensions, or the
//! older fields of the cluster.

use ringway_model::cluster::UpstreamProtocol;

use super::at::At;
use super::dynamic;
use super::http2::{self, Heads, Http2};
use super::proto::{cluster, core, google, upstream_http};
use super::protocol::{self, Common, Side};
use super::value::unpack;
use upstream_http::http_protocol_options as choice;

/// The key of `typed_extension_protocol_options`.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
/// `max_response_headers_kb` of HTTP/2.
const MAX_RESPONSE_HEAD_KIB: u32 = 60;

/// What a cluster says about HTTP.
#[derive(Debug)]
pub(super) struct UpstreamHttp {
    pub(super) common: Common,
    /// `http_protocol_options.enable_trailers`.
    pub(super) enable_trailers: bool,
    /// `http_protocol_options.header_key_format.proper_case_words`.
    pub(super) proper_case: bool,
    pub(super) protocol: UpstreamProtocol,
    /// `http2_protocol_options`, or the defaults.
    pub(super) http2: Http2,
}

/// The options of each protocol; the defaults hold for what is absent.
#[derive(Debug, Clone, Copy, Default)]
struct Versions<'a> {
    http1: Option<&'a core::Http1ProtocolOptions>,
    http2: Option<&'a core::Http2ProtocolOptions>,
}

pub(super) fn options(at: &At<'_>, cluster: &cluster::Cluster) -> Option<UpstreamHttp> {
    let extensions = &cluster.typed_extension_protocol_options;
    let at_map = at.field("typed_extension_protocol_options");
    for key in extensions.keys().filter(|key| *key != KEY) {
        at_map.key(key).invalid(format_args!(
            "Didn't find a registered network or http filter or protocol options implementation \
             for name: '{key}'"
        ));
    }
    match extensions.get(KEY) {
        Some(any) => {
            note_older_fields(at, cluster);
            typed(at, &at_map.key(KEY), cluster, any)
        }
        None => older(at, cluster),
    }
}

/// As in Envoy the extension wins as a whole.
fn note_older_fields(at: &At<'_>, cluster: &cluster::Cluster) {
    let set = [
        ("common_http_protocol_options", cluster.common_http_protocol_options.is_some()),
        ("http_protocol_options", cluster.http_protocol_options.is_some()),
        ("http2_protocol_options", cluster.http2_protocol_options.is_some()),
        ("protocol_selection", cluster.protocol_selection != 0),
    ];
    for (field, _) in set.into_iter().filter(|(_, is_set)| *is_set) {
        at.field(field).no_effect("typed_extension_protocol_options takes its place");
    }
}

/// The fields of the cluster itself: HTTP/2 if its options are there.
fn older(at: &At<'_>, cluster: &cluster::Cluster) -> Option<UpstreamHttp> {
    use cluster::cluster::ClusterProtocolSelection as Selection;
    let common = cluster.common_http_protocol_options.as_ref();
    let common =
        protocol::common(&at.field("common_http_protocol_options"), common, Side::Upstream);
    let versions = Versions {
        http1: cluster.http_protocol_options.as_ref(),
        http2: cluster.http2_protocol_options.as_ref(),
    };
    let selection = Selection::try_from(cluster.protocol_selection);
    let protocol = match (selection, versions.http2) {
        (Ok(Selection::UseDownstreamProtocol), _) => UpstreamProtocol::Downstream,
        (_, None) => UpstreamProtocol::Http1,
        (_, Some(_)) if versions.http1.is_none() => UpstreamProtocol::Http2,
        (_, Some(_)) => {
            at.field("http2_protocol_options").invalid(
                "cluster: Both HTTP1 and HTTP2 options may only be configured with non-default \
                 'protocol_selection' values",
            );
            return None;
        }
    };
    with_versions(common, at, protocol, versions)
}

fn typed(
    at_cluster: &At<'_>,
    at: &At<'_>,
    cluster: &cluster::Cluster,
    any: &google::Any,
) -> Option<UpstreamHttp> {
    use choice::UpstreamProtocolOptions as Choice;
    let options: upstream_http::HttpProtocolOptions = unpack(at, any)?;
    if options.upstream_http_protocol_options.is_some() && !dynamic::is_dynamic(cluster) {
        at.field("upstream_http_protocol_options")
            .unsupported("in a cluster whose hosts are not named by requests");
    }
    let common = options.common_http_protocol_options.as_ref();
    let common =
        protocol::common(&at.field("common_http_protocol_options"), common, Side::Upstream);
    match &options.upstream_protocol_options {
        Some(Choice::ExplicitHttpConfig(explicit)) => {
            let at = at.field("explicit_http_config");
            let (protocol, versions) = explicit_version(&at, explicit)?;
            with_versions(common, &at, protocol, versions)
        }
        Some(Choice::UseDownstreamProtocolConfig(both)) => {
            let versions = Versions {
                http1: both.http_protocol_options.as_ref(),
                http2: both.http2_protocol_options.as_ref(),
            };
            let at = at.field("use_downstream_protocol_config");
            with_versions(common, &at, UpstreamProtocol::Downstream, versions)
        }
        Some(Choice::AutoConfig(both)) => {
            check_alpn(at_cluster, cluster);
            let versions = Versions {
                http1: both.http_protocol_options.as_ref(),
                http2: both.http2_protocol_options.as_ref(),
            };
            with_versions(common, &at.field("auto_config"), UpstreamProtocol::Auto, versions)
        }
        // The API's own rule holds that there is one.
        None => None,
    }
}

fn explicit_version<'a>(
    at: &At<'_>,
    explicit: &'a choice::ExplicitHttpConfig,
) -> Option<(UpstreamProtocol, Versions<'a>)> {
    use choice::explicit_http_config::ProtocolConfig;
    let none = Versions::default();
    match &explicit.protocol_config {
        Some(ProtocolConfig::HttpProtocolOptions(http1)) => {
            Some((UpstreamProtocol::Http1, Versions { http1: Some(http1), ..none }))
        }
        Some(ProtocolConfig::Http2ProtocolOptions(http2)) => {
            Some((UpstreamProtocol::Http2, Versions { http2: Some(http2), ..none }))
        }
        _ => {
            at.unsupported("another protocol than HTTP/1 and HTTP/2");
            None
        }
    }
}

/// ALPN needs a transport socket that can speak it.
fn check_alpn(at: &At<'_>, cluster: &cluster::Cluster) {
    if cluster.transport_socket.is_none() && cluster.transport_socket_matches.is_empty() {
        at.invalid(format_args!(
            "ALPN configured for cluster {} which has a non-ALPN transport socket",
            cluster.name
        ));
    }
}

/// `at` is the place of the options of all versions.
fn with_versions(
    common: Common,
    at: &At<'_>,
    protocol: UpstreamProtocol,
    versions: Versions<'_>,
) -> Option<UpstreamHttp> {
    let http1 = protocol::http1(&at.field("http_protocol_options"), versions.http1, Side::Upstream);
    let heads = Heads {
        max_kib: common.max_response_head_kib.unwrap_or(MAX_RESPONSE_HEAD_KIB),
        max_kib_field: common.max_response_head_kib.map(|_| "max_response_headers_kb"),
        max_fields: common.max_headers,
        underscores: common.underscores,
        stream_error: None,
    };
    let http2 = http2::options(&at.field("http2_protocol_options"), versions.http2, heads)?;
    Some(UpstreamHttp {
        common,
        enable_trailers: http1.enable_trailers,
        proper_case: http1.proper_case,
        protocol,
        http2,
    })
}
