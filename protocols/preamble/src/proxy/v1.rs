//! Version 1: one line of text (proxy-protocol.txt section 2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

use super::{Addresses, Header, MAX_V1, ProxyError, Tlvs, Transport, Version, inet, signature};
use crate::Progress;

const SIGNATURE: &[u8] = b"PROXY ";

pub(super) fn parse(bytes: &[u8]) -> Result<Progress<Header<'_>>, ProxyError> {
    if let Some(missing) = signature(bytes, SIGNATURE)? {
        return Ok(Progress::NeedMore(missing));
    }
    let window = &bytes[..bytes.len().min(MAX_V1)];
    let Some(end) = window.windows(2).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_V1 {
            Ok(Progress::NeedMore(1))
        } else {
            Err(ProxyError::LineTooLong)
        };
    };
    let line = std::str::from_utf8(&window[SIGNATURE.len()..end]);
    let addresses = line.ok().and_then(addresses).ok_or(ProxyError::MalformedLine)?;
    let header = Header { version: Version::V1, addresses, tlvs: Tlvs::none() };
    Ok(Progress::Done(header, end + 2))
}

fn addresses(line: &str) -> Option<Addresses<'static>> {
    let mut words = line.split(' ');
    match words.next()? {
        // The receiver must ignore anything after UNKNOWN.
        "UNKNOWN" => Some(Addresses::Unknown),
        "TCP4" => pair::<Ipv4Addr>(words),
        "TCP6" => pair::<Ipv6Addr>(words),
        _ => None,
    }
}

fn pair<'a, A: FromStr + Into<IpAddr>>(
    mut words: impl Iterator<Item = &'a str>,
) -> Option<Addresses<'static>> {
    let mut address = || words.next()?.parse::<A>().ok().map(Into::into);
    let (source, destination) = (address()?, address()?);
    let (source_port, destination_port) = (port(words.next()?)?, port(words.next()?)?);
    let end = words.next().is_none();
    end.then(|| inet((source, source_port), (destination, destination_port), Transport::Stream))
}

/// Decimal, without the sign and the leading zeros that `u16::from_str` would let pass.
fn port(word: &str) -> Option<u16> {
    let plain = word == "0" || !word.starts_with(['+', '0']);
    plain.then(|| word.parse().ok())?
}
