//! The HTTP connection manager's configuration (Envoy `HttpConnectionManager`).

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use ringway_bridge::stats::HistogramId;
use ringway_http::h1::RequestLimits;
use ringway_http::h2;
use ringway_http::normalize::EscapedSlashes;

use crate::access_log::AccessLog;
use crate::filter::HttpFilterChain;
use crate::local_reply::LocalReplyConfig;
use crate::route::{Forward, RouteTable};
use crate::stats::{Http2Stats, HttpStats, ListenerHttpStats};

/// A compiled connection manager. Durations of `None` are off.
#[derive(Debug)]
pub struct ConnectionManager {
    /// `stat_prefix`.
    pub stat_prefix: Arc<str>,
    /// `route_config`, or an empty table.
    pub routes: Arc<RouteTable>,
    /// `http_filters`; [`ConnectionManager::filters_of`] tells what an upgrade passes.
    pub filters: HttpFilterChain,
    /// `access_log`.
    pub access_logs: Vec<AccessLog>,
    /// Limits and strictness of the HTTP/1 decoder.
    pub h1: RequestLimits,
    /// `codec_type`.
    pub codec: Codec,
    /// `http2_protocol_options`, with the limits on heads that hold for any protocol.
    pub h2: h2::Options,
    /// `http2_protocol_options.connection_keepalive`, as far as it is not the engine's.
    pub h2_keepalive: H2Keepalive,
    /// `upgrade_configs`; [`ConnectionManager::allows_upgrade`] asks them.
    pub upgrades: Vec<Upgrade>,
    /// `http_protocol_options.enable_trailers`.
    pub enable_trailers: bool,
    /// `http_protocol_options.default_host_for_http_10`.
    pub default_host_for_http_10: Option<Box<str>>,
    /// `http_protocol_options.header_key_format.proper_case_words`.
    pub proper_case: bool,
    /// `http_protocol_options.allow_absolute_url`, true.
    pub allow_absolute_url: bool,
    /// `stream_error_on_invalid_http_message` or its override for HTTP/1: keep the connection.
    pub keep_connection_on_error: bool,
    /// What is done to the path before routing.
    pub path: PathPolicy,
    /// What is done to the host before routing.
    pub host: HostPolicy,
    /// `server_name`, `envoy`.
    pub server_name: Box<str>,
    /// `server_header_transformation`.
    pub server_header: ServerHeader,
    /// `via`; empty adds none.
    pub via: Box<str>,
    /// Who the client is.
    pub client_address: ClientAddress,
    /// Request ids.
    pub request_id: RequestIdPolicy,
    /// `forward_client_cert_details`.
    pub forward_client_cert: ForwardClientCert,
    /// `set_current_client_cert_details`.
    pub client_cert_details: ClientCertDetails,
    /// `scheme_header_transformation.scheme_to_overwrite`.
    pub scheme_to_overwrite: Option<Box<str>>,
    /// `local_reply_config`.
    pub local_replies: Option<LocalReplyConfig>,
    /// `proxy_100_continue`.
    pub proxy_100_continue: bool,
    /// Timers.
    pub timeouts: HttpTimeouts,
    /// `common_http_protocol_options.max_requests_per_connection`.
    pub max_requests_per_connection: Option<u32>,
    /// `http.<stat_prefix>.*`
    pub stats: HttpStats,
    /// `http2.*`, which all connection managers share.
    pub h2_stats: Http2Stats,
    /// `listener.<address>.http.<stat_prefix>.*`
    pub listener_stats: ListenerHttpStats,
    /// `@http.<stat_prefix>.downstream_rq_time_us`: finer than Envoy's milliseconds, for displays
    /// of our own; names that begin with `@` are not listed by `/stats`.
    pub latency_us: HistogramId,
}

impl ConnectionManager {
    /// Whether a request may ask for this upgrade: the `upgrade` field of HTTP/1, `:protocol` of
    /// HTTP/2, or `CONNECT`. What the route says of that type goes before what stands here.
    pub fn allows_upgrade(&self, kind: &[u8], route: Option<&Forward>) -> bool {
        let same = |name: &str| name.as_bytes().eq_ignore_ascii_case(kind);
        let of_route = route.and_then(|route| route.upgrades.iter().find(|one| same(&one.kind)));
        match of_route {
            Some(upgrade) => upgrade.enabled,
            None => self.upgrades.iter().any(|one| same(&one.kind) && one.enabled),
        }
    }

    /// The filters that a request for this upgrade passes: `upgrade_configs[].filters` where there
    /// are any, also if it is only the route that allows the upgrade.
    pub fn filters_of(&self, kind: &[u8]) -> &HttpFilterChain {
        let same = |one: &&Upgrade| one.kind.as_bytes().eq_ignore_ascii_case(kind);
        let own = self.upgrades.iter().find(same).and_then(|one| one.filters.as_ref());
        own.unwrap_or(&self.filters)
    }
}

/// The parts of `connection_keepalive` that need random numbers or the time of a request; the
/// others are [`h2::Keepalive`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct H2Keepalive {
    /// `interval_jitter`, in whole percents of `interval` (15): at most so much longer does a
    /// connection wait between its PINGs, by a random choice.
    pub interval_jitter_percent: u32,
    /// `connection_idle_interval`: a connection that was idle for so long is probed before it
    /// takes the next stream (`h2::Connection::probe`).
    pub idle_interval: Option<Duration>,
}

