//! Listeners with a UDP address, and the UDP proxy (Envoy `UdpProxyConfig`).

use std::sync::Arc;
use std::time::Duration;

use ringway_model::cluster::ClusterRef;
use ringway_model::matching::Choice;
use ringway_model::udp::{HashPolicy, UdpListener, UdpProxy};

use super::at::At;
use super::matching::{self, Rules};
use super::proto::{core, google, listener, udp_proxy, xds_core};
use super::value::{duration, is, or_bool, type_name, unpack};
use super::{Cx, access_log, layer4_stats, stat_names, udp_tunneling};
use options::RouteSpecifier;
use udp_proxy::udp_proxy_config as options;

/// `idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// `max_rx_datagram_size`, in bytes.
const MAX_PAYLOAD: u64 = 1500;
/// Bytes of the largest payload that there is: what `prefer_gro` makes room for.
const ANY_PAYLOAD: u64 = 65_535;

/// Whether a listener takes datagrams, and not connections.
pub(super) fn is_udp(listener: &listener::Listener) -> bool {
    listener.address.as_ref().is_some_and(is_udp_address)
}

/// `socket_address.protocol`.
pub(super) fn is_udp_address(address: &core::Address) -> bool {
    use core::address::Address::SocketAddress;
    let udp = core::socket_address::Protocol::Udp as i32;
    matches!(&address.address, Some(SocketAddress(socket)) if socket.protocol == udp)
}

/// What a listener with a UDP address does; `address` as text, `scope` names its statistics.
pub(super) fn listener(
    cx: &Cx<'_>,
    at: &At<'_>,
    listener: &listener::Listener,
    address: &str,
    scope: &str,
) -> Option<UdpListener> {
    check(cx, at, listener, address);
    let socket = listener.udp_listener_config.as_ref();
    let socket = socket.and_then(|config| config.downstream_socket_config.as_ref());
    let proxy = proxy_of(cx, at, listener);
    Some(UdpListener {
        max_payload: max_payload(socket, false),
        proxy: Arc::new(proxy?),
        stats: stat_names::udp_listener(&cx.env.catalog, scope),
    })
}

/// As Envoy, which takes any payload with `prefer_gro`, since what it receives may be several.
fn max_payload(config: Option<&core::UdpSocketConfig>, prefer_gro: bool) -> usize {
    let config = config.copied().unwrap_or_default();
    let size = config.max_rx_datagram_size.map_or(MAX_PAYLOAD, |wrapper| wrapper.value);
    let size = if or_bool(config.prefer_gro, prefer_gro) { ANY_PAYLOAD } else { size };
    // The API's own rule keeps it below 65536.
    usize::try_from(size.min(ANY_PAYLOAD)).unwrap_or(usize::MAX)
}

/// What goes with no UDP address.
fn check(cx: &Cx<'_>, at: &At<'_>, listener: &listener::Listener, address: &str) {
    let chains = listener.filter_chains.len();
    if chains > 0 {
        at.field("filter_chains").invalid(format_args!(
            "error adding listener '{address}': {chains} filter chain(s) specified for \
             connection-less UDP listener."
        ));
    }
    if cx.env.workers > 1 && !or_bool(listener.enable_reuse_port, true) {
        at.field("enable_reuse_port").invalid(
            "Listening on UDP when concurrency is > 1 without the SO_REUSEPORT socket option \
             results in unstable packet proxying. Configure the reuse_port listener option or set \
             concurrency = 1.",
        );
    }
    let unused = "a listener for UDP has no connections";
    for (field, is_set) in [
        ("default_filter_chain", listener.default_filter_chain.is_some()),
        ("listener_filters_timeout", listener.listener_filters_timeout.is_some()),
        ("continue_on_listener_filters_timeout", listener.continue_on_listener_filters_timeout),
        ("per_connection_buffer_limit_bytes", listener.per_connection_buffer_limit_bytes.is_some()),
        (
            "per_connection_buffer_high_watermark_timeout",
            listener.per_connection_buffer_high_watermark_timeout.is_some(),
        ),
        ("tcp_backlog_size", listener.tcp_backlog_size.is_some()),
        ("tcp_keepalive", listener.tcp_keepalive.is_some()),
        ("tcp_fast_open_queue_length", listener.tcp_fast_open_queue_length.is_some()),
        ("use_original_dst", listener.use_original_dst.is_some()),
        ("connection_balance_config", listener.connection_balance_config.is_some()),
    ] {
        if is_set {
            at.field(field).no_effect(unused);
        }
    }
}

