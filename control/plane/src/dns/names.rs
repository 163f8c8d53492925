//! Names that come with requests: the tables of the caches (Envoy `DnsCacheConfig`).
//!
//! Workers ask for a name once and are told from then on what becomes of it. A name that nobody
//! uses for `host_ttl` is dropped. Everything here runs on the control thread; the lock is never
//! waited for.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use ringway_bridge::limit::Permit;
use ringway_bridge::mailbox::{Receiver, Sender, mailbox};
use ringway_bridge::stats::Page;
use ringway_bridge::touch::Touch;
use ringway_bridge::wake::Bell;
use ringway_model::dns::{self, Ask, Authority, HostName, NameCache, NameLine, News, Told};
use ringway_model::snapshot::Snapshot;
use ringway_model::stats::ClusterStats;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::resolver::{Answer, Resolve, ResolveError, Resolvers};
use super::schedule::{FailureRefresh, Schedule};

/// Questions of workers that may wait.
const ASKS_MAX: usize = 4096;
/// Letters that a worker may leave unread.
const TOLD_MAX: usize = 1024;
/// Letters beyond that, which wait here. There are at most a few for each name.
const WAITING_MAX: usize = 65_536;
/// How long letters wait before they are tried again.
const RETRY: Duration = Duration::from_millis(10);

/// All caches of the process; clones are the same.
#[derive(Clone)]
pub struct NameCaches {
    tables: Arc<Mutex<Tables>>,
    /// Letters wait.
    late: Arc<Notify>,
}

impl std::fmt::Debug for NameCaches {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameCaches").finish_non_exhaustive()
    }
}

struct Tables {
    page: Arc<Page>,
    resolvers: Resolvers,
    outboxes: Vec<Outbox>,
    caches: Vec<Table>,
}

/// One cache. It lives as long as something of the configuration names it.
struct Table {
    cache: Weak<NameCache>,
    entries: HashMap<Arc<str>, Entry>,
    /// The clusters whose members the names are.
    clusters: Vec<ClusterStats>,
    /// One for each name: asks, and sleeps until it is time to ask again.
    tasks: JoinSet<()>,
}

struct Entry {
    answer: Option<Arc<dns::Answer>>,
    /// The workers that have asked, and when they used the name last.
    askers: Vec<(usize, Touch)>,
    added_ms: u64,
    _place: Permit,
}

/// The way to one worker.
struct Outbox {
    sender: Sender<Told>,
    bell: Arc<Bell>,
    waiting: VecDeque<Told>,
}

impl NameCaches {
    /// Begins to hear the workers that `bells` wake, whose ends are returned in their order. `page`
    /// belongs to the control thread, inside whose runtime this must be called.
    ///
    /// # Errors
    /// The process has no descriptors left for a bell.
    pub fn start(
        page: Arc<Page>,
        resolvers: Resolvers,
        bells: Vec<Arc<Bell>>,
    ) -> io::Result<(Self, Vec<NameLine>)> {
        let (bell, ear) = Bell::pair()?;
        let (bell, (asks, questions)) = (Arc::new(bell), mailbox(ASKS_MAX));
        let (mut ends, mut outboxes) = (Vec::new(), Vec::new());
        for worker_bell in bells {
            let (sender, told) = mailbox(TOLD_MAX);
            ends.push(NameLine { asks: asks.clone(), bell: Arc::clone(&bell), told });
            outboxes.push(Outbox { sender, bell: worker_bell, waiting: VecDeque::new() });
        }
        let tables = Tables { page, resolvers, outboxes, caches: Vec::new() };
        let all = Self { tables: Arc::new(Mutex::new(tables)), late: Arc::default() };
        let ear = tokio::net::UnixStream::from_std(ear)?;
        tokio::spawn(all.clone().hear(questions, ear));
        Ok((all, ends))
    }

    /// Takes over what a generation says of caches: names that are asked for in advance, and the
    /// clusters whose members are counted. Forgets the caches that nothing names any more.
    pub fn follow(&self, snapshot: &Snapshot) {
        let mut tables = self.lock();
        tables.caches.retain(|table| table.cache.strong_count() > 0);
        tables.caches.iter_mut().for_each(|table| table.clusters.clear());
        for cluster in snapshot.clusters.iter().flatten() {
            let Some(cache) = cluster.policy.host_table() else { continue };
            let index = self.table(&mut tables, cache);
            let page = Arc::clone(&tables.page);
            let table = &mut tables.caches[index];
            table.clusters.push(cluster.policy.stats.clone());
            table.show_members(&page, false);
        }
    }

