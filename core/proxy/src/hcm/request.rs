//! What the connection manager does to a request head before a route is looked for.
//!
//! The order of the steps is Envoy's (`ConnectionManagerImpl::ActiveStream::decodeHeaders`, then
//! `ConnectionManagerUtility::mutateRequestHeaders`), because it shows in the order of headers.

use std::borrow::Cow;

use ringway_http::h1::Upgrade;
use ringway_http::normalize::{self, EscapedSlashes};
use ringway_http::{Known, Method, Version, hop_by_hop};
use ringway_model::route::Action;
use ringway_model::stream::LocalReply;

use super::exchange::Exchange;
use super::sides::ClientSide;
use super::{client, client_cert};
use crate::wire::Event;

type Refusal = Box<LocalReply>;

/// Checks and prepares the request head of `exchange`.
pub(super) fn prepare<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Result<(), Refusal> {
    take_empty_body(exchange);
    refuse_under_load(exchange)?;
    answer_expectation(exchange);
    require_host(exchange)?;
    check_target(exchange)?;
    normalize_path(exchange)?;
    normalize_host(exchange);
    let upgrade = exchange.down.side.upgrade() != Upgrade::None;
    hop_by_hop::strip_request(&mut exchange.down.request.fields, upgrade);
    client::identify(exchange);
    append_via(exchange);
    client::tell_external_address(exchange);
    set_request_id(exchange);
    client_cert::forward(exchange);
    Ok(())
}

/// A request without a body is complete with its head.
fn take_empty_body<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    if !exchange.down.side.body().is_empty() || asked_protocol(exchange).is_some() {
        return;
    }
    let down = &mut *exchange.down;
    if let Some(Event::Complete) = down.side.received_event(&mut down.request) {
        exchange.note_request_complete();
    }
}

/// As in Envoy, before anything else is looked at.
fn refuse_under_load<C: ClientSide>(exchange: &Exchange<'_, C>) -> Result<(), Refusal> {
    if !exchange.down.side.refuses_request() {
        return Ok(());
    }
    exchange.down.worker.page.inc(exchange.manager.stats.downstream_rq_overload_close);
    Err(Box::new(LocalReply::new(503, "overload").body("envoy overloaded")))
}

/// Envoy answers `Expect: 100-continue` itself unless `proxy_100_continue`.
fn answer_expectation<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    if exchange.manager.proxy_100_continue || !exchange.down.side.expects_continue() {
        return;
    }
    exchange.down.request.fields.remove_known(Known::Expect);
    if !exchange.request_complete {
        exchange.down.worker.page.inc(exchange.manager.stats.downstream_rq_1xx);
        exchange.down.side.send_continue();
    }
}

/// RFC 9112 section 3.2: a request without a host is answered with 400.
fn require_host<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Result<(), Refusal> {
    let head = &mut exchange.down.request;
    if head.has_authority() {
        return Ok(());
    }
    if head.version() == Version::Http10
        && let Some(host) = &exchange.manager.default_host_for_http_10
    {
        head.set_authority(host.as_bytes());
        return Ok(());
    }
    Err(Box::new(LocalReply::new(400, "missing_host_header")))
}

/// Only CONNECT has a target that is not a path; `OPTIONS *` has no route either.
fn check_target<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Result<(), Refusal> {
    let head = &exchange.down.request;
    if head.method_kind() == Method::Connect || head.path().first() == Some(&b'/') {
        return Ok(());
    }
    exchange.down.worker.page.inc(exchange.manager.stats.downstream_rq_non_relative_path);
    Err(Box::new(LocalReply::new(404, "absolute_path_rejected")))
}

fn normalize_path<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Result<(), Refusal> {
    let policy = exchange.manager.path;
    let down = &mut *exchange.down;
    if down.request.has_fragment() {
        return Err(path_failed(exchange));
    }
    if policy.escaped_slashes != EscapedSlashes::KeepUnchanged
        && normalize::unescape_slashes(down.request.path(), &mut down.text)
    {
        match policy.escaped_slashes {
            EscapedSlashes::RejectRequest => {
                // As in Envoy, the access log has the path as it would have been served.
                std::mem::swap(down.request.path_mut(), &mut down.text);
                return Err(path_failed(exchange));
            }
            EscapedSlashes::UnescapeAndRedirect => return Err(redirect_to_text(exchange)),
            _ => std::mem::swap(down.request.path_mut(), &mut down.text),
        }
    }
    let down = &mut *exchange.down;
    if policy.normalize && down.request.method_kind() != Method::Connect {
        match normalize::normalize_path(down.request.path(), &mut down.text) {
            Ok(true) => std::mem::swap(down.request.path_mut(), &mut down.text),
            Ok(false) => {}
            Err(_) => return Err(path_failed(exchange)),
        }
    }
    let down = &mut *exchange.down;
    if policy.merge_slashes && normalize::merge_slashes(down.request.path(), &mut down.text) {
        std::mem::swap(down.request.path_mut(), &mut down.text);
    }
    Ok(())
}

fn path_failed<C: ClientSide>(exchange: &Exchange<'_, C>) -> Refusal {
    exchange.down.worker.page.inc(exchange.manager.stats.downstream_rq_failed_path_normalization);
    Box::new(LocalReply::new(400, "path_normalization_failed"))
}

