//! Certificates as they stand in headers and logs: PEM, escaped as in a URL.

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
/// Bytes in a line of 64 characters (RFC 7468 section 2).
const LINE: usize = 48;

/// Appends a certificate as PEM with its line ends, blanks and `+ / =` escaped, as Envoy does in
/// `x-forwarded-client-cert`.
pub fn write_escaped_pem(der: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"-----BEGIN%20CERTIFICATE-----%0A");
    for line in der.chunks(LINE) {
        for three in line.chunks(3) {
            write_three(three, &ESCAPED, out);
        }
        out.extend_from_slice(b"%0A");
    }
    out.extend_from_slice(b"-----END%20CERTIFICATE-----%0A");
}

/// Appends a certificate as PEM.
pub(crate) fn write_pem(der: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(b"-----BEGIN CERTIFICATE-----\n");
    for line in der.chunks(LINE) {
        for three in line.chunks(3) {
            write_three(three, &PLAIN, out);
        }
        out.push(b'\n');
    }
    out.extend_from_slice(b"-----END CERTIFICATE-----\n");
}

/// How `+`, `/` and `=` are written.
const ESCAPED: [&[u8]; 3] = [b"%2B", b"%2F", b"%3D"];
const PLAIN: [&[u8]; 3] = [b"+", b"/", b"="];

fn write_three(three: &[u8], [plus, slash, pad]: &[&[u8]; 3], out: &mut Vec<u8>) {
    let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
    let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
    for at in 0..4 {
        if at > three.len() {
            out.extend_from_slice(pad);
            continue;
        }
        match ALPHABET[(bits >> (18 - 6 * at) & 63) as usize] {
            b'+' => out.extend_from_slice(plus),
            b'/' => out.extend_from_slice(slash),
            letter => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::write_escaped_pem;

    #[test]
    fn lines_have_64_characters_and_what_a_url_cannot_hold_is_escaped() {
        let mut out = Vec::new();
        let mut der = vec![0; 48];
        der.extend([0xfb, 0xff]);
        write_escaped_pem(&der, &mut out);
        let zeros = "A".repeat(64);
        let expected = format!(
            "-----BEGIN%20CERTIFICATE-----%0A{zeros}%0A%2B%2F8%3D%0A-----END%20CERTIFICATE-----%0A"
        );
        assert_eq!(String::from_utf8(out), Ok(expected));
    }
}
