//! The names under which the numbers of single endpoints stand in the catalog.
//!
//! They are shown by `/clusters` and hidden from `/stats`, as in Envoy. Whoever registers them
//! uses [`prefix`] with the leaves of Envoy's host statistics: counters `cx_connect_fail`,
//! `cx_total`, `rq_error`, `rq_success`, `rq_timeout`, `rq_total`; gauges `cx_active`,
//! `rq_active`, `rq_pending_active`.

use crate::telemetry::HIDDEN_PREFIX;

/// The prefix of an endpoint's statistics; `address` as in `Cluster::counted_as`.
pub fn prefix(cluster: &str, address: &str) -> String {
    format!("{HIDDEN_PREFIX}endpoint.{cluster}|{address}")
}

/// The full name of one of them.
pub(crate) fn full_name(cluster: &str, address: &str, leaf: &str) -> String {
    format!("{}.{leaf}", prefix(cluster, address))
}
