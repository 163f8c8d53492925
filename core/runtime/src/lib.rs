//! The only place that knows how a worker's IO is driven.
//!
//! What a worker needs from the operating system, and nothing else: a pinned thread with a ring
//! ([`worker`]), streams with one armed receive and one batched send ([`stream`]), listeners
//! ([`listener`]), connecting ([`connect`]), UDP ([`datagram`]), pooled buffers ([`buffer`]),
//! futures in memory that is used again ([`recycled`]) and deadlines that cost no system call
//! ([`deadline`]). Three drivers are behind them: a ring of our own (`ring`) and epoll (`epoll`),
//! whose tasks run on one loop (`event_loop`), and monoio (`adapter`), which is their referee.
//!
//! It does not know what the bytes mean.

mod adapter;
mod backlog;
pub mod buffer;
pub mod connect;
pub mod datagram;
pub mod deadline;
mod epoll;
mod event_loop;
mod executor;
mod flow;
pub mod inherited;
mod iovec;
pub mod listener;
pub mod memory;
mod outgoing;
pub mod recycled;
mod ring;
pub mod stream;
pub mod worker;

use std::future::Future;
use std::task::Waker;
use std::time::{Duration, Instant};

/// Runs a future on this worker beside all others.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    if let Err(future) = event_loop::spawn(future) {
        drop(monoio::spawn(future));
    }
}

/// Lets IO that is ready go first, in a task that was just spawned. On our own loop it does: what
/// is spawned runs in the next turn. monoio goes on with what tasks wake, and looks at IO only now
/// and then, unless there is nothing to run.
pub async fn behind_io() {
    /// The grain of monoio's timers.
    const TICK: Duration = Duration::from_millis(1);
    if !event_loop::is_installed() {
        monoio::time::sleep(TICK).await;
    }
}

/// Runs the task of `waker` at once, within the task that calls: what it needs is in the cache now,
/// and what it leaves can go out with what the caller sends. Where the driver cannot, and for a
/// task that is running already, it is woken instead. The caller may hold nothing that the task
/// borrows.
pub fn run_now(waker: &Waker) {
    if !event_loop::run_now(waker) {
        waker.wake_by_ref();
    }
}

/// The time of this turn of the worker's loop: as good as the clock for what is counted in
/// milliseconds, and without reading it again for each of the requests that take the same turn.
/// With monoio it is the clock.
pub fn now() -> Instant {
    event_loop::now().unwrap_or_else(Instant::now)
}

/// Waits without blocking the worker. For rare waits; connections use [`deadline`].
pub async fn sleep(duration: Duration) {
    let mut deadline = deadline::Deadline::new();
    deadline.set(Some(Instant::now() + duration));
    std::future::poll_fn(|cx| deadline.poll(cx)).await;
}
