//! One generation as the compiler remembers it, and what of the last one the next can keep.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ringway_model::access_log::AccessLog;
use ringway_model::cluster::{Cluster, ClusterPolicy};
use ringway_model::listener::{
    ChainMatcher, ConnectionLimits, FilterChain, Listener, ListenerFilters, Sockets,
};
use ringway_model::stats::{ListenerStats, ListenerWorkerStats};
use ringway_model::udp::UdpListener;

use super::at::At;
use super::breakers::Thresholds;
use super::cluster::Discovery;
use super::dns::{self, DnsTarget, Resolved, ResolvedEndpoints};
use super::endpoints::{self, Listed};
use super::proto::{cluster as cluster_proto, listener as listener_proto};
use super::reads::Reads;
use super::sockets::{OpenSockets, SocketSpec};
use super::value::{backlog_timeout, buffer_limit, or_bool, or_u32, without_number};
use super::{Cause, Cx, Watched, tls};
use super::{
    access_log, chain, cluster, dynamic, internal, listener, listener_filters, name_cache,
    network_filters, stat_names, udp,
};

/// What was compiled last, with the messages that it came from.
#[derive(Debug, Default)]
pub(super) struct Generation {
    clusters: Vec<KeptCluster>,
    clusters_by_name: HashMap<Arc<str>, usize>,
    listeners: Vec<KeptListener>,
}

/// A cluster and its message.
#[derive(Debug)]
pub(super) struct KeptCluster {
    message: cluster_proto::Cluster,
    reads: Reads,
    listed: Listed,
    thresholds: [Thresholds; 2],
    dns: Option<DnsTarget>,
    compiled: Arc<Cluster>,
}

/// A listener and its message.
#[derive(Debug)]
pub(super) struct KeptListener {
    message: listener_proto::Listener,
    /// Of its own address, then of additional ones.
    specs: Vec<SocketSpec>,
    reads: Reads,
    compiled: Arc<Listener>,
}

impl Generation {
    pub(super) fn new(clusters: Vec<KeptCluster>, listeners: Vec<KeptListener>) -> Self {
        let names = clusters.iter().enumerate();
        let names = names.map(|(index, kept)| (Arc::clone(&kept.compiled.name), index));
        Self { clusters_by_name: names.collect(), clusters, listeners }
    }

    pub(super) fn has(&self, cluster: &str) -> bool {
        self.clusters_by_name.contains_key(cluster)
    }

    fn cluster(&self, name: &str) -> Option<&KeptCluster> {
        self.clusters_by_name.get(name).map(|index| &self.clusters[*index])
    }

    fn listener(&self, name: &str) -> Option<&KeptListener> {
        self.listeners.iter().find(|kept| &*kept.compiled.name == name)
    }

    pub(super) fn thresholds(&self) -> impl Iterator<Item = (&str, &[Thresholds; 2])> {
        self.clusters.iter().map(|kept| (&*kept.compiled.name, &kept.thresholds))
    }

    pub(super) fn dns_targets(&self) -> Vec<DnsTarget> {
        self.clusters.iter().filter_map(|kept| kept.dns.clone()).collect()
    }

    /// What makes a new generation when it changes.
    pub(super) fn watched(&self) -> Watched {
        let listeners = self.listeners.iter().map(|kept| &kept.reads);
        let all = self.clusters.iter().map(|kept| &kept.reads).chain(listeners);
        let mut watched = Watched::default();
        for reads in all {
            watched.files.extend(reads.files().map(Path::to_owned));
            watched.folders.extend(reads.folders().map(Path::to_owned));
        }
        watched
    }

    pub(super) fn listeners(&self) -> Vec<Arc<Listener>> {
        self.listeners.iter().map(|kept| Arc::clone(&kept.compiled)).collect()
    }

    /// By number, with room for `ids` of them.
    pub(super) fn clusters(&self, ids: usize) -> Vec<Option<Arc<Cluster>>> {
        let mut clusters = vec![None; ids];
        for kept in &self.clusters {
            clusters[kept.compiled.id.index()] = Some(Arc::clone(&kept.compiled));
        }
        clusters
    }

