//! The hosts of a cluster that come with connections and requests: names (Envoy
//! `dynamic_forward_proxy`), or where these were meant to go (`ORIGINAL_DST`).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::cluster::{Cluster, Endpoint};
use ringway_model::dns::{Answer, Asking, Authority, Lookup, NameCache, Names, Refused, Told};
use ringway_model::original_dst::{Bound, OriginalDst};

use super::cluster::Upstream;
use super::host::Host;
use super::leases::Leases;
use crate::worker::Worker;

/// Endpoints of a cluster that have statistics of their own on one worker. Their names live as
/// long as the process, and clients choose them: what comes later is counted together.
const COUNTED_MAX: usize = 1024;
/// The name under which the rest is counted.
const OTHERS: &str = "others";

/// Why a request that names its host finds none, for `%RESPONSE_CODE_DETAILS%`.
pub(crate) type NoName = std::borrow::Cow<'static, str>;

/// How the host of a request is found.
pub(crate) enum HostsFrom<'a> {
    /// The balancer chooses one of those that are listed.
    Balancer,
    /// The request names it, with this port where it names none.
    Authority(u16),
    /// It is where the request or its connection was meant to go.
    Destination(&'a OriginalDst),
}

/// An address as text, by which its host is known.
struct AddressText {
    bytes: [u8; Self::MAX],
    len: usize,
}

/// What becomes of a request that names its host.
pub(crate) enum Named {
    Host(Rc<Host>),
    /// Its address is asked for.
    Asked(Asking),
    Nobody(NoName),
}

/// The hosts that were used, by name. Those that the table has dropped go, too.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    hosts: RefCell<HashMap<Box<[u8]>, Rc<Host>>>,
    counted: RefCell<HashSet<Arc<str>>>,
}

impl Dynamic {
    /// The host of that name, whose address is known. One whose address has changed is another.
    pub(super) fn host(
        &self,
        worker: &Rc<Worker>,
        (cluster, leases): (&Arc<Cluster>, &Rc<Leases>),
        authority: &Authority<'_>,
        address: SocketAddr,
    ) -> Option<Rc<Host>> {
        let same = |host: &Rc<Host>| host.endpoint.address.ip() == Some(address);
        let known = authority.with_key(|key| self.hosts.borrow().get(key).map(Rc::clone));
        if let Some(host) = known.filter(same) {
            return Some(host);
        }
        let key = authority.with_key(|key| Box::<[u8]>::from(key));
        let endpoint = endpoint(cluster, authority, address)?;
        let counted_as = cluster.counted_as(&endpoint);
        let counted_as = match self.is_counted(counted_as) {
            true => Arc::clone(counted_as),
            false => Arc::from(OTHERS),
        };
        let host = Host::counted_as(worker, Arc::new(endpoint), cluster, leases, &counted_as);
        if let Some(before) = self.hosts.borrow_mut().insert(key, Rc::clone(&host)) {
            before.retire();
        }
        Some(host)
    }

    fn is_counted(&self, name: &Arc<str>) -> bool {
        let mut counted = self.counted.borrow_mut();
        counted.contains(name) || counted.len() < COUNTED_MAX && counted.insert(Arc::clone(name))
    }

    /// The name is not known any more.
    pub(super) fn forget(&self, key: &[u8]) {
        let gone = self.hosts.borrow_mut().remove(key);
        if let Some(host) = gone {
            host.retire();
        }
    }

    pub(super) fn reap(&self, now: Instant) {
        self.hosts.borrow().values().for_each(|host| host.reap(now));
    }

    /// Marks the hosts that somebody has a connection to: as in Envoy, these stay.
    pub(super) fn mark_used(&self, worker: &Worker, table: &Arc<NameCache>) {
        let hosts = self.hosts.borrow();
        for (key, _) in hosts.iter().filter(|(_, host)| host.is_in_use()) {
            worker.dns.mark(table, key);
        }
    }

    pub(super) fn retire(&self) {
        for host in self.hosts.take().into_values() {
            host.retire();
        }
    }
}

fn endpoint(cluster: &Cluster, authority: &Authority<'_>, address: SocketAddr) -> Option<Endpoint> {
    let name = authority.to_name()?;
    let auto_sni = cluster.policy.dynamic.as_ref().is_some_and(|dynamic| dynamic.auto_sni);
    let server_name = name.server_name().filter(|_| auto_sni).map(Arc::from);
    Some(Endpoint { server_name, ..cluster.endpoint_of(name.key, address) })
}

