//! What is counted below HTTP: listener filters and network filters.

use ringway_bridge::stat_group;

stat_group! {
    /// `tls_inspector.*`
    pub struct TlsInspectorStats {
        counters {
            tls_found, tls_not_found, alpn_found, alpn_not_found, sni_found, sni_not_found,
            client_hello_too_large,
        }
        gauges {}
        histograms { bytes_processed }
    }
}

stat_group! {
    /// `http_inspector.*`
    pub struct HttpInspectorStats {
        counters { http10_found, http11_found, http2_found, http_not_found, read_error }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `proxy_proto.[<stat_prefix>.]*`
    pub struct ProxyProtocolStats {
        counters { not_found_allowed, not_found_disallowed }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `proxy_proto.[<stat_prefix>.]versions.v<version>.*`
    pub struct ProxyProtocolVersionStats {
        counters { found, disallowed, error }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `tcp.<stat_prefix>.*`
    pub struct TcpProxyStats {
        counters {
            downstream_cx_total, downstream_cx_drain_close, downstream_cx_no_route,
            downstream_cx_rx_bytes_total, downstream_cx_tx_bytes_total,
            downstream_flow_control_paused_reading_total,
            downstream_flow_control_resumed_reading_total, early_data_received_count_total,
            idle_timeout,
            max_downstream_connection_duration, upstream_flush_total,
        }
        gauges { upstream_flush_active }
        histograms {}
    }
}

stat_group! {
    /// `connection_limit.<stat_prefix>.*`
    pub struct ConnectionLimitStats {
        counters { limited_connections }
        gauges { active_connections }
        histograms {}
    }
}

stat_group! {
    /// `local_rate_limit.<stat_prefix>.*`
    pub struct LocalRateLimitStats {
        counters { rate_limited }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `<stat_prefix>.rbac.*`
    pub struct RbacStats {
        counters { allowed, denied }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `<stat_prefix>.rbac.[<shadow_rules_stat_prefix>.]*`
    pub struct ShadowRbacStats {
        counters { shadow_allowed, shadow_denied }
        gauges {}
        histograms {}
    }
}
