//! From Envoy's messages to a snapshot.
//!
//! Owns the meaning of every supported field, the defaults of Envoy 1.40, and what must live on
//! from one generation to the next: the numbers of clusters, circuit breakers, sockets, and every
//! resource that did not change. It resolves no name, and opens a socket or a file only through
//! [`OpenSockets`] and [`OpenSinks`].

#![allow(deprecated, reason = "Envoy 1.40 still takes many fields that its API calls deprecated")]

mod access_log;
mod address;
mod admin;
mod at;
mod balancing;
mod breakers;
mod chain;
mod cluster;
mod connection;
mod consistent;
mod dns;
mod dynamic;
mod endpoints;
mod filters;
mod format;
mod forward;
mod generation;
mod hash_policy;
mod http2;
mod internal;
mod layer4_stats;
mod listener;
mod listener_filters;
mod local_reply;
mod matching;
mod mutation;
mod name_cache;
mod network_filters;
mod original_dst;
mod overload;
mod partial;
mod pattern;
mod proto;
mod protocol;
mod proxy_header;
mod rbac;
mod reads;
mod route;
mod route_match;
mod route_table;
mod sinks;
mod sockets;
mod stat_names;
mod tcp_proxy;
#[cfg(test)]
mod tests;
mod tls;
mod tunneling;
mod udp;
mod udp_tunneling;
mod upstream_http;
mod value;

use std::cell::{OnceCell, RefCell};
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ringway_bridge::limit::Limit;
use ringway_bridge::rate::TokenBucket;
use ringway_bridge::stats::{Catalog, CounterId};
use ringway_model::cluster::{ClusterId, PriorityLimits};
use ringway_model::filter::Registry;
use ringway_model::listener::ConnectionLimits;
use ringway_model::overload::{OverloadPolicy, TimerScales};
use ringway_model::snapshot::Snapshot;
use rustc_hash::FxHashMap;

pub use admin::Admin;
pub use dns::{DnsTarget, LookupFamily, Refresh, Resolved, ResolvedEndpoints};
pub use sinks::{NoSinks, OpenSinks};
pub use sockets::{
    BindSockets, GivenSockets, NoSockets, OpenSockets, OptionValue, SocketOption, SocketSpec,
    SocketState,
};
pub use tls::Updates;

use crate::error::ConfigError;
use crate::load::Loaded;
use at::{At, Report};
use generation::{Generation, KeptCluster, Prepared};
use partial::Unread;
use proto::bootstrap::Bootstrap;
use reads::{From, Reads, Secrets};
use tls::Contexts;

/// What the compiler knows of the process.
#[derive(Debug)]
pub struct Environment {
    /// Where statistics are registered.
    pub catalog: Arc<Catalog>,
    /// The HTTP filters of this build, beside the router.
    pub registry: Registry,
    /// How many workers there are: each gets a socket of each listener.
    pub workers: usize,
    /// This machine's own address, which stands for clients on the same machine in
    /// `x-forwarded-for`.
    pub local_ip: IpAddr,
}

/// Why a configuration is compiled, which decides what becomes of a certificate that is bad.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// To be served: all must be good, but for a certificate that is expired, which Envoy presents
    /// as well; it is a warning.
    Start,
    /// To be looked at: a certificate that is expired is an error.
    Validation,
    /// Files of secrets changed: a context that cannot be made of them stays as it was.
    Secrets,
}

/// Files and folders of certificates, keys and lists.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Watched {
    /// Files that were read.
    pub files: BTreeSet<PathBuf>,
    /// `watched_directory`.
    pub folders: BTreeSet<PathBuf>,
}

fn now_unix_s() -> i64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    now.map_or(0, |now| i64::try_from(now.as_secs()).unwrap_or(i64::MAX))
}

/// Token buckets by `share_key` and their numbers, while a filter has them.
type Buckets = HashMap<(String, u32, u32, Duration), Weak<TokenBucket>>;

/// Compiles one generation after the other.
#[derive(Debug)]
pub struct Compiler {
    env: Environment,
    ids: RefCell<ClusterIds>,
    limits: RefCell<HashMap<String, [PriorityLimits; 2]>>,
    tls: RefCell<Contexts>,
    buckets: RefCell<Buckets>,
    caches: RefCell<name_cache::Caches>,
    connections: ConnectionCounts,
    timer_scales: TimerScales,
    last: Generation,
}

/// Who counts connections against limits: by listener, and all of them.
#[derive(Debug, Default)]
struct ConnectionCounts {
    listeners: RefCell<HashMap<String, Arc<Limit>>>,
    global: OnceCell<Arc<Limit>>,
}

