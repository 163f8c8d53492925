//! The name and the port in what a client has sent: hostile bytes.

use std::sync::Arc;

/// The longest name in bytes (RFC 1035 section 2.3.4), without the dot at its end.
const NAME_MAX: usize = 253;
/// The longest part of a name between two dots.
const LABEL_MAX: usize = 63;

/// A host with or without a port, as it stands in `:authority`, `host` or a ClientHello.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    text: &'a [u8],
    host: &'a [u8],
    port: Option<u16>,
    default_port: u16,
}

/// A name that may be asked for, and the port that belongs to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostName {
    /// What it is known by: the authority, with the port where it has none. Upper and lower case
    /// are different, as in Envoy.
    pub key: Arc<str>,
    /// The name, or an address without brackets.
    pub host: Box<str>,
    /// The port.
    pub port: u16,
}

impl<'a> Authority<'a> {
    /// Takes an authority apart as Envoy does: what stands behind the last colon is a port if it
    /// can be one, and else a part of the name.
    pub fn new(text: &'a [u8], default_port: u16) -> Self {
        let colon = text.iter().rposition(|byte| *byte == b':');
        let colon = colon.filter(|_| text.last() != Some(&b']'));
        let split = colon.and_then(|at| Some((&text[..at], port(&text[at + 1..])?)));
        match split {
            Some((host, port)) => Self { text, host, port: Some(port), default_port },
            None => Self { text, host: text, port: None, default_port },
        }
    }

    /// A name that brings no port, and must not.
    pub fn of_name(name: &'a [u8], port: u16) -> Self {
        Self { text: name, host: name, port: None, default_port: port }
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.text.is_empty()
    }

    /// Hands [`HostName::key`] to `read` without an allocation where the port is in the text.
    pub fn with_key<T>(&self, read: impl FnOnce(&[u8]) -> T) -> T {
        if self.port.is_some() {
            return read(self.text);
        }
        let mut key = Vec::with_capacity(self.text.len() + 6);
        key.extend_from_slice(self.text);
        key.push(b':');
        key.extend_from_slice(self.default_port.to_string().as_bytes());
        read(&key)
    }

    /// The name, if it can be one: labels of letters, digits and what else host names are made
    /// of, none of them too long; or an address.
    pub fn to_name(self) -> Option<HostName> {
        let host = bare(self.host);
        let host = std::str::from_utf8(host).ok()?;
        let is_address = host.parse::<std::net::IpAddr>().is_ok();
        if !is_address && !is_name(host) {
            return None;
        }
        let key = self.with_key(|key| std::str::from_utf8(key).map(Arc::from)).ok()?;
        let port = self.port.unwrap_or(self.default_port);
        Some(HostName { key, host: host.into(), port })
    }
}

impl HostName {
    /// The name without the dot at its end, for a handshake; `None` for an address.
    pub fn server_name(&self) -> Option<&str> {
        let is_address = self.host.parse::<std::net::IpAddr>().is_ok();
        (!is_address).then(|| self.host.strip_suffix('.').unwrap_or(&self.host))
    }
}

fn port(text: &[u8]) -> Option<u16> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    std::str::from_utf8(text).ok().filter(|_| digits)?.parse().ok()
}

/// An IPv6 address without its brackets.
fn bare(host: &[u8]) -> &[u8] {
    host.strip_prefix(b"[").and_then(|rest| rest.strip_suffix(b"]")).unwrap_or(host)
}

fn is_name(host: &str) -> bool {
    let host = host.strip_suffix('.').unwrap_or(host);
    host.len() <= NAME_MAX && host.split('.').all(is_label)
}

fn is_label(label: &str) -> bool {
    let is_known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    (1..=LABEL_MAX).contains(&label.len()) && label.bytes().all(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> Option<(String, String, u16)> {
        let name = Authority::new(text.as_bytes(), 80).to_name()?;
        Some((name.key.to_string(), name.host.into_string(), name.port))
    }

    fn some(key: &str, host: &str, port: u16) -> Option<(String, String, u16)> {
        Some((key.to_owned(), host.to_owned(), port))
    }

    #[test]
    fn a_port_is_added_where_there_is_none() {
        assert_eq!(name("a.test"), some("a.test:80", "a.test", 80));
        assert_eq!(name("A_b.test.:8080"), some("A_b.test.:8080", "A_b.test.", 8080));
        assert_eq!(name("[::1]"), some("[::1]:80", "::1", 80));
        assert_eq!(name("[::1]:443"), some("[::1]:443", "::1", 443));
        assert_eq!(name("127.0.0.1:1"), some("127.0.0.1:1", "127.0.0.1", 1));
        let sni = Authority::of_name(b"a.test", 443).to_name().expect("a name");
        assert_eq!((&*sni.key, sni.port), ("a.test:443", 443));
    }

    #[test]
    fn what_is_no_name_is_none() {
        let long = "a".repeat(64);
        let longest = format!("{}:1", ["a".repeat(63).as_str(); 4].join("."));
        let all =
            ["", ".", "a..b", ":80", "a.test:99999", "a.test:+1", "a b", "ex%20y", "a/b", "é"];
        for text in all.into_iter().chain([long.as_str(), &longest]) {
            assert_eq!(name(text), None, "{text}");
        }
        assert!(Authority::new(b"\xff\xfe:80", 80).to_name().is_none());
        assert!(Authority::of_name(b"a.test:443", 80).to_name().is_none());
    }

    #[test]
    fn a_handshake_names_no_address() {
        let server_name = |text: &str| {
            let name = Authority::new(text.as_bytes(), 80).to_name().expect("a name");
            name.server_name().map(str::to_owned)
        };
        assert_eq!(server_name("a.test.:1").as_deref(), Some("a.test"));
        assert_eq!(server_name("[::1]:1"), None);
        assert_eq!(server_name("127.0.0.1"), None);
    }
}
