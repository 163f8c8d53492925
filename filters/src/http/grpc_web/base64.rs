//! Base64 (RFC 4648 section 4) of bodies that come in pieces.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// Encodes three bytes at a time; up to two wait for the next piece.
#[derive(Debug, Default)]
pub(super) struct Encoder {
    waiting: [u8; 2],
    have: usize,
}

impl Encoder {
    /// Appends the encoding of what is complete.
    pub(super) fn push(&mut self, bytes: &[u8], out: &mut Vec<u8>) {
        for &byte in bytes {
            if self.have < 2 {
                self.waiting[self.have] = byte;
                self.have += 1;
            } else {
                let [first, second] = self.waiting;
                put(&[first, second, byte], out);
                self.have = 0;
            }
        }
    }

    /// Appends the rest, padded.
    pub(super) fn finish(&mut self, out: &mut Vec<u8>) {
        let have = std::mem::take(&mut self.have);
        put(&self.waiting[..have], out);
    }
}

/// One to three bytes as four characters; none as none.
fn put(bytes: &[u8], out: &mut Vec<u8>) {
    if bytes.is_empty() {
        return;
    }
    let byte = |at: usize| u32::from(bytes.get(at).copied().unwrap_or_default());
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for at in 0..4 {
        let sextet = bits >> (18 - 6 * at) & 63;
        // A sextet is below 64.
        out.push(if at <= bytes.len() { ALPHABET[sextet as usize] } else { b'=' });
    }
}

/// Decodes four characters at a time; up to three wait for the next piece. Padding may stand at
/// the end of any four: a text may be several that were joined.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    waiting: [u8; 4],
    have: usize,
}

/// What came is no base64.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotBase64;

impl Decoder {
    /// Appends what is complete.
    pub(super) fn push(&mut self, text: &[u8], out: &mut Vec<u8>) -> Result<(), NotBase64> {
        for &character in text {
            self.waiting[self.have] = character;
            self.have += 1;
            if self.have == 4 {
                self.have = 0;
                decode(self.waiting, out)?;
            }
        }
        Ok(())
    }

    /// Whether the text ends here as a whole.
    pub(super) fn is_complete(&self) -> bool {
        self.have == 0
    }
}

fn decode(text: [u8; 4], out: &mut Vec<u8>) -> Result<(), NotBase64> {
    let padding = text.iter().rev().take_while(|character| **character == b'=').count();
    if padding > 2 {
        return Err(NotBase64);
    }
    let mut bits = 0;
    for &character in &text[..4 - padding] {
        bits = bits << 6 | sextet(character).ok_or(NotBase64)?;
    }
    bits <<= 6 * padding;
    let bytes = bits.to_be_bytes();
    let (kept, spare) = bytes[1..].split_at(3 - padding);
    // RFC 4648 section 3.5: bits that say nothing must be zero.
    if spare.iter().any(|byte| *byte != 0) {
        return Err(NotBase64);
    }
    out.extend_from_slice(kept);
    Ok(())
}

fn sextet(character: u8) -> Option<u32> {
    let value = match character {
        b'A'..=b'Z' => character - b'A',
        b'a'..=b'z' => character - b'a' + 26,
        b'0'..=b'9' => character - b'0' + 52,
        b'+' => 62,
        b'/' => 63,
        _ => return None,
    };
    Some(u32::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded(pieces: &[&[u8]]) -> Option<Vec<u8>> {
        let (mut decoder, mut out) = (Decoder::default(), Vec::new());
        pieces.iter().try_for_each(|piece| decoder.push(piece, &mut out)).ok()?;
        decoder.is_complete().then_some(out)
    }

    /// RFC 4648 section 10.
    #[test]
    fn the_vectors_of_the_rfc_at_every_split() {
        for (plain, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ] {
            for at in 0..=plain.len() {
                let (mut encoder, mut out) = (Encoder::default(), Vec::new());
                encoder.push(&plain.as_bytes()[..at], &mut out);
                encoder.push(&plain.as_bytes()[at..], &mut out);
                encoder.finish(&mut out);
                assert_eq!(out, text.as_bytes(), "{plain} {at}");
            }
            for at in 0..=text.len() {
                let (first, second) = text.as_bytes().split_at(at);
                assert_eq!(decoded(&[first, second]), Some(plain.into()), "{text} {at}");
            }
        }
        let all: Vec<u8> = (0..=255).collect();
        let (mut encoder, mut out) = (Encoder::default(), Vec::new());
        encoder.push(&all, &mut out);
        encoder.finish(&mut out);
        assert_eq!(decoded(&[&out]), Some(all));
    }

    #[test]
    fn joined_texts_are_one() {
        assert_eq!(decoded(&[b"Zg==Zm8="]), Some(b"ffo".to_vec()));
    }

    #[test]
    fn what_is_no_base64_is_refused() {
        for text in ["Z", "Zg", "Zg=", "Z===", "====", "Zm9-", "Zm 9", "=Zg=", "Zh==", "Zm9="] {
            assert_eq!(decoded(&[text.as_bytes()]), None, "{text}");
        }
    }
}
