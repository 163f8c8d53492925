//! `transport_socket_matches`: the sockets of endpoints by their metadata.

use std::collections::HashMap;
use std::sync::Arc;

use ringway_model::proxy_header::ProxyHeader;
use ringway_model::transport::UpstreamTls;

use super::super::at::At;
use super::super::proto::{cluster, core, google};
use super::super::{Cx, proxy_header};
use super::upstream;

/// The key of the metadata that is compared.
const KEY: &str = "envoy.transport_socket_match";

/// The sockets of all matches, in their order.
pub(in super::super) fn sockets(
    cx: &Cx<'_>,
    at: &At<'_>,
    cluster: &cluster::Cluster,
    scope: &str,
) -> Option<Vec<Option<Arc<UpstreamTls>>>> {
    let at = at.field("transport_socket_matches");
    let each = cluster.transport_socket_matches.iter().enumerate();
    let all: Vec<_> = each
        .map(|(index, one)| upstream(cx, &at.index(index), one.transport_socket.as_ref(), scope))
        .collect();
    all.into_iter().collect()
}

/// The PROXY headers of all matches, in their order.
pub(in super::super) fn proxy_headers(
    cx: &Cx<'_>,
    at: &At<'_>,
    cluster: &cluster::Cluster,
    scope: &str,
) -> Option<Vec<Option<Arc<ProxyHeader>>>> {
    let at = at.field("transport_socket_matches");
    let each = cluster.transport_socket_matches.iter().enumerate();
    let all: Vec<_> = each
        .map(|(index, one)| {
            proxy_header::of_socket(cx, &at.index(index), one.transport_socket.as_ref(), scope)
        })
        .collect();
    all.into_iter().collect()
}

/// The first match that the metadata of the endpoint or of its locality meets. Every field of the
/// match must be there with its value, so that an empty match is met by all.
pub(in super::super) fn of_endpoint(
    cluster: &cluster::Cluster,
    endpoint: Option<&core::Metadata>,
    locality: Option<&core::Metadata>,
) -> Option<u16> {
    let met = |wanted: &HashMap<String, google::Value>| {
        wanted.is_empty()
            || [endpoint, locality].into_iter().any(|metadata| meets(wanted, metadata))
    };
    let mut all = cluster.transport_socket_matches.iter();
    let first = all.position(|one| one.r#match.as_ref().is_none_or(|wanted| met(&wanted.fields)));
    first.and_then(|index| u16::try_from(index).ok())
}

fn meets(wanted: &HashMap<String, google::Value>, metadata: Option<&core::Metadata>) -> bool {
    let labels = metadata.and_then(|metadata| metadata.filter_metadata.get(KEY));
    let Some(labels) = labels else { return false };
    wanted.iter().all(|(key, value)| labels.fields.get(key) == Some(value))
}
