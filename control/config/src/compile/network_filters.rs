//! The network filters of a chain: those that decide, and the one at the end that takes the bytes.

use std::sync::Arc;

use ringway_bridge::limit::Limit;
use ringway_model::listener::Terminal;
use ringway_model::network::{ConnectionLimit, NetworkFilter};

use super::at::At;
use super::proto::tcp_proxy;
use super::proto::{connection_limit, direct_response, echo, google, hcm, listener, sni_cluster};
use super::value::{data, duration, is, type_name, unpack};
use super::{Cx, connection, layer4_stats, route_table};
use listener::filter::ConfigType;

/// The most that `direct_response` sends, in bytes: it is part of the configuration.
const RESPONSE_MAX: usize = 1 << 20;

/// What one filter is.
enum Filter {
    Before(NetworkFilter),
    Terminal(Terminal),
}

/// The filters of a chain.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) before: Vec<NetworkFilter>,
    pub(super) terminal: Terminal,
}

pub(super) fn filters(
    cx: &Cx<'_>,
    at: &At<'_>,
    chain: &listener::FilterChain,
    scope: &str,
) -> Option<Filters> {
    let at = at.field("filters");
    if chain.filters.is_empty() {
        at.unsupported("a filter chain without filters");
        return None;
    }
    let mut before = Vec::new();
    let mut terminal = None;
    let mut whole = true;
    for (index, filter) in chain.filters.iter().enumerate() {
        let is_last = index + 1 == chain.filters.len();
        let at = at.index(index);
        match one(cx, &at, filter, scope) {
            Some(Filter::Terminal(found)) if is_last => terminal = Some(found),
            Some(Filter::Terminal(_)) => {
                whole = false;
                at.invalid(misplaced(filter));
            }
            Some(Filter::Before(_)) if is_last => {
                whole = false;
                at.invalid(not_terminal(filter));
            }
            Some(Filter::Before(found)) => before.push(found),
            None => whole = false,
        }
    }
    Some(Filters { before, terminal: terminal.filter(|_| whole)? })
}

fn misplaced(filter: &listener::Filter) -> String {
    format!(
        "Error: terminal filter named {} of type {} must be the last filter in a network filter \
         chain.",
        filter.name,
        type_of(filter)
    )
}

fn not_terminal(filter: &listener::Filter) -> String {
    format!(
        "Error: non-terminal filter named {} of type {} is the last filter in a network filter \
         chain.",
        filter.name,
        type_of(filter)
    )
}

/// What Envoy calls a filter in its errors.
fn type_of(filter: &listener::Filter) -> &str {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { return "" };
    if is::<hcm::HttpConnectionManager>(any) {
        "envoy.filters.network.http_connection_manager"
    } else if is::<tcp_proxy::TcpProxy>(any) {
        "envoy.filters.network.tcp_proxy"
    } else if is::<direct_response::Config>(any) {
        "envoy.filters.network.direct_response"
    } else if is::<echo::Echo>(any) {
        "envoy.filters.network.echo"
    } else if is::<connection_limit::ConnectionLimit>(any) {
        "envoy.filters.network.connection_limit"
    } else if is::<sni_cluster::SniCluster>(any) {
        "envoy.filters.network.sni_cluster"
    } else {
        type_name(any)
    }
}

fn one(cx: &Cx<'_>, at: &At<'_>, filter: &listener::Filter, scope: &str) -> Option<Filter> {
    let any = typed_config(at, filter)?;
    let at = at.field("typed_config");
    if is::<hcm::HttpConnectionManager>(any) {
        let config = unpack(&at, any)?;
        let manager = connection::manager(cx, &at, &config, scope)?;
        return Some(Filter::Terminal(Terminal::Http(Arc::new(manager))));
    }
    if is::<tcp_proxy::TcpProxy>(any) {
        let config = unpack(&at, any)?;
        let proxy = super::tcp_proxy::proxy(cx, &at, &config)?;
        return Some(Filter::Terminal(Terminal::Tcp(Arc::new(proxy))));
    }
    if is::<direct_response::Config>(any) {
        return direct_response(cx, &at, &unpack(&at, any)?).map(Filter::Terminal);
    }
    if is::<echo::Echo>(any) {
        return Some(Filter::Terminal(Terminal::Echo));
    }
    if is::<sni_cluster::SniCluster>(any) {
        return Some(Filter::Before(NetworkFilter::SniCluster));
    }
    if is::<connection_limit::ConnectionLimit>(any) {
        let limit = connection_limit(cx, &at, &unpack(&at, any)?);
        return Some(Filter::Before(NetworkFilter::ConnectionLimit(limit)));
    }
    at.unsupported(format_args!("the extension {}", type_name(any)));
    None
}

fn direct_response(cx: &Cx<'_>, at: &At<'_>, config: &direct_response::Config) -> Option<Terminal> {
    let bytes = match &config.response {
        Some(source) => data(cx, &at.field("response"), source, RESPONSE_MAX)?,
        None => Vec::new(),
    };
    Some(Terminal::DirectResponse(bytes.into()))
}

/// The API's own rules keep the limit above zero.
fn connection_limit(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &connection_limit::ConnectionLimit,
) -> ConnectionLimit {
    let max = config.max_connections.map_or(u64::MAX, |wrapper| wrapper.value);
    ConnectionLimit {
        limit: Limit::new(max),
        delay: duration(&at.field("delay"), config.delay).filter(|delay| !delay.is_zero()),
        stats: layer4_stats::connection_limit(&cx.env.catalog, &config.stat_prefix),
    }
}

fn typed_config<'f>(at: &At<'_>, filter: &'f listener::Filter) -> Option<&'f google::Any> {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => Some(any),
        _ => {
            at.invalid(format_args!("the filter {} has no typed_config", filter.name));
            None
        }
    }
}

/// As [`route_table::check_clusters`] for all tables of a chain.
pub(super) fn check_clusters(cx: &Cx<'_>, at: &At<'_>, chain: &listener::FilterChain) {
    let at = at.field("filters");
    for (index, filter) in chain.filters.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("typed_config");
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { continue };
        if !is::<hcm::HttpConnectionManager>(any) {
            continue;
        }
        let config: Option<hcm::HttpConnectionManager> = unpack(&at, any);
        if let Some(table) = config.as_ref().and_then(connection::inline_routes) {
            route_table::check_clusters(cx, &at.field("route_config"), table);
        }
    }
}
