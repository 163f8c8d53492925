//! Version 2: binary (proxy-protocol.txt section 2.2).

use std::net::IpAddr;

use super::tlv::{self, Tlvs};
use super::{Addresses, Header, ProxyError, Transport, V2_FIXED, Version, inet, signature};
use crate::Progress;
use crate::reader::Reader;

pub(super) const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of one path of `struct sockaddr_un`.
pub(super) const UNIX_PATH: usize = 108;

pub(super) fn parse(bytes: &[u8], max_len: usize) -> Result<Progress<Header<'_>>, ProxyError> {
    if let Some(missing) = signature(bytes, SIGNATURE)? {
        return Ok(Progress::NeedMore(missing + V2_FIXED - SIGNATURE.len()));
    }
    let Some(&[command, family, high, low]) = bytes.get(SIGNATURE.len()..V2_FIXED) else {
        return Ok(Progress::NeedMore(V2_FIXED - bytes.len()));
    };
    check_command(command)?;
    let total = V2_FIXED + usize::from(u16::from_be_bytes([high, low]));
    if total > max_len {
        return Err(ProxyError::TooLong(total));
    }
    let Some(whole) = bytes.get(..total) else {
        return Ok(Progress::NeedMore(total - bytes.len()));
    };
    let header = body(whole, command & 0xf == 0, family)?;
    Ok(Progress::Done(header, total))
}

fn check_command(byte: u8) -> Result<(), ProxyError> {
    match (byte >> 4, byte & 0xf) {
        (2, 0 | 1) => Ok(()),
        (2, command) => Err(ProxyError::UnsupportedCommand(command)),
        (version, _) => Err(ProxyError::UnsupportedVersion(version)),
    }
}

fn body(whole: &[u8], local: bool, family: u8) -> Result<Header<'_>, ProxyError> {
    let mut reader = Reader(&whole[V2_FIXED..]);
    if local {
        // Section 2.2: for LOCAL the receiver must discard the protocol block, whatever its
        // family, including TLVs that nobody can find behind an undefined family.
        let header =
            Header { version: Version::V2, addresses: Addresses::Local, tlvs: Tlvs::none() };
        return Ok(header);
    }
    let addresses = addresses(&mut reader, family)?;
    let tlvs = Tlvs::checked(reader.0)?;
    tlv::verify_checksum(whole, &tlvs)?;
    Ok(Header { version: Version::V2, addresses, tlvs })
}

fn addresses<'a>(reader: &mut Reader<'a>, family: u8) -> Result<Addresses<'a>, ProxyError> {
    let transport = match family & 0xf {
        // UNSPEC in either half: the sender could not tell. Section 2.2 has the receiver use the
        // real addresses; what stands where addresses would stand cannot be told from TLVs only
        // for 0x00, whose address block is empty.
        0 if family == 0 => return Ok(Addresses::Unknown),
        1 => Transport::Stream,
        2 => Transport::Datagram,
        _ => return Err(ProxyError::UnsupportedFamily(family)),
    };
    let parsed = match family >> 4 {
        1 => ip::<4>(reader, transport),
        2 => ip::<16>(reader, transport),
        3 => unix(reader, transport),
        _ => return Err(ProxyError::UnsupportedFamily(family)),
    };
    parsed.ok_or(ProxyError::ShortAddresses)
}

fn ip<const N: usize>(reader: &mut Reader<'_>, transport: Transport) -> Option<Addresses<'static>>
where
    IpAddr: From<[u8; N]>,
{
    let source = IpAddr::from(reader.array::<N>()?);
    let destination = IpAddr::from(reader.array::<N>()?);
    let (source_port, destination_port) = (reader.u16()?, reader.u16()?);
    Some(inet((source, source_port), (destination, destination_port), transport))
}

fn unix<'a>(reader: &mut Reader<'a>, transport: Transport) -> Option<Addresses<'a>> {
    let source = trimmed(reader.take(UNIX_PATH)?);
    let destination = trimmed(reader.take(UNIX_PATH)?);
    Some(Addresses::Unix { source, destination, transport })
}

/// A path ends at its trailing NULs; an abstract name begins with one, which stays.
fn trimmed(path: &[u8]) -> &[u8] {
    let end = path.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    &path[..end]
}