    /// The names of a cache that have an address, in their order.
    pub fn hosts(&self, cache: &Arc<NameCache>) -> Vec<(Arc<str>, SocketAddr)> {
        let tables = self.lock();
        let table = tables.caches.iter().find(|table| table.is_of(cache));
        let entries = table.into_iter().flat_map(|table| &table.entries);
        let mut hosts: Vec<_> = entries
            .filter_map(|(key, entry)| Some((Arc::clone(key), entry.answer.as_ref()?.address?)))
            .collect();
        hosts.sort();
        hosts
    }

    fn lock(&self) -> MutexGuard<'_, Tables> {
        // No table is left half changed: nothing in between can fail.
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers workers until all of them are gone.
    async fn hear(self, questions: Receiver<Ask>, ear: tokio::net::UnixStream) {
        let mut rung = [0; 256];
        loop {
            while let Some(ask) = questions.receive() {
                self.asked(ask);
            }
            let late = self.lock().send_late();
            let retry = async {
                if late {
                    tokio::time::sleep(RETRY).await;
                } else {
                    self.late.notified().await;
                }
            };
            tokio::select! {
                readable = ear.readable() => {
                    if readable.is_err() || ear.try_read(&mut rung).is_ok_and(|bytes| bytes == 0) {
                        return;
                    }
                }
                () = retry => {}
            }
        }
    }

    /// The place of a cache among the tables; a new one begins with the names that are asked for
    /// in advance.
    fn table(&self, tables: &mut Tables, cache: &Arc<NameCache>) -> usize {
        if let Some(index) = tables.caches.iter().position(|table| table.is_of(cache)) {
            return index;
        }
        let (entries, clusters, tasks) = (HashMap::new(), Vec::new(), JoinSet::new());
        tables.caches.push(Table { cache: Arc::downgrade(cache), entries, clusters, tasks });
        let index = tables.caches.len() - 1;
        for (host, port) in &cache.settings.preresolve {
            if let Some(name) = Authority::new(host.as_bytes(), *port).to_name() {
                self.add(tables, index, cache, name, Vec::new());
            }
        }
        index
    }

    fn asked(&self, ask: Ask) {
        let Ask { worker, cache, host, touch } = ask;
        let mut tables = self.lock();
        let index = self.table(&mut tables, &cache);
        let asker = (worker, touch);
        let key = Arc::clone(&host.key);
        let known = tables.caches[index].entries.get_mut(&host.key);
        let news = if let Some(entry) = known {
            entry.askers.retain(|(other, _)| *other != worker);
            entry.askers.push(asker);
            entry.answer.clone().map(News::Known)
        } else {
            let added = self.add(&mut tables, index, &cache, host, vec![asker]);
            (!added).then_some(News::Refused)
        };
        if let Some(news) = news {
            self.tell(&mut tables, &[worker], &Told { cache, key, news });
        }
    }

    /// Adds a name and asks for it; `false` when there are too many.
    fn add(
        &self,
        tables: &mut Tables,
        index: usize,
        cache: &Arc<NameCache>,
        name: HostName,
        askers: Vec<(usize, Touch)>,
    ) -> bool {
        let page = Arc::clone(&tables.page);
        let Some(place) = cache.hosts.permit() else {
            cache.count(&page, |stats| stats.host_overflow);
            return false;
        };
        let resolver = tables.resolvers.of(&cache.settings.resolver);
        let table = &mut tables.caches[index];
        let added_ms = cache.ms(Instant::now());
        let entry = Entry { answer: None, askers, added_ms, _place: place };
        table.entries.insert(Arc::clone(&name.key), entry);
        cache.count(&page, |stats| stats.host_added);
        table.show_size(cache, &page);
        while table.tasks.try_join_next().is_some() {}
        table.tasks.spawn(ask_for_ever(self.clone(), Arc::downgrade(cache), name, resolver));
        true
    }

    fn tell(&self, tables: &mut Tables, workers: &[usize], told: &Told) {
        for worker in workers {
            let Some(outbox) = tables.outboxes.get_mut(*worker) else { continue };
            if !outbox.send(told.clone()) {
                self.late.notify_one();
            }
        }
    }

