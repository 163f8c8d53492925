//! Tunnels of the TCP proxy through HTTP (Envoy `TunnelingConfig`).

use ringway_model::tcp::Tunneling;

use super::at::At;
use super::proto::tcp_proxy::tcp_proxy::TunnelingConfig;
use super::{format, mutation};

/// `None` when it is wrong.
pub(super) fn compile(at: &At<'_>, config: &TunnelingConfig) -> Option<Tunneling> {
    let hostname = format::text(&at.field("hostname"), &config.hostname, false);
    let lists = mutation::Lists {
        to_add: ("headers_to_add", &config.headers_to_add),
        to_remove: ("", &[]),
    };
    let headers = mutation::mutations(at, &lists);
    if !config.use_post && !config.post_path.is_empty() {
        at.field("post_path").invalid("Can't set a post path when POST method isn't used");
        return None;
    }
    let path = match config.post_path.as_str() {
        "" => "/",
        path => path,
    };
    Some(Tunneling {
        hostname: hostname?,
        post_path: config.use_post.then(|| path.into()),
        headers,
        keep_headers: config.propagate_response_headers,
        keep_trailers: config.propagate_response_trailers,
    })
}
