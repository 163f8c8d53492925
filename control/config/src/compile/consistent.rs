//! `RING_HASH` and `MAGLEV`, from the older fields of a cluster and from the typed policies.

use ringway_lb::{Consistent, HashFunction, Maglev, Policy, RingHash, Table};
use ringway_model::stats::HashStats;

use super::Cx;
use super::at::At;
use super::proto::{balancing, cluster, google};
use super::stat_names;
use balancing::common::v3::ConsistentHashingLbConfig;
use balancing::maglev::v3 as maglev;
use balancing::ring_hash::v3 as ring_hash;

const RING_MIN: u64 = 1024;
const RING_MAX: u64 = 8 << 20;
const TABLE_SIZE: u64 = 65537;

/// `lb_policy: RING_HASH` with `ring_hash_lb_config`.
pub(super) fn older_ring(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Policy> {
    use cluster::cluster::LbConfig;
    use cluster::cluster::ring_hash_lb_config::HashFunction as Function;
    let config = match &cluster.lb_config {
        Some(LbConfig::RingHashLbConfig(config)) => *config,
        _ => Default::default(),
    };
    let function = match config.hash_function() {
        Function::XxHash => HashFunction::XxHash,
        Function::MurmurHash2 => HashFunction::MurmurHash2,
    };
    let sizes = (config.minimum_ring_size, config.maximum_ring_size);
    let ring = ring(&at.field("ring_hash_lb_config"), sizes, function)?;
    Some(older(cluster, Table::RingHash(ring)))
}

/// `lb_policy: MAGLEV` with `maglev_lb_config`.
pub(super) fn older_maglev(at: &At<'_>, cluster: &cluster::Cluster) -> Option<Policy> {
    use cluster::cluster::LbConfig;
    let size = match &cluster.lb_config {
        Some(LbConfig::MaglevLbConfig(config)) => config.table_size,
        _ => None,
    };
    let table_size = table_size(&at.field("maglev_lb_config").field("table_size"), size)?;
    Some(older(cluster, Table::Maglev(Maglev { table_size })))
}

fn older(cluster: &cluster::Cluster, table: Table) -> Policy {
    let common = cluster.common_lb_config.as_ref();
    let config = common.and_then(|common| common.consistent_hashing_lb_config.as_ref());
    Policy::Consistent(Consistent {
        table,
        balance_factor: factor(config.and_then(|config| config.hash_balance_factor)),
        by_hostname: config.is_some_and(|config| config.use_hostname_for_hashing),
    })
}

/// The typed policy of ring hashing.
pub(super) fn typed_ring(at: &At<'_>, config: &ring_hash::RingHash) -> Option<Policy> {
    use ring_hash::ring_hash::HashFunction as Function;
    let function = match config.hash_function() {
        Function::MurmurHash2 => HashFunction::MurmurHash2,
        Function::XxHash | Function::DefaultHash => HashFunction::XxHash,
    };
    let ring = ring(at, (config.minimum_ring_size, config.maximum_ring_size), function)?;
    let newer = config.consistent_hashing_lb_config.as_ref();
    let older = config.hash_balance_factor;
    Some(typed(Table::RingHash(ring), newer, config.use_hostname_for_hashing, older))
}

/// The typed policy of Maglev.
pub(super) fn typed_maglev(at: &At<'_>, config: &maglev::Maglev) -> Option<Policy> {
    let table_size = table_size(&at.field("table_size"), config.table_size)?;
    let newer = config.consistent_hashing_lb_config.as_ref();
    Some(typed(Table::Maglev(Maglev { table_size }), newer, false, None))
}

/// `consistent_hashing_lb_config` takes the place of the fields that were there before it.
fn typed(
    table: Table,
    newer: Option<&ConsistentHashingLbConfig>,
    by_hostname: bool,
    balance_factor: Option<google::UInt32Value>,
) -> Policy {
    Policy::Consistent(Consistent {
        table,
        balance_factor: factor(match newer {
            Some(newer) => newer.hash_balance_factor,
            None => balance_factor,
        }),
        by_hostname: newer.map_or(by_hostname, |newer| newer.use_hostname_for_hashing),
    })
}

fn factor(value: Option<google::UInt32Value>) -> u32 {
    value.map_or(0, |wrapper| wrapper.value)
}

fn ring(
    at: &At<'_>,
    (min, max): (Option<google::UInt64Value>, Option<google::UInt64Value>),
    function: HashFunction,
) -> Option<RingHash> {
    let min_size = min.map_or(RING_MIN, |wrapper| wrapper.value);
    let max_size = max.map_or(RING_MAX, |wrapper| wrapper.value);
    if min_size > max_size {
        at.invalid(format_args!(
            "ring hash: minimum_ring_size ({min_size}) > maximum_ring_size ({max_size})"
        ));
        return None;
    }
    Some(RingHash { min_size, max_size, function })
}

/// The permutations of hosts come to each place of the table only if its size is a prime.
fn table_size(at: &At<'_>, size: Option<google::UInt64Value>) -> Option<u64> {
    let size = size.map_or(TABLE_SIZE, |wrapper| wrapper.value);
    if !is_prime(size) {
        at.invalid("The table size of maglev must be prime number");
        return None;
    }
    Some(size)
}

/// The API's own rules keep the number below five millions and some.
fn is_prime(number: u64) -> bool {
    let divisors = (2..).take_while(|divisor| divisor * divisor <= number);
    number > 1 && divisors.into_iter().all(|divisor| !number.is_multiple_of(divisor))
}

/// Where the figures of the tables are told.
pub(super) fn stats(cx: &Cx<'_>, policy: &Policy, scope: &str) -> Option<HashStats> {
    Some(match policy.consistent()?.table {
        Table::RingHash(_) => HashStats::Ring(stat_names::ring_hash(&cx.env.catalog, scope)),
        Table::Maglev(_) => HashStats::Maglev(stat_names::maglev(&cx.env.catalog, scope)),
    })
}
