//! How HTTP is spoken with a cluster: `HttpProtocolOptions` of the cluster's extensions, or the
//! older fields of the cluster.

use super::at::At;
use super::proto::{cluster, core, google, upstream_http};
use super::protocol::{self, Common, Side};
use super::value::unpack;

/// The key of `typed_extension_protocol_options`.
const KEY: &str = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";

/// What a cluster says about HTTP.
#[derive(Debug)]
pub(super) struct UpstreamHttp {
    pub(super) common: Common,
    /// `http_protocol_options.enable_trailers`.
    pub(super) enable_trailers: bool,
    /// `http_protocol_options.header_key_format.proper_case_words`.
    pub(super) proper_case: bool,
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
            typed(&at_map.key(KEY), any)
        }
        None => {
            let common = cluster.common_http_protocol_options.as_ref();
            let common =
                protocol::common(&at.field("common_http_protocol_options"), common, Side::Upstream);
            let http1 = cluster.http_protocol_options.as_ref();
            Some(with_http1(common, &at.field("http_protocol_options"), http1))
        }
    }
}

/// As in Envoy the extension wins as a whole.
fn note_older_fields(at: &At<'_>, cluster: &cluster::Cluster) {
    let message = "typed_extension_protocol_options takes its place";
    if cluster.common_http_protocol_options.is_some() {
        at.field("common_http_protocol_options").no_effect(message);
    }
    if cluster.http_protocol_options.is_some() {
        at.field("http_protocol_options").no_effect(message);
    }
}

fn typed(at: &At<'_>, any: &google::Any) -> Option<UpstreamHttp> {
    use upstream_http::http_protocol_options::UpstreamProtocolOptions;
    use upstream_http::http_protocol_options::explicit_http_config::ProtocolConfig;
    let options: upstream_http::HttpProtocolOptions = unpack(at, any)?;
    let common = options.common_http_protocol_options.as_ref();
    let common =
        protocol::common(&at.field("common_http_protocol_options"), common, Side::Upstream);
    let explicit = match &options.upstream_protocol_options {
        Some(UpstreamProtocolOptions::ExplicitHttpConfig(explicit)) => explicit,
        _ => {
            at.unsupported("another choice than explicit_http_config");
            return None;
        }
    };
    let at = at.field("explicit_http_config");
    match &explicit.protocol_config {
        Some(ProtocolConfig::HttpProtocolOptions(http1)) => {
            Some(with_http1(common, &at.field("http_protocol_options"), Some(http1)))
        }
        _ => {
            at.unsupported("another protocol than HTTP/1");
            None
        }
    }
}

fn with_http1(
    common: Common,
    at: &At<'_>,
    http1: Option<&core::Http1ProtocolOptions>,
) -> UpstreamHttp {
    let http1 = protocol::http1(at, http1, Side::Upstream);
    UpstreamHttp { common, enable_trailers: http1.enable_trailers, proper_case: http1.proper_case }
}
