//! Addresses and their parts.

use std::io::Write as _;
use std::net::SocketAddr;

use super::operator::{ip, number};
use crate::address::Address;

/// Which part of an address is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// `1.2.3.4:80`, `[::1]:80`, `/run/x.sock`
    Whole,
    /// `1.2.3.4`, `::1`, `/run/x.sock`
    WithoutPort,
    /// `80`; a Unix socket has none.
    Port,
}

/// Appends a part of an address; false when it has none.
pub(super) fn write(address: &Address, part: Part, out: &mut Vec<u8>) -> bool {
    match address {
        Address::Ip(address) => write_ip(*address, part, out),
        Address::Pipe(_) if part == Part::Port => false,
        // Writing to a vector cannot fail.
        Address::Pipe(_) => write!(out, "{address}").is_ok(),
    }
}

/// As [`write`] for an IP address.
pub(super) fn write_ip(address: SocketAddr, part: Part, out: &mut Vec<u8>) -> bool {
    if part == Part::Port {
        return number(u64::from(address.port()), out);
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

/// As [`write`] for an address that is text already.
pub(super) fn write_text(text: &str, part: Part, out: &mut Vec<u8>) -> bool {
    let split = text.rsplit_once(':').filter(|_| !text.starts_with(['/', '@']));
    let piece = match (part, split) {
        (Part::Whole, _) | (Part::WithoutPort, None) => text,
        (Part::WithoutPort, Some((host, _))) => host.trim_matches(['[', ']']),
        (Part::Port, Some((_, port))) => port,
        (Part::Port, None) => return false,
    };
    out.extend_from_slice(piece.as_bytes());
    true
}