/// A compiled configuration.
#[derive(Debug)]
pub struct Draft {
    /// What the workers follow. Its generation is given by whoever publishes it.
    pub snapshot: Snapshot,
    /// What must be resolved, by cluster.
    pub dns: Vec<DnsTarget>,
    /// What certificates, keys and lists came from: when it changes, it is time to compile again.
    pub watched: Watched,
    /// What became of secrets.
    pub updates: Updates,
    /// `admin`.
    pub admin: Option<Admin>,
    /// `overload_manager`.
    pub overload: Option<OverloadPolicy>,
    /// Values that change nothing where they stand, in the order of the text.
    pub warnings: Vec<ConfigError>,
}

/// The numbers of clusters. A name keeps its number even while there is no such cluster, since
/// routes may name it.
#[derive(Debug, Default)]
struct ClusterIds {
    by_name: Arc<FxHashMap<Box<str>, ClusterId>>,
}

impl ClusterIds {
    fn of(&mut self, name: &str) -> ClusterId {
        if let Some(id) = self.by_name.get(name) {
            return *id;
        }
        // A process that names 2^32 clusters has no memory left long before.
        let id = ClusterId(u32::try_from(self.by_name.len()).unwrap_or(u32::MAX));
        Arc::make_mut(&mut self.by_name).insert(Box::from(name), id);
        id
    }
}

/// What every part of one compilation needs.
struct Cx<'a> {
    env: &'a Environment,
    ids: &'a RefCell<ClusterIds>,
    limits: &'a RefCell<HashMap<String, [PriorityLimits; 2]>>,
    clusters: HashSet<&'a str>,
    unread: Unread,
    sinks: RefCell<&'a mut dyn OpenSinks>,
    tls: &'a RefCell<Contexts>,
    buckets: &'a RefCell<Buckets>,
    caches: &'a RefCell<name_cache::Caches>,
    /// The caches of names that this configuration has named so far.
    seen_caches: RefCell<name_cache::Seen>,
    connections: &'a ConnectionCounts,
    /// The keys of the runtime that count here.
    runtime: admin::Runtime,
    /// Where a monitor of resources, and not the runtime, limits all connections: what counts
    /// those that it refuses.
    global_refusals: Option<CounterId>,
    secrets: Secrets<'a>,
    /// What internal listeners need.
    internal: Option<internal::Extension>,
    cause: Cause,
    /// Seconds since 1970.
    now_unix_s: i64,
    /// What became of secrets, for their statistics and for whoever has to be told.
    updates: RefCell<Updates>,
    /// What the resource that is being compiled was read from, beside its message.
    reads: RefCell<Reads>,
}

impl Cx<'_> {
    fn cluster_id(&self, name: &str) -> ClusterId {
        self.ids.borrow_mut().of(name)
    }

    fn has_cluster(&self, name: &str) -> bool {
        self.unread.clusters || self.clusters.contains(name)
    }

    fn read(&self, from: From) -> io::Result<Vec<u8>> {
        self.reads.borrow_mut().read(from, &self.secrets)
    }

    /// Compiles something, and tells what it was read from. That counts for what it is a part of
    /// as well.
    fn reading<T>(&self, compile: impl FnOnce() -> T) -> (T, Reads) {
        let outer = self.reads.take();
        let compiled = compile();
        let inner = self.reads.replace(outer);
        self.reads.borrow_mut().extend(&inner);
        (compiled, inner)
    }

    /// The bucket of all filters with that `share_key` and those numbers, or one of its own.
    fn token_bucket(
        &self,
        share_key: &str,
        max_tokens: u32,
        tokens_per_fill: u32,
        interval: Duration,
    ) -> Arc<TokenBucket> {
        let new = || Arc::new(TokenBucket::new(max_tokens, tokens_per_fill, interval));
        if share_key.is_empty() {
            return new();
        }
        let mut buckets = self.buckets.borrow_mut();
        buckets.retain(|_, bucket| bucket.strong_count() > 0);
        let key = (share_key.to_owned(), max_tokens, tokens_per_fill, interval);
        if let Some(bucket) = buckets.get(&key).and_then(Weak::upgrade) {
            return bucket;
        }
        let bucket = new();
        buckets.insert(key, Arc::downgrade(&bucket));
        bucket
    }

    /// The limits on the connections of a listener.
    fn connection_limits(
        &self,
        listener: &str,
        message: &proto::listener::Listener,
    ) -> ConnectionLimits {
        let own = self.runtime.listeners.contains_key(listener).then(|| {
            let mut all = self.connections.listeners.borrow_mut();
            let limit = all.entry(listener.to_owned()).or_insert_with(|| Limit::new(u64::MAX));
            Arc::clone(limit)
        });
        let ignores_global = message.ignore_global_conn_limit;
        // As in Envoy, what the monitor does not refuse it does not count either.
        let is_free = self.global_refusals.is_some() && ignores_global;
        let counts = !is_free && !message.bypass_overload_manager;
        let global = || self.connections.global.get_or_init(|| Limit::new(u64::MAX));
        let global = self.runtime.global.filter(|_| counts).map(|_| Arc::clone(global()));
        ConnectionLimits { own, global, ignores_global, global_refusals: self.global_refusals }
    }

    /// As [`Cx::connection_limits`], for a server that outlives the generation: it has the limit
    /// from the start, and a later generation may set its number.
    fn admin_limits(&self, ignores_global: bool) -> ConnectionLimits {
        let global = self.connections.global.get_or_init(|| Limit::new(u64::MAX));
        let global_refusals = self.global_refusals;
        let counts = global_refusals.is_none() || !ignores_global;
        let global = counts.then(|| Arc::clone(global));
        ConnectionLimits { own: None, global, ignores_global, global_refusals }
    }

    /// The circuit breakers of a cluster, whose numbers are not set before all is right.
    fn limits_of(&self, cluster: &str) -> [PriorityLimits; 2] {
        let mut limits = self.limits.borrow_mut();
        limits.entry(cluster.to_owned()).or_insert_with(breakers::new_limits).clone()
    }
}

