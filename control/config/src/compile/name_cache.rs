//! Caches of names that come with requests (Envoy `DnsCacheConfig`), and the resolvers that they
//! ask (`typed_dns_resolver_config`).

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use prost::Message;
use ringway_bridge::limit::Limit;
use ringway_model::dns::{NameCache, NameCacheSettings, Resolver};
use ringway_model::filter::Process;
use ringway_model::stats::DnsCacheStats;

use super::Cx;
use super::address;
use super::at::At;
use super::dns;
use super::proto::{cares, cluster as cluster_proto, core, dns_cache, listener};
use super::value::{duration, is, or_u32, timeout, type_name, unpack};
use core::socket_address::PortSpecifier;
use dns_cache::DnsCacheConfig;

const REFRESH: Duration = Duration::from_secs(60);
const MIN_REFRESH: Duration = Duration::from_secs(5);
const HOST_TTL: Duration = Duration::from_secs(300);
const QUERY_TIMEOUT: Duration = Duration::from_secs(5);
const HOSTS_MAX: u32 = 1024;
const PENDING_MAX: u32 = 1024;

/// The caches of the last generations, while something has them: with the message of each.
pub(super) type Caches = HashMap<String, (DnsCacheConfig, Weak<NameCache>)>;
/// The messages of this generation, by name.
pub(super) type Seen = HashMap<String, DnsCacheConfig>;

/// Holds a message against the others of its name. This is done for all of a configuration, be
/// it compiled anew or kept.
pub(super) fn check(cx: &Cx<'_>, at: &At<'_>, config: &DnsCacheConfig) {
    let mut seen = cx.seen_caches.borrow_mut();
    match seen.get(&config.name) {
        None => drop(seen.insert(config.name.clone(), config.clone())),
        Some(first) if first == config => {}
        Some(_) => at.invalid(format_args!(
            "config specified DNS cache '{}' with different settings",
            config.name
        )),
    }
}

/// The cache of that name, the same for all who give the same message.
pub(super) fn cache(cx: &Cx<'_>, at: &At<'_>, config: &DnsCacheConfig) -> Option<Arc<NameCache>> {
    let known = cx.caches.borrow().get(&config.name).cloned();
    let known = known.filter(|(message, _)| message == config);
    if let Some(cache) = known.and_then(|(_, cache)| cache.upgrade()) {
        return Some(cache);
    }
    let settings = settings(at, config)?;
    let prefix = format!("dns_cache.{}", config.name);
    let breaker = config.dns_cache_circuit_breaker.as_ref();
    let pending = or_u32(breaker.and_then(|breaker| breaker.max_pending_requests), PENDING_MAX);
    let cache = Arc::new(NameCache {
        name: Arc::from(config.name.as_str()),
        settings,
        pending: Limit::new(u64::from(pending)),
        hosts: Limit::new(u64::from(or_u32(config.max_hosts, HOSTS_MAX))),
        epoch: Instant::now(),
        stats: Some(DnsCacheStats::register(&cx.env.catalog, &prefix, &prefix, &[])),
    });
    let entry = (config.clone(), Arc::downgrade(&cache));
    cx.caches.borrow_mut().insert(config.name.clone(), entry);
    Some(cache)
}

fn settings(at: &At<'_>, config: &DnsCacheConfig) -> Option<NameCacheSettings> {
    let refresh = duration(&at.field("dns_refresh_rate"), config.dns_refresh_rate);
    let min_refresh = duration(&at.field("dns_min_refresh_rate"), config.dns_min_refresh_rate);
    let host_ttl = duration(&at.field("host_ttl"), config.host_ttl);
    let limit = Some(QUERY_TIMEOUT);
    let query_timeout = timeout(&at.field("dns_query_timeout"), config.dns_query_timeout, limit);
    let rate = config.dns_failure_refresh_rate.as_ref();
    let failure = dns::failure_refresh(at, rate);
    if failure.is_some() && config.disable_dns_refresh_on_failure {
        let at = at.field("dns_failure_refresh_rate");
        at.no_effect("disable_dns_refresh_on_failure is set");
    }
    let typed = config.typed_dns_resolver_config.as_ref();
    Some(NameCacheSettings {
        family: dns::family(config.dns_lookup_family),
        refresh: refresh.unwrap_or(REFRESH),
        min_refresh: min_refresh.unwrap_or(MIN_REFRESH),
        failure,
        refreshes_failures: !config.disable_dns_refresh_on_failure,
        host_ttl: host_ttl.unwrap_or(HOST_TTL),
        query_timeout,
        preresolve: config.preresolve_hostnames.iter().map(preresolved).collect(),
        resolver: resolver(&at.field("typed_dns_resolver_config"), typed)?,
    })
}

