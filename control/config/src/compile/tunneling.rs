//! Tunnels of the TCP proxy through HTTP (Envoy `TunnelingConfig`).

use ringway_http::FieldName;
use ringway_model::tcp::{TunnelRequestId, Tunneling};

use super::at::At;
use super::proto::tcp_proxy::tcp_proxy::TunnelingConfig;
use super::proto::uuid;
use super::value::unpack;
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
        request_id: request_id(at, config)?,
    })
}

/// The header by which the id goes, and the key under which logs find it.
const HEADER: &str = "x-request-id";
const METADATA_KEY: &str = "tunnel_request_id";

/// The outer `None` where it is wrong.
fn request_id(at: &At<'_>, config: &TunnelingConfig) -> Option<Option<TunnelRequestId>> {
    let or = |text: &str, default: &str| if text.is_empty() { default } else { text }.to_owned();
    let header = or(&config.request_id_header, HEADER).to_lowercase();
    if FieldName::new(&header).is_none() {
        at.field("request_id_header").invalid("this is not the name of a header");
        return None;
    }
    let Some(extension) = &config.request_id_extension else {
        for (field, value) in [
            ("request_id_header", &config.request_id_header),
            ("request_id_metadata_key", &config.request_id_metadata_key),
        ] {
            if !value.is_empty() {
                at.field(field).no_effect("without request_id_extension there is no id");
            }
        }
        return Some(None);
    };
    let at = at.field("request_id_extension");
    let Some(any) = &extension.typed_config else {
        at.invalid("the extension has no typed_config");
        return None;
    };
    // A tunnel is not traced, so that neither field of it counts.
    let _: uuid::UuidRequestIdConfig = unpack(&at.field("typed_config"), any)?;
    let metadata_key = or(&config.request_id_metadata_key, METADATA_KEY).into();
    Some(Some(TunnelRequestId { header: header.into(), metadata_key }))
}