    /// Takes in what came of a question. Says how long to wait before the next one, and nothing
    /// when there is none.
    fn answered(
        &self,
        cache: &Arc<NameCache>,
        name: &HostName,
        outcome: &Outcome,
        failures: &mut u32,
    ) -> Option<Duration> {
        let mut tables = self.lock();
        let (page, settings) = (Arc::clone(&tables.page), &cache.settings);
        outcome.count(cache, &page);
        let table = tables.caches.iter_mut().find(|table| table.is_of(cache))?;
        let entry = table.entries.get_mut(&name.key)?;
        let before = entry.answer.as_ref().and_then(|answer| answer.address);
        let address = outcome.address(name.port, before);
        let answer = Arc::new(dns::Answer { address, details: outcome.details() });
        let is_news = entry.answer.as_ref().is_none_or(|known| {
            known.address != address || address.is_none() && known.details != answer.details
        });
        if address != before {
            cache.count(&page, |stats| stats.host_address_changed);
        }
        let workers: Vec<usize> = entry.askers.iter().map(|(worker, _)| *worker).collect();
        entry.answer = Some(Arc::clone(&answer));
        let passes = address.is_none() && !settings.refreshes_failures;
        if passes {
            table.remove(&name.key, cache, &page);
        } else if before.is_none() && address.is_some() {
            table.show_members(&page, true);
        }
        let news = if passes { News::Passing(answer) } else { News::Known(answer) };
        if is_news {
            let key = Arc::clone(&name.key);
            self.tell(&mut tables, &workers, &Told { cache: Arc::clone(cache), key, news });
        }
        (!passes).then(|| outcome.pause(settings, failures))
    }

    /// Drops a name that nobody has used for long enough.
    fn expire(&self, cache: &Arc<NameCache>, name: &HostName) -> bool {
        let mut tables = self.lock();
        let page = Arc::clone(&tables.page);
        let Some(table) = tables.caches.iter_mut().find(|table| table.is_of(cache)) else {
            return true;
        };
        let Some(entry) = table.entries.get(&name.key) else { return true };
        let used = entry.askers.iter().map(|(_, touch)| touch.last_ms()).max();
        let used = used.unwrap_or(0).max(entry.added_ms);
        let unused = Duration::from_millis(cache.ms(Instant::now()).saturating_sub(used));
        if unused <= cache.settings.host_ttl {
            return false;
        }
        let workers: Vec<usize> = entry.askers.iter().map(|(worker, _)| *worker).collect();
        table.remove(&name.key, cache, &page);
        let key = Arc::clone(&name.key);
        let told = Told { cache: Arc::clone(cache), key, news: News::Gone };
        self.tell(&mut tables, &workers, &told);
        true
    }
}

impl Tables {
    /// Tries again what did not fit; `true` when some of it still does not.
    fn send_late(&mut self) -> bool {
        let each = self.outboxes.iter_mut().map(Outbox::send_late);
        // Each has its turn.
        each.filter(|all_sent| !all_sent).count() > 0
    }
}

impl Table {
    fn is_of(&self, cache: &Arc<NameCache>) -> bool {
        std::ptr::eq(self.cache.as_ptr(), Arc::as_ptr(cache))
    }

    fn remove(&mut self, key: &str, cache: &NameCache, page: &Page) {
        let gone = self.entries.remove(key).and_then(|entry| entry.answer);
        cache.count(page, |stats| stats.host_removed);
        self.show_size(cache, page);
        self.show_members(page, gone.is_some_and(|answer| answer.address.is_some()));
    }

    /// `dns_cache.<name>.num_hosts`
    fn show_size(&self, cache: &NameCache, page: &Page) {
        if let Some(stats) = &cache.stats {
            page.set(stats.num_hosts, self.entries.len() as u64);
        }
    }

    /// `cluster.<name>.membership_*`
    fn show_members(&self, page: &Page, changed: bool) {
        let known = |entry: &&Entry| entry.answer.as_ref().is_some_and(|one| one.address.is_some());
        let members = self.entries.values().filter(known).count() as u64;
        for cluster in &self.clusters {
            page.set(cluster.membership_total, members);
            page.set(cluster.membership_healthy, members);
            page.add(cluster.membership_change, u64::from(changed));
        }
    }
}

impl Outbox {
    /// Sends a letter, or keeps it for later: then `false`.
    fn send(&mut self, told: Told) -> bool {
        if self.waiting.len() >= WAITING_MAX {
            tracing::error!(target: "dns", "a worker does not read what became of names");
            return false;
        }
        self.waiting.push_back(told);
        self.send_late()
    }

