//! Headers to send to an upstream.

use std::io::Write;
use std::net::{IpAddr, SocketAddr};

use super::{Addresses, Tlv, Transport, crc32c, kind, v2};

/// What cannot be said in a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The TLVs do not fit the 16-bit length of version 2, or one its own.
    #[error("PROXY v2 TLVs do not fit a header")]
    TooLong,
    /// A UNIX path of more than 108 bytes.
    #[error("UNIX path does not fit a PROXY v2 header")]
    UnixPath,
}

/// Appends a version 1 line. Whatever is no TCP connection over IP becomes `UNKNOWN`; ends of
/// different families both become IPv6.
pub fn encode_v1(addresses: &Addresses<'_>, out: &mut Vec<u8>) {
    let Addresses::Inet { source, destination, transport: Transport::Stream } = *addresses else {
        out.extend_from_slice(b"PROXY UNKNOWN\r\n");
        return;
    };
    let (name, source, destination) = match one_family(source, destination) {
        (source @ SocketAddr::V4(_), destination) => ("TCP4", source, destination),
        (source, destination) => ("TCP6", source, destination),
    };
    let (from, to) = (source.ip(), destination.ip());
    let ports = (source.port(), destination.port());
    // Writing to a Vec cannot fail.
    let _ = write!(out, "PROXY {name} {from} {to} {} {}\r\n", ports.0, ports.1);
}

/// Both as they are when of one family, else both as IPv6 (IPv4 as `::ffff:a.b.c.d`).
fn one_family(source: SocketAddr, destination: SocketAddr) -> (SocketAddr, SocketAddr) {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(ip) => (ip.to_ipv6_mapped(), address.port()).into(),
        IpAddr::V6(ip) => (ip, address.port()).into(),
    };
    match (source, destination) {
        (SocketAddr::V4(_), SocketAddr::V4(_)) => (source, destination),
        _ => (mapped(source), mapped(destination)),
    }
}

/// What a version 2 header shall say.
#[derive(Debug, Clone, Copy)]
pub struct V2<'a> {
    /// The two ends.
    pub addresses: Addresses<'a>,
    /// Additions in the order in which they are sent.
    pub tlvs: &'a [Tlv<'a>],
    /// Whether a CRC32c stands behind them.
    pub checksum: bool,
}

/// Appends a version 2 header; appends nothing on an error.
pub fn encode_v2(header: &V2<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let start = out.len();
    let written = write_v2(header, start, out);
    if written.is_err() {
        out.truncate(start);
    }
    written
}

fn write_v2(header: &V2<'_>, start: usize, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    out.extend_from_slice(v2::SIGNATURE);
    let command = if matches!(header.addresses, Addresses::Local) { 0x20 } else { 0x21 };
    out.extend_from_slice(&[command, 0, 0, 0]);
    let body = out.len();
    out[body - 3] = write_addresses(&header.addresses, out)?;
    for tlv in header.tlvs {
        write_tlv(*tlv, out)?;
    }
    if header.checksum {
        write_tlv(Tlv { kind: kind::CRC32C, value: &[0; 4] }, out)?;
    }
    let len = u16::try_from(out.len() - body).map_err(|_| EncodeError::TooLong)?;
    out[body - 2..body].copy_from_slice(&len.to_be_bytes());
    if header.checksum {
        let sum = crc32c(&[&out[start..]]);
        let end = out.len();
        out[end - 4..].copy_from_slice(&sum.to_be_bytes());
    }
    Ok(())
}

fn write_tlv(tlv: Tlv<'_>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let len = u16::try_from(tlv.value.len()).map_err(|_| EncodeError::TooLong)?;
    out.push(tlv.kind);
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(tlv.value);
    Ok(())
}

/// Writes the address block and returns the byte of family and transport.
fn write_addresses(addresses: &Addresses<'_>, out: &mut Vec<u8>) -> Result<u8, EncodeError> {
    let nibble = |transport| if transport == Transport::Stream { 1 } else { 2 };
    match *addresses {
        Addresses::Local | Addresses::Unknown => Ok(0),
        Addresses::Inet { source, destination, transport } => {
            let (source, destination) = one_family(source, destination);
            write_ip(source, out);
            write_ip(destination, out);
            out.extend_from_slice(&source.port().to_be_bytes());
            out.extend_from_slice(&destination.port().to_be_bytes());
            Ok(nibble(transport) | if source.is_ipv4() { 0x10 } else { 0x20 })
        }
        Addresses::Unix { source, destination, transport } => {
            write_path(source, out)?;
            write_path(destination, out)?;
            Ok(0x30 | nibble(transport))
        }
    }
}

fn write_ip(address: SocketAddr, out: &mut Vec<u8>) {
    match address.ip() {
        IpAddr::V4(ip) => out.extend_from_slice(&ip.octets()),
        IpAddr::V6(ip) => out.extend_from_slice(&ip.octets()),
    }
}

fn write_path(path: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
    let padding = v2::UNIX_PATH.checked_sub(path.len()).ok_or(EncodeError::UnixPath)?;
    out.extend_from_slice(path);
    out.extend(std::iter::repeat_n(0, padding));
    Ok(())
}
