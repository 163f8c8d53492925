use std::sync::atomic::{AtomicUsize, Ordering};

use ringway_bridge::limit::Limit;
use ringway_bridge::stats::{Catalog, Total};
use ringway_model::stats::DnsCacheStats;

use super::super::resolver::Resolving;
use super::*;

/// Answers every name with the addresses of the moment.
#[derive(Default)]
struct Fake {
    answer: Mutex<Option<Answer>>,
    asked: AtomicUsize,
}

impl Resolve for Fake {
    fn resolve<'a>(&'a self, _: &'a str, _: dns::LookupFamily) -> Resolving<'a> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        let answer = self.answer.lock().expect("not poisoned").clone();
        Box::pin(async move { answer.ok_or_else(|| ResolveError::new("scripted")) })
    }
}

impl Fake {
    fn say(&self, addresses: &[&str]) {
        let addresses = addresses.iter().map(|text| text.parse().expect("an address")).collect();
        let answer = Answer { addresses, ttl: Some(Duration::from_secs(1)), nonexistent: false };
        *self.answer.lock().expect("not poisoned") = Some(answer);
    }
}

struct Rig {
    catalog: Catalog,
    fake: Arc<Fake>,
    caches: NameCaches,
    ends: Vec<NameLine>,
    _ears: Vec<std::os::unix::net::UnixStream>,
}

impl Rig {
    fn new(workers: usize) -> Self {
        let (catalog, fake) = (Catalog::default(), Arc::new(Fake::default()));
        let (mut bells, mut ears) = (Vec::new(), Vec::new());
        for _ in 0..workers {
            let (bell, ear) = Bell::pair().expect("a bell");
            bells.push(Arc::new(bell));
            ears.push(ear);
        }
        let resolver: Arc<dyn Resolve> = Arc::<Fake>::clone(&fake);
        let resolvers = Resolvers::new(Box::new(move |_| Ok(Arc::clone(&resolver))));
        let (caches, ends) =
            NameCaches::start(catalog.new_page(), resolvers, bells).expect("started");
        Self { catalog, fake, caches, ends, _ears: ears }
    }

    fn cache(&self, hosts: u64) -> Arc<NameCache> {
        Arc::new(NameCache {
            name: "c".into(),
            settings: dns::NameCacheSettings {
                family: dns::LookupFamily::V4Only,
                refresh: Duration::from_millis(10),
                min_refresh: Duration::from_millis(10),
                failure: None,
                refreshes_failures: true,
                host_ttl: Duration::from_secs(300),
                query_timeout: None,
                preresolve: Vec::new(),
                resolver: dns::Resolver::default(),
            },
            pending: Limit::new(10),
            hosts: Limit::new(hosts),
            epoch: Instant::now(),
            stats: Some(DnsCacheStats::register(&self.catalog, "dns_cache.c", "dns_cache.c", &[])),
        })
    }

    fn ask(&self, worker: usize, cache: &Arc<NameCache>, name: &str) -> Touch {
        let touch = Touch::new(0);
        let host = Authority::new(name.as_bytes(), 80).to_name().expect("a name");
        let ask = Ask { worker, cache: Arc::clone(cache), host, touch: touch.clone() };
        self.ends[worker].asks.send(ask).expect("room");
        self.ends[worker].bell.ring();
        touch
    }

