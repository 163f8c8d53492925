//! Contexts that were built, by the place that they are for and the message that they are of.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Weak};

use ringway_bridge::stats::CounterId;
use ringway_model::transport::{DownstreamTls, UpstreamTls};

use super::super::at::At;
use super::super::proto::google;
use super::super::reads::Reads;
use super::super::stat_names::SocketFactoryStats;
use super::super::value::unpack;
use super::super::{Cause, Cx, stat_names};
use super::{downstream as down, upstream as up};
use crate::error::ConfigError;

/// The contexts of all generations that are still in use. One whose message and files are as they
/// were is taken again: a new one would forget its sessions and draw other ticket keys.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    downstream: Kept<DownstreamTls>,
    upstream: Kept<UpstreamTls>,
}

/// The scope of its statistics and the bytes of its message tell a context from the others.
type Kept<T> = HashMap<(String, Vec<u8>), (Reads, Weak<T>)>;

/// What became of secrets in one compilation.
#[derive(Debug, Default)]
pub struct Updates {
    /// Counters to be raised by one, each as often as it stands here.
    pub counts: Vec<CounterId>,
    /// Why some contexts stay as they were.
    pub rejected: Vec<ConfigError>,
    /// The secrets that are counted already: several contexts may be made of one.
    pub(super) counted: HashSet<String>,
}

impl Contexts {
    /// Drops what no generation holds any more.
    pub(crate) fn forget_unused(&mut self) {
        self.downstream.retain(|_, (_, context)| context.strong_count() > 0);
        self.upstream.retain(|_, (_, context)| context.strong_count() > 0);
    }
}

pub(super) fn downstream(
    cx: &Cx<'_>,
    at: &At<'_>,
    any: &google::Any,
    scope: &str,
) -> Option<Arc<DownstreamTls>> {
    let make = || down::context(cx, at, &unpack(at, any)?, scope);
    let stats = stat_names::listener_secrets(&cx.env.catalog, scope);
    let key = (scope.to_owned(), any.value.clone());
    kept_or(cx, at, |all| &mut all.downstream, key, make, stats)
}

pub(super) fn upstream(
    cx: &Cx<'_>,
    at: &At<'_>,
    any: &google::Any,
    scope: &str,
) -> Option<Arc<UpstreamTls>> {
    let make = || up::context(cx, at, &unpack(at, any)?, scope);
    let stats = stat_names::cluster_secrets(&cx.env.catalog, scope);
    let key = (scope.to_owned(), any.value.clone());
    kept_or(cx, at, |all| &mut all.upstream, key, make, stats)
}

fn kept_or<T>(
    cx: &Cx<'_>,
    at: &At<'_>,
    kind: fn(&mut Contexts) -> &mut Kept<T>,
    key: (String, Vec<u8>),
    make: impl FnOnce() -> Option<T>,
    stats: SocketFactoryStats,
) -> Option<Arc<T>> {
    let known = kind(&mut cx.tls.borrow_mut()).get(&key).cloned();
    let known = known.and_then(|(reads, context)| Some((reads, context.upgrade()?)));
    if let Some((reads, context)) = &known
        && reads.are_unchanged(&cx.secrets)
    {
        cx.reads.borrow_mut().extend(reads);
        return Some(Arc::clone(context));
    }
    let mark = at.mark();
    let (made, reads) = cx.reading(make);
    match (made, known) {
        (Some(made), known) => {
            if known.is_some() {
                cx.updates.borrow_mut().counts.push(stats.ssl_context_update_by_sds);
            }
            let made = Arc::new(made);
            kind(&mut cx.tls.borrow_mut()).insert(key, (reads, Arc::downgrade(&made)));
            Some(made)
        }
        // What was read just now is remembered, so that the same files are not tried again.
        (None, Some((_, context))) if cx.cause == Cause::Secrets => {
            let mut updates = cx.updates.borrow_mut();
            updates.counts.push(stats.ssl_context_update_rejected);
            updates.rejected.extend(at.take_back(mark));
            kind(&mut cx.tls.borrow_mut()).insert(key, (reads, Arc::downgrade(&context)));
            Some(context)
        }
        _ => None,
    }
}
