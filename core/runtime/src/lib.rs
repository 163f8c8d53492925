//! The only place that knows monoio.
//!
//! What a worker needs from the operating system, and nothing else: a pinned thread with a ring
//! ([`worker`]), streams with one armed receive and one batched send ([`stream`]), listeners
//! ([`listener`]), connecting ([`connect`]), pooled buffers ([`buffer`]) and deadlines that cost
//! no system call ([`deadline`]). A driver of another make can take monoio's place without a
//! change anywhere else.
//!
//! It does not know what the bytes mean.

pub mod buffer;
pub mod connect;
pub mod deadline;
mod iovec;
pub mod listener;
pub mod stream;
pub mod worker;

use std::future::Future;
use std::time::Duration;

/// Runs a future on this worker beside all others.
pub fn spawn(future: impl Future<Output = ()> + 'static) {
    drop(monoio::spawn(future));
}

/// Waits without blocking the worker. For rare waits; connections use [`deadline`].
pub async fn sleep(duration: Duration) {
    monoio::time::sleep(duration).await;
}