    /// Replaces the endpoints of a cluster; `None` when that changes nothing.
    pub(super) fn resolve(&mut self, cluster: &str, resolved: &Resolved) -> Option<()> {
        let kept = &mut self.clusters[*self.clusters_by_name.get(cluster)?];
        let before = &kept.compiled;
        let endpoints = kept.listed.endpoints(Some(resolved), &before.endpoints);
        if endpoints == before.endpoints {
            return None;
        }
        let (name, policy) = (Arc::clone(&before.name), Arc::clone(&before.policy));
        kept.compiled = Arc::new(Cluster::new(name, before.id, policy, endpoints));
        Some(())
    }
}

/// Compiles the clusters, each of which may keep its policy, its endpoints or all of itself.
pub(super) fn clusters(
    cx: &Cx<'_>,
    at: &At<'_>,
    messages: &[cluster_proto::Cluster],
    last: &Generation,
    resolved: &ResolvedEndpoints,
) -> Vec<KeptCluster> {
    let at = at.field("clusters");
    let mut names = std::collections::HashSet::new();
    let mut kept = Vec::with_capacity(messages.len());
    for (index, message) in messages.iter().enumerate() {
        let at = at.index(index);
        if !names.insert(&message.name) {
            at.field("name")
                .invalid(format_args!("cluster manager: duplicate cluster '{}'", message.name));
        }
        let before = last.cluster(&message.name);
        kept.extend(one_cluster(cx, &at, message, before, resolved.of(&message.name)));
    }
    kept
}

fn one_cluster(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &cluster_proto::Cluster,
    before: Option<&KeptCluster>,
    resolved: Option<&Resolved>,
) -> Option<KeptCluster> {
    name_cache::check_cluster(cx, at, message);
    let (policy, reads) = cx.reading(|| policy(cx, at, message, before));
    let discovery = cluster::discovery(at, message)?;
    let listed = endpoints::listed(at, message, discovery);
    let dns = dns_target(at, message, discovery, &listed);
    let (policy, thresholds) = policy?;
    let known = before.map_or(&[][..], |before| &before.compiled.endpoints);
    let endpoints = listed.endpoints(resolved, known);
    let compiled = match before {
        Some(KeptCluster { compiled, .. })
            if Arc::ptr_eq(&compiled.policy, &policy) && compiled.endpoints == endpoints =>
        {
            Arc::clone(compiled)
        }
        _ => {
            let (name, id) = (cluster::name(message), cx.cluster_id(&message.name));
            Arc::new(Cluster::new(name, id, policy, endpoints))
        }
    };
    Some(KeptCluster { message: message.clone(), reads, listed, thresholds, dns, compiled })
}

/// The policy of the generation before, if it is still right, or a new one.
fn policy(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &cluster_proto::Cluster,
    before: Option<&KeptCluster>,
) -> Option<(Arc<ClusterPolicy>, [Thresholds; 2])> {
    let same = |kept: &&KeptCluster| {
        cluster::same_policy(&kept.message, message) && kept.reads.are_unchanged(&cx.secrets)
    };
    let as_before = |kept: &KeptCluster, reads: &Reads| {
        cx.reads.borrow_mut().extend(reads);
        Some((Arc::clone(&kept.compiled.policy), kept.thresholds))
    };
    if let Some(kept) = before.filter(same) {
        return as_before(kept, &kept.reads);
    }
    let kept = before.filter(|kept| cluster::same_policy(&kept.message, message));
    if let Some(kept) = kept.filter(|kept| keeps_secrets(cx, at, message, kept)) {
        return as_before(kept, &kept.reads.unwatched());
    }
    let made = cluster::policy(cx, at, message)?;
    Some((Arc::new(made.policy), made.thresholds))
}

/// After a change of secrets alone: whether the context is still the one of the last generation,
/// because the change is not for the better. Then the cluster is not another one.
fn keeps_secrets(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &cluster_proto::Cluster,
    kept: &KeptCluster,
) -> bool {
    let (scope, policy) = (cluster::scope(message), &kept.compiled.policy);
    let same = |now: &[Option<_>], before: &[Option<_>]| {
        let mut pairs = now.iter().zip(before);
        pairs.all(|(one, other): (&Option<_>, &Option<_>)| {
            tls::is_same(one.as_ref(), other.as_ref())
        })
    };
    cx.cause == Cause::Secrets
        && tls::upstream(cx, at, dynamic::socket(message).as_deref(), scope)
            .is_some_and(|now| tls::is_same(now.as_ref(), policy.tls.as_ref()))
        && tls::matches::sockets(cx, at, message, scope)
            .is_some_and(|now| same(&now, &policy.tls_matches))
}

