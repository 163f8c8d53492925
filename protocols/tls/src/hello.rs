//! What of a ClientHello must be known before rustls has judged it.

use rustls::CipherSuite;

/// Bytes of a ClientHello that is cut into pieces and kept until it is whole.
const MAX: usize = 64 << 10;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 6066 section 8.
const STATUS_REQUEST: u16 = 5;
const STATUS_TYPE_OCSP: u8 = 1;
/// RFC 8446 section 4.2.1.
const SUPPORTED_VERSIONS: u16 = 43;
const TLS_1_3: [u8; 2] = [3, 4];

/// What a client says.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Said {
    /// It asks for an OCSP response.
    pub(crate) asks_for_status: bool,
    /// It offers TLS 1.3.
    pub(crate) knows_1_3: bool,
    /// What it offers, preferred first.
    pub(crate) suites: Vec<CipherSuite>,
}

/// The first message of a client, while it comes.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    /// Empty where it comes in one piece, as nearly always.
    kept: Vec<u8>,
    is_over: bool,
}

impl Hello {
    /// Takes what comes next; tells what the client says, once, when that is whole.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> Option<Said> {
        if self.is_over {
            return None;
        }
        let mut said = None;
        if self.kept.is_empty() {
            said = read_flight(bytes);
        }
        if said.is_none() {
            self.kept.extend_from_slice(bytes);
            said = read_flight(&self.kept);
        }
        if said.is_some() || self.kept.len() > MAX {
            self.kept = Vec::new();
            self.is_over = true;
        }
        said
    }
}

/// `None` while it is not whole. What is no ClientHello says nothing.
fn read_flight(flight: &[u8]) -> Option<Said> {
    let [kind, _, _, high, low, rest @ ..] = flight else { return None };
    if *kind != HANDSHAKE {
        return Some(Said::default());
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if let Some(fragment) = rest.get(..len)
        && let Some(message) = message(fragment)
    {
        return Some(read(message).unwrap_or_default());
    }
    // RFC 8446 section 5.1: a message may be cut into several records.
    let mut joined = Vec::new();
    let mut rest = flight;
    while let [HANDSHAKE, _, _, high, low, after @ ..] = rest {
        let fragment = after.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
        joined.extend_from_slice(fragment);
        rest = &after[fragment.len()..];
        if let Some(message) = message(&joined) {
            return Some(read(message).unwrap_or_default());
        }
    }
    None
}

/// The body of a whole first message.
fn message(bytes: &[u8]) -> Option<&[u8]> {
    let [kind, high, middle, low, rest @ ..] = bytes else { return None };
    if *kind != CLIENT_HELLO {
        return Some(&[]);
    }
    let len = u32::from_be_bytes([0, *high, *middle, *low]);
    rest.get(..usize::try_from(len).ok()?)
}

/// RFC 8446 section 4.1.2; `None` when it is not of this form.
fn read(hello: &[u8]) -> Option<Said> {
    // Version and random.
    let rest = hello.get(2 + 32..)?;
    let (_session_id, rest) = vector8(rest)?;
    let (suites, rest) = vector16(rest)?;
    let suites = suites.as_chunks::<2>().0.iter().map(|pair| u16::from_be_bytes(*pair).into());
    let mut said = Said { suites: suites.collect(), ..Said::default() };
    let (_compression, rest) = vector8(rest)?;
    // TLS 1.2 knows hellos without extensions (RFC 5246 section 7.4.1.2).
    let (mut extensions, _) = vector16(rest).unwrap_or_default();
    while let [high, low, rest @ ..] = extensions {
        let (body, after) = vector16(rest)?;
        match u16::from_be_bytes([*high, *low]) {
            STATUS_REQUEST => said.asks_for_status = body.first() == Some(&STATUS_TYPE_OCSP),
            SUPPORTED_VERSIONS => said.knows_1_3 = offers_1_3(body),
            _ => {}
        }
        extensions = after;
    }
    Some(said)
}

fn offers_1_3(versions: &[u8]) -> bool {
    vector8(versions).is_some_and(|(list, _)| list.as_chunks().0.contains(&TLS_1_3))
}

fn vector8(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first()?;
    rest.split_at_checked(usize::from(*len))
}

fn vector16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(bytes: &[u8]) -> Vec<u8> {
        let len = u16::try_from(bytes.len()).expect("short").to_be_bytes();
        [&[HANDSHAKE, 3, 1], &len[..], bytes].concat()
    }

    fn hello(extensions: &[u8]) -> Vec<u8> {
        let mut body = vec![3, 3];
        body.extend([7; 32]);
        body.extend([0, 0, 2, 0x13, 1, 1, 0]);
        body.extend(u16::try_from(extensions.len()).expect("short").to_be_bytes());
        body.extend_from_slice(extensions);
        let len = u32::try_from(body.len()).expect("short").to_be_bytes();
        [&[CLIENT_HELLO], &len[1..], &body].concat()
    }

    const ASKING: &[u8] = &[0, 23, 0, 0, 0, 5, 0, 5, 1, 0, 0, 0, 0];

    #[test]
    fn a_request_is_found_however_the_hello_is_cut() {
        let message = hello(ASKING);
        let whole = record(&message);
        let mut two = record(&message[..9]);
        two.extend(record(&message[9..]));
        for flight in [&whole, &two] {
            for at in 0..=flight.len() {
                let mut hello = Hello::default();
                let said = hello.take(&flight[..at]).or_else(|| hello.take(&flight[at..]));
                assert!(said.is_some_and(|said| said.asks_for_status), "{at}");
                assert_eq!(hello.take(b"whatever follows"), None, "{at}");
                assert!(hello.kept.is_empty());
            }
        }
    }

    #[test]
    fn what_does_not_ask_asks_for_nothing() {
        let other_type = [0, 5, 0, 1, 2];
        for flight in [
            record(&hello(&[])),
            record(&hello(&other_type)),
            record(&hello(&[0, 5, 0, 9, 1])),
            record(&[2, 0, 0, 1, 5]),
            b"GET / HTTP/1.1\r\n".to_vec(),
        ] {
            let said = read_flight(&flight).expect("it is whole");
            assert!(!said.asks_for_status && !said.knows_1_3, "{flight:?}");
        }
        let mut endless = Hello::default();
        assert_eq!(endless.take(&[HANDSHAKE, 3, 1, 255, 255, CLIENT_HELLO]), None);
        for _ in 0..9 {
            assert!(endless.take(&[0; 8192]).is_none_or(|said| said == Said::default()));
        }
        assert!(endless.is_over && endless.kept.is_empty());
    }

    #[test]
    fn suites_and_versions_are_read() {
        let of = |extensions: &[u8]| read_flight(&record(&hello(extensions))).expect("whole");
        assert_eq!(of(&[]).suites, [CipherSuite::TLS13_AES_128_GCM_SHA256]);
        // A list that begins with a number that stands for nothing (RFC 8701).
        assert!(of(&[0, 43, 0, 7, 6, 0x7a, 0x7a, 3, 4, 3, 3]).knows_1_3);
        for unknown in [&[0, 43, 0, 3, 2, 3, 3][..], &[0, 43, 0, 0], &[0, 43, 0, 3, 9, 3, 4]] {
            assert!(!of(unknown).knows_1_3, "{unknown:?}");
        }
    }
}
