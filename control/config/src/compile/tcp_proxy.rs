//! The TCP proxy (Envoy `TcpProxy`).

use std::time::Duration;

use ringway_model::cluster::ClusterRef;
use ringway_model::proxy_header::TlvMerge;
use ringway_model::tcp::{Backoff, LogTimes, TcpClusters, TcpProxy};

use super::at::At;
use super::proto::{core, tcp_proxy};
use super::value::{duration, or_u32, timeout};
use super::{Cx, access_log, layer4_stats, proxy_header, tunneling};

/// `idle_timeout`.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3600);

pub(super) fn proxy(cx: &Cx<'_>, at: &At<'_>, config: &tcp_proxy::TcpProxy) -> Option<TcpProxy> {
    let clusters = clusters(cx, at, config);
    let idle = timeout(&at.field("idle_timeout"), config.idle_timeout, Some(IDLE_TIMEOUT));
    let backoff = match &config.backoff_options {
        Some(options) => Some(backoff(&at.field("backoff_options"), options)?),
        None => None,
    };
    for (name, is_set) in [
        ("downstream_idle_timeout", config.downstream_idle_timeout.is_some()),
        ("upstream_idle_timeout", config.upstream_idle_timeout.is_some()),
    ] {
        if is_set {
            at.field(name).no_effect("Envoy 1.40 ignores it");
        }
    }
    let tunneling = config.tunneling_config.as_ref();
    let tunneling =
        tunneling.map(|tunneling| tunneling::compile(&at.field("tunneling_config"), tunneling));
    let waits_for_data = waits_for_data(at, config);
    let at_tlvs = at.field("proxy_protocol_tlvs");
    let tlvs = proxy_header::tlvs(cx, &at_tlvs, &config.proxy_protocol_tlvs);
    let jitter = config.max_downstream_connection_duration_jitter_percentage;
    Some(TcpProxy {
        // There is nothing else yet that a connection could be hashed by.
        hash_source_ip: !config.hash_policy.is_empty(),
        idle_timeout: idle,
        max_duration: duration(
            &at.field("max_downstream_connection_duration"),
            config.max_downstream_connection_duration,
        ),
        max_duration_jitter_percent: jitter.map_or(0.0, |percent| percent.value),
        max_connect_attempts: or_u32(config.max_connect_attempts, 1),
        backoff,
        early_data_max: config.max_early_data_bytes.map(|max| max.value as usize),
        tlv_merge: tlv_merge(config),
        checks_drain: config.check_drain_close.is_some_and(|check| check.value),
        access_logs: access_log::logs(cx, &at.field("access_log"), &config.access_log),
        log_times: log_times(at, config),
        stats: layer4_stats::tcp_proxy(&cx.env.catalog, &config.stat_prefix),
        waits_for_data: waits_for_data?,
        tlvs: tlvs?,
        tunneling: match tunneling {
            Some(made) => Some(made?),
            None => None,
        },
        clusters: clusters?,
    })
}

fn tlv_merge(config: &tcp_proxy::TcpProxy) -> TlvMerge {
    use tcp_proxy::ProxyProtocolTlvMergePolicy as Policy;
    match Policy::try_from(config.proxy_protocol_tlv_merge_policy) {
        Ok(Policy::OverwriteByTypeIfExistsOrAdd) => TlvMerge::OverwriteByType,
        Ok(Policy::AppendIfExistsOrAdd) => TlvMerge::Append,
        Ok(Policy::AddIfAbsent) | Err(_) => TlvMerge::AddIfAbsent,
    }
}

/// `upstream_connect_mode`. A connection gets here only after its handshake, so that there is
/// nothing to do for `ON_DOWNSTREAM_TLS_HANDSHAKE`.
fn waits_for_data(at: &At<'_>, config: &tcp_proxy::TcpProxy) -> Option<bool> {
    use tcp_proxy::UpstreamConnectMode as Mode;
    let mode = Mode::try_from(config.upstream_connect_mode).unwrap_or_default();
    if mode != Mode::Immediate && config.max_early_data_bytes.is_none() {
        at.field("upstream_connect_mode").invalid(
            "max_early_data_bytes must be set when upstream_connect_mode is not IMMEDIATE",
        );
        return None;
    }
    Some(mode == Mode::OnDownstreamData)
}

/// A cluster that does not exist is no error here, in Envoy neither: its connections end with `NC`.
fn clusters(cx: &Cx<'_>, at: &At<'_>, config: &tcp_proxy::TcpProxy) -> Option<TcpClusters> {
    use tcp_proxy::tcp_proxy::ClusterSpecifier;
    let named = |name: &str| ClusterRef { name: name.into(), id: cx.cluster_id(name) };
    match &config.cluster_specifier {
        Some(ClusterSpecifier::Cluster(name)) => Some(TcpClusters::One(named(name))),
        Some(ClusterSpecifier::WeightedClusters(weighted)) => {
            let each = weighted.clusters.iter();
            let list: Vec<_> = each.map(|one| (named(&one.name), one.weight)).collect();
            let total = list.iter().map(|(_, weight)| u64::from(*weight)).sum();
            Some(TcpClusters::Weighted(list, total))
        }
        None => {
            at.invalid("a cluster is necessary");
            None
        }
    }
}

/// `BackoffStrategy`; the API's own rules keep both above zero.
pub(super) fn backoff(at: &At<'_>, options: &core::BackoffStrategy) -> Option<Backoff> {
    let base = duration(&at.field("base_interval"), options.base_interval)?;
    let max = duration(&at.field("max_interval"), options.max_interval);
    let max = max.unwrap_or(base.saturating_mul(10));
    if max < base {
        at.invalid("max_interval must be greater than or equal to the base_interval");
        return None;
    }
    Some(Backoff { base, max })
}

/// `access_log_options`, or the older fields where it is not set.
fn log_times(at: &At<'_>, config: &tcp_proxy::TcpProxy) -> LogTimes {
    let Some(options) = &config.access_log_options else {
        return LogTimes {
            interval: duration(
                &at.field("access_log_flush_interval"),
                config.access_log_flush_interval,
            ),
            on_connected: config.flush_access_log_on_connected,
            on_start: false,
        };
    };
    let at_options = at.field("access_log_options");
    for (name, is_set) in [
        ("access_log_flush_interval", config.access_log_flush_interval.is_some()),
        ("flush_access_log_on_connected", config.flush_access_log_on_connected),
    ] {
        if is_set {
            at.field(name).invalid("only one of it and access_log_options may be set");
        }
    }
    LogTimes {
        interval: duration(
            &at_options.field("access_log_flush_interval"),
            options.access_log_flush_interval,
        ),
        on_connected: options.flush_access_log_on_connected,
        on_start: options.flush_access_log_on_start,
    }
}
