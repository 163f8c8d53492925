//! Routes to an upstream (Envoy `RouteAction`).

use std::sync::Arc;
use std::time::Duration;

use ringway_http::{FieldName, Fields, Known, RequestHead};

use super::deadline::GrpcDeadline;
use super::field::RequestField;
use super::hash::HashMethod;
use super::hosts::STACK_BYTES;
use super::matching::RouteMatch;
use super::mutation::HeaderMutations;
use super::rewrite::{PathRewrite, RegexRewrite, Scratch};
use crate::cluster::ClusterRef;
use crate::filter::RouteConfigs;
use crate::proxy_header::ProxyHeader;

/// A route to an upstream.
#[derive(Debug)]
pub struct Forward {
    /// Which cluster.
    pub cluster: ClusterChoice,
    /// `cluster_not_found_response_code`, 503.
    pub cluster_not_found_code: u16,
    /// `timeout` of the whole response, 15 s; `None` is off.
    pub timeout: Option<Duration>,
    /// `idle_timeout` of the stream: outer `None` leaves the connection manager's, inner `None`
    /// is off.
    pub idle_timeout: Option<Option<Duration>>,
    /// `max_stream_duration.max_stream_duration`: outer `None` leaves the connection manager's,
    /// inner `None` is off. [`Forward::stream_duration`] asks it.
    pub max_stream_duration: Option<Option<Duration>>,
    /// Whether there is a `max_stream_duration` at all: its limit is told to gRPC upstreams.
    pub limits_streams: bool,
    /// `max_stream_duration.grpc_timeout_header_max`: `grpc-timeout` takes the place of
    /// `max_stream_duration`.
    pub grpc_stream: Option<GrpcDeadline>,
    /// `max_grpc_timeout`: `grpc-timeout` takes the place of `timeout`.
    pub grpc_response: Option<GrpcDeadline>,
    /// `prefix_rewrite` or `regex_rewrite`.
    pub path_rewrite: PathRewrite,
    /// `host_rewrite_literal` and its companions.
    pub host_rewrite: HostRewrite,
    /// `append_x_forwarded_host`: a rewritten host goes to `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// `priority`.
    pub priority: Priority,
    /// `upgrade_configs`.
    pub upgrades: Vec<RouteUpgrade>,
    /// `hash_policy`.
    pub hash: Vec<HashMethod>,
}

/// `RouteAction.upgrade_configs[]`: what a route says of one type of upgrade.
#[derive(Debug, Clone)]
pub struct RouteUpgrade {
    /// `upgrade_type`; compared without case.
    pub kind: Box<str>,
    /// `enabled`, true.
    pub enabled: bool,
    /// `connect_config` of `CONNECT`: the tunnel ends here, and what comes through it goes to the
    /// upstream as it is. Without it the CONNECT itself is forwarded.
    pub connect: Option<ConnectEnd>,
}

/// `ConnectConfig`: how a tunnel ends here.
#[derive(Debug, Clone, Default)]
pub struct ConnectEnd {
    /// `proxy_protocol_config`: the PROXY header in front of what comes through it.
    pub proxy_header: Option<Arc<ProxyHeader>>,
    /// `allow_post`: the body of a POST is such a tunnel as well.
    pub allow_post: bool,
}

/// The default of `timeout`.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(15);

/// Which cluster serves a route.
#[derive(Debug)]
pub enum ClusterChoice {
    /// `cluster`
    Named(ClusterRef),
    /// `cluster_header`: the value of this header is the cluster's name.
    Header {
        /// The header, or a pseudo header such as `:authority`.
        name: RequestField,
    },
    /// `weighted_clusters`
    Weighted(WeightedClusters),
}

