//! Follows the names of clusters for as long as they are configured.

use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use ringway_bridge::stats::Page;
use ringway_model::address::Address;
use ringway_model::cluster::Endpoint;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::resolver::{Answer, Resolve, ResolveError, Resolvers};
use super::{DnsCluster, DnsKind, DnsTarget};

/// Addresses of one name that are used; more than a sane answer has.
const ADDRESSES_MAX: usize = 4096;

/// A cluster has other endpoints than before, or all its names were asked for once.
#[derive(Debug, Clone, PartialEq)]
pub struct EndpointUpdate {
    /// The cluster's name.
    pub cluster: Arc<str>,
    /// All endpoints of the cluster.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Whether each name has been asked for, be it with success or not: the cluster is warm.
    pub warm: bool,
}

/// Asks for the names of all clusters from DNS. Lives on the control thread.
pub struct DnsDiscovery {
    resolvers: Resolvers,
    page: Arc<Page>,
    updates: mpsc::Sender<EndpointUpdate>,
    followed: HashMap<Arc<str>, Followed>,
}

struct Followed {
    state: Arc<State>,
    /// Ends the questions when the cluster goes.
    _tasks: JoinSet<()>,
}

impl std::fmt::Debug for DnsDiscovery {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DnsDiscovery").field("clusters", &self.followed.keys()).finish()
    }
}

impl DnsDiscovery {
    /// Nothing is followed yet. `page` belongs to the control thread; names wait while `updates`
    /// is full.
    pub fn new(
        resolvers: Resolvers,
        page: Arc<Page>,
        updates: mpsc::Sender<EndpointUpdate>,
    ) -> Self {
        Self { resolvers, page, updates, followed: HashMap::new() }
    }

    /// Follows exactly these clusters: the same `Arc` as before goes on undisturbed, another one
    /// of the same name begins anew. Must be called inside the control thread's runtime.
    pub fn follow(&mut self, clusters: &[Arc<DnsCluster>]) {
        let mut before = std::mem::take(&mut self.followed);
        for cluster in clusters {
            let kept = before.remove(&cluster.name);
            let kept = kept.filter(|followed| Arc::ptr_eq(&followed.state.cluster, cluster));
            let followed = kept.unwrap_or_else(|| self.begin(cluster));
            self.followed.insert(Arc::clone(&cluster.name), followed);
        }
    }

    /// The endpoints of a cluster as last resolved, for a snapshot that is compiled anew; `None`
    /// when the cluster is not followed or not warm yet.
    pub fn endpoints(&self, cluster: &str) -> Option<Vec<Arc<Endpoint>>> {
        let state = &self.followed.get(cluster)?.state;
        let answers = state.lock();
        answers.is_warm().then(|| answers.endpoints())
    }

    /// Whether all names of all clusters have been asked for once.
    pub fn is_warm(&self) -> bool {
        self.followed.values().all(|followed| followed.state.lock().is_warm())
    }

    fn begin(&mut self, cluster: &Arc<DnsCluster>) -> Followed {
        let resolver = self.resolvers.of(&cluster.resolver);
        let state = Arc::new(State {
            cluster: Arc::clone(cluster),
            page: Arc::clone(&self.page),
            answers: Mutex::new(Answers(vec![None; cluster.targets.len()])),
        });
        let mut tasks = JoinSet::new();
        for target in 0..cluster.targets.len() {
            let (resolver, updates) = (resolver.clone(), self.updates.clone());
            tasks.spawn(ask_for_ever(Arc::clone(&state), target, resolver, updates));
        }
        Followed { state, _tasks: tasks }
    }
}

/// What is known of one cluster.
struct State {
    cluster: Arc<DnsCluster>,
    page: Arc<Page>,
    answers: Mutex<Answers>,
}

/// The endpoints of each target; `None` until its name has been asked for.
struct Answers(Vec<Option<Vec<Arc<Endpoint>>>>);

impl Answers {
    fn is_warm(&self) -> bool {
        self.0.iter().all(Option::is_some)
    }

    fn endpoints(&self) -> Vec<Arc<Endpoint>> {
        self.0.iter().flatten().flatten().cloned().collect()
    }
}