/// As [`keeps_secrets`] for the chains of a listener.
fn chains_keep_secrets(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &listener_proto::Listener,
    kept: &KeptListener,
) -> bool {
    let scope = listener::scope(message, kept.specs.first().map(|spec| &spec.address));
    let mut before = kept.compiled.chains.iter();
    cx.cause == Cause::Secrets
        && kept.message == *message
        && chain::each(message).all(|(index, one)| {
            let socket = one.transport_socket.as_ref();
            let now = chain::at_chain(at, index, |at| tls::downstream(cx, at, socket, &scope));
            let before = before.next().and_then(|chain| chain.tls.as_ref());
            now.is_some_and(|now| tls::is_same(now.as_ref(), before))
        })
}

fn dns_target(
    at: &At<'_>,
    message: &cluster_proto::Cluster,
    discovery: Discovery,
    listed: &Listed,
) -> Option<DnsTarget> {
    // Reported even when there is nothing to resolve.
    let questions = dns::questions(at, message);
    let hosts = listed.names();
    match discovery {
        Discovery::Static => dns::note_unused(at, message, "a STATIC cluster resolves no name"),
        Discovery::OriginalDst => {
            dns::note_unused(at, message, "an ORIGINAL_DST cluster resolves no name");
        }
        Discovery::Dynamic => dns::note_unused(at, message, "that of dns_cache_config counts"),
        Discovery::StrictDns | Discovery::LogicalDns => {}
    }
    let dns::Questions { family, refresh, resolver } = questions?;
    let resolves = matches!(discovery, Discovery::StrictDns | Discovery::LogicalDns);
    (resolves && !hosts.is_empty()).then(|| DnsTarget {
        cluster: cluster::name(message),
        hosts,
        family,
        refresh,
        resolver,
        keeps_last: discovery == Discovery::LogicalDns,
    })
}

/// A listener for which only the sockets are missing.
#[derive(Debug)]
pub(super) struct Prepared {
    index: usize,
    message: listener_proto::Listener,
    /// Of its own address, then of additional ones.
    specs: Vec<SocketSpec>,
    reads: Reads,
    parts: Parts,
}

#[derive(Debug)]
enum Parts {
    /// Nothing changed.
    Kept(Arc<Listener>),
    /// Compiled anew, chains that did not change excepted.
    New(Box<Compiled>),
}

/// What a listener has beside its sockets.
#[derive(Debug)]
struct Compiled {
    filters: ListenerFilters,
    udp: Option<UdpListener>,
    chains: Vec<Arc<FilterChain>>,
    matcher: ChainMatcher,
    access_logs: Vec<AccessLog>,
    backlog_timeout: Option<Duration>,
    limits: ConnectionLimits,
    internal_buffer: Option<usize>,
    stats: ListenerStats,
    worker_stats: Vec<ListenerWorkerStats>,
}

/// Compiles the listeners up to their sockets.
pub(super) fn listeners(
    cx: &Cx<'_>,
    at: &At<'_>,
    messages: &[listener_proto::Listener],
    last: &Generation,
) -> Vec<Prepared> {
    let at = at.field("listeners");
    listener::check_names(&at, messages);
    let each = messages.iter().enumerate();
    let prepared: Vec<Prepared> = each
        .filter_map(|(index, message)| one_listener(cx, &at.index(index), message, index, last))
        .collect();
    let specs = prepared.iter().flat_map(|one| one.specs.iter().map(|spec| (one.index, spec)));
    listener::check_addresses(&at, specs);
    prepared
}