/// A bootstrap without its sockets.
struct Parts {
    clusters: Vec<KeptCluster>,
    listeners: Vec<Prepared>,
    admin: Option<Admin>,
}

/// Compiles all that needs no socket.
fn parts(
    cx: &Cx<'_>,
    root: &At<'_>,
    bootstrap: &Bootstrap,
    last: &Generation,
    endpoints: &ResolvedEndpoints,
) -> Parts {
    let (none, at) = (Default::default(), root.field("static_resources"));
    let statics = bootstrap.static_resources.as_ref().unwrap_or(&none);
    let clusters = generation::clusters(cx, &at, &statics.clusters, last, endpoints);
    let listeners = generation::listeners(cx, &at, &statics.listeners, last);
    tls::check_secrets(&at.field("secrets"), &statics.secrets);
    let admin = bootstrap.admin.as_ref();
    let admin = admin.map(|one| admin::admin(cx, &root.field("admin"), one));
    let at_extensions = root.field("bootstrap_extensions");
    internal::check_extensions(&at_extensions, &bootstrap.bootstrap_extensions);
    if let Some(runtime) = &bootstrap.layered_runtime {
        admin::check_runtime(&root.field("layered_runtime"), runtime);
    }
    Parts { clusters, listeners, admin }
}

impl ConnectionCounts {
    /// Sets the numbers, once all of a configuration is right.
    fn apply(&self, runtime: &admin::Runtime) {
        let mut all = self.listeners.borrow_mut();
        // A limit of nobody lives on while there are connections that count against it.
        all.retain(|name, limit| runtime.listeners.contains_key(name) || limit.taken() > 0);
        for (name, limit) in all.iter() {
            limit.set_max(runtime.listeners.get(name).copied().unwrap_or(u64::MAX));
        }
        if let Some(limit) = self.global.get() {
            limit.set_max(runtime.global.unwrap_or(u64::MAX));
        }
    }
}

impl Compiler {
    /// A compiler that has seen no configuration.
    pub fn new(env: Environment) -> Self {
        Self {
            env,
            ids: RefCell::default(),
            limits: RefCell::default(),
            tls: RefCell::default(),
            buckets: RefCell::default(),
            caches: RefCell::default(),
            connections: ConnectionCounts::default(),
            timer_scales: TimerScales::default(),
            last: Generation::default(),
        }
    }

    /// Compiles a bootstrap. Whatever did not change since the last call that succeeded is the
    /// same `Arc` as then. Sockets are opened last, when nothing else is wrong.
    ///
    /// # Errors
    /// All that is wrong, in the order of the text. The generation before stays in force: its
    /// sockets and limits are as they were.
    pub fn compile(
        &mut self,
        loaded: &Loaded,
        endpoints: &ResolvedEndpoints,
        sockets: &mut dyn OpenSockets,
        sinks: &mut dyn OpenSinks,
    ) -> Result<Draft, Vec<ConfigError>> {
        self.compile_for(Cause::Start, loaded, endpoints, sockets, sinks)
    }

