//! Name resolution for `STRICT_DNS` and `LOGICAL_DNS` clusters, and for names that come with
//! requests.
//!
//! Owns when a name is asked for again, what an answer means for the endpoints of a cluster, and
//! the `update_*` statistics. Who asks the name servers is behind [`Resolve`]; what becomes of
//! the endpoints is up to the receiver of [`EndpointUpdate`]s.

mod follow;
mod names;
mod resolver;
mod schedule;

pub use follow::{DnsDiscovery, EndpointUpdate};
pub use names::NameCaches;
pub use resolver::{
    Answer, Resolve, ResolveError, ResolverOf, Resolvers, Resolving, SystemResolver,
};
pub use schedule::{FailureRefresh, Schedule};

use std::sync::Arc;

use ringway_model::cluster::Endpoint;
pub use ringway_model::dns::{LookupFamily, Resolver};
use ringway_model::stats::ClusterStats;

/// How many of the addresses behind a name become endpoints.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DnsKind {
    /// `STRICT_DNS`: each address is an endpoint; no address means no endpoint.
    Strict,
    /// `LOGICAL_DNS`: the first address is the endpoint; no address leaves the last one.
    Logical,
}

/// A cluster whose endpoints come from DNS.
#[derive(Debug)]
pub struct DnsCluster {
    /// The cluster's name.
    pub name: Arc<str>,
    /// `type`.
    pub kind: DnsKind,
    /// `dns_lookup_family`.
    pub family: LookupFamily,
    /// Who is asked.
    pub resolver: Resolver,
    /// When names are asked for again.
    pub schedule: Schedule,
    /// In the order of the configuration.
    pub targets: Vec<DnsTarget>,
    /// Its `update_*` counters are written here, on the control thread.
    pub stats: ClusterStats,
}

/// A configured endpoint with a name for an address.
#[derive(Debug, Clone)]
pub struct DnsTarget {
    /// The name to resolve; an IP address is taken as it is.
    pub name: String,
    /// The port of the endpoints.
    pub port: u16,
    /// The endpoint but for its address and, if empty, its hostname.
    pub template: Endpoint,
}