/// A cluster, or where its name stands, after the weights were cast.
#[derive(Debug, Clone, Copy)]
pub enum ClusterTarget<'a> {
    /// This cluster.
    Named(&'a ClusterRef),
    /// The cluster of this name, which came with the request (`Snapshot::cluster_ids`).
    Dynamic(&'a [u8]),
    /// The header that should name it is missing: as if the cluster did not exist.
    Missing,
}

/// `weighted_clusters`.
#[derive(Debug)]
pub struct WeightedClusters {
    entries: Vec<WeightedCluster>,
    total: u64,
    /// `header_name`: its decimal value takes the place of the random number.
    header: Option<FieldName>,
}

/// One of several clusters.
#[derive(Debug)]
pub struct WeightedCluster {
    /// `weight`, out of the sum of all.
    pub weight: u32,
    /// The cluster.
    pub cluster: ClusterRef,
    /// `request_headers_to_add`, `request_headers_to_remove`.
    pub request_headers: HeaderMutations,
    /// `response_headers_to_add`, `response_headers_to_remove`.
    pub response_headers: HeaderMutations,
    /// `host_rewrite_literal`; empty is none.
    pub host_rewrite: Box<str>,
    /// `typed_per_filter_config`.
    pub filter_configs: RouteConfigs,
}

/// What becomes of the authority.
#[derive(Debug, Default)]
pub enum HostRewrite {
    /// It stays.
    #[default]
    None,
    /// `host_rewrite_literal`
    Literal(Box<str>),
    /// `host_rewrite_header`: the value of this header, if it is there and not empty.
    Header(RequestField),
    /// `host_rewrite_path_regex`: made from the path without its query.
    PathRegex(RegexRewrite),
    /// `auto_host_rewrite`: the name of the endpoint ([`Forward::rewrite_to_endpoint`]).
    Auto,
}

/// `RoutingPriority`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Priority {
    /// `DEFAULT`
    #[default]
    Default,
    /// `HIGH`
    High,
}

impl Priority {
    /// Its place in `ClusterPolicy::limits`.
    pub fn index(self) -> usize {
        self as usize
    }
}

impl WeightedClusters {
    /// Clusters with their weights; `None` when all weights together are 0.
    pub fn new(entries: Vec<WeightedCluster>, header: Option<FieldName>) -> Option<Self> {
        let total = entries.iter().map(|entry| u64::from(entry.weight)).sum();
        (total > 0).then_some(Self { entries, total, header })
    }

    /// In the order of the configuration.
    pub fn entries(&self) -> &[WeightedCluster] {
        &self.entries
    }

    /// The sum of the weights.
    pub fn total(&self) -> u64 {
        self.total
    }

    fn choose(&self, head: &RequestHead, random: u64) -> &WeightedCluster {
        let given = self.header.as_ref().and_then(|name| given_number(head, name));
        let mut rest = given.unwrap_or(random) % self.total;
        for entry in &self.entries {
            let weight = u64::from(entry.weight);
            if rest < weight {
                return entry;
            }
            rest -= weight;
        }
        // `rest` is below the sum of the weights, so that the loop returns.
        &self.entries[self.entries.len() - 1]
    }
}

/// The number in a header that is there exactly once.
fn given_number(head: &RequestHead, name: &FieldName) -> Option<u64> {
    let mut values = head.fields.values(name.as_bytes());
    let value = values.next()?;
    match values.next() {
        None => std::str::from_utf8(value).ok()?.parse().ok(),
        Some(_) => None,
    }
}

impl Forward {
    /// A route to a cluster with Envoy's defaults.
    pub fn new(cluster: ClusterChoice) -> Self {
        Self {
            cluster,
            cluster_not_found_code: 503,
            timeout: Some(DEFAULT_TIMEOUT),
            idle_timeout: None,
            max_stream_duration: None,
            limits_streams: false,
            grpc_stream: None,
            grpc_response: None,
            path_rewrite: PathRewrite::None,
            host_rewrite: HostRewrite::None,
            append_x_forwarded_host: false,
            priority: Priority::Default,
            hash: Vec::new(),
            upgrades: Vec::new(),
        }
    }

    /// How tunnels end here: CONNECT with a `connect_config` (`upgrade_configs`).
    pub fn connect_end(&self) -> Option<&ConnectEnd> {
        self.upgrades.iter().find_map(|upgrade| upgrade.connect.as_ref())
    }

    /// The entry of `weighted_clusters` for a request; `None` when there are none. It goes to
    /// [`Forward::target`], to [`Forward::rewrite`] and to the header mutations.
    pub fn choose(&self, head: &RequestHead, random: u64) -> Option<&WeightedCluster> {
        match &self.cluster {
            ClusterChoice::Weighted(weighted) => Some(weighted.choose(head, random)),
            _ => None,
        }
    }

