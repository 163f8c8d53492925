//! Who asks: the client's address, whether it is one of us, and what the upstream is told of it.
//!
//! Follows Envoy's `ConnectionManagerUtility::mutateRequestHeaders` step by step.

use std::net::{IpAddr, SocketAddr};

use ringway_http::referer::is_valid_referer;
use ringway_http::{Fields, Known};
use ringway_model::address::Address;
use ringway_model::http::{ClientAddress, InternalAddresses};

use super::exchange::Exchange;
use super::sides::ClientSide;

/// Headers by which an internal client steers the router; from anybody else they are noise at
/// best.
const INTERNAL_ONLY: [Known; 14] = [
    Known::XEnvoyRetriableStatusCodes,
    Known::XEnvoyRetriableHeaderNames,
    Known::XEnvoyRetryOn,
    Known::XEnvoyRetryGrpcOn,
    Known::XEnvoyMaxRetries,
    Known::XEnvoyUpstreamAltStatName,
    Known::XEnvoyUpstreamRqTimeoutMs,
    Known::XEnvoyUpstreamRqPerTryTimeoutMs,
    Known::XEnvoyUpstreamRqTimeoutAltResponse,
    Known::XEnvoyExpectedRqTimeoutMs,
    Known::XEnvoyForceTrace,
    Known::XEnvoyIpTags,
    Known::XEnvoyOriginalUrl,
    Known::XEnvoyHedgeOnPerTryTimeout,
];

/// Removed from what an external client sends to an edge, beside the above.
const EDGE_ONLY: [Known; 5] = [
    Known::XEnvoyDecoratorOperation,
    Known::XEnvoyDownstreamServiceCluster,
    Known::XEnvoyDownstreamServiceNode,
    Known::XEnvoyOriginalHost,
    Known::XEnvoyOriginalPath,
];

/// Finds the client's address and cleans the head of what the client may not say.
pub(super) fn identify<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let policy = &exchange.manager.client_address;
    let peer = exchange.down.info.remote().ip();
    let unix = matches!(exchange.down.info.remote(), Address::Pipe(_));
    let fields = &mut exchange.down.request.fields;
    if fields.known(Known::Referer).is_some_and(|referer| !is_valid_referer(referer)) {
        fields.remove_known(Known::Referer);
    }
    fields.remove_known(Known::XEnvoyInternal);
    let client = if policy.use_remote_address {
        as_edge(fields, policy, peer)
    } else {
        as_inner(fields, policy)
    };
    forwarded(exchange);
    let policy = &exchange.manager.client_address;
    let address = client.address.or(peer);
    let is_internal = |internal: &InternalAddresses| match address {
        Some(address) => internal_address(internal, address.ip()),
        None => unix && internal.unix_sockets,
    };
    exchange.internal = client.may_be_internal && policy.internal.as_ref().is_some_and(is_internal);
    exchange.info.remote = client.address;
    clean(exchange);
}

/// What the headers say of the client.
struct Client {
    /// Where it is; `None` means the peer of the socket.
    address: Option<SocketAddr>,
    /// It came on a way on which an internal address is believed.
    may_be_internal: bool,
}

/// `use_remote_address`: the peer is the client, unless trusted proxies stand in front.
fn as_edge(fields: &mut Fields, policy: &ClientAddress, peer: Option<SocketAddr>) -> Client {
    let may_be_internal = !fields.has(Known::XForwardedFor);
    let address = match policy.trusted_hops {
        0 => None,
        hops => from_the_right(fields, hops - 1),
    };
    if !policy.skip_append
        && let Some(peer) = peer
    {
        // Envoy names itself in place of a client on this very machine.
        let seen = if peer.ip().is_loopback() { policy.local_ip } else { peer.ip() };
        append_address(fields, seen, policy.ipv4_mapped);
    }
    Client { address, may_be_internal }
}

/// Somewhere inside: the address stands in `x-forwarded-for`.
fn as_inner(fields: &Fields, policy: &ClientAddress) -> Client {
    let single = fields.known(Known::XForwardedFor).is_some_and(|value| !value.contains(&b','));
    let address = from_the_right(fields, policy.trusted_hops);
    Client { may_be_internal: single && address.is_some(), address }
}

/// The address in `x-forwarded-for` that `skip` trusted proxies have appended others to.
fn from_the_right(fields: &Fields, skip: usize) -> Option<SocketAddr> {
    let value = fields.known(Known::XForwardedFor)?;
    let part = value.rsplit(|byte| *byte == b',').nth(skip)?;
    let text = std::str::from_utf8(part).ok()?.trim();
    let ip: IpAddr = text.parse().ok()?;
    Some(SocketAddr::new(ip, 0))
}

fn append_address(fields: &mut Fields, ip: IpAddr, mapped: bool) {
    let ip = match ip {
        IpAddr::V4(v4) if mapped => IpAddr::V6(v4.to_ipv6_mapped()),
        other => other,
    };
    let mut text = [0; 46];
    let text = write_ip(ip, &mut text);
    fields.append_known(Known::XForwardedFor, b",", text);
}

