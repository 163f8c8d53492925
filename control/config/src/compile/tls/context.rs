//! Contexts that were built, by the place that they are for and the message that they are of.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use ringway_model::transport::{DownstreamTls, UpstreamTls};

use super::super::Cx;
use super::super::at::At;
use super::super::proto::google;
use super::super::reads::Reads;
use super::super::value::unpack;
use super::{downstream as down, upstream as up};

/// The contexts of all generations that are still in use. One whose message and files are as they
/// were is taken again: a new one would forget its sessions and draw other ticket keys.
#[derive(Debug, Default)]
pub(crate) struct Contexts {
    downstream: Kept<DownstreamTls>,
    upstream: Kept<UpstreamTls>,
}

/// The scope of its statistics and the bytes of its message tell a context from the others.
type Kept<T> = HashMap<(String, Vec<u8>), (Reads, Weak<T>)>;

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
    kept_or(cx, |all| &mut all.downstream, (scope.to_owned(), any.value.clone()), make)
}

pub(super) fn upstream(
    cx: &Cx<'_>,
    at: &At<'_>,
    any: &google::Any,
    scope: &str,
) -> Option<Arc<UpstreamTls>> {
    let make = || up::context(cx, at, &unpack(at, any)?, scope);
    kept_or(cx, |all| &mut all.upstream, (scope.to_owned(), any.value.clone()), make)
}

fn kept_or<T>(
    cx: &Cx<'_>,
    kind: fn(&mut Contexts) -> &mut Kept<T>,
    key: (String, Vec<u8>),
    make: impl FnOnce() -> Option<T>,
) -> Option<Arc<T>> {
    let mut all = cx.tls.borrow_mut();
    if let Some((reads, context)) = kind(&mut all).get(&key)
        && let Some(context) = context.upgrade()
        && reads.are_unchanged()
    {
        cx.reads.borrow_mut().extend(reads);
        return Some(context);
    }
    drop(all);
    let (made, reads) = cx.reading(make);
    let made = Arc::new(made?);
    kind(&mut cx.tls.borrow_mut()).insert(key, (reads, Arc::downgrade(&made)));
    Some(made)
}
