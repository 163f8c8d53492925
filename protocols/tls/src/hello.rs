//! What of a ClientHello rustls does not show: whether the client asks for an OCSP response.

/// Bytes of a ClientHello that is cut into pieces and kept until it is whole.
const MAX: usize = 64 << 10;
const HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
/// RFC 6066 section 8.
const STATUS_REQUEST: u16 = 5;
const STATUS_TYPE_OCSP: u8 = 1;

/// The first message of a client, while it comes.
#[derive(Debug, Default)]
pub(crate) struct Hello {
    /// Empty where it comes in one piece, as nearly always.
    kept: Vec<u8>,
    asks: Option<bool>,
}

impl Hello {
    /// Takes what comes next, and tells what is known: a client that has not asked yet does not.
    pub(crate) fn take(&mut self, said: &[u8]) -> bool {
        if let Some(asks) = self.asks {
            return asks;
        }
        if self.kept.is_empty() {
            self.asks = asks_for_status(said);
        }
        if self.asks.is_none() {
            self.kept.extend_from_slice(said);
            self.asks = asks_for_status(&self.kept);
        }
        if self.asks.is_some() || self.kept.len() > MAX {
            self.kept = Vec::new();
            self.asks = Some(self.asks == Some(true));
        }
        self.asks == Some(true)
    }
}

/// `None` while it is not whole. What is no ClientHello asks for nothing.
fn asks_for_status(flight: &[u8]) -> Option<bool> {
    let [kind, _, _, high, low, rest @ ..] = flight else { return None };
    if *kind != HANDSHAKE {
        return Some(false);
    }
    let len = usize::from(u16::from_be_bytes([*high, *low]));
    if let Some(fragment) = rest.get(..len)
        && let Some(message) = message(fragment)
    {
        return Some(extension_asks(message).unwrap_or(false));
    }
    // RFC 8446 section 5.1: a message may be cut into several records.
    let mut joined = Vec::new();
    let mut rest = flight;
    while let [HANDSHAKE, _, _, high, low, after @ ..] = rest {
        let fragment = after.get(..usize::from(u16::from_be_bytes([*high, *low])))?;
        joined.extend_from_slice(fragment);
        rest = &after[fragment.len()..];
        if let Some(message) = message(&joined) {
            return Some(extension_asks(message).unwrap_or(false));
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
fn extension_asks(hello: &[u8]) -> Option<bool> {
    // Version and random.
    let rest = hello.get(2 + 32..)?;
    let (_session_id, rest) = vector8(rest)?;
    let (_suites, rest) = vector16(rest)?;
    let (_compression, rest) = vector8(rest)?;
    let (mut extensions, _) = vector16(rest)?;
    while let [high, low, rest @ ..] = extensions {
        let (body, after) = vector16(rest)?;
        if u16::from_be_bytes([*high, *low]) == STATUS_REQUEST {
            return Some(body.first() == Some(&STATUS_TYPE_OCSP));
        }
        extensions = after;
    }
    Some(false)
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
                hello.take(&flight[..at]);
                assert!(hello.take(&flight[at..]), "{at}");
                assert!(hello.take(b"whatever follows"), "{at}");
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
            assert_eq!(asks_for_status(&flight), Some(false), "{flight:?}");
        }
        let mut endless = Hello::default();
        assert!(!endless.take(&[HANDSHAKE, 3, 1, 255, 255, CLIENT_HELLO]));
        for _ in 0..9 {
            endless.take(&[0; 8192]);
        }
        assert_eq!((endless.kept.len(), endless.asks), (0, Some(false)));
    }
}