fn one_listener(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &listener_proto::Listener,
    index: usize,
    last: &Generation,
) -> Option<Prepared> {
    let name = listener::name(message, index);
    internal::check(cx, at, message, &name);
    let kept = last.listener(&name);
    let kept = kept.map(|kept| (kept, kept.reads.are_unchanged(&cx.secrets)));
    // The numbers of limits change in place; whether there are any does not.
    let limits = cx.connection_limits(&name, message);
    let same_limits = |kept: &KeptListener| {
        let before = &kept.compiled.limits;
        before.own.is_some() == limits.own.is_some()
            && before.global.is_some() == limits.global.is_some()
            && before.global_refusals == limits.global_refusals
            && kept.compiled.internal_buffer == internal::buffer(cx, message)
    };
    let kept = kept.filter(|(kept, _)| same_limits(kept));
    let unchanged = kept.filter(|(kept, same_reads)| *same_reads && kept.message == *message);
    let as_before = |kept: &KeptListener, reads: Reads| {
        // Clusters may have changed all the same.
        for (index, one) in chain::each(message) {
            chain::at_chain(at, index, |at| network_filters::check_clusters(cx, at, one));
        }
        let (specs, parts) = (kept.specs.clone(), Parts::Kept(Arc::clone(&kept.compiled)));
        Some(Prepared { index, message: message.clone(), specs, reads, parts })
    };
    if let Some((kept, _)) = unchanged {
        return as_before(kept, kept.reads.clone());
    }
    if let Some((kept, _)) = kept {
        let (keeps, mut reads) = cx.reading(|| chains_keep_secrets(cx, at, message, kept));
        if keeps {
            reads.extend(&kept.reads.unwatched());
            return as_before(kept, reads);
        }
    }
    let same_reads = kept.filter(|(_, same_reads)| *same_reads).map(|(kept, _)| kept);
    let (prepared, reads) = cx.reading(|| new_listener(cx, at, message, name, same_reads));
    let (specs, parts) = prepared?;
    Some(Prepared { index, message: message.clone(), specs, reads, parts })
}

/// `kept` is the listener of the last generation whose chains may be taken over.
fn new_listener(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &listener_proto::Listener,
    name: Arc<str>,
    kept: Option<&KeptListener>,
) -> Option<(Vec<SocketSpec>, Parts)> {
    let addresses = listener::addresses(at, message, &name);
    let own = addresses.as_ref().and_then(|all| all.first());
    let text = own.map(ToString::to_string).unwrap_or_default();
    let scope = listener::scope(message, own);
    let is_udp = udp::is_udp(message);
    let filters = match is_udp {
        true => Some(ListenerFilters::default()),
        false => listener_filters::filters(cx, at, message),
    };
    let datagrams = is_udp.then(|| udp::listener(cx, at, message, &text, &scope));
    let chains = chains(cx, at, message, kept, &scope);
    let matcher = chain::matcher(at, message);
    if !is_udp {
        listener::check_chains(at, message, &text);
    }
    let specs = listener::sockets(at, message, &name, addresses?, cx.env.workers);
    let stats = stat_names::listener(&cx.env.catalog, &scope);
    let worker_stats = stat_names::listener_workers(&cx.env.catalog, &scope, cx.env.workers);
    let access_logs = access_log::logs(cx, &at.field("access_log"), &message.access_log);
    let backlog_timeout = backlog_timeout(at, message.per_connection_buffer_high_watermark_timeout);
    let limits = cx.connection_limits(&name, message);
    let (filters, chains, matcher) = (filters?, listener::all(chains)?, matcher?);
    let udp = match datagrams {
        Some(datagrams) => Some(datagrams?),
        None => None,
    };
    let compiled = Compiled {
        filters,
        udp,
        chains,
        matcher,
        access_logs,
        backlog_timeout,
        limits,
        internal_buffer: internal::buffer(cx, message),
        stats,
        worker_stats,
    };
    Some((specs, Parts::New(Box::new(compiled))))
}

