//! Addresses and their parts.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;

use super::operator::{ip, number};
use crate::address::Address;

/// Which part of an address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `1.2.3.4:80`, `[::1]:80`, `/run/x.sock`
    Whole,
    /// `1.2.3.4`, `::1`, `/run/x.sock`
    WithoutPort,
    /// `80`; only an IP address has one.
    Port,
    /// `1.2.0.0/16`: the network of so many bits that the address is in.
    Network(u8),
}

/// Appends a part of an address; false when it has none.
pub(super) fn write(address: &Address, part: Part, out: &mut Vec<u8>) -> bool {
    match address {
        Address::Ip(address) => write_ip(*address, part, out),
        // Nobody in particular: all clients of a UDP proxy.
        Address::Pipe(path) if path.as_os_str().is_empty() => false,
        Address::Pipe(_) | Address::Internal(_)
            if matches!(part, Part::Port | Part::Network(_)) =>
        {
            false
        }
        // Writing to a vector cannot fail.
        Address::Pipe(_) | Address::Internal(_) => write!(out, "{address}").is_ok(),
    }
}

/// As [`write`] for an IP address.
pub(super) fn write_ip(address: SocketAddr, part: Part, out: &mut Vec<u8>) -> bool {
    match part {
        Part::Port => return number(u64::from(address.port()), out),
        Part::Network(bits) => return network(address.ip(), bits, out),
        Part::Whole | Part::WithoutPort => {}
    }
    let bracketed = part == Part::Whole && address.is_ipv6();
    if bracketed {
        out.push(b'[');
    }
    ip(address.ip(), out);
    if bracketed {
        out.push(b']');
    }
    if part == Part::Whole {
        out.push(b':');
        number(u64::from(address.port()), out);
    }
    true
}

fn network(address: IpAddr, bits: u8, out: &mut Vec<u8>) -> bool {
    let widest = if address.is_ipv4() { 32 } else { 128 };
    match IpNet::new(address, bits.min(widest)) {
        // Writing to a vector cannot fail.
        Ok(network) => write!(out, "{}", network.trunc()).is_ok(),
        Err(_) => false,
    }
}

/// A name without the port behind it.
pub(super) fn host_of(name: &str) -> &str {
    match name.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => name,
    }
}

/// As [`write`] for an address that is text already.
pub(super) fn write_text(text: &str, part: Part, out: &mut Vec<u8>) -> bool {
    if let Part::Network(bits) = part {
        let address: Option<SocketAddr> = text.parse().ok();
        return address.is_some_and(|address| network(address.ip(), bits, out));
    }
    let has_no_port = text.starts_with(['/', '@']) || text.starts_with("envoy://");
    let split = text.rsplit_once(':').filter(|_| !has_no_port);
    let piece = match (part, split) {
        (Part::Whole, _) | (Part::WithoutPort, None) => text,
        (Part::WithoutPort, Some((host, _))) => host.trim_matches(['[', ']']),
        (Part::Port, Some((_, port))) => port,
        (Part::Port, None) | (Part::Network(_), _) => return false,
    };
    out.extend_from_slice(piece.as_bytes());
    true
}
