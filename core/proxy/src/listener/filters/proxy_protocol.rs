//! The PROXY header in front of a connection: whose connection it is.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ringway_model::address::Address;
use ringway_model::listener::{ProxyProtocol, TlvText};
use ringway_model::stats::ProxyProtocolVersionStats;
use ringway_preamble::Progress;
use ringway_preamble::proxy::{self, Addresses, Header, MAX_V2, ProxyError, Tlvs, Version};
use ringway_runtime::listener::canonical;

use super::{Peek, Verdict};

impl Peek<'_> {
    /// Envoy's proxy_protocol.
    pub(super) fn proxy_protocol(&mut self, config: &ProxyProtocol) -> Verdict {
        let bytes = std::mem::take(&mut self.bytes);
        let (verdict, used) = match proxy::parse(&bytes, MAX_V2) {
            Ok(Progress::NeedMore(_)) if self.passes_unread(config, &bytes) => {
                (self.without_header(config), 0)
            }
            Ok(Progress::NeedMore(_)) => (Verdict::More, 0),
            Ok(Progress::Done(header, used)) => self.header(config, &header, used),
            Err(ProxyError::NotProxy) => (self.without_header(config), 0),
            Err(_) => (self.malformed(config, &bytes), 0),
        };
        self.bytes = bytes;
        self.bytes.consume(used);
        verdict
    }

    /// Whether the bytes begin like a version that is not looked for: `disallowed_versions` beside
    /// `allow_requests_without_proxy_protocol`.
    fn passes_unread(&self, config: &ProxyProtocol, bytes: &[u8]) -> bool {
        let refused = match bytes.first() {
            None => false,
            Some(b'P') => config.refuse_v1,
            Some(_) => config.refuse_v2,
        };
        config.optional && refused
    }

    fn without_header(&self, config: &ProxyProtocol) -> Verdict {
        if config.optional {
            self.page.inc(config.stats.not_found_allowed);
            return Verdict::Next;
        }
        self.page.inc(config.stats.not_found_disallowed);
        self.page.inc(config.errors);
        Verdict::Close
    }

    /// It began like a header of one version, which the first byte tells.
    fn malformed(&self, config: &ProxyProtocol, bytes: &[u8]) -> Verdict {
        if self.passes_unread(config, bytes) {
            return self.without_header(config);
        }
        let stats = if bytes.first() == Some(&b'P') { &config.v1 } else { &config.v2 };
        self.error(config, stats)
    }

    fn error(&self, config: &ProxyProtocol, stats: &ProxyProtocolVersionStats) -> Verdict {
        self.page.inc(stats.error);
        self.page.inc(config.errors);
        Verdict::Close
    }

    /// A whole header. Returns how many bytes of it are not part of the conversation.
    fn header(
        &mut self,
        config: &ProxyProtocol,
        header: &Header<'_>,
        used: usize,
    ) -> (Verdict, usize) {
        let (stats, refused) = match header.version {
            Version::V1 => (&config.v1, config.refuse_v1),
            Version::V2 => (&config.v2, config.refuse_v2),
        };
        if refused && config.optional {
            return (self.without_header(config), 0);
        }
        if refused {
            self.page.inc(stats.disallowed);
            self.page.inc(config.errors);
            return (Verdict::Close, 0);
        }
        if let Addresses::Inet { source, destination, .. } = header.addresses {
            // As in Envoy: no TCP connection has such an end.
            if !is_unicast(source.ip()) || !is_unicast(destination.ip()) {
                return (self.error(config, stats), 0);
            }
            self.take_addresses(source, destination);
        }
        self.page.inc(stats.found);
        self.take_tlvs(config, &header.tlvs);
        (Verdict::Next, used)
    }

    fn take_addresses(&mut self, source: SocketAddr, destination: SocketAddr) {
        self.found.remote = Some(Address::Ip(canonical(source)));
        self.info.redirect(Address::Ip(canonical(destination)));
    }

    fn take_tlvs(&mut self, config: &ProxyProtocol, tlvs: &Tlvs<'_>) {
        let passed = tlvs.iter().filter(|tlv| config.pass.takes(tlv.kind));
        self.found.tlvs = Some(passed.map(|tlv| (tlv.kind, tlv.value.into())).collect());
        for tlv in tlvs.iter() {
            let rule = config.rules.iter().find(|rule| rule.kind == tlv.kind);
            if let Some(rule) = rule {
                let (namespace, key) = (Arc::clone(&rule.namespace), Arc::clone(&rule.key));
                let text = text(rule.text, tlv.value).into();
                self.found.metadata.push((namespace, key, text));
            }
        }
    }
}

fn is_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    !ip.is_unspecified() && !ip.is_multicast() && !broadcast
}

fn text(encoding: TlvText, value: &[u8]) -> String {
    match encoding {
        TlvText::SanitizedUtf8 => sanitized(value),
        TlvText::Base64 => base64(value),
    }
}

/// Each byte that is part of no character becomes one `!`, as in Envoy.
fn sanitized(value: &[u8]) -> String {
    let mut text = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(chunk.invalid().iter().map(|_| '!'));
    }
    text
}

/// RFC 4648 section 4, with padding.
fn base64(value: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(value.len().div_ceil(3) * 4);
    for group in value.chunks(3) {
        let byte = |at: usize| u32::from(group.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for at in 0..4 {
            let digit = DIGITS[(bits >> (18 - 6 * at) & 63) as usize];
            text.push(if at <= group.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_become_text() {
        assert_eq!(base64(b""), "");
        assert_eq!(base64(b"f"), "Zg==");
        assert_eq!(base64(b"fo"), "Zm8=");
        assert_eq!(base64(b"foob\xff\xfe"), "Zm9vYv/+");
        assert_eq!(sanitized(b"a\xff\xc3b"), "a!!b");
    }

    #[test]
    fn no_connection_comes_from_a_group() {
        for ip in ["0.0.0.0", "224.0.0.1", "255.255.255.255", "::", "ff02::1"] {
            assert!(!is_unicast(ip.parse().unwrap()), "{ip}");
        }
        assert!(is_unicast("::1".parse().unwrap()));
    }
}