impl H2Keepalive {
    /// The options of one connection, whose PINGs come at its own times.
    pub fn vary(&self, options: &h2::Options, random: u64) -> h2::Options {
        let mut options = options.clone();
        if let Some(interval) = options.keepalive.as_mut().and_then(|at| at.interval_ms.as_mut()) {
            let percent = u64::from(self.interval_jitter_percent);
            let most = interval.saturating_mul(percent) / 100;
            *interval = interval.saturating_add(random % most.saturating_add(1).max(1));
        }
        options
    }
}

/// `codec_type`: which HTTP clients may speak.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Codec {
    /// ALPN, else the first bytes tell.
    #[default]
    Auto,
    /// HTTP/1 only.
    Http1,
    /// HTTP/2 only.
    Http2,
}

/// `upgrade_configs[]`: a protocol that may take over a stream.
#[derive(Debug)]
pub struct Upgrade {
    /// `upgrade_type`: `websocket`, `CONNECT`, ...; compared without case.
    pub kind: Box<str>,
    /// `enabled`, true: routes may say otherwise.
    pub enabled: bool,
    /// `filters`, in place of the connection manager's; none where the list is empty.
    pub filters: Option<HttpFilterChain>,
}

/// `normalize_path` and its companions.
#[derive(Debug, Clone, Copy, Default)]
pub struct PathPolicy {
    /// `normalize_path`.
    pub normalize: bool,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`.
    pub escaped_slashes: EscapedSlashes,
}

/// What is cut off the host before routing.
#[derive(Debug, Clone, Copy, Default)]
pub struct HostPolicy {
    /// `strip_matching_host_port`.
    pub strip_matching_port: bool,
    /// `strip_any_host_port`.
    pub strip_any_port: bool,
    /// `strip_trailing_host_dot`.
    pub strip_trailing_dot: bool,
}

/// `server_header_transformation`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ServerHeader {
    /// `OVERWRITE`
    #[default]
    Overwrite,
    /// `APPEND_IF_ABSENT`
    AppendIfAbsent,
    /// `PASS_THROUGH`
    PassThrough,
}

/// Where the client's address comes from, and what is said of it to the upstream.
#[derive(Debug, Clone)]
pub struct ClientAddress {
    /// This machine's own address: Envoy names it in `x-forwarded-for` in place of a client on
    /// the same machine.
    pub local_ip: IpAddr,
    /// `use_remote_address`: this is an edge, the peer is the client.
    pub use_remote_address: bool,
    /// `xff_num_trusted_hops`.
    pub trusted_hops: usize,
    /// `skip_xff_append`.
    pub skip_append: bool,
    /// `append_x_forwarded_port`.
    pub append_port: bool,
    /// `represent_ipv4_remote_address_as_ipv4_mapped_ipv6`.
    pub ipv4_mapped: bool,
    /// `internal_address_config`: `None` means that nobody is internal (Envoy 1.40).
    pub internal: Option<InternalAddresses>,
}

/// `internal_address_config`.
#[derive(Debug, Clone, Default)]
pub struct InternalAddresses {
    /// `unix_sockets`.
    pub unix_sockets: bool,
    /// `cidr_ranges`; empty means the private ranges and loopback.
    pub ranges: Vec<IpNet>,
}

/// `generate_request_id` and its companions.
#[derive(Debug, Clone, Copy)]
pub struct RequestIdPolicy {
    /// `generate_request_id`, true.
    pub generate: bool,
    /// `preserve_external_request_id`.
    pub preserve_external: bool,
    /// `always_set_request_id_in_response`.
    pub in_response: bool,
    /// `request_id_extension` uuid: `pack_trace_reason`, true.
    pub pack_trace_reason: bool,
}

/// `forward_client_cert_details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ForwardClientCert {
    /// `SANITIZE`
    #[default]
    Sanitize,
    /// `FORWARD_ONLY`
    ForwardOnly,
    /// `APPEND_FORWARD`
    AppendForward,
    /// `SANITIZE_SET`
    SanitizeSet,
    /// `ALWAYS_FORWARD_ONLY`
    AlwaysForwardOnly,
}

/// `set_current_client_cert_details`: what is said beside the hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientCertDetails {
    /// `subject`
    pub subject: bool,
    /// `cert`: the leaf as PEM.
    pub cert: bool,
    /// `chain`: all that the client showed, as PEM.
    pub chain: bool,
    /// `dns`
    pub dns: bool,
    /// `uri`
    pub uri: bool,
}

/// Timers of the connection manager.
#[derive(Debug, Clone, Copy)]
pub struct HttpTimeouts {
    /// `stream_idle_timeout`, 5 min.
    pub stream_idle: Option<Duration>,
    /// `request_timeout`: the whole request must have arrived.
    pub request: Option<Duration>,
    /// `request_headers_timeout`: the head must have arrived.
    pub request_headers: Option<Duration>,
    /// `common_http_protocol_options.idle_timeout`, 1 h.
    pub connection_idle: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration`.
    pub max_connection_duration: Option<Duration>,
    /// `common_http_protocol_options.max_stream_duration`.
    pub max_stream_duration: Option<Duration>,
    /// `drain_timeout`, 5 s.
    pub drain: Duration,
    /// `delayed_close_timeout`, 1 s.
    pub delayed_close: Option<Duration>,
}
