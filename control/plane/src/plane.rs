//! What runs on the control thread for as long as the process lives.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

use ringway_model::listener::ConnectionLimits;

use crate::admin::{AdminServer, AdminState};

/// The services that need no decision of the composition root.
#[derive(Debug)]
pub struct Plane {
    /// The admin server, if the configuration has one.
    pub admin: Option<AdminServer>,
    /// What it shows.
    pub state: Arc<AdminState>,
    /// The limits on connections that those of the admin server count against.
    pub limits: ConnectionLimits,
    /// `stats_flush_interval`, 5 s: how long an interval of a histogram is. Zero counts as 1 ms.
    pub flush_interval: Duration,
}

/// Runs the services until the future is dropped.
pub async fn run(plane: Plane) {
    let Plane { admin, state, limits, flush_interval } = plane;
    let flush = flush_for_ever(Arc::clone(&state), flush_interval);
    match admin {
        Some(server) => {
            tokio::join!(server.run(state, limits), flush);
        }
        None => flush.await,
    }
}

async fn flush_for_ever(state: Arc<AdminState>, every: Duration) {
    let mut ticks = interval(every.max(Duration::from_millis(1)));
    // A late interval is one longer interval and not several empty ones.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks.tick().await; // the first one comes at once
    loop {
        ticks.tick().await;
        state.flush();
    }
}
