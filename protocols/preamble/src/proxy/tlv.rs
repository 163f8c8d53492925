//! The type-length-value additions of version 2 (proxy-protocol.txt section 2.2.2 and following).

use super::{ProxyError, V2_FIXED, crc32c};
use crate::reader::Reader;

/// Types that the text defines.
pub mod kind {
    /// ALPN of the connection.
    pub const ALPN: u8 = 0x01;
    /// Server name that the client asked for.
    pub const AUTHORITY: u8 = 0x02;
    /// CRC32c of the whole header.
    pub const CRC32C: u8 = 0x03;
    /// Padding, to be ignored.
    pub const NOOP: u8 = 0x04;
    /// Opaque identifier of the connection.
    pub const UNIQUE_ID: u8 = 0x05;
    /// A structure about TLS, see [`super::Ssl`].
    pub const SSL: u8 = 0x20;
    /// Name of the network namespace.
    pub const NETNS: u8 = 0x30;
}

/// One addition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlv<'a> {
    /// Its type, see [`kind`].
    pub kind: u8,
    /// Its value, at most 65,535 bytes.
    pub value: &'a [u8],
}

/// The additions of one header, in its order. Iterating gives each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tlvs<'a> {
    bytes: &'a [u8],
}

impl<'a> Tlvs<'a> {
    pub(super) fn none() -> Self {
        Self { bytes: &[] }
    }

    /// Holds bytes of which every TLV ends within them.
    pub(super) fn checked(bytes: &'a [u8]) -> Result<Self, ProxyError> {
        let mut reader = Reader(bytes);
        while !reader.is_empty() {
            next(&mut reader).ok_or(ProxyError::TlvOverrun)?;
        }
        Ok(Self { bytes })
    }

    /// The bytes as they came, to pass on.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// Each addition, in order.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'a>> + use<'a> {
        let mut reader = Reader(self.bytes);
        std::iter::from_fn(move || next(&mut reader))
    }

    /// The first addition of this type.
    pub fn get(&self, kind: u8) -> Option<&'a [u8]> {
        self.iter().find(|tlv| tlv.kind == kind).map(|tlv| tlv.value)
    }

    /// What the sender says of the client's TLS. `None` also when the structure is malformed.
    pub fn ssl(&self) -> Option<Ssl<'a>> {
        let mut reader = Reader(self.get(kind::SSL)?);
        let (client, verify) = (reader.u8()?, u32::from_be_bytes(reader.array()?));
        Some(Ssl { client, verify, parts: Tlvs::checked(reader.0).ok()? })
    }
}

/// `PP2_TYPE_SSL` (section 2.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Bits: 1 TLS, 2 a client certificate on this connection, 4 one in this session.
    pub client: u8,
    /// 0 if the client certificate was verified.
    pub verify: u32,
    /// Version 0x21, CN 0x22, cipher 0x23, signature 0x24, key 0x25.
    pub parts: Tlvs<'a>,
}

fn next<'a>(reader: &mut Reader<'a>) -> Option<Tlv<'a>> {
    let kind = reader.u8()?;
    let value = reader.vector16()?;
    Some(Tlv { kind, value })
}

/// Section 2.2.4: the sum is over the whole header with the sum's own bytes as zero.
pub(super) fn verify_checksum(whole: &[u8], tlvs: &Tlvs<'_>) -> Result<(), ProxyError> {
    let mut offset = whole.len() - tlvs.bytes.len();
    debug_assert!(offset >= V2_FIXED);
    let mut found = None;
    for tlv in tlvs.iter() {
        let value_at = offset + 3;
        offset = value_at + tlv.value.len();
        if tlv.kind == kind::CRC32C {
            let sum: [u8; 4] = tlv.value.try_into().map_err(|_| ProxyError::Checksum)?;
            if found.replace((value_at, u32::from_be_bytes(sum))).is_some() {
                return Err(ProxyError::Checksum);
            }
        }
    }
    let Some((at, sum)) = found else { return Ok(()) };
    let actual = crc32c(&[&whole[..at], &[0; 4], &whole[at + 4..]]);
    if actual == sum { Ok(()) } else { Err(ProxyError::Checksum) }
}