    /// Sends what waits; `false` when not all of it fits.
    fn send_late(&mut self) -> bool {
        let before = self.waiting.len();
        while let Some(told) = self.waiting.pop_front() {
            if let Err(told) = self.sender.send(told) {
                self.waiting.push_front(told);
                break;
            }
        }
        if self.waiting.len() < before {
            self.bell.ring();
        }
        self.waiting.is_empty()
    }
}

/// What came of a question.
enum Outcome {
    Answer(Answer),
    Failure(&'static str),
    /// `dns_query_timeout`
    Late,
}

impl Outcome {
    fn count(&self, cache: &NameCache, page: &Page) {
        cache.count(page, |stats| match self {
            Self::Answer(_) => stats.dns_query_success,
            Self::Failure(_) | Self::Late => stats.dns_query_failure,
        });
        if matches!(self, Self::Late) {
            cache.count(page, |stats| stats.dns_query_timeout);
        }
    }

    /// The address to use. One that is still among those of the name stays, so that connections to
    /// it are kept where name servers rotate their answers. As in Envoy, a name that had an
    /// address never loses it again.
    fn address(&self, port: u16, before: Option<SocketAddr>) -> Option<SocketAddr> {
        let Self::Answer(answer) = self else { return before };
        let stays = before.filter(|before| answer.addresses.contains(&before.ip()));
        let first = answer.addresses.first().map(|ip| SocketAddr::new(*ip, port));
        stays.or(first).or(before)
    }

    fn details(&self) -> Box<str> {
        match self {
            Self::Answer(answer) if !answer.addresses.is_empty() => "cares_success:".into(),
            Self::Answer(answer) if answer.nonexistent => {
                "cares_norecords:Domain_name_not_found".into()
            }
            Self::Answer(_) => "cares_norecords:DNS_server_returned_answer_with_no_data".into(),
            Self::Failure(reason) => format!("cares_failure:{reason}").into(),
            Self::Late => "resolve_timeout".into(),
        }
    }

    fn pause(&self, settings: &dns::NameCacheSettings, failures: &mut u32) -> Duration {
        if let Self::Answer(answer) = self {
            *failures = 0;
            let ttl = answer.ttl.filter(|_| !answer.addresses.is_empty());
            return ttl.map_or(settings.refresh, |ttl| ttl.max(settings.min_refresh));
        }
        *failures += 1;
        let failure = settings.failure.map(|(base, max)| FailureRefresh { base, max });
        let schedule = Schedule { refresh: settings.refresh, failure, ..Schedule::default() };
        schedule.after_failure(*failures, fastrand::f64())
    }
}

/// Follows one name for as long as somebody uses it.
async fn ask_for_ever(
    caches: NameCaches,
    cache: Weak<NameCache>,
    name: HostName,
    resolver: Result<Arc<dyn Resolve>, ResolveError>,
) {
    let mut failures = 0;
    loop {
        let Some(alive) = cache.upgrade() else { return };
        let settings = alive.settings.clone();
        alive.count(&caches.lock().page, |stats| stats.dns_query_attempt);
        drop(alive);
        let question = ask(&resolver, &name, settings.family);
        let outcome = match settings.query_timeout {
            Some(limit) => tokio::time::timeout(limit, question).await.unwrap_or(Outcome::Late),
            None => question.await,
        };
        let Some(alive) = cache.upgrade() else { return };
        let Some(pause) = caches.answered(&alive, &name, &outcome, &mut failures) else { return };
        drop(alive);
        tokio::time::sleep(pause).await;
        let Some(alive) = cache.upgrade() else { return };
        if caches.expire(&alive, &name) {
            return;
        }
    }
}

async fn ask(
    resolver: &Result<Arc<dyn Resolve>, ResolveError>,
    name: &HostName,
    family: dns::LookupFamily,
) -> Outcome {
    match dns::literal(&name.host, family) {
        Some(Ok(address)) => {
            return Outcome::Answer(Answer { addresses: vec![address], ..Answer::default() });
        }
        Some(Err(_)) => return Outcome::Failure("Misformatted_domain_name"),
        None => {}
    }
    let outcome = match resolver {
        Ok(resolver) => resolver.resolve(&name.host, family).await,
        Err(error) => Err(error.clone()),
    };
    match outcome {
        Ok(answer) => Outcome::Answer(answer),
        Err(error) => {
            tracing::debug!(target: "dns", name = &*name.host, %error, "not resolved");
            Outcome::Failure(error.reason)
        }
    }
}

#[cfg(test)]
mod tests;