/// Addresses are written without allocation.
fn write_ip(ip: IpAddr, space: &mut [u8; 46]) -> &[u8] {
    use std::io::Write;
    let mut rest = &mut space[..];
    // 46 bytes hold every address (INET6_ADDRSTRLEN).
    let written = write!(rest, "{ip}").is_ok();
    let left = rest.len();
    debug_assert!(written, "an address that does not fit");
    &space[..46 - left]
}

/// `x-forwarded-proto`, `x-forwarded-port` and the scheme.
fn forwarded<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let manager = exchange.manager;
    let policy = &manager.client_address;
    let info = &exchange.down.info;
    let head = &mut exchange.down.request;
    let scheme: &[u8] = if info.tls.is_some() { b"https" } else { b"http" };
    let untrusted = policy.use_remote_address && policy.trusted_hops == 0;
    if untrusted || !head.fields.has(Known::XForwardedProto) {
        head.fields.set_known(Known::XForwardedProto, scheme);
    }
    if policy.append_port
        && (untrusted || !head.fields.has(Known::XForwardedPort))
        && let Some(local) = info.local.ip()
    {
        use std::io::Write;
        head.fields.set_known_with(Known::XForwardedPort, |out| {
            // Writing to a vector cannot fail.
            let _ = write!(out, "{}", local.port());
        });
    }
    if let Some(overwrite) = &manager.scheme_to_overwrite {
        head.fields.set_known(Known::XForwardedProto, overwrite.as_bytes());
    }
    let proto = head.fields.known(Known::XForwardedProto);
    let https = proto.is_some_and(|proto| proto.eq_ignore_ascii_case(b"https"));
    head.set_scheme(if https { b"https" } else { b"http" });
}

fn clean<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let edge = exchange.manager.client_address.use_remote_address && !exchange.internal;
    let fields = &mut exchange.down.request.fields;
    if exchange.internal {
        fields.set_known(Known::XEnvoyInternal, b"true");
        return;
    }
    for name in INTERNAL_ONLY {
        fields.remove_known(name);
    }
    if edge {
        for name in EDGE_ONLY {
            fields.remove_known(name);
        }
    }
}

/// An edge tells the upstream where an external client is.
pub(super) fn tell_external_address<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    if exchange.internal || !exchange.manager.client_address.use_remote_address {
        return;
    }
    let peer = exchange.down.info.remote().ip();
    if let Some(client) = exchange.info.remote.or(peer) {
        let mut text = [0; 46];
        let text = write_ip(client.ip(), &mut text);
        exchange.down.request.fields.set_known(Known::XEnvoyExternalAddress, text);
    }
}

/// `internal_address_config`: the listed ranges, or without any the private ones and loopback.
fn internal_address(internal: &InternalAddresses, ip: IpAddr) -> bool {
    let ip = ip.to_canonical();
    if !internal.ranges.is_empty() {
        return internal.ranges.iter().any(|range| range.contains(&ip));
    }
    match ip {
        IpAddr::V4(v4) => v4.is_private() || v4.is_loopback(),
        // RFC 4193: fd00::/8.
        IpAddr::V6(v6) => v6.is_loopback() || v6.octets()[0] == 0xfd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(forwarded_for: &str) -> Fields {
        let mut fields = Fields::new();
        fields.push_known(Known::XForwardedFor, forwarded_for.as_bytes());
        fields
    }

    fn address(text: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(text.parse().expect("an address"), 0))
    }

    #[test]
    fn trusted_hops_count_from_the_right() {
        let fields = fields("1.1.1.1, 2.2.2.2 ,::3");
        assert_eq!(from_the_right(&fields, 0), address("::3"));
        assert_eq!(from_the_right(&fields, 1), address("2.2.2.2"));
        assert_eq!(from_the_right(&fields, 2), address("1.1.1.1"));
        assert_eq!(from_the_right(&fields, 3), None);
    }

    #[test]
    fn addresses_are_appended_without_a_space() {
        let mut fields = fields("1.1.1.1");
        append_address(&mut fields, "2.2.2.2".parse().expect("an address"), false);
        append_address(&mut fields, "3.3.3.3".parse().expect("an address"), true);
        let value = fields.known(Known::XForwardedFor);
        assert_eq!(value, Some(b"1.1.1.1,2.2.2.2,::ffff:3.3.3.3".as_slice()));
    }

    #[test]
    fn private_means_rfc_1918_rfc_4193_and_loopback() {
        let internal = InternalAddresses::default();
        for (text, expected) in [
            ("10.1.2.3", true),
            ("192.168.0.1", true),
            ("127.0.0.1", true),
            ("::ffff:10.0.0.1", true),
            ("fd00::1", true),
            ("fc00::1", false),
            ("8.8.8.8", false),
        ] {
            let ip = text.parse().expect("an address");
            assert_eq!(internal_address(&internal, ip), expected, "{text}");
        }
    }
}
