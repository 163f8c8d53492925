//! The life of one slot: opens a connection, uses it until it is over, opens the next one.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::time::{Duration, Instant};

use super::dial::{self, Farewell};
use super::exchange::{Exchange, Lost};
use super::{Core, NEVER, Slot};
use crate::link::Link;
use crate::record::Failure;
use crate::units::nanoseconds;

/// After a connection that could not be opened: short, so that a server that is gone ends a run of
/// a fixed count soon, and long enough not to spend the core on refusals.
const PAUSE: Duration = Duration::from_millis(10);

/// Keeps one slot busy until the run is over.
pub(super) async fn run(core: Rc<Core>, slot: Rc<Slot>) {
    let mut link = open_first(&core, &slot).await;
    let mut exchange = Exchange::new(Rc::clone(&core), Rc::clone(&slot));
    loop {
        let Some(open) = link.take() else {
            if !exchange.wait_for_request().await {
                return;
            }
            match dial(&core, &slot).await {
                Ok(opened) => link = Some(opened),
                Err((failure, text)) => {
                    exchange.fail_all(failure, &text);
                    ringway_runtime::sleep(PAUSE).await;
                }
            }
            continue;
        };
        if let Err((failure, text)) = exchange.converse(open).await {
            exchange.fail_all(failure, &text);
            if failure == Failure::Refused {
                // Datagrams hear of it only then; nothing refused to open their socket.
                ringway_runtime::sleep(PAUSE).await;
            }
        }
    }
}

/// The connection that is there before the run begins.
async fn open_first(core: &Rc<Core>, slot: &Rc<Slot>) -> Option<Link> {
    // Where each request has a connection of its own, opening it is part of each request.
    if core.plan.requests_per_connection == Some(1) {
        core.tried.set(core.tried.get() + 1);
        core.opened.set(core.opened.get() + 1);
        return None;
    }
    let opened = dial(core, slot).await;
    core.tried.set(core.tried.get() + 1);
    match opened {
        Ok(link) => {
            core.opened.set(core.opened.get() + 1);
            Some(link)
        }
        Err((failure, text)) => {
            core.record.borrow_mut().failures.add(failure, || text);
            None
        }
    }
}

async fn dial(core: &Rc<Core>, slot: &Slot) -> Result<Link, Lost> {
    let begun = Instant::now();
    slot.set_deadline(core.now().saturating_add(nanoseconds(core.plan.connect_timeout)));
    let mut opening = pin!(dial::open(core, slot.lane, slot.number, Farewell::Orderly));
    let result = poll_fn(|cx| {
        slot.wake_me(cx);
        if slot.has_expired() {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::TimedOut).into()));
        }
        opening.as_mut().poll(cx)
    })
    .await;
    slot.set_deadline(NEVER);
    let link = result.map_err(dial::NotOpen::into_lost)?;
    core.record.borrow_mut().connect.saturating_record(nanoseconds(begun.elapsed()));
    Ok(link)
}
