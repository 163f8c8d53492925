//! How long the body of a message is: `content-length` and `transfer-encoding`.

/// What the framing fields of one head said, gathered in one pass over its fields.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct FramingFields {
    pub(super) length: Option<u64>,
    pub(super) length_lines: u32,
    /// A `content-length` that is not one number.
    pub(super) bad_length: bool,
    pub(super) coding_lines: u32,
    /// All codings were exactly `chunked`, once.
    pub(super) chunked: bool,
}

impl FramingFields {
    pub(super) fn content_length(&mut self, value: &[u8]) {
        self.length_lines += 1;
        match parse_length(value) {
            Some(length) => self.length = Some(length),
            None => self.bad_length = true,
        }
    }

    pub(super) fn transfer_encoding(&mut self, value: &[u8]) {
        self.coding_lines += 1;
        self.chunked = self.coding_lines == 1 && value.eq_ignore_ascii_case(b"chunked");
    }

    /// RFC 9112 section 6.3 allows to accept equal duplicates; Envoy and this engine do not.
    pub(super) fn is_length_invalid(&self) -> bool {
        self.bad_length || self.length_lines > 1
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

/// What `connection` fields ask for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConnectionTokens {
    pub(super) close: bool,
    pub(super) keep_alive: bool,
    pub(super) upgrade: bool,
}

impl ConnectionTokens {
    pub(super) fn read(&mut self, value: &[u8]) {
        for token in value.split(|byte| *byte == b',') {
            let token = token.trim_ascii();
            self.close |= token.eq_ignore_ascii_case(b"close");
            self.keep_alive |= token.eq_ignore_ascii_case(b"keep-alive");
            self.upgrade |= token.eq_ignore_ascii_case(b"upgrade");
        }
    }

    /// RFC 9112 section 9.3.
    pub(super) fn persists(&self, version: crate::Version) -> bool {
        match version {
            crate::Version::Http10 => self.keep_alive && !self.close,
            _ => !self.close,
        }
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
        for bad in
            ["", " ", "+1", "-1", "0x1", "1 ", "1,1", "1.0", "18446744073709551616", "\u{661}"]
        {
            assert_eq!(parse_length(bad.as_bytes()), None, "{bad:?}");
        }
    }

    #[test]
    fn connection_tokens_are_a_list_in_any_case() {
        let mut tokens = ConnectionTokens::default();
        tokens.read(b"Keep-Alive ,\tUPGRADE, x-close");
        assert!(tokens.keep_alive && tokens.upgrade && !tokens.close);
        tokens.read(b"close");
        assert!(tokens.close);
    }
}
