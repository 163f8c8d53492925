//! `server.*`: the statistics about the process itself.

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ringway_bridge::stat_group;
use ringway_bridge::stats::{Catalog, Page};
use ringway_model::snapshot::Snapshot;

use crate::admin::ServerState;
use crate::breaker_stats::Breakers;
use crate::certificates;
use crate::process::Memory;
use crate::telemetry::{Reading, Scalar};

stat_group! {
    /// `server.*`, written by the control thread.
    pub struct ServerStatIds {
        counters {}
        gauges {
            live, state, uptime, concurrency, version, hot_restart_epoch, memory_allocated,
            memory_heap_size, memory_physical_size, total_connections, parent_connections,
            days_until_first_cert_expiring, seconds_until_first_ocsp_response_expiring,
        }
        histograms { initialization_time_ms }
    }
}

stat_group! {
    /// `server.compilation_settings.*`
    pub struct CompilationStats {
        counters {}
        gauges { fips_mode }
        histograms {}
    }
}

/// The name without tags under which each listener counts its open connections.
const LISTENER_CONNECTIONS: &str = "listener.downstream_cx_active";
/// Envoy's value while no certificate is loaded.
const NO_CERTIFICATE_DAYS: u64 = u32::MAX as u64;

/// Writes `server.*`.
#[derive(Debug)]
pub struct ServerStats {
    ids: ServerStatIds,
    page: Arc<Page>,
    started: Instant,
    breakers: Breakers,
}

impl ServerStats {
    /// Registers the group. `page` belongs to the control thread; `version` is the number that
    /// `server.version` shows (Envoy: the first three bytes of the commit).
    pub fn new(
        catalog: &Catalog,
        page: Arc<Page>,
        started: Instant,
        concurrency: usize,
        version: u32,
    ) -> Self {
        let ids = ServerStatIds::register(catalog, "server", "server", &[]);
        let build = "server.compilation_settings";
        let build = CompilationStats::register(catalog, build, build, &[]);
        // The cryptography is not the validated module.
        page.set(build.fips_mode, 0);
        page.set(ids.concurrency, concurrency as u64);
        page.set(ids.version, u64::from(version));
        // There is no hot restart: this process is the first and has no parent.
        page.set(ids.hot_restart_epoch, 0);
        page.set(ids.parent_connections, 0);
        page.set(ids.days_until_first_cert_expiring, NO_CERTIFICATE_DAYS);
        Self { ids, page, started, breakers: Breakers::default() }
    }

    /// Start-up is over.
    pub fn initialized(&self) {
        let elapsed = self.started.elapsed().as_millis() as u64;
        self.page.record(self.ids.initialization_time_ms, elapsed);
    }

    /// `total_connections` is the sum of what the listeners count: found in a reading, and
    /// corrected there as well.
    pub(crate) fn count_connections(&self, reading: &mut Reading) {
        let active = |scalar: &&Scalar| scalar.name.base == LISTENER_CONNECTIONS;
        let total = reading.scalars.iter().filter(active).map(|scalar| scalar.value).sum();
        self.page.set(self.ids.total_connections, total);
        let shown = reading.scalars.iter_mut().find(|s| s.name.full == "server.total_connections");
        if let Some(shown) = shown {
            shown.value = total;
            shown.used |= total > 0;
        }
    }

    /// Brings the gauges up to date, all but `total_connections`; those of the circuit breakers
    /// too.
    pub(crate) fn refresh(&mut self, state: ServerState, catalog: &Catalog, snapshot: &Snapshot) {
        self.breakers.refresh(catalog, &self.page, snapshot);
        let (page, ids) = (&self.page, &self.ids);
        let first = certificates::refresh(page, snapshot, SystemTime::now());
        let days = first.certificate_days.unwrap_or(NO_CERTIFICATE_DAYS);
        page.set(ids.days_until_first_cert_expiring, days);
        let seconds = first.ocsp_response_s.unwrap_or(0);
        page.set(ids.seconds_until_first_ocsp_response_expiring, seconds);
        page.set(ids.live, u64::from(state == ServerState::Live));
        page.set(ids.state, state as u64);
        page.set(ids.uptime, self.started.elapsed().as_secs());
        let memory = Memory::read();
        page.set(ids.memory_allocated, memory.allocated);
        page.set(ids.memory_heap_size, memory.heap);
        page.set(ids.memory_physical_size, memory.physical);
    }
}

#[cfg(test)]
mod tests {
    use ringway_bridge::stats::{StatName, Total};

    use super::*;
    use crate::telemetry::Telemetry;

    #[test]
    fn the_process_is_described() {
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        let mut stats = ServerStats::new(&catalog, page, Instant::now(), 3, 0x010203);
        stats.refresh(ServerState::Initializing, &catalog, &Snapshot::default());
        let gauge = |leaf: &str| catalog.total(&format!("server.{leaf}"));
        assert_eq!(gauge("concurrency"), Some(Total::Gauge(3)));
        assert_eq!(gauge("version"), Some(Total::Gauge(0x010203)));
        assert_eq!(gauge("state"), Some(Total::Gauge(3)));
        assert_eq!(gauge("live"), Some(Total::Gauge(0)));
        assert!(matches!(gauge("memory_physical_size"), Some(Total::Gauge(1_000_000..))));
        stats.refresh(ServerState::Live, &catalog, &Snapshot::default());
        assert_eq!(gauge("live"), Some(Total::Gauge(1)));
    }

    #[test]
    fn connections_of_all_listeners_are_added_up() {
        let catalog = Arc::new(Catalog::default());
        let page = catalog.new_page();
        for listener in ["a", "b"] {
            let prefix = format!("listener.{listener}");
            let name = StatName::new(&prefix, "listener", "downstream_cx_active", &[]);
            page.raise(catalog.gauge(name), 2);
        }
        let stats = ServerStats::new(&catalog, catalog.new_page(), Instant::now(), 1, 0);
        let mut reading = Telemetry::new(Arc::clone(&catalog)).read();
        stats.count_connections(&mut reading);
        let shown = reading.scalars.iter().find(|s| s.name.full == "server.total_connections");
        assert_eq!(shown.map(|scalar| scalar.value), Some(4));
        assert_eq!(catalog.total("server.total_connections"), Some(Total::Gauge(4)));
    }
}
