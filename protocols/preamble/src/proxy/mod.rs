//! The PROXY protocol, as haproxy's `proxy-protocol.txt` defines it (sections 2.1 to 2.2).
//!
//! Owns: both versions, parse and encode, TLVs and their checksum. Does not own: trust. A header is
//! a claim of the peer; the listener filter decides which peers are believed.

mod crc32c;
mod encode;
mod tlv;
mod v1;
mod v2;

use std::net::{IpAddr, SocketAddr};

use crate::Progress;

pub use crc32c::crc32c;
pub use encode::{EncodeError, V2, encode_v1, encode_v2};
pub use tlv::{Ssl, Tlv, Tlvs, kind};

/// The longest version 1 line, with its CRLF (section 2.1).
pub const MAX_V1: usize = 107;
/// Length of the fixed part of a version 2 header.
pub const V2_FIXED: usize = 16;
/// The longest version 2 header that its 16-bit length can announce.
pub const MAX_V2: usize = V2_FIXED + 65_535;

/// Which of the two forms a header had.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// A line of text.
    V1,
    /// Binary.
    V2,
}

/// What the connection carries, as the header claims.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// `STREAM`: TCP or a UNIX stream.
    Stream,
    /// `DGRAM`: UDP or UNIX datagrams.
    Datagram,
}

/// The two ends of the connection that the sender accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Addresses<'a> {
    /// The sender speaks for itself (`LOCAL`, a health check): the real addresses of the
    /// connection stay in force.
    Local,
    /// `UNKNOWN` or `UNSPEC`: a proxied connection whose addresses cannot be told.
    Unknown,
    /// `TCP4`, `TCP6`, or the same of version 2. Both ends are of one family.
    Inet {
        /// The client.
        source: SocketAddr,
        /// Where the client connected to.
        destination: SocketAddr,
        /// What it spoke.
        transport: Transport,
    },
    /// `AF_UNIX` of version 2: paths without their trailing NULs, at most 108 bytes each.
    Unix {
        /// The client's path, mostly empty.
        source: &'a [u8],
        /// The path that was connected to.
        destination: &'a [u8],
        /// What it spoke.
        transport: Transport,
    },
}

/// A whole header.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Its form.
    pub version: Version,
    /// What it claims.
    pub addresses: Addresses<'a>,
    /// The additions of version 2; empty in version 1. All of them are known to be well-formed.
    pub tlvs: Tlvs<'a>,
}

/// Why the first bytes are no PROXY header, or none that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// Another protocol, seen at the first byte that differs. With
    /// `allow_requests_without_proxy_protocol` the bytes are the connection's own.
    #[error("no PROXY protocol signature")]
    NotProxy,
    /// Version 1: no line end within [`MAX_V1`] bytes.
    #[error("PROXY v1 line of more than 107 bytes")]
    LineTooLong,
    /// Version 1: the line is not of the form that section 2.1 gives.
    #[error("malformed PROXY v1 line")]
    MalformedLine,
    /// Version 2: the version nibble is not 2.
    #[error("unsupported PROXY v2 version {0}")]
    UnsupportedVersion(u8),
    /// Version 2: neither LOCAL nor PROXY.
    #[error("unsupported PROXY v2 command {0}")]
    UnsupportedCommand(u8),
    /// Version 2: a family or transport that the text does not define.
    #[error("unsupported PROXY v2 address family and transport {0:#04x}")]
    UnsupportedFamily(u8),
    /// Version 2: the announced length is above the limit that the caller set.
    #[error("PROXY v2 header of {0} bytes is above the limit")]
    TooLong(usize),
    /// Version 2: the announced length cannot hold the addresses of its family.
    #[error("PROXY v2 header is too short for its addresses")]
    ShortAddresses,
    /// Version 2: a TLV reaches past the end of the header. It would read into the payload.
    #[error("PROXY v2 TLV reaches past the end of the header")]
    TlvOverrun,
    /// Version 2: the CRC32c TLV is not of four bytes, stands twice, or does not fit the header.
    #[error("PROXY v2 checksum does not match")]
    Checksum,
}

/// Reads a header of either version from the start of a connection. `max_len` (bytes) bounds what
/// may be waited for; [`MAX_V2`] allows all that the protocol can say.
pub fn parse(bytes: &[u8], max_len: usize) -> Result<Progress<Header<'_>>, ProxyError> {
    match bytes.first() {
        None => Ok(Progress::NeedMore(1)),
        Some(b'P') => v1::parse(bytes),
        Some(_) => v2::parse(bytes, max_len),
    }
}

/// `Ok` once the whole signature stands, else how much of it is missing, or that it cannot come.
fn signature(bytes: &[u8], signature: &[u8]) -> Result<Option<usize>, ProxyError> {
    let seen = bytes.len().min(signature.len());
    if bytes[..seen] != signature[..seen] {
        return Err(ProxyError::NotProxy);
    }
    Ok((seen < signature.len()).then(|| signature.len() - seen))
}

fn inet(
    source: (IpAddr, u16),
    destination: (IpAddr, u16),
    transport: Transport,
) -> Addresses<'static> {
    Addresses::Inet { source: source.into(), destination: destination.into(), transport }
}
