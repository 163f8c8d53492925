//! Names that come with requests: the cache of their addresses (Envoy `DnsCacheConfig`), and what
//! a worker and the control thread say to each other about them.
//!
//! The control thread asks the name servers and owns the table. A worker remembers the answers
//! that it was told, so that a name that is known costs one look-up and no other thread.

use std::fmt;
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use ringway_bridge::limit::Limit;
use ringway_bridge::mailbox::{Receiver, Sender};
use ringway_bridge::stats::{CounterId, Page};
use ringway_bridge::touch::Touch;
use ringway_bridge::wake::Bell;

use crate::stats::DnsCacheStats;

/// The shortest time for which an address is kept: workers say twice in a second which they use.
const ADDRESS_TTL_MIN: Duration = Duration::from_secs(1);
/// Requests that may wait for a place in a table of addresses.
const ADDRESSES_PENDING_MAX: u64 = 1024;

mod authority;

pub use authority::{Authority, HostName};

/// `dns_lookup_family`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum LookupFamily {
    /// `AUTO`: IPv6, and IPv4 only when that gives nothing.
    #[default]
    Auto,
    /// `V4_ONLY`
    V4Only,
    /// `V6_ONLY`
    V6Only,
    /// `V4_PREFERRED`: IPv4, and IPv6 only when that gives nothing.
    V4Preferred,
    /// `ALL`: both, IPv4 first.
    All,
}

/// Who is asked (`typed_dns_resolver_config`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Resolver {
    /// `resolvers`; none asks those of the host.
    pub servers: Vec<SocketAddr>,
    /// `use_tcp_for_dns_lookups`.
    pub over_tcp: bool,
    /// Not `no_default_search_domain`: short names are looked for in the domains of the host.
    pub search: bool,
    /// `query_timeout_seconds`: how long one server may take.
    pub timeout: Duration,
    /// `query_tries`.
    pub tries: u32,
}

impl Default for Resolver {
    fn default() -> Self {
        let timeout = Duration::from_secs(5);
        Self { servers: Vec::new(), over_tcp: false, search: true, timeout, tries: 4 }
    }
}

/// What a cache is told by its configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NameCacheSettings {
    /// `dns_lookup_family`.
    pub family: LookupFamily,
    /// `dns_refresh_rate`, 60 s, for a name without an answer.
    pub refresh: Duration,
    /// `dns_min_refresh_rate`, 5 s: the shortest time to live that counts.
    pub min_refresh: Duration,
    /// `dns_failure_refresh_rate`: the first pause after a failure and the longest.
    pub failure: Option<(Duration, Duration)>,
    /// Not `disable_dns_refresh_on_failure`: a name without an answer is asked for again.
    pub refreshes_failures: bool,
    /// `host_ttl`, 5 min: how long a name is kept that nobody uses.
    pub host_ttl: Duration,
    /// `dns_query_timeout`, 5 s; `None` leaves it to the resolver.
    pub query_timeout: Option<Duration>,
    /// `preresolve_hostnames`: names that are asked for before anybody needs them.
    pub preresolve: Vec<(Box<str>, u16)>,
    /// Who is asked.
    pub resolver: Resolver,
}

/// A cache of names, the same for all that name it.
#[derive(Debug)]
pub struct NameCache {
    /// `name`.
    pub name: Arc<str>,
    /// Its configuration.
    pub settings: NameCacheSettings,
    /// `dns_cache_circuit_breaker.max_pending_requests`, 1024: requests that wait for a name.
    pub pending: Arc<Limit>,
    /// `max_hosts`, 1024: names that are kept. The control thread takes a unit for each.
    pub hosts: Arc<Limit>,
    /// Marks of use count from here.
    pub epoch: Instant,
    /// `dns_cache.<name>.*`; nothing is counted of original destinations.
    pub stats: Option<DnsCacheStats>,
}

impl NameCache {
    /// A moment on the clock of the marks of use.
    pub fn ms(&self, now: Instant) -> u64 {
        let since = now.saturating_duration_since(self.epoch);
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }

    /// A table of addresses (`ORIGINAL_DST`), each of which leaves when it was not used for
    /// `interval`, seen after so long again.
    pub fn of_addresses(name: Arc<str>, interval: Duration, hosts: u64) -> Self {
        let settings = NameCacheSettings {
            family: LookupFamily::All,
            refresh: interval,
            min_refresh: interval,
            failure: None,
            refreshes_failures: false,
            host_ttl: interval.max(ADDRESS_TTL_MIN),
            query_timeout: None,
            preresolve: Vec::new(),
            resolver: Resolver::default(),
        };
        let (pending, hosts) = (Limit::new(ADDRESSES_PENDING_MAX), Limit::new(hosts));
        Self { name, settings, pending, hosts, epoch: Instant::now(), stats: None }
    }

    /// What is known of a name at once, where nobody needs to be asked: in a table of addresses,
    /// as long as there is room.
    pub fn at_once(&self, name: &HostName) -> Option<Answer> {
        let has_room = self.stats.is_none() && self.hosts.taken() < self.hosts.max();
        let ip = name.host.parse().ok().filter(|_| has_room)?;
        Some(Answer { address: Some(SocketAddr::new(ip, name.port)), details: "".into() })
    }

