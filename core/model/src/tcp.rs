//! The TCP proxy's configuration (Envoy `TcpProxy`).

use std::time::Duration;

use crate::access_log::AccessLog;
use ringway_http::{Fields, RequestHead};

use crate::cluster::ClusterRef;
use crate::format::{Format, FormatContext, unique_id};
use crate::proxy_header::{AddedTlv, TlvMerge};
use crate::route::{HeaderMutations, Scratch};
use crate::stats::TcpProxyStats;

/// A compiled `tcp_proxy`. Durations of `None` are off.
#[derive(Debug)]
pub struct TcpProxy {
    /// `cluster` or `weighted_clusters`.
    pub clusters: TcpClusters,
    /// `hash_policy`: connections are hashed by the client's address.
    pub hash_source_ip: bool,
    /// `idle_timeout`, 1 h.
    pub idle_timeout: Option<Duration>,
    /// `max_downstream_connection_duration`.
    pub max_duration: Option<Duration>,
    /// `max_downstream_connection_duration_jitter_percentage`: by how much of itself the duration
    /// may be longer.
    pub max_duration_jitter_percent: f64,
    /// `max_connect_attempts`, 1.
    pub max_connect_attempts: u32,
    /// `backoff_options`; none tries again at once.
    pub backoff: Option<Backoff>,
    /// `upstream_connect_mode: ON_DOWNSTREAM_DATA`: nothing is opened before the client has said
    /// something.
    pub waits_for_data: bool,
    /// `max_early_data_bytes`: how much is read of a client before the upstream is connected; none
    /// reads nothing.
    pub early_data_max: Option<usize>,
    /// `check_drain_close`: connections end with the next bytes when they are asked to drain.
    pub checks_drain: bool,
    /// `proxy_protocol_tlvs`, for the PROXY header to the endpoint.
    pub tlvs: Vec<AddedTlv>,
    /// `proxy_protocol_tlv_merge_policy`.
    pub tlv_merge: TlvMerge,
    /// `tunneling_config`; none passes bytes on as they are.
    pub tunneling: Option<Tunneling>,
    /// `access_log`.
    pub access_logs: Vec<AccessLog>,
    /// `access_log_options`.
    pub log_times: LogTimes,
    /// `tcp.<stat_prefix>.*`
    pub stats: TcpProxyStats,
}

/// Which cluster takes a connection.
#[derive(Debug)]
pub enum TcpClusters {
    /// `cluster`
    One(ClusterRef),
    /// `weighted_clusters`, with the sum of their weights.
    Weighted(Vec<(ClusterRef, u32)>, u64),
}

/// `TunnelingConfig`: each connection is a request to another proxy.
#[derive(Debug)]
pub struct Tunneling {
    /// `hostname`, the authority of the request.
    pub hostname: Format,
    /// `use_post` with its `post_path`; none asks with CONNECT.
    pub post_path: Option<Box<str>>,
    /// `headers_to_add`.
    pub headers: HeaderMutations,
    /// `propagate_response_headers`.
    pub keep_headers: bool,
    /// `propagate_response_trailers`.
    pub keep_trailers: bool,
    /// Requests for tunnels have an id.
    pub request_id: Option<TunnelRequestId>,
}

/// What the other proxy answered to a tunnel, for the access log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TunnelAnswer {
    /// `propagate_response_headers`: the status and the fields.
    pub head: Option<(u16, Fields)>,
    /// `propagate_response_trailers`.
    pub trailers: Option<Fields>,
}

/// `BackoffStrategy`: pauses that double, each drawn from zero up to its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// `base_interval`.
    pub base: Duration,
    /// `max_interval`, ten times the base.
    pub max: Duration,
}

/// `request_id_extension` of a tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TunnelRequestId {
    /// `request_id_header`, in lower case.
    pub header: Box<str>,
    /// `request_id_metadata_key`, in the namespace `envoy.filters.network.tcp_proxy`.
    pub metadata_key: Box<str>,
}

/// When a connection's line is written, beside its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct LogTimes {
    /// `access_log_flush_interval`.
    pub interval: Option<Duration>,
    /// `flush_access_log_on_connected`.
    pub on_connected: bool,
    /// `flush_access_log_on_start`.
    pub on_start: bool,
}

impl TcpClusters {
    /// The cluster of a connection; `random` is uniform over all of `u64`.
    pub fn choose(&self, random: u64) -> Option<&ClusterRef> {
        match self {
            Self::One(cluster) => Some(cluster),
            Self::Weighted(clusters, total) => {
                let mut roll = random % (*total).max(1);
                clusters.iter().find_map(|(cluster, weight)| {
                    let weight = u64::from(*weight);
                    if roll < weight {
                        return Some(cluster);
                    }
                    roll -= weight;
                    None
                })
            }
        }
    }
}

impl Tunneling {
    /// Writes the request for a tunnel; `scheme` is that of the connection to the other proxy.
    /// Returns its id, if it has one.
    pub fn write_request(
        &self,
        scheme: &[u8],
        cx: &FormatContext<'_>,
        head: &mut RequestHead,
    ) -> Option<String> {
        head.clear();
        match &self.post_path {
            Some(path) => {
                head.set_method(b"POST");
                head.set_path(path.as_bytes());
                head.set_scheme(scheme);
            }
            // RFC 9113 section 8.5: neither a path nor a scheme.
            None => head.set_method(b"CONNECT"),
        }
        let mut authority = Vec::new();
        self.hostname.write(cx, &mut authority);
        head.set_authority(&authority);
        // As in Envoy, before the headers that are added, which may be of the same name.
        let id = self.request_id.as_ref().map(|request_id| {
            let id = unique_id();
            head.fields.push(request_id.header.as_bytes(), id.as_bytes());
            id
        });
        self.headers.apply_request(head, cx, &mut Scratch::new());
        id
    }
}

impl Backoff {
    /// The pause before an attempt, counted from the first repetition as 0; `random` is uniform
    /// over all of `u64`.
    pub fn pause(&self, repetition: u32, random: u64) -> Duration {
        let factor = 1_u32.checked_shl(repetition).unwrap_or(u32::MAX);
        let longest = self.base.saturating_mul(factor).min(self.max);
        longest.mul_f64(random as f64 / u64::MAX as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::ClusterId;

    #[test]
    fn clusters_are_chosen_by_weight() {
        let cluster = |id: u32| ClusterRef { name: "c".into(), id: ClusterId(id) };
        let clusters = TcpClusters::Weighted(vec![(cluster(0), 1), (cluster(1), 3)], 4);
        let chosen: Vec<u32> = (0..4).map(|roll| clusters.choose(roll).unwrap().id.0).collect();
        assert_eq!(chosen, [0, 1, 1, 1]);
    }

    #[test]
    fn pauses_double_up_to_the_longest() {
        let second = Duration::from_secs(1);
        let backoff = Backoff { base: second, max: 5 * second };
        let longest = [0, 1, 2, 3, 40].map(|n| backoff.pause(n, u64::MAX).as_secs());
        assert_eq!(longest, [1, 2, 4, 5, 5]);
        assert_eq!(backoff.pause(3, 0), Duration::ZERO);
    }
}
