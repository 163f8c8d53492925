//! What TLS knows of either side: `%DOWNSTREAM_TLS_VERSION%`, `%UPSTREAM_PEER_SUBJECT%`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use ringway_tls::certificate::{Names, write_hex};
use ringway_tls::{Certificate, Handshake, write_escaped_pem};

use super::operator::{ip, text_of};
use super::time::TimeFormat;

/// What is asked of a handshake.
#[derive(Debug)]
pub(super) enum TlsValue {
    Version,
    Cipher,
    Group,
    SessionId,
    /// The name that we sent.
    ServerName,
    /// The peer's certificate.
    Peer(Part),
    /// Our own.
    Local(Part),
    /// Each certificate that the peer showed.
    PeerChain(Part),
    /// The one that has signed the peer's, if they were verified.
    PeerIssuer(Part),
    PeerPem,
    PeerStart(TimeFormat),
    PeerEnd(TimeFormat),
}

/// What is asked of a certificate.
#[derive(Debug, Clone, Copy)]
pub(super) enum Part {
    Subject,
    Issuer,
    Serial,
    Sha1,
    Sha256,
    DnsNames,
    UriNames,
    EmailNames,
    IpNames,
    OtherNames,
}

/// The value of that name without its side, `DOWNSTREAM_` or `UPSTREAM_`.
pub(super) fn value(side: Side, name: &str) -> Option<TlsValue> {
    let common = match name {
        "TLS_VERSION" => TlsValue::Version,
        "TLS_CIPHER" => TlsValue::Cipher,
        "TLS_GROUP" => TlsValue::Group,
        "TLS_SESSION_ID" => TlsValue::SessionId,
        "PEER_CERT" => TlsValue::PeerPem,
        "PEER_SUBJECT" => TlsValue::Peer(Part::Subject),
        "PEER_ISSUER" => TlsValue::Peer(Part::Issuer),
        "PEER_DNS_SAN" => TlsValue::Peer(Part::DnsNames),
        "PEER_URI_SAN" => TlsValue::Peer(Part::UriNames),
        "PEER_IP_SAN" => TlsValue::Peer(Part::IpNames),
        "LOCAL_DNS_SAN" => TlsValue::Local(Part::DnsNames),
        "LOCAL_URI_SAN" => TlsValue::Local(Part::UriNames),
        "LOCAL_IP_SAN" => TlsValue::Local(Part::IpNames),
        _ => return of_one_side(side, name),
    };
    Some(common)
}

/// Which connection is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Downstream,
    Upstream,
}

/// Envoy knows less of upstreams.
fn of_one_side(side: Side, name: &str) -> Option<TlsValue> {
    Some(match (side, name) {
        (Side::Upstream, "SERVER_NAME") => TlsValue::ServerName,
        (Side::Upstream, _) => return None,
        (_, "PEER_SERIAL") => TlsValue::Peer(Part::Serial),
        (_, "PEER_FINGERPRINT_1") => TlsValue::Peer(Part::Sha1),
        (_, "PEER_FINGERPRINT_256") => TlsValue::Peer(Part::Sha256),
        (_, "PEER_EMAIL_SAN") => TlsValue::Peer(Part::EmailNames),
        (_, "PEER_CHAIN_FINGERPRINTS_1") => TlsValue::PeerChain(Part::Sha1),
        (_, "PEER_CHAIN_FINGERPRINTS_256") => TlsValue::PeerChain(Part::Sha256),
        (_, "PEER_CHAIN_SERIALS") => TlsValue::PeerChain(Part::Serial),
        (_, "PEER_ISSUER_FINGERPRINT_256") => TlsValue::PeerIssuer(Part::Sha256),
        (_, "PEER_ISSUER_SERIAL") => TlsValue::PeerIssuer(Part::Serial),
        (_, "PEER_OTHERNAME_SAN") => TlsValue::Peer(Part::OtherNames),
        (_, "LOCAL_OTHERNAME_SAN") => TlsValue::Local(Part::OtherNames),
        (_, "LOCAL_SUBJECT") => TlsValue::Local(Part::Subject),
        (_, "LOCAL_EMAIL_SAN") => TlsValue::Local(Part::EmailNames),
        _ => return None,
    })
}

