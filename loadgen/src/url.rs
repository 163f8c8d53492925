//! The URLs of the command line and of request files.

use std::fmt;

/// What is spoken, and whether through TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Scheme {
    pub(crate) speaks: Speaks,
    pub(crate) tls: bool,
}

/// What a URL says of the protocol; whether HTTP is 1.1 or 2 it does not say.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Speaks {
    Http,
    /// Calls, which are requests of HTTP/2.
    Grpc,
    WebSocket,
    /// Bytes there and back.
    Tcp,
    /// Datagrams there and back.
    Udp,
}

const SCHEMES: [(&str, Scheme); 9] = [
    ("http", Scheme { speaks: Speaks::Http, tls: false }),
    ("https", Scheme { speaks: Speaks::Http, tls: true }),
    ("grpc", Scheme { speaks: Speaks::Grpc, tls: false }),
    ("grpcs", Scheme { speaks: Speaks::Grpc, tls: true }),
    ("ws", Scheme { speaks: Speaks::WebSocket, tls: false }),
    ("wss", Scheme { speaks: Speaks::WebSocket, tls: true }),
    ("tcp", Scheme { speaks: Speaks::Tcp, tls: false }),
    ("tls", Scheme { speaks: Speaks::Tcp, tls: true }),
    ("udp", Scheme { speaks: Speaks::Udp, tls: false }),
];

impl Scheme {
    fn parse(text: &str) -> Option<Self> {
        SCHEMES.iter().find(|(name, _)| text.eq_ignore_ascii_case(name)).map(|(_, scheme)| *scheme)
    }

    /// As a URL begins, and as HTTP/2 names it where it is one of HTTP's.
    pub(crate) fn name(self) -> &'static str {
        SCHEMES.iter().find(|(_, scheme)| *scheme == self).map_or("http", |(name, _)| name)
    }

    /// The port of a URL that names none.
    fn usual_port(self) -> Option<u16> {
        match (self.speaks, self.tls) {
            (Speaks::Tcp | Speaks::Udp, _) => None,
            (_, false) => Some(80),
            (_, true) => Some(443),
        }
    }
}

/// Where a request goes and what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Url {
    pub(crate) scheme: Scheme,
    pub(crate) authority: Authority,
    /// Path and query; begins with `/`.
    pub(crate) path: String,
}

/// Host and port, as written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Authority {
    /// A name or an address, IPv6 without brackets.
    pub(crate) host: String,
    pub(crate) port: u16,
    /// Nobody names it.
    is_usual: bool,
}

impl fmt::Display for Authority {
    /// The form of the `host` field: without the port when it is the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bracketed = self.host.contains(':');
        let (open, close) = if bracketed { ("[", "]") } else { ("", "") };
        write!(f, "{open}{}{close}", self.host)?;
        if self.is_usual { Ok(()) } else { write!(f, ":{}", self.port) }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}", self.scheme.name(), self.authority, self.path)
    }
}

impl Url {
    /// Reads `http://host:port/path?query`; the scheme and the path may be missing.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let (scheme, rest) = text.split_once("://").unwrap_or(("http", text));
        let scheme = Scheme::parse(scheme).ok_or_else(|| {
            let known: Vec<&str> = SCHEMES.iter().map(|(name, _)| *name).collect();
            format!("`{text}`: the scheme `{scheme}` is not one of {}", known.join(", "))
        })?;
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(end);
        let authority = parse_authority(authority, scheme.usual_port());
        let authority = authority.map_err(|error| format!("`{text}`: {error}"))?;
        Ok(Self {
            scheme,
            authority,
            path: parse_path(path).map_err(|e| format!("`{text}`: {e}"))?,
        })
    }

    /// This URL with another path, or a URL of its own when `text` has a scheme.
    pub(crate) fn join(&self, text: &str) -> Result<Self, String> {
        if text.starts_with('/') {
            return Ok(Self { path: parse_path(text)?, ..self.clone() });
        }
        if text.contains("://") { Self::parse(text) } else { Err(format!("`{text}` is no path")) }
    }
}

fn parse_path(text: &str) -> Result<String, String> {
    let path = text.split('#').next().unwrap_or_default();
    if let Some(bad) = path.chars().find(|c| c.is_control() || *c == ' ') {
        return Err(format!("{bad:?} must be percent-encoded"));
    }
    Ok(if path.starts_with('/') { path.to_owned() } else { format!("/{path}") })
}

fn parse_authority(text: &str, usual: Option<u16>) -> Result<Authority, String> {
    if text.contains('@') {
        return Err("user names in a URL are not supported: use -H 'authorization: ...'".to_owned());
    }
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("a `[` without `]`")?;
            (host, port.strip_prefix(':').unwrap_or(port))
        }
        None => text.split_once(':').unwrap_or((text, "")),
    };
    if host.is_empty() || host.chars().any(|c| c.is_control() || c.is_whitespace()) {
        return Err("it names no host".to_owned());
    }
    let port = match port {
        "" => usual.ok_or("it names no port")?,
        port => port.parse().map_err(|_| format!("`{port}` is no port"))?,
    };
    Ok(Authority { host: host.to_owned(), port, is_usual: Some(port) == usual })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_read_and_shown() {
        let shown = |text| Url::parse(text).expect(text).to_string();
        assert_eq!(shown("http://127.0.0.1:8080"), "http://127.0.0.1:8080/");
        assert_eq!(shown("127.0.0.1:8080/a?b=c#d"), "http://127.0.0.1:8080/a?b=c");
        assert_eq!(shown("http://[::1]:80?x"), "http://[::1]/?x");
        assert_eq!(shown("HTTP://host/"), "http://host/");
        assert_eq!(shown("https://host:443/"), "https://host/");
        assert_eq!(shown("wss://host:80/x"), "wss://host:80/x");
        assert_eq!(shown("grpc://host/a.B/C"), "grpc://host/a.B/C");
        assert_eq!(shown("tcp://host:5"), "tcp://host:5/");
        assert_eq!(shown("udp://host:53"), "udp://host:53/");
    }

    #[test]
    fn other_urls_are_refused_with_a_reason() {
        for (text, part) in [
            ("ftp://host/", "`ftp` is not one of http, https, grpc"),
            ("tcp://host/", "names no port"),
            ("udp://host/", "names no port"),
            ("http://", "names no host"),
            ("http://host:99999/", "`99999` is no port"),
            ("http://a@host/", "user names"),
            ("http://host/a b", "percent-encoded"),
            ("http://[::1/", "without `]`"),
        ] {
            let error = Url::parse(text).expect_err(text);
            assert!(error.contains(part), "{error}");
        }
    }

    #[test]
    fn paths_join() {
        let base = Url::parse("http://host:81/base").expect("a URL");
        assert_eq!(base.join("/x").expect("joined").to_string(), "http://host:81/x");
        assert_eq!(base.join("http://b/x").expect("joined").to_string(), "http://b/x");
        assert!(base.join("x").is_err());
    }
}