    /// As [`Compiler::compile`], for another cause.
    ///
    /// # Errors
    /// As [`Compiler::compile`].
    pub fn compile_for(
        &mut self,
        cause: Cause,
        loaded: &Loaded,
        endpoints: &ResolvedEndpoints,
        sockets: &mut dyn OpenSockets,
        sinks: &mut dyn OpenSinks,
    ) -> Result<Draft, Vec<ConfigError>> {
        let report = Report::new(&loaded.located);
        let root = report.root();
        let overload = overload::compile(&root, &loaded.bootstrap);
        let cx = self.cx(cause, &loaded.bootstrap, &overload, sinks);
        let parts = parts(&cx, &root, &loaded.bootstrap, &self.last, endpoints);
        let Parts { clusters, listeners: prepared, admin } = parts;
        let mut listeners = Vec::new();
        if report.is_clean() {
            let at = root.field("static_resources");
            listeners = generation::open(&at, prepared, &self.last, sockets);
        }
        let updates = cx.updates.take();
        let warnings = report.finish()?;
        cx.connections.apply(&cx.runtime);
        self.timer_scales = overload.timers;
        let next = Generation::new(clusters, listeners);
        let overload = overload.policy;
        Ok(Draft { updates, overload, ..self.adopt(next, admin, warnings) })
    }

    fn cx<'a>(
        &'a self,
        cause: Cause,
        bootstrap: &'a Bootstrap,
        overload: &overload::Compiled,
        sinks: &'a mut dyn OpenSinks,
    ) -> Cx<'a> {
        let statics = bootstrap.static_resources.as_ref();
        let clusters = statics.map_or(&[][..], |statics| &statics.clusters);
        let mut runtime = admin::runtime(bootstrap.layered_runtime.as_ref());
        let max = overload.max_connections();
        // As in Envoy, the monitor goes before the runtime.
        runtime.global = max.or(runtime.global);
        Cx {
            env: &self.env,
            ids: &self.ids,
            limits: &self.limits,
            clusters: clusters.iter().map(|cluster| cluster.name.as_str()).collect(),
            unread: Unread::default(),
            sinks: RefCell::new(sinks),
            tls: &self.tls,
            buckets: &self.buckets,
            caches: &self.caches,
            seen_caches: RefCell::default(),
            connections: &self.connections,
            runtime,
            global_refusals: max.map(|_| stat_names::global_refusals(&self.env.catalog)),
            secrets: Secrets(statics.map_or(&[][..], |statics| &statics.secrets)),
            internal: internal::extension(&bootstrap.bootstrap_extensions),
            cause,
            now_unix_s: now_unix_s(),
            updates: RefCell::default(),
            reads: RefCell::default(),
        }
    }

    /// The last generation with the addresses that a resolver found for the names of one cluster:
    /// all that are known, since a name that is missing has no endpoint.
    /// `None` when there is no such cluster, or its endpoints are these already.
    pub fn with_endpoints(&mut self, cluster: &str, resolved: &Resolved) -> Option<Snapshot> {
        self.last.resolve(cluster, resolved)?;
        Some(self.snapshot())
    }

    /// The last generation, with the addresses that are known by now.
    pub fn current(&self) -> Snapshot {
        self.snapshot()
    }

    fn adopt(
        &mut self,
        next: Generation,
        admin: Option<Admin>,
        warnings: Vec<ConfigError>,
    ) -> Draft {
        self.last = next;
        let mut limits = self.limits.borrow_mut();
        // Limits of a cluster that is gone live on while a worker still holds units of them.
        limits.retain(|name, limits| self.last.has(name) || breakers::in_use(limits));
        for (name, thresholds) in self.last.thresholds() {
            if let Some(limits) = limits.get(name) {
                breakers::apply(limits, thresholds);
            }
        }
        drop(limits);
        self.tls.borrow_mut().forget_unused();
        self.caches.borrow_mut().retain(|_, (_, cache)| cache.strong_count() > 0);
        let (dns, watched) = (self.last.dns_targets(), self.last.watched());
        let updates = Updates::default();
        let snapshot = self.snapshot();
        Draft { snapshot, dns, watched, updates, admin, overload: None, warnings }
    }

    fn snapshot(&self) -> Snapshot {
        let ids = self.ids.borrow();
        Snapshot {
            generation: 0,
            listeners: self.last.listeners(),
            clusters: self.last.clusters(ids.by_name.len()),
            cluster_ids: Arc::clone(&ids.by_name),
            timer_scales: self.timer_scales,
        }
    }
}