impl TlsValue {
    /// Appends the value; false when there is none.
    pub(super) fn write(&self, handshake: Option<&Handshake>, out: &mut Vec<u8>) -> bool {
        let Some(handshake) = handshake else { return false };
        let text = |value: Option<&str>, out: &mut Vec<u8>| text_of(value.map(str::as_bytes), out);
        let peer = &handshake.peer;
        match self {
            Self::Version => text(handshake.version, out),
            Self::Cipher => text(handshake.cipher, out),
            Self::Group => text(handshake.group, out),
            Self::SessionId => written(out, |out| write_hex(&handshake.session_id, out)),
            Self::ServerName => text(handshake.server_name.as_deref(), out),
            Self::Peer(part) => of(peer.leaf(), *part, out),
            Self::Local(part) => of(handshake.local.as_deref(), *part, out),
            Self::PeerChain(part) => joined(peer.certificates(), out, |one, out| {
                part.write(one, out);
            }),
            Self::PeerIssuer(part) => of(peer.issuer.as_ref(), *part, out),
            Self::PeerPem => match peer.chain.first() {
                Some(leaf) => {
                    write_escaped_pem(leaf, out);
                    true
                }
                None => false,
            },
            Self::PeerStart(format) => {
                time(peer.leaf().map(|leaf| leaf.not_before_unix_s), format, out)
            }
            Self::PeerEnd(format) => {
                time(peer.leaf().map(|leaf| leaf.not_after_unix_s), format, out)
            }
        }
    }
}

fn of(certificate: Option<&Certificate>, part: Part, out: &mut Vec<u8>) -> bool {
    certificate.is_some_and(|certificate| written(out, |out| part.write(certificate, out)))
}

/// Whether anything was written: an empty value is none.
fn written(out: &mut Vec<u8>, write: impl FnOnce(&mut Vec<u8>)) -> bool {
    let start = out.len();
    write(out);
    out.len() > start
}

fn joined<T>(list: &[T], out: &mut Vec<u8>, mut write: impl FnMut(&T, &mut Vec<u8>)) -> bool {
    written(out, |out| {
        for (index, item) in list.iter().enumerate() {
            if index > 0 {
                out.push(b',');
            }
            write(item, out);
        }
    })
}

fn time(unix_s: Option<i64>, format: &TimeFormat, out: &mut Vec<u8>) -> bool {
    let Some(seconds) = unix_s else { return false };
    // Certificates of before 1970 are shown as of then.
    let since = Duration::from_secs(u64::try_from(seconds).unwrap_or(0));
    let at: SystemTime = UNIX_EPOCH + since;
    format.write(at, out);
    true
}

impl Part {
    fn write(self, certificate: &Certificate, out: &mut Vec<u8>) {
        let Names { dns, uri, email, ip: addresses, other } = &certificate.names;
        let texts = |list: &[String], out: &mut Vec<u8>| {
            joined(list, out, |text, out| out.extend_from_slice(text.as_bytes()));
        };
        match self {
            Self::Subject => out.extend_from_slice(certificate.subject.as_bytes()),
            Self::Issuer => out.extend_from_slice(certificate.issuer.as_bytes()),
            Self::Serial => out.extend_from_slice(certificate.serial.as_bytes()),
            Self::Sha1 => write_hex(&certificate.sha1, out),
            Self::Sha256 => write_hex(&certificate.sha256, out),
            Self::DnsNames => texts(dns, out),
            Self::UriNames => texts(uri, out),
            Self::EmailNames => texts(email, out),
            Self::IpNames => {
                joined(addresses, out, |address, out| ip(*address, out));
            }
            Self::OtherNames => {
                joined(other, out, |(_, text), out| out.extend_from_slice(text.as_bytes()));
            }
        }
    }
}
