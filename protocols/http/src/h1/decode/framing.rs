//! How long the body of a message is, and what `connection` asks for.

use crate::{Fields, Known, Version};

/// What the framing fields of one head said, gathered in one pass over its fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    /// The last `content-length` that is a number.
    pub(super) length: Option<u64>,
    /// A `content-length` that is not one number, or a second one. RFC 9112 section 6.3 allows to
    /// accept equal duplicates; Envoy and this engine do not.
    pub(super) bad_length: bool,
    /// Number of `transfer-encoding` lines.
    pub(super) coding_lines: u32,
    /// The one coding is exactly `chunked`.
    pub(super) chunked: bool,
}

impl FramingFields {
    #[inline]
    pub(super) fn see(&mut self, known: Known, value: &[u8]) {
        match known {
            Known::ContentLength => self.content_length(value),
            Known::TransferEncoding => self.transfer_encoding(value),
            _ => {}
        }
    }

    fn content_length(&mut self, value: &[u8]) {
        let length = parse_length(value);
        self.bad_length |= length.is_none() || self.length.is_some();
        self.length = length.or(self.length);
    }

    fn transfer_encoding(&mut self, value: &[u8]) {
        self.coding_lines += 1;
        self.chunked = self.coding_lines == 1 && value.eq_ignore_ascii_case(b"chunked");
    }

    pub(super) fn has_coding(&self) -> bool {
        self.coding_lines > 0
    }
}

/// RFC 9110 section 8.6: `1*DIGIT`, nothing else, within 64 bits.
fn parse_length(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    let mut length: u64 = 0;
    for byte in value {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        length = length.checked_mul(10)?.checked_add(u64::from(digit))?;
    }
    Some(length)
}

/// What `connection` asks for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionTokens {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl ConnectionTokens {
    pub(super) fn of(fields: &Fields) -> Self {
        let mut tokens = Self::default();
        for value in fields.values_known(Known::Connection) {
            tokens.read(value);
        }
        // Not in any RFC, but Envoy closes for old clients that say so to a proxy.
        let proxy = fields.known(Known::ProxyConnection);
        tokens.close |= proxy.is_some_and(|value| value.eq_ignore_ascii_case(b"close"));
        tokens
    }

    fn read(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 section 9.3.
    pub(super) fn persists(self, version: Version) -> bool {
        !self.close && (version != Version::Http10 || self.keep_alive)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths() {
        assert_eq!(parse_length(b"0"), Some(0));
        assert_eq!(parse_length(b"00012"), Some(12));
        assert_eq!(parse_length(b"18446744073709551615"), Some(u64::MAX));
        let bad =
            ["", " ", "+1", "-1", "0x1", "1 ", "1,1", "1.0", "18446744073709551616", "\u{661}"];
        for value in bad {
            assert_eq!(parse_length(value.as_bytes()), None, "{value:?}");
        }
    }

    #[test]
    fn connection_tokens_are_a_list_in_any_case() {
        let mut fields = Fields::new();
        fields.push(b"connection", b"Keep-Alive ,\tUPGRADE, x-close");
        let tokens = ConnectionTokens::of(&fields);
        assert!(tokens.keep_alive && tokens.upgrade && !tokens.close);
        fields.push(b"connection", b"close");
        assert!(ConnectionTokens::of(&fields).close);
    }

    #[test]
    fn persistence_by_version() {
        let ask = |connection: &str, version| {
            let mut fields = Fields::new();
            fields.push(b"connection", connection.as_bytes());
            ConnectionTokens::of(&fields).persists(version)
        };
        assert!(ask("", Version::Http11));
        assert!(!ask("", Version::Http10));
        assert!(ask("keep-alive", Version::Http10));
        assert!(!ask("keep-alive, close", Version::Http10));
        assert!(!ask("close", Version::Http11));
    }

    #[test]
    fn proxy_connection_can_only_close() {
        let mut fields = Fields::new();
        fields.push(b"proxy-connection", b"keep-alive");
        assert!(!ConnectionTokens::of(&fields).persists(Version::Http10));
        fields.set(b"proxy-connection", b"Close");
        assert!(!ConnectionTokens::of(&fields).persists(Version::Http11));
    }
}