    async fn told(&self, worker: usize) -> (String, News) {
        loop {
            if let Some(told) = self.ends[worker].told.receive() {
                return (told.key.to_string(), told.news);
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    async fn address(&self, worker: usize) -> Option<String> {
        match self.told(worker).await.1 {
            News::Known(answer) => answer.address.map(|address| address.to_string()),
            other => panic!("{other:?}"),
        }
    }

    fn count(&self, leaf: &str) -> u64 {
        match self.catalog.total(&format!("dns_cache.c.{leaf}")) {
            Some(Total::Counter(value) | Total::Gauge(value)) => value,
            other => panic!("{leaf}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn all_who_ask_are_told_and_the_server_is_asked_once() {
    let rig = Rig::new(2);
    let cache = rig.cache(10);
    rig.fake.say(&["10.0.0.1", "10.0.0.2"]);
    rig.ask(0, &cache, "a.test");
    assert_eq!(rig.address(0).await.as_deref(), Some("10.0.0.1:80"));
    rig.ask(1, &cache, "a.test");
    assert_eq!(rig.address(1).await.as_deref(), Some("10.0.0.1:80"));
    assert_eq!(rig.fake.asked.load(Ordering::Relaxed), 1);
    assert_eq!(rig.caches.hosts(&cache).len(), 1);
    assert_eq!((rig.count("host_added"), rig.count("num_hosts")), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_address_stays_while_it_is_among_those_of_the_name() {
    let rig = Rig::new(1);
    let cache = rig.cache(10);
    rig.fake.say(&["10.0.0.1", "10.0.0.2"]);
    rig.ask(0, &cache, "a.test");
    assert_eq!(rig.address(0).await.as_deref(), Some("10.0.0.1:80"));
    rig.fake.say(&["10.0.0.2", "10.0.0.1"]);
    let before = rig.fake.asked.load(Ordering::Relaxed);
    while rig.fake.asked.load(Ordering::Relaxed) < before + 2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(rig.ends[0].told.receive().is_none(), "nothing has changed");
    rig.fake.say(&["10.0.0.3"]);
    assert_eq!(rig.address(0).await.as_deref(), Some("10.0.0.3:80"));
    // A name never loses its last address.
    rig.fake.say(&[]);
    let before = rig.fake.asked.load(Ordering::Relaxed);
    while rig.fake.asked.load(Ordering::Relaxed) < before + 2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    assert!(rig.ends[0].told.receive().is_none());
    assert_eq!(rig.count("host_address_changed"), 2);
}

#[tokio::test]
async fn a_full_table_refuses_further_names() {
    let rig = Rig::new(1);
    let cache = rig.cache(1);
    rig.fake.say(&["10.0.0.1"]);
    rig.ask(0, &cache, "a.test");
    rig.address(0).await;
    rig.ask(0, &cache, "b.test");
    assert!(matches!(rig.told(0).await, (key, News::Refused) if key == "b.test:80"));
    assert_eq!(rig.count("host_overflow"), 1);
}

#[tokio::test]
async fn a_cache_that_nothing_names_is_dropped_with_its_questions() {
    let rig = Rig::new(1);
    let cache = rig.cache(1);
    rig.fake.say(&["10.0.0.1"]);
    rig.ask(0, &cache, "a.test");
    rig.address(0).await;
    drop(cache);
    rig.caches.follow(&Snapshot::default());
    assert!(rig.caches.lock().caches.is_empty());
}

#[tokio::test]
async fn letters_that_do_not_fit_arrive_later() {
    let rig = Rig::new(1);
    let names = TOLD_MAX + 10;
    let cache = rig.cache(names as u64);
    for number in 0..names {
        rig.ask(0, &cache, &format!("127.0.0.1:{}", number + 1));
    }
    // Nobody reads until all of them are known.
    while rig.caches.hosts(&cache).len() < names {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    for _ in 0..names {
        assert!(rig.address(0).await.is_some());
    }
}

#[test]
fn outcomes_are_told_in_the_words_of_c_ares() {
    let nobody = Answer { nonexistent: true, ..Answer::default() };
    let all = [
        (Outcome::Answer(nobody), "cares_norecords:Domain_name_not_found"),
        (
            Outcome::Answer(Answer::default()),
            "cares_norecords:DNS_server_returned_answer_with_no_data",
        ),
        (Outcome::Failure("DNS_server_refused_query"), "cares_failure:DNS_server_refused_query"),
        (Outcome::Late, "resolve_timeout"),
    ];
    for (outcome, details) in all {
        assert_eq!(&*outcome.details(), details);
    }
}
