//! The network filters in front of the one that takes the bytes: whether it gets the connection.

use std::rc::Rc;
use std::time::Instant;

use ringway_bridge::limit::Permit;
use ringway_bridge::stats::GaugeId;
use ringway_model::dns::{Authority, Lookup, Names};
use ringway_model::listener::FilterChain;
use ringway_model::network::{NetworkFilter, SniDynamicForwardProxy};
use ringway_model::stream::{ConnectionInfo, ResponseFlags};

use crate::worker::Worker;

/// How Envoy flags a connection that a filter refuses.
const REFUSED: ResponseFlags = ResponseFlags::UPSTREAM_RETRY_LIMIT_EXCEEDED;

/// What the filters of a connection hold until it ends.
#[derive(Default)]
pub(super) struct Passed {
    /// The server name of the ClientHello is the cluster.
    pub(super) sni_cluster: bool,
    /// The port of the host that the server name is.
    pub(super) sni_port: Option<u16>,
    pub(super) permits: Vec<Counted>,
}

/// A connection within a limit, counted until dropped.
#[derive(Debug)]
pub(super) struct Counted {
    worker: Rc<Worker>,
    active: GaugeId,
    _permit: Permit,
}

/// Lets each filter say whether the connection may go on.
///
/// # Errors
/// The flags of a connection that may not.
pub(super) async fn pass(
    worker: &Rc<Worker>,
    chain: &FilterChain,
    info: &ConnectionInfo,
) -> Result<Passed, ResponseFlags> {
    let mut passed = Passed::default();
    for filter in &chain.filters {
        match filter {
            NetworkFilter::SniCluster => passed.sni_cluster = true,
            NetworkFilter::SniDynamicForwardProxy(filter) => {
                let name = info.preamble.as_deref().map_or("", |preamble| &preamble.server_name);
                if !name.is_empty() {
                    find_name(worker, filter, name).await?;
                    passed.sni_port = Some(filter.port);
                }
            }
            // It looks when bytes arrive (`transport::guard`).
            NetworkFilter::Rbac(_) => {}
            NetworkFilter::LocalRateLimit(filter) => {
                if !filter.bucket.take(Instant::now()) {
                    worker.page.inc(filter.stats.rate_limited);
                    return Err(REFUSED);
                }
            }
            NetworkFilter::ConnectionLimit(filter) => {
                let Some(permit) = filter.limit.permit() else {
                    worker.page.inc(filter.stats.limited_connections);
                    if let Some(delay) = filter.delay {
                        ringway_runtime::sleep(delay).await;
                    }
                    return Err(REFUSED);
                };
                let (worker, active) = (Rc::clone(worker), filter.stats.active_connections);
                worker.page.raise(active, 1);
                passed.permits.push(Counted { worker, active, _permit: permit });
            }
        }
    }
    Ok(passed)
}

/// Waits until it is known what becomes of a name. One without an address goes on, to a cluster
/// that has no host for it.
async fn find_name(
    worker: &Worker,
    filter: &SniDynamicForwardProxy,
    name: &str,
) -> Result<(), ResponseFlags> {
    // As in Envoy, nobody passes while too many wait, not even those who need not wait.
    if filter.cache.is_crowded() {
        worker.dns.refuse(&filter.cache);
        return Err(ResponseFlags::default());
    }
    let authority = Authority::of_name(name.as_bytes(), filter.port);
    let refused = |_| ResponseFlags::default();
    match worker.dns.look_up(&filter.cache, &authority) {
        Lookup::Known(_) => Ok(()),
        Lookup::Asked(asking) => asking.await.map(drop).map_err(refused),
        Lookup::Refused(why) => Err(refused(why)),
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.worker.page.lower(self.active, 1);
    }
}
