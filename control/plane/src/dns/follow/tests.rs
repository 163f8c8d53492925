use std::collections::VecDeque;
use std::time::Duration;

use ringway_bridge::stats::{Catalog, Total};

use super::super::resolver::{ResolveError, Resolving};
use super::super::{LookupFamily, Schedule};
use super::*;
use crate::fixture::{cluster_stats, endpoint};

type Outcome = Result<&'static [&'static str], ()>;

/// Answers each name from its script; the last answer stays.
struct Scripted(Mutex<HashMap<&'static str, VecDeque<Outcome>>>);

impl Scripted {
    fn new(script: &[(&'static str, &[Outcome])]) -> Arc<Self> {
        let script = script.iter().map(|(name, all)| (*name, all.iter().copied().collect()));
        Arc::new(Self(Mutex::new(script.collect())))
    }
}

impl Resolve for Scripted {
    fn resolve<'a>(&'a self, name: &'a str, _: LookupFamily) -> Resolving<'a> {
        let mut script = self.0.lock().expect("not poisoned");
        let answers = script.get_mut(name).expect("a scripted name");
        let next = if answers.len() > 1 { answers.pop_front() } else { answers.front().copied() };
        let outcome = next.expect("an answer").map(|addresses| Answer {
            addresses: addresses.iter().map(|text| text.parse().expect("an address")).collect(),
            ttl: Some(Duration::from_secs(60)),
            nonexistent: false,
        });
        Box::pin(async move { outcome.map_err(|()| ResolveError::new("scripted")) })
    }
}

struct Setup {
    catalog: Catalog,
    discovery: DnsDiscovery,
    updates: mpsc::Receiver<EndpointUpdate>,
}

impl Setup {
    fn new(resolver: Arc<Scripted>) -> Self {
        let catalog = Catalog::default();
        let (sender, updates) = mpsc::channel(8);
        let resolvers = Resolvers::new(Box::new(move |_| {
            let resolver: Arc<dyn Resolve> = Arc::<Scripted>::clone(&resolver);
            Ok(resolver)
        }));
        let discovery = DnsDiscovery::new(resolvers, catalog.new_page(), sender);
        Self { catalog, discovery, updates }
    }

    fn cluster(&self, kind: DnsKind, names: &[&str]) -> Arc<DnsCluster> {
        let targets = names.iter().map(|name| DnsTarget {
            name: (*name).to_owned(),
            port: 80,
            template: endpoint("0.0.0.0:0"),
        });
        Arc::new(DnsCluster {
            name: "c".into(),
            kind,
            family: LookupFamily::Auto,
            resolver: super::super::Resolver::default(),
            schedule: Schedule::default(),
            targets: targets.collect(),
            stats: cluster_stats(&self.catalog, "c"),
        })
    }

    /// The next update: addresses, warm.
    async fn next(&mut self) -> (Vec<String>, bool) {
        let update = self.updates.recv().await.expect("an update");
        let addresses = update.endpoints.iter().map(|e| e.address_text.to_string());
        (addresses.collect(), update.warm)
    }

    /// attempt, success, failure, no_rebuild
    fn counts(&self) -> [u64; 4] {
        ["attempt", "success", "failure", "no_rebuild"].map(|leaf| {
            match self.catalog.total(&format!("cluster.c.update_{leaf}")) {
                Some(Total::Counter(value)) => value,
                other => panic!("{other:?}"),
            }
        })
    }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(|text| (*text).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn addresses_become_endpoints_and_only_changes_are_told() {
    let mut setup = Setup::new(Scripted::new(&[(
        "a",
        &[
            Ok(&["10.0.0.1", "10.0.0.2"]),
            Ok(&["10.0.0.2", "10.0.0.1", "10.0.0.1"]), // another order, and twice the same
            Ok(&["10.0.0.3"]),
        ],
    )]));
    setup.discovery.follow(&[setup.cluster(DnsKind::Strict, &["a"])]);
    assert_eq!(setup.next().await, (texts(&["10.0.0.1:80", "10.0.0.2:80"]), true));
    let start = tokio::time::Instant::now();
    assert_eq!(setup.next().await, (texts(&["10.0.0.3:80"]), true));
    assert_eq!(start.elapsed().as_secs(), 10, "two refreshes");
    assert_eq!(setup.counts(), [3, 3, 0, 1]);
    let endpoints = setup.discovery.endpoints("c").expect("warm");
    assert_eq!(&*endpoints[0].hostname, "a");
}

#[tokio::test(start_paused = true)]
async fn an_empty_answer_empties_the_cluster_and_a_failure_does_not() {
    let answers: &[Outcome] = &[Ok(&["::1"]), Err(()), Ok(&[])];
    let mut setup = Setup::new(Scripted::new(&[("a", answers)]));
    setup.discovery.follow(&[setup.cluster(DnsKind::Strict, &["a"])]);
    assert_eq!(setup.next().await.0, ["[::1]:80"]);
    assert_eq!(setup.next().await, (texts(&[]), true));
    assert_eq!(setup.counts(), [3, 2, 1, 0]);
}

#[tokio::test(start_paused = true)]
async fn a_logical_cluster_takes_one_address_and_keeps_the_last() {
    let answers: &[Outcome] = &[Ok(&["10.0.0.1", "10.0.0.2"]), Ok(&[]), Ok(&["10.0.0.2"])];
    let mut setup = Setup::new(Scripted::new(&[("a", answers)]));
    setup.discovery.follow(&[setup.cluster(DnsKind::Logical, &["a"])]);
    assert_eq!(setup.next().await.0, ["10.0.0.1:80"]);
    assert_eq!(setup.next().await.0, ["10.0.0.2:80"]);
    assert_eq!(setup.counts(), [3, 3, 0, 1]);
}

#[tokio::test(start_paused = true)]
async fn a_cluster_is_warm_when_all_names_were_asked_for() {
    let script: &[(_, &[Outcome])] = &[("a", &[Err(())]), ("b", &[Ok(&["10.0.0.2"])])];
    let mut setup = Setup::new(Scripted::new(script));
    let names = ["a", "b", "10.0.0.9"];
    setup.discovery.follow(&[setup.cluster(DnsKind::Strict, &names)]);
    assert!(!setup.discovery.is_warm());
    assert_eq!(setup.discovery.endpoints("c"), None);
    let mut last = setup.next().await;
    while !last.1 {
        last = setup.next().await;
    }
    assert_eq!(last.0, ["10.0.0.2:80", "10.0.0.9:80"]);
    assert!(setup.discovery.is_warm());
}

#[tokio::test(start_paused = true)]
async fn a_cluster_that_goes_is_not_asked_for_and_one_that_stays_is_not_disturbed() {
    let answers: &[Outcome] = &[Ok(&["10.0.0.1"]), Ok(&["10.0.0.2"])];
    let mut setup = Setup::new(Scripted::new(&[("a", answers)]));
    let cluster = setup.cluster(DnsKind::Strict, &["a"]);
    setup.discovery.follow(&[Arc::clone(&cluster)]);
    setup.next().await;
    setup.discovery.follow(&[Arc::clone(&cluster)]);
    assert_eq!(setup.counts(), [1, 1, 0, 0], "it was not begun anew");
    setup.discovery.follow(&[]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(setup.counts(), [1, 1, 0, 0]);
    assert_eq!(setup.discovery.endpoints("c"), None);
}