/// The filter that gets the datagrams: the first, as in Envoy.
fn proxy_of(cx: &Cx<'_>, at: &At<'_>, listener: &listener::Listener) -> Option<UdpProxy> {
    let at_list = at.field("listener_filters");
    let mut all = Vec::new();
    for (index, one) in listener.listener_filters.iter().enumerate() {
        let at = at_list.index(index);
        all.push(filter(cx, &at, one));
        if index > 0 {
            at.no_effect("the first filter takes all datagrams");
        }
    }
    if all.is_empty() {
        at.unsupported("a listener for UDP without a filter");
    }
    let all: Option<Vec<UdpProxy>> = all.into_iter().collect();
    all?.into_iter().next()
}

fn filter(cx: &Cx<'_>, at: &At<'_>, filter: &listener::ListenerFilter) -> Option<UdpProxy> {
    if filter.filter_disabled.is_some() {
        at.field("filter_disabled").no_effect("a filter for datagrams cannot be disabled");
    }
    let Some(listener::listener_filter::ConfigType::TypedConfig(any)) = &filter.config_type else {
        at.invalid(format_args!("the filter {} has no typed_config", filter.name));
        return None;
    };
    let at = at.field("typed_config");
    if !is::<udp_proxy::UdpProxyConfig>(any) {
        at.invalid(unregistered(&filter.name, any));
        return None;
    }
    proxy(cx, &at, &unpack(&at, any)?)
}

/// Envoy's words for a filter where it cannot be.
pub(super) fn unregistered(name: &str, any: &google::Any) -> String {
    format!(
        "Didn't find a registered implementation for '{name}' with type URL: '{}'",
        type_name(any)
    )
}

fn proxy(cx: &Cx<'_>, at: &At<'_>, config: &udp_proxy::UdpProxyConfig) -> Option<UdpProxy> {
    let routes = routes(cx, at, config);
    let tunneling = udp_tunneling::tunneling(at, config);
    let idle = duration(&at.field("idle_timeout"), config.idle_timeout);
    let log_options = config.access_log_options.as_ref();
    let at_options = at.field("access_log_options");
    if log_options.is_some_and(|options| options.flush_access_log_on_tunnel_connected) {
        let at = at_options.field("flush_access_log_on_tunnel_connected");
        match config.tunneling_config {
            None => at.no_effect("there is no tunnel without tunneling_config"),
            Some(_) => at.unsupported(""),
        }
    }
    let logs = |at: &At<'_>, list: &[_]| access_log::logs(cx, at, list);
    Some(UdpProxy {
        hash: config.hash_policies.first().and_then(hash_policy),
        idle_timeout: idle.unwrap_or(IDLE_TIMEOUT),
        max_payload: max_payload(config.upstream_socket_config.as_ref(), true),
        per_packet: config.use_per_packet_load_balancing,
        access_logs: logs(&at.field("access_log"), &config.access_log),
        log_interval: duration(
            &at_options.field("access_log_flush_interval"),
            log_options.and_then(|options| options.access_log_flush_interval),
        ),
        proxy_access_logs: logs(&at.field("proxy_access_log"), &config.proxy_access_log),
        stats: layer4_stats::udp_proxy(&cx.env.catalog, &config.stat_prefix),
        tunneling: tunneling?,
        routes: routes?,
    })
}

/// The API's own rules leave one policy, with a specifier.
fn hash_policy(policy: &options::HashPolicy) -> Option<HashPolicy> {
    use options::hash_policy::PolicySpecifier;
    match policy.policy_specifier.as_ref()? {
        PolicySpecifier::SourceIp(_) => Some(HashPolicy::SourceIp),
        PolicySpecifier::Key(key) => Some(HashPolicy::Key(ringway_lb::hash(key.as_bytes()))),
    }
}

// ---- routes --------------------------------------------------------------------------------------

/// A cluster that does not exist is no error, as in Envoy: its datagrams are dropped and counted.
fn routes(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: &udp_proxy::UdpProxyConfig,
) -> Option<Choice<ClusterRef>> {
    match &config.route_specifier {
        Some(RouteSpecifier::Cluster(name)) => Some(Choice::Action(cluster(cx, name))),
        Some(RouteSpecifier::Matcher(matcher)) => {
            let action = |at: &At<'_>, action: &xds_core::TypedExtensionConfig| {
                route(at, action).map(|route| cluster(cx, &route.cluster))
            };
            let rules = Rules { action: &action, input: matching::input_of_addresses };
            let tree = matching::tree(&rules, &at.field("matcher"), matcher)?;
            Some(Choice::Tree(Box::new(tree)))
        }
        None => {
            at.invalid("a cluster or a matcher is necessary");
            None
        }
    }
}

fn cluster(cx: &Cx<'_>, name: &str) -> ClusterRef {
    ClusterRef { name: name.into(), id: cx.cluster_id(name) }
}

fn route(at: &At<'_>, action: &xds_core::TypedExtensionConfig) -> Option<udp_proxy::Route> {
    let any = matching::extension::<udp_proxy::Route>(at, action)?;
    unpack(&at.field("typed_config"), any)
}
