//! The names of the statistics that the data path writes, as Envoy 1.40 names them.

mod layer4;

use ringway_bridge::stat_group;
use ringway_bridge::stats::Catalog;

pub use layer4::*;

stat_group! {
    /// `listener.<address>.*`
    pub struct ListenerStats {
        counters {
            downstream_cx_total, downstream_cx_destroy,
            downstream_cx_transport_socket_connect_timeout,
            downstream_pre_cx_timeout,
            downstream_listener_filter_error, downstream_listener_filter_remote_close,
            downstream_cx_overflow, downstream_global_cx_overflow, downstream_cx_overload_reject,
            no_filter_chain_match,
        }
        gauges { downstream_cx_active, downstream_pre_cx_active }
        histograms { downstream_cx_length_ms }
    }
}

stat_group! {
    /// `listener.<address>.worker_<index>.*`: how the kernel spreads connections.
    pub struct ListenerWorkerStats {
        counters { downstream_cx_total }
        gauges { downstream_cx_active }
        histograms {}
    }
}

stat_group! {
    /// `listener.<address>.ssl.*` and `cluster.<name>.ssl.*`
    pub struct SslStats {
        counters {
            connection_error, handshake, session_reused, no_certificate, fail_verify_no_cert,
            fail_verify_error, fail_verify_san, fail_verify_cert_hash, ocsp_staple_failed,
            ocsp_staple_omitted, ocsp_staple_responses, ocsp_staple_requests,
        }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `http2.*` of all clients together, and `cluster.<name>.http2.*`.
    pub struct Http2Stats {
        counters {
            cookies_total_bytes_too_large, dropped_headers_with_underscores, goaway_sent,
            header_list_size_too_large, header_overflow, headers_cb_no_stream,
            inbound_empty_frames_flood, inbound_priority_frames_flood,
            inbound_window_update_frames_flood, keepalive_timeout, metadata_empty_frames,
            outbound_control_flood, outbound_flood,
            requests_rejected_with_underscores_in_headers, rx_messaging_error, rx_reset,
            stream_refused_errors, trailers, tx_flush_timeout, tx_reset,
        }
        gauges {
            deferred_stream_close, outbound_control_frames_active, outbound_frames_active,
            pending_send_bytes, streams_active,
        }
        histograms {}
    }
}

stat_group! {
    /// `dns_cache.<name>.*`
    pub struct DnsCacheStats {
        counters {
            cache_load, dns_address_filter_out, dns_query_attempt, dns_query_failure,
            dns_query_success, dns_query_timeout, dns_rq_pending_overflow, host_added,
            host_address_changed, host_overflow, host_removed,
        }
        gauges { num_hosts }
        histograms {}
    }
}

stat_group! {
    /// `http.<stat_prefix>.*`
    pub struct HttpStats {
        counters {
            downstream_cx_total, downstream_cx_http1_total, downstream_cx_http2_total,
            downstream_cx_ssl_total, downstream_cx_upgrades_total, downstream_cx_destroy,
            downstream_cx_destroy_local, downstream_cx_destroy_remote,
            downstream_cx_destroy_active_rq,
            downstream_cx_destroy_remote_active_rq, downstream_cx_drain_close,
            downstream_cx_idle_timeout, downstream_cx_max_duration_reached,
            downstream_cx_max_requests_reached, downstream_cx_protocol_error,
            downstream_cx_delayed_close_timeout, downstream_cx_overload_disable_keepalive,
            downstream_cx_rx_bytes_total,
            downstream_cx_tx_bytes_total, downstream_flow_control_paused_reading_total,
            downstream_flow_control_resumed_reading_total, downstream_rq_total,
            downstream_rq_completed, downstream_rq_1xx, downstream_rq_2xx, downstream_rq_3xx,
            downstream_rq_4xx, downstream_rq_5xx, downstream_rq_http1_total,
            downstream_rq_http2_total, downstream_rq_rx_reset, downstream_rq_tx_reset,
            downstream_rq_timeout,
            downstream_rq_header_timeout, downstream_rq_idle_timeout,
            downstream_rq_max_duration_reached, downstream_rq_overload_close,
            downstream_rq_response_before_rq_complete,
            downstream_rq_non_relative_path, downstream_rq_failed_path_normalization,
            downstream_rq_redirected_with_normalized_path,
            downstream_rq_ws_on_non_ws_route,
            no_route, no_cluster, rq_total, rq_direct_response,
            rq_reset_after_downstream_response_started, rs_too_large,
        }
        gauges {
            downstream_cx_active, downstream_cx_http1_active, downstream_cx_http2_active,
            downstream_cx_ssl_active, downstream_cx_upgrades_active, downstream_rq_active,
        }
        histograms { downstream_cx_length_ms, downstream_rq_time }
    }
}

stat_group! {
    /// `listener.<address>.http.<stat_prefix>.*`
    pub struct ListenerHttpStats {
        counters {
            downstream_rq_1xx, downstream_rq_2xx, downstream_rq_3xx, downstream_rq_4xx,
            downstream_rq_5xx, downstream_rq_completed,
        }
        gauges {}
        histograms {}
    }
}

stat_group! {
    /// `cluster.<name>.*`, but for what is named when it is first counted: answers by status and
    /// class, and their times.
    pub struct ClusterStats {
        counters {
            upstream_cx_total, upstream_cx_http1_total, upstream_cx_http2_total,
            upstream_cx_connect_fail,
            upstream_cx_connect_timeout, upstream_cx_connect_attempts_exceeded,
            upstream_cx_idle_timeout, upstream_cx_max_duration_reached, upstream_cx_max_requests,
            upstream_cx_overflow, upstream_cx_none_healthy, upstream_cx_protocol_error,
            upstream_cx_close_notify, upstream_cx_destroy, upstream_cx_destroy_local,
            upstream_cx_destroy_remote, upstream_cx_destroy_with_active_rq,
            upstream_cx_destroy_local_with_active_rq, upstream_cx_destroy_remote_with_active_rq,
            upstream_cx_rx_bytes_total, upstream_cx_tx_bytes_total,
            upstream_rq_total, upstream_rq_completed, upstream_rq_cancelled, upstream_rq_timeout,
            upstream_rq_max_duration_reached, upstream_rq_pending_total,
            upstream_rq_pending_overflow, upstream_rq_pending_failure_eject,
            upstream_rq_active_overflow, upstream_rq_rx_reset,
            upstream_rq_tx_reset, upstream_flow_control_paused_reading_total,
            upstream_flow_control_resumed_reading_total, upstream_flow_control_backed_up_total,
            upstream_flow_control_drained_total, membership_change, update_attempt,
            update_success, update_failure, update_no_rebuild,
            lb_healthy_panic, original_dst_host_invalid, bind_errors,
        }
        gauges {
            upstream_cx_active, upstream_rq_active, upstream_rq_pending_active,
            membership_total,
            membership_healthy, membership_degraded, membership_excluded, max_host_weight,
            version, warming_state,
        }
        histograms {
            upstream_cx_connect_ms, upstream_cx_length_ms, upstream_rq_per_cx,
        }
    }
}

stat_group! {
    /// `cluster.<name>.ring_hash_lb.*`
    pub struct RingHashStats {
        counters {}
        gauges { size, min_hashes_per_host, max_hashes_per_host }
        histograms {}
    }
}

stat_group! {
    /// `cluster.<name>.maglev_lb.*`
    pub struct MaglevStats {
        counters {}
        gauges { min_entries_per_host, max_entries_per_host }
        histograms {}
    }
}

/// What is told of the tables of a policy that hashes.
#[derive(Debug)]
pub enum HashStats {
    /// `RING_HASH`
    Ring(RingHashStats),
    /// `MAGLEV`
    Maglev(MaglevStats),
}

stat_group! {
    /// One endpoint's numbers, for `/clusters`.
    pub struct EndpointStats {
        counters { cx_connect_fail, cx_total, rq_error, rq_success, rq_timeout, rq_total }
        gauges { cx_active, rq_active, rq_pending_active }
        histograms {}
    }
}

impl EndpointStats {
    /// The numbers of the endpoint of a cluster at an address. Their names begin with `@`: they
    /// are shown by `/clusters` and not listed by `/stats`.
    pub fn of(catalog: &Catalog, cluster: &str, address: &str) -> Self {
        Self::register(catalog, &format!("@endpoint.{cluster}|{address}"), "@endpoint", &[])
    }
}

/// The class of a status code, for the `_1xx` to `_5xx` counters: 0 to 4.
pub fn status_class(status: u16) -> Option<usize> {
    (100..600).contains(&status).then(|| usize::from(status / 100) - 1)
}

impl HttpStats {
    /// Counters of `downstream_rq_1xx` to `downstream_rq_5xx`.
    pub fn by_class(&self) -> [ringway_bridge::stats::CounterId; 5] {
        [
            self.downstream_rq_1xx,
            self.downstream_rq_2xx,
            self.downstream_rq_3xx,
            self.downstream_rq_4xx,
            self.downstream_rq_5xx,
        ]
    }
}

impl ListenerHttpStats {
    /// Counters of `downstream_rq_1xx` to `downstream_rq_5xx`.
    pub fn by_class(&self) -> [ringway_bridge::stats::CounterId; 5] {
        [
            self.downstream_rq_1xx,
            self.downstream_rq_2xx,
            self.downstream_rq_3xx,
            self.downstream_rq_4xx,
            self.downstream_rq_5xx,
        ]
    }
}
