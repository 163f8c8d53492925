//! `key_log`: the secrets of a connection, for whoever looks into captured traffic.

use std::net::SocketAddr;

use ringway_model::transport::KeyLog;

use super::handshake::{Established, Failure};
use crate::worker::Worker;

/// Hands the secrets of a handshake, however it ended, to the writer of logs if they are wanted.
pub(super) fn write(
    worker: &Worker,
    log: Option<&KeyLog>,
    outcome: &Result<Established, Failure>,
    local: Option<SocketAddr>,
    remote: Option<SocketAddr>,
) {
    let Some(log) = log else { return };
    let ip = |address: Option<SocketAddr>| address.map(|address| address.ip());
    let secrets = match outcome {
        Ok(established) => &established.secrets,
        Err(failure) => &failure.secrets,
    };
    if !secrets.is_empty() && log.wants(ip(local), ip(remote)) {
        worker.log.write_lines(log.sink, secrets);
    }
}