/// `UNESCAPE_AND_REDIRECT`: 307 to the path without escapes, normalised as it would be served.
fn redirect_to_text<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Refusal {
    let (stats, page) = (&exchange.manager.stats, &exchange.down.worker.page);
    page.inc(stats.downstream_rq_redirected_with_normalized_path);
    let mut path = std::mem::take(&mut exchange.down.text);
    let mut next = Vec::new();
    if exchange.manager.path.normalize
        && normalize::normalize_path(&path, &mut next).is_ok_and(|changed| changed)
    {
        std::mem::swap(&mut path, &mut next);
    }
    if exchange.manager.path.merge_slashes && normalize::merge_slashes(&path, &mut next) {
        std::mem::swap(&mut path, &mut next);
    }
    exchange.down.request.set_path(&path);
    let location = String::from_utf8_lossy(&path).into_owned();
    let reply = LocalReply::new(307, "path_normalization_failed");
    Box::new(reply.header("location", Cow::Owned(location)))
}

fn normalize_host<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let policy = exchange.manager.host;
    let down = &mut *exchange.down;
    if policy.strip_trailing_dot {
        down.text.clear();
        down.text.extend_from_slice(down.request.authority());
        if normalize::strip_trailing_host_dot(&mut down.text) {
            down.request.set_authority(&down.text);
        }
    }
    let authority = down.request.authority();
    let kept = if policy.strip_any_port {
        normalize::strip_any_host_port(authority)
    } else if policy.strip_matching_port
        && let Some(local) = down.info.local.ip()
    {
        normalize::strip_matching_host_port(authority, local.port())
    } else {
        return;
    };
    down.request.truncate_authority(kept);
}

/// The protocol that the request asks for in place of HTTP: the `upgrade` field of HTTP/1, which an
/// extended CONNECT of HTTP/2 has become, or `CONNECT`. `Upgrade: h2c` alone is ignored.
fn asked_protocol<'e, C: ClientSide>(exchange: &'e Exchange<'_, C>) -> Option<&'e [u8]> {
    let head = &exchange.down.request;
    match exchange.down.side.upgrade() {
        Upgrade::None if head.method_kind() == Method::Connect => Some(b"CONNECT"),
        Upgrade::None => None,
        _ => Some(head.fields.known(Known::Upgrade).unwrap_or_default()),
    }
}

/// An upgrade that neither the connection manager nor the route allows is refused before the
/// client can send bytes of another protocol. CONNECT without a route is refused by the router.
pub(super) fn settle_upgrade<C: ClientSide>(exchange: &mut Exchange<'_, C>) -> Result<(), Refusal> {
    let Some(kind) = asked_protocol(exchange) else { return Ok(()) };
    let forward = match exchange.matched.map(|matched| &matched.route.action) {
        Some(Action::Forward(forward)) => Some(&**forward),
        _ => None,
    };
    if exchange.manager.allows_upgrade(kind, forward) {
        let filters = exchange.manager.filters_of(kind);
        exchange.asks_for_tunnel = true;
        exchange.pass(filters);
        let (page, stats) = (&exchange.down.worker.page, &exchange.manager.stats);
        page.inc(stats.downstream_cx_upgrades_total);
        page.raise(stats.downstream_cx_upgrades_active, 1);
        return Ok(());
    }
    if exchange.down.side.upgrade() == Upgrade::None && exchange.matched.is_none() {
        return Ok(());
    }
    exchange.down.worker.page.inc(exchange.manager.stats.downstream_rq_ws_on_non_ws_route);
    Err(Box::new(LocalReply::new(403, "upgrade_failed").close()))
}

fn append_via<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let via = &exchange.manager.via;
    if !via.is_empty() {
        exchange.down.request.fields.append_known(Known::Via, b", ", via.as_bytes());
    }
}

/// The request id: kept from inside, made anew at an edge unless `preserve_external_request_id`.
fn set_request_id<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let policy = exchange.manager.request_id;
    if !policy.generate {
        return;
    }
    let edge = exchange.manager.client_address.use_remote_address && !exchange.internal;
    let fields = &mut exchange.down.request.fields;
    if fields.has(Known::XRequestId) && (!edge || policy.preserve_external) {
        return;
    }
    let worker = &exchange.down.worker;
    let id = uuid_v4(worker.random(), worker.random());
    fields.set_known(Known::XRequestId, &id);
}

/// A random UUID in its usual form (RFC 9562 section 5.4).
fn uuid_v4(high: u64, low: u64) -> [u8; 36] {
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let (one, two) = (hex((high >> 32) as u32), hex(high as u32));
    let (three, four) = (hex((low >> 32) as u32), hex(low as u32));
    let mut text = [b'-'; 36];
    text[..8].copy_from_slice(&one);
    text[9..13].copy_from_slice(&two[..4]);
    text[14..18].copy_from_slice(&two[4..]);
    text[19..23].copy_from_slice(&three[..4]);
    text[24..28].copy_from_slice(&three[4..]);
    text[28..].copy_from_slice(&four);
    text
}

/// Eight digits at once: one in each byte of a word.
fn hex(number: u32) -> [u8; 8] {
    let spread = u64::from(number);
    let spread = (spread | spread << 16) & 0x0000_ffff_0000_ffff;
    let spread = (spread | spread << 8) & 0x00ff_00ff_00ff_00ff;
    let digits = (spread | spread << 4) & 0x0f0f_0f0f_0f0f_0f0f;
    // One in each byte whose digit is a letter.
    let letters = (digits + 0x0606_0606_0606_0606) >> 4 & 0x0101_0101_0101_0101;
    let to_letter = u64::from(b'a' - 10 - b'0');
    (digits + 0x3030_3030_3030_3030 + letters * to_letter).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let id = uuid_v4(u64::MAX, u64::MAX);
        assert_eq!(std::str::from_utf8(&id), Ok("ffffffff-ffff-4fff-bfff-ffffffffffff"));
        let id = uuid_v4(0x0123_4567_89ab_cdef, 0);
        assert_eq!(std::str::from_utf8(&id), Ok("01234567-89ab-4def-8000-000000000000"));
    }
}
