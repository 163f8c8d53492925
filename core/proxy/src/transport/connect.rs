//! The upstream side of a handshake: `UpstreamTlsContext`.

use std::rc::Rc;
use std::time::Instant;

use ringway_model::cluster::Endpoint;
use ringway_model::transport::UpstreamTls;
use ringway_runtime::recycled::Recycled;
use ringway_runtime::stream::Stream;
use ringway_tls::Engine;

use super::handshake::{Failure, Handshaking};
use super::{Transport, count, key_log};
use crate::worker::Worker;

/// The transport to an endpoint, after the handshake if the cluster has one to make. An error is
/// the reason in Envoy's words, empty when the peer just went away. The caller keeps the time.
/// `protocols` are offered by ALPN where the context names none.
pub(crate) async fn connect(
    worker: &Rc<Worker>,
    tls: Option<&UpstreamTls>,
    endpoint: &Endpoint,
    protocols: &[&[u8]],
    stream: Stream,
) -> Result<Transport, String> {
    match tls {
        None => Ok(Transport::Plain(stream)),
        // A handshake takes kilobytes, which its task should not keep.
        Some(tls) => Recycled::new(|| secure(worker, tls, endpoint, protocols, stream)).await,
    }
}

async fn secure(
    worker: &Rc<Worker>,
    tls: &UpstreamTls,
    endpoint: &Endpoint,
    protocols: &[&[u8]],
    stream: Stream,
) -> Result<Transport, String> {
    let local = stream.local_address();
    let outcome = match engine(tls, endpoint, protocols) {
        Ok(engine) => Handshaking::new(stream, engine, Rc::clone(&worker.handshakes)).run().await,
        Err(reason) => Err(Failure::of_ours(reason)),
    };
    let remote = endpoint.address.ip();
    key_log::write(worker, tls.key_log.as_ref(), &outcome, local, remote);
    match outcome {
        Ok(mut established) => {
            count::established(worker, &tls.stats, &tls.scope, &mut established);
            Ok(Transport::Tls(Box::new(established.secured)))
        }
        Err(failure) => {
            count::failed(worker, &tls.stats, &failure);
            Err(failure.reason)
        }
    }
}

fn engine(tls: &UpstreamTls, endpoint: &Endpoint, protocols: &[&[u8]]) -> Result<Engine, String> {
    let hostname = Some(&*endpoint.hostname).filter(|name| tls.auto_host_sni && !name.is_empty());
    // `auto_sni` goes before whatever the context says.
    let sni = endpoint.server_name.as_deref().or(hostname).or(tls.sni.as_deref());
    let made = Engine::client_of(&tls.context, sni, protocols, Instant::now(), None);
    made.map_err(|error| error.to_string())?.map_err(|error| error.to_string())
}