    /// The cluster of a request, `weighted` being what [`Forward::choose`] chose.
    pub fn target<'a>(
        &'a self,
        weighted: Option<&'a WeightedCluster>,
        head: &'a RequestHead,
    ) -> ClusterTarget<'a> {
        match (&self.cluster, weighted) {
            (_, Some(weighted)) => ClusterTarget::Named(&weighted.cluster),
            (ClusterChoice::Named(cluster), None) => ClusterTarget::Named(cluster),
            (ClusterChoice::Header { name }, None) => match name.first(head) {
                Some(value) if !value.is_empty() => ClusterTarget::Dynamic(value),
                _ => ClusterTarget::Missing,
            },
            (ClusterChoice::Weighted(_), None) => ClusterTarget::Missing,
        }
    }

    /// Rewrites host and path for the upstream, after the header mutations. What the client sent
    /// goes to `x-envoy-original-host` and `x-envoy-original-path`, unless
    /// `suppress_envoy_headers`.
    pub fn rewrite(
        &self,
        matcher: &RouteMatch,
        weighted: Option<&WeightedCluster>,
        head: &mut RequestHead,
        suppress_envoy_headers: bool,
        scratch: &mut Scratch,
    ) {
        if let Some(weighted) = weighted {
            weighted.rewrite_host(head);
        }
        self.rewrite_host(head, suppress_envoy_headers, scratch);
        self.path_rewrite.apply(matcher, head, suppress_envoy_headers, scratch);
    }

    fn rewrite_host(&self, head: &mut RequestHead, suppress: bool, scratch: &mut Scratch) {
        scratch.clear();
        let host = &mut scratch.bytes;
        match &self.host_rewrite {
            HostRewrite::None | HostRewrite::Auto => return,
            HostRewrite::Literal(literal) => host.extend_from_slice(literal.as_bytes()),
            HostRewrite::Header(name) => match name.first(head) {
                Some(value) if !value.is_empty() => host.extend_from_slice(value),
                _ => return,
            },
            HostRewrite::PathRegex(rewrite) => {
                rewrite.replace_all(head.path_without_query(), host);
            }
        }
        self.update_authority(head, &scratch.bytes, suppress);
    }

    /// `auto_host_rewrite`: the authority becomes the name of the endpoint that was chosen.
    pub fn rewrite_to_endpoint(&self, head: &mut RequestHead, hostname: &str, suppress: bool) {
        if matches!(self.host_rewrite, HostRewrite::Auto) && !hostname.is_empty() {
            self.update_authority(head, hostname.as_bytes(), suppress);
        }
    }

    fn update_authority(&self, head: &mut RequestHead, host: &[u8], suppress: bool) {
        let mut stack = [0; STACK_BYTES];
        let heap;
        let old: &[u8] = match stack.get_mut(..head.authority().len()) {
            Some(copy) => {
                copy.copy_from_slice(head.authority());
                copy
            }
            None => {
                heap = head.authority().to_vec();
                &heap
            }
        };
        if !suppress {
            head.fields.set_known(Known::XEnvoyOriginalHost, old);
        }
        if self.append_x_forwarded_host && !old.is_empty() {
            append_forwarded_host(&mut head.fields, old);
        }
        head.set_authority(host);
    }
}

/// Appends an authority to `x-forwarded-host`, unless it is its last value already.
fn append_forwarded_host(fields: &mut Fields, authority: &[u8]) {
    let value = fields.known(Known::XForwardedHost).unwrap_or_default();
    let last = value.rsplit(|byte| *byte == b',').find(|part| !part.is_empty());
    if last != Some(authority) {
        fields.append_known(Known::XForwardedHost, b",", authority);
    }
}

impl WeightedCluster {
    /// `host_rewrite_literal`: it leaves no trace of the host before.
    pub(super) fn rewrite_host(&self, head: &mut RequestHead) {
        if !self.host_rewrite.is_empty() {
            head.set_authority(self.host_rewrite.as_bytes());
        }
    }
}