async fn ask_for_ever(
    state: Arc<State>,
    index: usize,
    resolver: Result<Arc<dyn Resolve>, ResolveError>,
    updates: mpsc::Sender<EndpointUpdate>,
) {
    let (cluster, page) = (&state.cluster, &state.page);
    let (target, ids) = (&cluster.targets[index], &cluster.stats);
    let mut failures = 0;
    loop {
        page.inc(ids.update_attempt);
        let outcome = ask(&resolver, target, cluster).await;
        let (update, pause) = match outcome {
            Ok(answer) => {
                failures = 0;
                page.inc(ids.update_success);
                let pause = cluster.schedule.after_answer(answer.ttl, fastrand::f64());
                (state.answered(index, &answer), pause)
            }
            Err(error) => {
                failures += 1;
                page.inc(ids.update_failure);
                let (name, of) = (&target.name, &*cluster.name);
                tracing::debug!(target: "dns", cluster = of, name, %error, "not resolved");
                let pause = cluster.schedule.after_failure(failures, fastrand::f64());
                (state.failed(index), pause)
            }
        };
        if let Some(update) = update
            && updates.send(update).await.is_err()
        {
            return;
        }
        tokio::time::sleep(pause).await;
    }
}

async fn ask(
    resolver: &Result<Arc<dyn Resolve>, ResolveError>,
    target: &DnsTarget,
    cluster: &DnsCluster,
) -> Result<Answer, ResolveError> {
    match target.name.parse::<IpAddr>() {
        Ok(address) => Ok(Answer { addresses: vec![address], ..Answer::default() }),
        Err(_) => {
            resolver.as_ref().map_err(Clone::clone)?.resolve(&target.name, cluster.family).await
        }
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Answers> {
        // Each target's answer is replaced in one piece.
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes an answer in; returns an update if the endpoints changed or the cluster got warm.
    fn answered(&self, index: usize, answer: &Answer) -> Option<EndpointUpdate> {
        let target = &self.cluster.targets[index];
        let mut answers = self.lock();
        let was_warm = answers.is_warm();
        let before = answers.0[index].take().unwrap_or_default();
        let after = match self.cluster.kind {
            DnsKind::Strict => endpoints(target, &answer.addresses),
            DnsKind::Logical if answer.addresses.is_empty() => before.clone(),
            DnsKind::Logical => endpoints(target, &answer.addresses[..1]),
        };
        // Name servers rotate their answers: another order is no change.
        let changed = !same_addresses(&before, &after);
        if !changed {
            self.page.inc(self.cluster.stats.update_no_rebuild);
        }
        answers.0[index] = Some(if changed { after } else { before });
        let warm = answers.is_warm();
        (changed || warm != was_warm).then(|| self.update(&answers))
    }

    /// A failure leaves the endpoints, and counts as asked.
    fn failed(&self, index: usize) -> Option<EndpointUpdate> {
        let mut answers = self.lock();
        let was_warm = answers.is_warm();
        answers.0[index].get_or_insert_default();
        (answers.is_warm() != was_warm).then(|| self.update(&answers))
    }

    fn update(&self, answers: &Answers) -> EndpointUpdate {
        EndpointUpdate {
            cluster: Arc::clone(&self.cluster.name),
            endpoints: answers.endpoints(),
            warm: answers.is_warm(),
        }
    }
}

fn same_addresses(a: &[Arc<Endpoint>], b: &[Arc<Endpoint>]) -> bool {
    let set = |all: &[Arc<Endpoint>]| -> HashSet<Address> {
        all.iter().map(|endpoint| endpoint.address.clone()).collect()
    };
    a.len() == b.len() && set(a) == set(b)
}

/// One endpoint per distinct address.
fn endpoints(target: &DnsTarget, addresses: &[IpAddr]) -> Vec<Arc<Endpoint>> {
    let mut seen = HashSet::new();
    let distinct = addresses.iter().take(ADDRESSES_MAX).filter(|address| seen.insert(**address));
    distinct.map(|address| Arc::new(endpoint(target, *address))).collect()
}

fn endpoint(target: &DnsTarget, address: IpAddr) -> Endpoint {
    let address = Address::Ip(SocketAddr::new(address, target.port));
    let mut endpoint = target.template.clone();
    endpoint.address_text = address.to_string().into();
    endpoint.address = address;
    if endpoint.hostname.is_empty() {
        endpoint.hostname = target.name.as_str().into();
    }
    endpoint
}

#[cfg(test)]
mod tests;