impl AddressText {
    /// `[` an address of IPv6 with its zone, `]:` and a port.
    const MAX: usize = 64;

    fn new(address: SocketAddr) -> Self {
        let mut bytes = [0; Self::MAX];
        let mut rest = &mut bytes[..];
        // What would not fit would be cut, and be no address then.
        let _ = write!(rest, "{address}");
        let len = Self::MAX - rest.len();
        Self { bytes, len }
    }

    fn authority(&self) -> Authority<'_> {
        Authority::new(&self.bytes[..self.len], 0)
    }
}

impl Upstream {
    /// How the host of a request is found.
    pub(crate) fn hosts_from(&self) -> HostsFrom<'_> {
        let policy = &self.cluster.policy;
        match (&policy.dynamic, &policy.original_dst) {
            (Some(dynamic), _) => HostsFrom::Authority(dynamic.default_port),
            (None, Some(original)) => HostsFrom::Destination(original),
            (None, None) => HostsFrom::Balancer,
        }
    }

    /// The host where a request or a connection was meant to go. Without one, or where its place
    /// in a table that is full is still asked for, it has none.
    pub(crate) fn destined(
        &self,
        worker: &Rc<Worker>,
        original: &OriginalDst,
        bound: &Bound<'_>,
    ) -> Option<Rc<Host>> {
        let (page, stats) = (&worker.page, &self.cluster.policy.stats);
        let address = original.destination(bound, || page.inc(stats.original_dst_host_invalid));
        let host = address.and_then(|address| {
            let text = AddressText::new(address);
            let authority = text.authority();
            let known = match worker.dns.look_up(&original.table, &authority) {
                Lookup::Known(answer) => self.host_at(worker, &authority, Ok(answer)).ok(),
                Lookup::Asked(_) | Lookup::Refused(_) => None,
            };
            if known.is_none() {
                page.inc(original.stats.original_dst_host_overflow);
            }
            known
        });
        if host.is_none() {
            page.inc(stats.upstream_cx_none_healthy);
        }
        host
    }

    /// The host that a request names, or the way to it.
    pub(crate) fn named(&self, worker: &Rc<Worker>, authority: &Authority<'_>) -> Named {
        let policy = &self.cluster.policy;
        let found = match &policy.dynamic {
            Some(dynamic) if !authority.is_empty() => worker.dns.look_up(&dynamic.cache, authority),
            _ => return self.nobody(worker, "empty_host_header".into()),
        };
        let outcome = match found {
            Lookup::Known(answer) => Ok(answer),
            Lookup::Asked(asking) => return Named::Asked(asking),
            Lookup::Refused(refused) => Err(refused),
        };
        match self.host_at(worker, authority, outcome) {
            Ok(host) => Named::Host(host),
            Err(reason) => self.nobody(worker, reason),
        }
    }

    /// As in Envoy, the balancer has found nobody only where it knew so at once.
    fn nobody(&self, worker: &Worker, reason: NoName) -> Named {
        worker.page.inc(self.cluster.policy.stats.upstream_cx_none_healthy);
        Named::Nobody(reason)
    }

    /// The host that a request names, by what is known of its name now.
    ///
    /// # Errors
    /// Why there is none.
    pub(crate) fn host_at(
        &self,
        worker: &Rc<Worker>,
        authority: &Authority<'_>,
        outcome: Result<Rc<Answer>, Refused>,
    ) -> Result<Rc<Host>, NoName> {
        let answer = match outcome {
            Ok(answer) => answer,
            Err(Refused::Hosts) => return Err("dns_cache_overflow".into()),
            Err(Refused::Pending) => return Err("dns_cache_pending_requests_overflow".into()),
        };
        let of = (&self.cluster, &self.leases);
        let host = |address| self.dynamic.host(worker, of, authority, address);
        let failure = || format!("dns_resolution_failure{{{}}}", answer.details).into();
        answer.address.and_then(host).ok_or_else(failure)
    }

    /// A name is not known any more.
    pub(crate) fn forget_name(&self, told: &Told) {
        if self.cluster.policy.host_table().is_some_and(|cache| Arc::ptr_eq(cache, &told.cache)) {
            self.dynamic.forget(told.key.as_bytes());
        }
    }
}
