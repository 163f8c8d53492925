//! Between the compiler, which lists the names that must be resolved, and the resolver.

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use ringway_bridge::stats::Page;
use ringway_config::compile::{DnsTarget, ResolvedEndpoints};
use ringway_control::dns::{
    self, DnsCluster, DnsDiscovery, DnsKind, EndpointUpdate, FailureRefresh, NameCaches, Resolve,
    Resolvers, Schedule, SystemResolver,
};
use ringway_control::publish::Control;
use ringway_model::address::Address;
use ringway_model::cluster::{Endpoint, Locality};
use ringway_model::dns::{NameLine, Resolver};
use ringway_model::snapshot::Snapshot;
use tokio::sync::mpsc;

/// Updates that may wait; names wait with their next question while there is no room.
const UPDATES_MAX: usize = 256;

/// The names of all clusters, and what is known of them.
pub(crate) struct Names {
    discovery: DnsDiscovery,
    followed: HashMap<Arc<str>, (DnsTarget, Arc<DnsCluster>)>,
    targets: Vec<DnsTarget>,
    answers: ResolvedEndpoints,
    updates: mpsc::Receiver<EndpointUpdate>,
}

impl Names {
    /// Nothing to resolve yet. Fails when the host's resolver configuration cannot be used.
    pub(crate) fn new(page: Arc<Page>) -> Result<Self, dns::ResolveError> {
        let (sender, updates) = mpsc::channel(UPDATES_MAX);
        // What cannot be used is told at once.
        let mut resolvers = resolvers();
        resolvers.of(&Resolver::default())?;
        Ok(Self {
            discovery: DnsDiscovery::new(resolvers, page, sender),
            followed: HashMap::new(),
            targets: Vec::new(),
            answers: ResolvedEndpoints::new(),
            updates,
        })
    }

    /// What is known, for the compiler.
    pub(crate) fn answers(&self) -> &ResolvedEndpoints {
        &self.answers
    }

    /// Follows exactly these names. A cluster whose questions did not change is not asked anew.
    pub(crate) fn follow(&mut self, targets: Vec<DnsTarget>, snapshot: &Snapshot) {
        self.answers.retain(&targets);
        let mut before = std::mem::take(&mut self.followed);
        for target in &targets {
            let kept = before.remove(&target.cluster).filter(|(known, _)| known == target);
            let entry = kept.or_else(|| Some((target.clone(), question(target, snapshot)?)));
            if let Some(entry) = entry {
                self.followed.insert(Arc::clone(&target.cluster), entry);
            }
        }
        self.targets = targets;
        let clusters: Vec<_> = self.followed.values().map(|(_, c)| Arc::clone(c)).collect();
        self.discovery.follow(&clusters);
    }

    /// Whether every name was asked for once.
    pub(crate) fn are_warm(&self) -> bool {
        self.discovery.is_warm()
    }

    /// Waits for the next change; returns the cluster that changed.
    pub(crate) async fn changed(&mut self) -> Arc<str> {
        match self.updates.recv().await {
            Some(update) => {
                self.remember(&update);
                update.cluster
            }
            // The sender lives in `discovery`.
            None => std::future::pending().await,
        }
    }

    fn remember(&mut self, update: &EndpointUpdate) {
        let Some((target, _)) = self.followed.get(&update.cluster) else { return };
        for host in &target.hosts {
            let own = update.endpoints.iter().filter(|endpoint| *endpoint.hostname == **host);
            let addresses: Vec<_> =
                own.filter_map(|endpoint| Some(endpoint.address.ip()?.ip())).collect();
            if target.keeps_last && addresses.is_empty() {
                continue;
            }
            self.answers.insert(&update.cluster, host, addresses);
        }
    }
}

/// The caches of names that come with requests, and the workers' ends of the lines to them.
pub(crate) fn caches(
    page: &Arc<Page>,
    control: &Control,
) -> io::Result<(NameCaches, Vec<NameLine>)> {
    NameCaches::start(Arc::clone(page), resolvers(), control.bells())
}

fn resolvers() -> Resolvers {
    Resolvers::new(Box::new(|settings| {
        let resolver: Arc<dyn Resolve> = Arc::new(SystemResolver::of(settings)?);
        Ok(resolver)
    }))
}

/// The questions of one cluster in the resolver's words; ports and weights are the compiler's.
fn question(target: &DnsTarget, snapshot: &Snapshot) -> Option<Arc<DnsCluster>> {
    let cluster = snapshot.clusters.iter().flatten().find(|c| c.name == target.cluster)?;
    let template = Endpoint {
        address: Address::Ip(([0, 0, 0, 0], 0).into()),
        address_text: "".into(),
        hostname: "".into(),
        host: ringway_lb::Host::PLAIN,
        locality: Arc::new(Locality::default()),
        transport_match: None,
        hash_key: None,
        tlvs: Default::default(),
        server_name: None,
    };
    let name =
        |host: &String| dns::DnsTarget { name: host.clone(), port: 0, template: template.clone() };
    Some(Arc::new(DnsCluster {
        name: Arc::clone(&target.cluster),
        kind: DnsKind::Strict,
        family: target.family,
        resolver: target.resolver.clone(),
        schedule: Schedule {
            refresh: target.refresh.interval,
            failure: target.refresh.failure.map(|(base, max)| FailureRefresh { base, max }),
            jitter: target.refresh.jitter,
            respect_ttl: target.refresh.respect_ttl,
        },
        targets: target.hosts.iter().map(name).collect(),
        stats: cluster.policy.stats.clone(),
    }))
}
