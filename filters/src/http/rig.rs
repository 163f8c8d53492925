//! A stream for the tests of filters.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ringway_model::address::Address;
use ringway_model::dns::{Authority, DynamicHosts, Lookup, NameCache, Names};
use ringway_model::filter::{RouteConfig, StreamCx};
use ringway_model::named_stats::{Catalog, NamedStats, StatName, Total};
use ringway_model::stream::{ConnectionInfo, StreamInfo};

/// What a filter is given beside the message: a stream to the cluster `c`.
pub(super) struct Rig {
    connection: ConnectionInfo,
    pub(super) info: StreamInfo,
    catalog: Arc<Catalog>,
    stats: NamedStats,
    cluster: StatName,
    pub(super) dynamic: Option<DynamicHosts>,
    pub(super) names: FakeNames,
    pub(super) route_config: Option<RouteConfig>,
}

/// Names whose answers a test says.
#[derive(Debug, Default)]
pub(super) struct FakeNames {
    pub(super) answers: RefCell<VecDeque<Lookup>>,
    pub(super) refused: Cell<u32>,
}

impl Names for FakeNames {
    fn look_up(&self, _: &Arc<NameCache>, _: &Authority<'_>) -> Lookup {
        self.answers.borrow_mut().pop_front().expect("an answer")
    }

    fn refuse(&self, _: &NameCache) {
        self.refused.set(self.refused.get() + 1);
    }
}

impl Rig {
    pub(super) fn new() -> Self {
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let catalog = Arc::new(Catalog::default());
        Self {
            connection: ConnectionInfo {
                id: 7,
                local: address.clone(),
                direct_remote: address,
                listener: "l".into(),
                tls: None,
                preamble: None,
                notes: None,
                chain: None,
                socket_local: None,
                transport_failure: None,
                start: Instant::now(),
            },
            info: StreamInfo::new(Instant::now(), SystemTime::now()),
            stats: NamedStats::new(catalog.new_page(), Arc::clone(&catalog)),
            catalog,
            cluster: StatName::new("", "", "cluster.c", &[]),
            dynamic: None,
            names: FakeNames::default(),
            route_config: None,
        }
    }

    pub(super) fn cx(&mut self) -> StreamCx<'_> {
        StreamCx {
            connection: &self.connection,
            info: &mut self.info,
            stats: &self.stats,
            cluster: Some(&self.cluster),
            dynamic: self.dynamic.as_ref(),
            names: &self.names,
            route_config: self.route_config.as_ref(),
        }
    }

    /// The value of a counter of the cluster; 0 when nobody has named it.
    pub(super) fn counter(&self, leaf: &str) -> u64 {
        match self.catalog.total(&format!("cluster.c.{leaf}")) {
            Some(Total::Counter(value)) => value,
            Some(other) => panic!("{other:?}"),
            None => 0,
        }
    }
}