/// The chains in the order of [`chain::each`]; one whose message is that of a chain of the last
/// generation is that chain.
fn chains(
    cx: &Cx<'_>,
    at: &At<'_>,
    message: &listener_proto::Listener,
    kept: Option<&KeptListener>,
    scope: &str,
) -> Vec<Option<Arc<FilterChain>>> {
    // The statistics of a chain are those of its listener.
    let kept = kept.filter(|kept| {
        kept.message.stat_prefix == message.stat_prefix && kept.message.address == message.address
    });
    let before: Vec<_> = kept.into_iter().flat_map(|kept| chain::each(&kept.message)).collect();
    let mut all = Vec::new();
    for (index, one) in chain::each(message) {
        let same = before.iter().position(|(place, before)| {
            // The name of a chain without one is made of its place.
            (*place == index || !one.name.is_empty()) && *before == one
        });
        let compiled = chain::at_chain(at, index, |at| {
            network_filters::check_clusters(cx, at, one);
            match (same, kept) {
                (Some(same), Some(kept)) => Some(Arc::clone(&kept.compiled.chains[same])),
                _ => chain::chain(cx, at, one, index, scope).map(Arc::new),
            }
        });
        all.push(compiled);
    }
    all
}

/// Finds or opens the sockets of all listeners.
pub(super) fn open(
    at: &At<'_>,
    prepared: Vec<Prepared>,
    last: &Generation,
    sockets: &mut dyn OpenSockets,
) -> Vec<KeptListener> {
    let at = at.field("listeners");
    let each = prepared.into_iter();
    each.filter_map(|one| with_sockets(&at.index(one.index), one, last, sockets)).collect()
}

fn with_sockets(
    at: &At<'_>,
    prepared: Prepared,
    last: &Generation,
    sockets: &mut dyn OpenSockets,
) -> Option<KeptListener> {
    let Prepared { message, specs, reads, parts, .. } = prepared;
    let compiled = match parts {
        Parts::Kept(compiled) => compiled,
        Parts::New(parts) => {
            // Each address that cannot be had is reported.
            let all: Vec<_> = specs.iter().map(|spec| opened(at, spec, last, sockets)).collect();
            let mut all = all.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
            let (spec, own) = (specs.first()?, all.next()?);
            Arc::new(parts.listening(&message, spec, own, all.collect()))
        }
    };
    Some(KeptListener { message, specs, reads, compiled })
}

/// The sockets of the last generation, where they serve, or new ones.
fn opened(
    at: &At<'_>,
    spec: &SocketSpec,
    last: &Generation,
    sockets: &mut dyn OpenSockets,
) -> Option<Arc<Sockets>> {
    let mut known = last.listeners.iter().flat_map(|kept| {
        let specs = kept.specs.iter();
        specs.zip(kept.compiled.all_sockets())
    });
    if let Some((_, sockets)) = known.find(|(known, _)| known.serves(spec)) {
        return Some(Arc::clone(sockets));
    }
    sockets
        .open(spec)
        .inspect_err(|error| {
            let (name, address) = (&spec.listener, &spec.address);
            let error = without_number(error);
            let text = format!("listener \"{name}\": cannot bind {address}: {error}");
            match spec.place.checked_sub(1) {
                None => at.field("address").io(text),
                Some(more) => {
                    at.field("additional_addresses").index(more).field("address").io(text);
                }
            }
        })
        .ok()
}

impl Compiled {
    fn listening(
        self,
        message: &listener_proto::Listener,
        spec: &SocketSpec,
        sockets: Arc<Sockets>,
        additional: Vec<Arc<Sockets>>,
    ) -> Listener {
        // The API's own rules keep it above zero.
        let accepts_at_once = or_u32(message.max_connections_to_accept_per_socket_event, u32::MAX);
        Listener {
            name: Arc::clone(&spec.listener),
            address: sockets.address.clone(),
            sockets,
            additional,
            direction: listener::direction(message),
            modify_only: listener::drains_when_modified_only(message),
            hands_off: or_bool(message.use_original_dst, false),
            exact_balance: listener::exact_balance(message),
            bypasses_overload: message.bypass_overload_manager,
            internal_buffer: self.internal_buffer,
            fast_open: message.tcp_fast_open_queue_length.map(|wrapper| wrapper.value),
            filters: self.filters,
            udp: self.udp,
            chains: self.chains,
            matcher: self.matcher,
            buffer_limit: buffer_limit(message.per_connection_buffer_limit_bytes),
            backlog_timeout: self.backlog_timeout,
            access_logs: self.access_logs,
            limits: self.limits,
            accepts_at_once,
            stats: self.stats,
            worker_stats: self.worker_stats,
        }
    }
}
