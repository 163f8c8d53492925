//! The hosts of a cluster that requests name (Envoy `dynamic_forward_proxy`).

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use ringway_model::cluster::{Cluster, Endpoint};
use ringway_model::dns::{Answer, Asking, Authority, DynamicHosts, Lookup, Names, Refused, Told};

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

/// What becomes of a request that names its host.
pub(crate) enum Named {
    Host(Rc<Host>),
    /// Its address is asked for.
    Asked(Asking),
    Nobody(NoName),
}

/// The hosts that were used, by name. Those that the cache of names has dropped go, too.
#[derive(Debug, Default)]
pub(super) struct Dynamic {
    hosts: RefCell<HashMap<Box<[u8]>, Rc<Host>>>,
    counted: RefCell<HashSet<SocketAddr>>,
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
        let endpoint = endpoint(cluster.policy.dynamic.as_ref()?, authority, address)?;
        let counted_as = match self.is_counted(address) {
            true => Arc::clone(&endpoint.address_text),
            false => Arc::from(OTHERS),
        };
        let key = Box::from(endpoint.hostname.as_bytes());
        let host = Host::counted_as(worker, Arc::new(endpoint), cluster, leases, &counted_as);
        if let Some(before) = self.hosts.borrow_mut().insert(key, Rc::clone(&host)) {
            before.retire();
        }
        Some(host)
    }

    fn is_counted(&self, address: SocketAddr) -> bool {
        let mut counted = self.counted.borrow_mut();
        counted.contains(&address) || counted.len() < COUNTED_MAX && counted.insert(address)
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

    pub(super) fn retire(&self) {
        for host in self.hosts.take().into_values() {
            host.retire();
        }
    }
}

fn endpoint(
    dynamic: &DynamicHosts,
    authority: &Authority<'_>,
    address: SocketAddr,
) -> Option<Endpoint> {
    let name = authority.to_name()?;
    let server_name = name.server_name().filter(|_| dynamic.auto_sni).map(Arc::from);
    Some(Endpoint { server_name, ..Endpoint::named(name.key, address) })
}

impl Upstream {
    /// The port of a request that names none, if requests name the hosts of this cluster.
    pub(crate) fn default_port(&self) -> Option<u16> {
        self.cluster.policy.dynamic.as_ref().map(|dynamic| dynamic.default_port)
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
        let cache = self.cluster.policy.dynamic.as_ref().map(|dynamic| &dynamic.cache);
        if cache.is_some_and(|cache| Arc::ptr_eq(cache, &told.cache)) {
            self.dynamic.forget(told.key.as_bytes());
        }
    }
}