/// The API's own rule keeps the port below 65536.
fn preresolved(address: &core::SocketAddress) -> (Box<str>, u16) {
    let port = match address.port_specifier {
        Some(PortSpecifier::PortValue(port)) => u16::try_from(port).unwrap_or_default(),
        _ => 0,
    };
    (address.address.as_str().into(), port)
}

/// Who is asked. Without a configuration it is whom the host asks.
pub(super) fn resolver(
    at: &At<'_>,
    config: Option<&core::TypedExtensionConfig>,
) -> Option<Resolver> {
    let Some(any) = config.and_then(|config| config.typed_config.as_ref()) else {
        return Some(Resolver::default());
    };
    let at = at.field("typed_config");
    if !is::<cares::CaresDnsResolverConfig>(any) {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    }
    let config: cares::CaresDnsResolverConfig = unpack(&at, any)?;
    let at_resolvers = at.field("resolvers");
    let each = config.resolvers.iter().enumerate();
    let servers: Vec<_> =
        each.map(|(index, one)| server(&at_resolvers.index(index), one)).collect();
    let servers: Option<Vec<SocketAddr>> = servers.into_iter().collect();
    let options = config.dns_resolver_options.unwrap_or_default();
    let defaults = Resolver::default();
    let seconds = config.query_timeout_seconds.map(|wrapper| wrapper.value);
    Some(Resolver {
        servers: servers?,
        over_tcp: options.use_tcp_for_dns_lookups,
        search: !options.no_default_search_domain,
        timeout: seconds.map_or(defaults.timeout, Duration::from_secs),
        tries: or_u32(config.query_tries, defaults.tries),
    })
}

/// The port of name servers.
const DNS_PORT: u16 = 53;

fn server(at: &At<'_>, place: &core::Address) -> Option<SocketAddr> {
    match address::resolved(at, place, "")?.ip() {
        Some(server) if server.port() == 0 => Some(SocketAddr::new(server.ip(), DNS_PORT)),
        Some(server) => Some(server),
        None => {
            at.invalid("a name server has an IP address");
            None
        }
    }
}

/// As [`check`] for what a cluster says.
pub(super) fn check_cluster(cx: &Cx<'_>, at: &At<'_>, cluster: &cluster_proto::Cluster) {
    if let Some(config) = super::dynamic::config_of(at, cluster).and_then(|one| one.cache) {
        let at = at.field("cluster_type");
        let at = at.field("typed_config");
        check(cx, &at.field("dns_cache_config"), &config);
    }
}

/// As [`check`] for the filter at this place, if it has a cache.
pub(super) fn check_filter(cx: &Cx<'_>, at: &At<'_>, any: &super::proto::google::Any) {
    use super::proto::{dynamic_http, sni_dynamic};
    use dynamic_http::filter_config::ImplementationSpecifier as Specifier;
    let config = if is::<dynamic_http::FilterConfig>(any) {
        let config: Option<dynamic_http::FilterConfig> = unpack(at, any);
        match config.and_then(|config| config.implementation_specifier) {
            Some(Specifier::DnsCacheConfig(config)) => Some(config),
            _ => None,
        }
    } else if is::<sni_dynamic::FilterConfig>(any) {
        let config: Option<sni_dynamic::FilterConfig> = unpack(at, any);
        config.and_then(|config| config.dns_cache_config)
    } else {
        None
    };
    if let Some(config) = config {
        check(cx, &at.field("dns_cache_config"), &config);
    }
}

/// The process, for a filter whose message stands at a place.
pub(super) struct Within<'a, 'c>(pub(super) &'a Cx<'c>, pub(super) &'a At<'a>);

impl Process for Within<'_, '_> {
    fn name_cache(&self, path: &str, config: &[u8]) -> Option<Arc<NameCache>> {
        let Self(cx, at) = self;
        let at = at.inside(path);
        let config = at.take(DnsCacheConfig::decode(config))?;
        cache(cx, &at, &config)
    }
}

/// The chain that a listener's filter stands in, for whoever looks at its filters.
pub(super) fn check_http_filters(
    cx: &Cx<'_>,
    at: &At<'_>,
    filters: &[super::proto::hcm::HttpFilter],
) {
    use super::proto::hcm::http_filter::ConfigType;
    for (index, filter) in filters.iter().enumerate() {
        if let Some(ConfigType::TypedConfig(any)) = &filter.config_type {
            let at = at.index(index);
            check_filter(cx, &at.field("typed_config"), any);
        }
    }
}

/// As [`check`] for a network filter.
pub(super) fn check_network_filter(cx: &Cx<'_>, at: &At<'_>, filter: &listener::Filter) {
    if let Some(listener::filter::ConfigType::TypedConfig(any)) = &filter.config_type {
        check_filter(cx, &at.field("typed_config"), any);
    }
}
