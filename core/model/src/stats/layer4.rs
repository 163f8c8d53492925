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
    /// `listener.<address>.udp.*`
    pub struct UdpListenerStats {
        counters { downstream_rx_datagram_dropped }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `udp.<stat_prefix>.*`
    pub struct UdpProxyStats {
        counters {
            downstream_sess_total, downstream_sess_rx_bytes, downstream_sess_rx_datagrams,
            downstream_sess_rx_errors, downstream_sess_tx_bytes, downstream_sess_tx_datagrams,
            downstream_sess_tx_errors, downstream_sess_no_route, idle_timeout,
            session_filter_config_missing,
        }
        gauges { downstream_sess_active }
        histograms {}
    }
}

stat_group! {
    /// `cluster.<name>.udp.*`
    pub struct UdpClusterStats {
        counters {
            sess_rx_datagrams, sess_rx_datagrams_dropped, sess_rx_errors, sess_tx_datagrams,
            sess_tx_errors, sess_tunnel_buffer_overflow, sess_tunnel_failure,
            sess_tunnel_success,
        }
        gauges {}
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