    /// Counts, where something is counted of this table.
    pub fn count(&self, page: &Page, which: impl FnOnce(&DnsCacheStats) -> CounterId) {
        if let Some(stats) = &self.stats {
            page.inc(which(stats));
        }
    }

    /// Whether as many requests wait for a name as may.
    pub fn is_crowded(&self) -> bool {
        self.pending.taken() >= self.pending.max()
    }
}

/// A cluster whose endpoints are named by requests (Envoy `dynamic_forward_proxy.ClusterConfig`).
#[derive(Debug, Clone)]
pub struct DynamicHosts {
    /// Where the names are looked up.
    pub cache: Arc<NameCache>,
    /// Where a request names no port: 443 behind TLS, or else 80.
    pub default_port: u16,
    /// Whether `cluster_type.name` is the one by which the HTTP filter knows such clusters.
    pub known_to_filter: bool,
    /// `auto_sni`: the name of the host is the server name of the handshake.
    pub auto_sni: bool,
}

/// What is known of a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// The address with the port; `None` when the name never had one.
    pub address: Option<SocketAddr>,
    /// What came of the last question, for `%RESPONSE_CODE_DETAILS%`.
    pub details: Box<str>,
}

impl Answer {
    /// A name that is none.
    pub fn malformed() -> Self {
        Self { address: None, details: "cares_failure:Misformatted_domain_name".into() }
    }
}

/// Why a name is not looked up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refused {
    /// `max_hosts`.
    Hosts,
    /// `max_pending_requests`.
    Pending,
}

/// What a worker asks the control thread.
#[derive(Debug)]
pub struct Ask {
    /// The worker's number.
    pub worker: usize,
    /// Where the name belongs.
    pub cache: Arc<NameCache>,
    /// The name and port.
    pub host: HostName,
    /// When the worker used the name last, from now on.
    pub touch: Touch,
}

/// A worker's end of the line to the control thread.
#[derive(Debug)]
pub struct NameLine {
    /// Takes questions.
    pub asks: Sender<Ask>,
    /// Rings when there is one.
    pub bell: Arc<Bell>,
    /// What became of names.
    pub told: Receiver<Told>,
}

/// What the control thread tells a worker that has asked.
#[derive(Debug, Clone)]
pub struct Told {
    /// Where the name belongs.
    pub cache: Arc<NameCache>,
    /// [`HostName::key`].
    pub key: Arc<str>,
    /// What became of it.
    pub news: News,
}

/// What became of a name.
#[derive(Debug, Clone)]
pub enum News {
    /// This is known of it from now on.
    Known(Arc<Answer>),
    /// This came of the question, and is not worth keeping.
    Passing(Arc<Answer>),
    /// It is not kept, because there are too many.
    Refused,
    /// It is not kept any more, because nobody has used it.
    Gone,
}

/// What a look-up gives.
pub enum Lookup {
    /// The name is known.
    Known(Rc<Answer>),
    /// It was asked for.
    Asked(Asking),
    /// It cannot be asked for.
    Refused(Refused),
}

/// An answer to come.
pub type Asking = Pin<Box<dyn Future<Output = Result<Rc<Answer>, Refused>>>>;

impl fmt::Debug for Lookup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(answer) => f.debug_tuple("Known").field(answer).finish(),
            Self::Asked(_) => f.write_str("Asked"),
            Self::Refused(why) => f.debug_tuple("Refused").field(why).finish(),
        }
    }
}

/// The caches as a worker sees them.
pub trait Names: fmt::Debug {
    /// Looks a name up. `authority` is what a client has sent.
    fn look_up(&self, cache: &Arc<NameCache>, authority: &Authority<'_>) -> Lookup;

    /// Counts a request that is refused since too many wait.
    fn refuse(&self, cache: &NameCache);
}

/// Caches of nobody: no name is looked up.
#[derive(Debug)]
pub struct NoNames;

impl Names for NoNames {
    fn look_up(&self, _: &Arc<NameCache>, _: &Authority<'_>) -> Lookup {
        Lookup::Refused(Refused::Hosts)
    }

    fn refuse(&self, _: &NameCache) {}
}

/// What is known of an address that is written where a name may be, if it is one. As with a
/// name, the family must be one that is wanted.
pub fn literal(host: &str, family: LookupFamily) -> Option<Result<IpAddr, Answer>> {
    let address: IpAddr = host.parse().ok()?;
    let fits = match family {
        LookupFamily::V4Only => address.is_ipv4(),
        LookupFamily::V6Only => address.is_ipv6(),
        LookupFamily::Auto | LookupFamily::V4Preferred | LookupFamily::All => true,
    };
    Some(if fits { Ok(address) } else { Err(Answer::malformed()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_known_at_once_while_there_is_room() {
        let table = NameCache::of_addresses("c".into(), Duration::from_millis(1), 1);
        let name = Authority::new(b"[::1]:80", 0).to_name().expect("an address");
        let answer = table.at_once(&name).expect("room");
        assert_eq!(answer.address, "[::1]:80".parse().ok());
        assert!(table.settings.host_ttl >= ADDRESS_TTL_MIN);
        let place = table.hosts.permit();
        assert_eq!(table.at_once(&name), None);
        drop(place);
        let name = Authority::new(b"a.test:80", 0).to_name().expect("a name");
        assert_eq!(table.at_once(&name), None);
    }
}
