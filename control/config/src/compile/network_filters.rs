//! The network filters of a chain: those that decide, and the one at the end that takes the bytes.

use std::sync::Arc;
use std::time::Duration;

use ringway_bridge::limit::Limit;
use ringway_model::listener::Terminal;
use ringway_model::network::{
    ConnectionLimit, LocalRateLimit, NetworkFilter, SniDynamicForwardProxy,
};

use super::at::At;
use super::proto::tcp_proxy;
use super::proto::{
    connection_limit, core, direct_response, echo, google, hcm, listener, local_ratelimit,
    network_rbac, sni_cluster, sni_dynamic, typed,
};
use super::value::{data, duration, is, or_u32, type_name, unpack};
use super::{Cx, connection, layer4_stats, name_cache, rbac, route_table};
use listener::filter::ConfigType;

/// The most that `direct_response` sends, in bytes: it is part of the configuration.
const RESPONSE_MAX: usize = 1 << 20;
/// The shortest `fill_interval`.
const FILL_INTERVAL_MIN: Duration = Duration::from_millis(50);

/// What one filter is.
enum Filter {
    Before(NetworkFilter),
    /// One that was turned off.
    Nothing,
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
            Some(Filter::Before(_) | Filter::Nothing) if is_last => {
                whole = false;
                at.invalid(not_terminal(filter));
            }
            Some(Filter::Before(found)) => before.push(found),
            Some(Filter::Nothing) => {}
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
    } else if is::<sni_dynamic::FilterConfig>(any) {
        "envoy.filters.network.sni_dynamic_forward_proxy"
    } else if is::<local_ratelimit::LocalRateLimit>(any) {
        "envoy.filters.network.local_ratelimit"
    } else if is::<network_rbac::Rbac>(any) {
        "envoy.filters.network.rbac"
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
    if is::<sni_dynamic::FilterConfig>(any) {
        let filter = sni_dynamic_forward_proxy(cx, &at, &unpack(&at, any)?)?;
        return Some(Filter::Before(NetworkFilter::SniDynamicForwardProxy(filter)));
    }
    if is::<connection_limit::ConnectionLimit>(any) {
        let limit = connection_limit(cx, &at, &unpack(&at, any)?);
        return Some(Filter::Before(NetworkFilter::ConnectionLimit(limit)));
    }
    if is::<network_rbac::Rbac>(any) {
        let rbac = rbac::network(cx, &at, &unpack(&at, any)?)?;
        return Some(Filter::Before(NetworkFilter::Rbac(rbac)));
    }
    if is::<local_ratelimit::LocalRateLimit>(any) {
        let config: local_ratelimit::LocalRateLimit = unpack(&at, any)?;
        if !or_enabled(config.runtime_enabled.as_ref()) {
            return Some(Filter::Nothing);
        }
        let limit = local_rate_limit(cx, &at, &config)?;
        return Some(Filter::Before(NetworkFilter::LocalRateLimit(limit)));
    }
    at.unsupported(format_args!("the extension {}", type_name(any)));
    None
}

/// The API's own rules hold that there is a cache, and keep the port between 1 and 65535.
fn sni_dynamic_forward_proxy(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &sni_dynamic::FilterConfig,
) -> Option<SniDynamicForwardProxy> {
    use sni_dynamic::filter_config::PortSpecifier;
    let cache = config.dns_cache_config.as_ref()?;
    let cache = name_cache::cache(cx, &at.field("dns_cache_config"), cache)?;
    let port = match config.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(port).unwrap_or(u16::MAX),
        // As in Envoy, a port of zero, to which nobody can connect.
        None => 0,
    };
    Some(SniDynamicForwardProxy { cache, port })
}

/// There is no runtime to ask, so that the default value is the value.
fn or_enabled(flag: Option<&core::RuntimeFeatureFlag>) -> bool {
    flag.and_then(|flag| flag.default_value).is_none_or(|wrapper| wrapper.value)
}

/// The API's own rules keep the number of tokens above zero.
fn local_rate_limit(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &local_ratelimit::LocalRateLimit,
) -> Option<LocalRateLimit> {
    let at_bucket = at.field("token_bucket");
    let bucket = config.token_bucket.as_ref()?;
    let interval = duration(&at_bucket.field("fill_interval"), bucket.fill_interval)?;
    // As Envoy, whose buckets were filled by a timer.
    if interval < FILL_INTERVAL_MIN {
        at.invalid("local rate limit token bucket fill timer must be >= 50ms");
        return None;
    }
    Some(LocalRateLimit {
        bucket: cx.token_bucket(&config.share_key, bucket.max_tokens, per_fill(bucket), interval),
        stats: layer4_stats::local_rate_limit(&cx.env.catalog, &config.stat_prefix),
    })
}

fn per_fill(bucket: &typed::TokenBucket) -> u32 {
    or_u32(bucket.tokens_per_fill, 1)
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

/// As [`route_table::check_clusters`] for all tables of a chain, and [`name_cache::check`] for all
/// caches of names.
pub(super) fn check_clusters(cx: &Cx<'_>, at: &At<'_>, chain: &listener::FilterChain) {
    let at = at.field("filters");
    for (index, filter) in chain.filters.iter().enumerate() {
        let at = at.index(index);
        name_cache::check_network_filter(cx, &at, filter);
        let at = at.field("typed_config");
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { continue };
        if !is::<hcm::HttpConnectionManager>(any) {
            continue;
        }
        let config: Option<hcm::HttpConnectionManager> = unpack(&at, any);
        if let Some(config) = &config {
            name_cache::check_http_filters(cx, &at.field("http_filters"), &config.http_filters);
        }
        if let Some(table) = config.as_ref().and_then(connection::inline_routes) {
            route_table::check_clusters(cx, &at.field("route_config"), table);
        }
    }
}
