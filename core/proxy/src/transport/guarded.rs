//! A connection whose bytes pass network filters first: `rbac`.
//!
//! Owns: when policies are asked, and what becomes of a connection that they deny. Does not own
//! the policies (`ringway_model::rbac`). Who reads sees a connection that failed.

use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Instant;

use ringway_bridge::stats::CounterId;
use ringway_model::listener::{FilterChain, Terminal};
use ringway_model::network::{NetworkFilter, Rbac};
use ringway_model::rbac::{Evidence, Judge, Verdict};
use ringway_model::stream::ConnectionInfo;
use ringway_runtime::buffer::Buf;
use ringway_runtime::deadline::Deadline;

use super::Transport;
use crate::worker::Worker;

/// The namespace of the metadata that the filter writes.
const NAMESPACE: &str = "envoy.filters.network.rbac";

/// A connection whose chain has a filter that looks when bytes arrive.
#[derive(Debug)]
pub(crate) struct Guarded {
    pub(super) inner: Transport,
    worker: Rc<Worker>,
    chain: Arc<FilterChain>,
    connection: ConnectionInfo,
    /// What is left to do with what comes next.
    state: State,
}

#[derive(Debug)]
enum State {
    /// Nothing has come yet.
    Fresh,
    /// Once was enough.
    Settled,
    /// Each piece is looked at.
    Continuous,
    /// Denied, and held until then.
    Held(Deadline),
    Denied,
}

/// `transport` behind the filters of the chain that look at bytes, if there are any.
pub(crate) fn guard(
    worker: &Rc<Worker>,
    chain: &Arc<FilterChain>,
    transport: Transport,
    connection: &mut ConnectionInfo,
) -> Transport {
    if rbac_filters(chain).next().is_none() {
        return transport;
    }
    connection.notes = Some(Rc::default());
    Transport::Guarded(Box::new(Guarded {
        inner: transport,
        worker: Rc::clone(worker),
        chain: Arc::clone(chain),
        connection: connection.clone(),
        state: State::Fresh,
    }))
}

fn rbac_filters(chain: &FilterChain) -> impl Iterator<Item = &Rbac> {
    chain.filters.iter().filter_map(|filter| match filter {
        NetworkFilter::Rbac(rbac) => Some(rbac),
        _ => None,
    })
}

impl Guarded {
    /// As [`Transport::poll_receive`]; what the filters deny is a connection that fails.
    pub(super) fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Buf>> {
        loop {
            match &mut self.state {
                State::Settled => return self.inner.poll_receive(cx),
                State::Denied => return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into())),
                State::Held(deadline) => {
                    ready!(deadline.poll(cx));
                    self.state = State::Denied;
                }
                State::Fresh | State::Continuous => {
                    let bytes = ready!(self.inner.poll_receive(cx))?;
                    if bytes.is_empty() && !self.sees_end() {
                        return Poll::Ready(Ok(bytes));
                    }
                    if self.judge(bytes.len()) {
                        return Poll::Ready(Ok(bytes));
                    }
                }
            }
        }
    }

    /// HTTP/1 takes a client that ends its side for gone, so that no filter sees the end.
    fn sees_end(&self) -> bool {
        !matches!(self.chain.terminal, Terminal::Http(_))
    }

    /// Asks each filter; what comes behind one that denies is not asked.
    fn judge(&mut self, arrived: usize) -> bool {
        let chain = Arc::clone(&self.chain);
        let is_first = matches!(self.state, State::Fresh);
        let mut again = false;
        for rbac in rbac_filters(&chain) {
            again |= rbac.continuous;
            if (is_first || rbac.continuous) && !self.passes(rbac) {
                self.deny(rbac, arrived);
                return false;
            }
        }
        self.state = if again { State::Continuous } else { State::Settled };
        true
    }

    fn passes(&self, rbac: &Rbac) -> bool {
        let (stats, shadow) = (&rbac.stats, &rbac.shadow_stats);
        if let Some(rules) = &rbac.shadow_rules {
            let verdict = self.ask(rules, shadow.shadow_allowed, shadow.shadow_denied);
            self.note_shadow(rbac, verdict);
        }
        let Some(rules) = &rbac.rules else { return true };
        let verdict = self.ask(rules, stats.allowed, stats.denied);
        if !verdict.allowed
            && let Some(notes) = &self.connection.notes
        {
            let policy = verdict.policy.unwrap_or("none").replace(char::is_whitespace, "_");
            let reason = format!("rbac_access_denied_matched_policy[{policy}]");
            // A connection is denied once.
            let _ = notes.termination.set(reason.into());
        }
        verdict.allowed
    }

    fn ask<'r>(&self, rules: &'r Judge, allowed: CounterId, denied: CounterId) -> Verdict<'r> {
        let connection = &self.connection;
        let verdict = rules.judge(&Evidence { connection, remote: connection.remote().ip() });
        self.worker.page.inc(if verdict.allowed { allowed } else { denied });
        verdict
    }

    /// Envoy's `shadow_effective_policy_id` and `shadow_engine_result`.
    fn note_shadow(&self, rbac: &Rbac, verdict: Verdict<'_>) {
        let Some(notes) = &self.connection.notes else { return };
        let (policy, result) = &rbac.shadow_keys;
        if let Some(name) = verdict.policy {
            notes.set_metadata(NAMESPACE, policy, name);
        }
        let text = if verdict.allowed { "allowed" } else { "denied" };
        notes.set_metadata(NAMESPACE, result, text);
    }

    fn deny(&mut self, rbac: &Rbac, arrived: usize) {
        if let Some(notes) = &self.connection.notes {
            notes.refused_bytes.set(notes.refused_bytes.get() + arrived as u64);
        }
        self.state = match rbac.delay_deny {
            Some(delay) => {
                let mut deadline = Deadline::new();
                deadline.set(Some(Instant::now() + delay));
                State::Held(deadline)
            }
            None => State::Denied,
        };
    }
}
