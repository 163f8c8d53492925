//! Capsules (RFC 9297) with the payloads of UDP (RFC 9298): what a tunnel of `connect-udp` carries.
//!
//! Owns: one capsule after the other, however the bytes are cut. Does not own: the request that
//! opens the tunnel. Capsules of other types and payloads of other contexts are passed over, as
//! both standards ask for, and take no memory.

use thiserror::Error;

/// Bytes of the largest payload (RFC 9298 section 5).
pub const PAYLOAD_MAX: usize = 65_527;
/// The capsule type DATAGRAM (RFC 9297 section 3.5).
const DATAGRAM: u64 = 0;
/// The context of payloads of UDP (RFC 9298 section 4).
const UDP_CONTEXT: u64 = 0;
/// Bytes of the longest number (RFC 9000 section 16).
const NUMBER_MAX: usize = 8;

/// A tunnel that is not one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum CapsuleError {
    /// RFC 9298 section 5: a payload that no datagram of UDP can have.
    #[error("a datagram that is too large")]
    TooLarge,
    /// The context of a datagram reaches behind its end.
    #[error("a datagram without its context")]
    NoContext,
}

/// Appends the capsule of one payload, at most [`PAYLOAD_MAX`] bytes of it.
pub fn encode(payload: &[u8], out: &mut Vec<u8>) {
    debug_assert!(payload.len() <= PAYLOAD_MAX, "no datagram of UDP is so large");
    out.push(DATAGRAM as u8);
    number(payload.len() as u64 + 1, out);
    out.push(UDP_CONTEXT as u8);
    out.extend_from_slice(payload);
}

/// RFC 9000 section 16: the two highest bits say how many bytes there are.
fn number(value: u64, out: &mut Vec<u8>) {
    match value {
        0..0x40 => out.push(value as u8),
        0x40..0x4000 => out.extend_from_slice(&(value as u16 | 0x4000).to_be_bytes()),
        _ => out.extend_from_slice(&(value as u32 | 0x8000_0000).to_be_bytes()),
    }
}

/// Finds the payloads in what is received.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a capsule whose end has not come: never more than one of a datagram.
    partial: Vec<u8>,
    /// What is left of a capsule that nobody wants.
    skip: u64,
}

impl Decoder {
    /// Takes the next bytes, and hands out the payloads that are whole now.
    ///
    /// # Errors
    /// The peer broke the rules; what follows cannot be trusted.
    pub fn feed(
        &mut self,
        input: &[u8],
        mut payload: impl FnMut(&[u8]),
    ) -> Result<(), CapsuleError> {
        if self.partial.is_empty() {
            let consumed = self.take(input, &mut payload)?;
            self.partial.extend_from_slice(&input[consumed..]);
            return Ok(());
        }
        let mut whole = std::mem::take(&mut self.partial);
        whole.extend_from_slice(input);
        let consumed = self.take(&whole, &mut payload)?;
        if consumed < whole.len() {
            whole.drain(..consumed);
            self.partial = whole;
        }
        Ok(())
    }

    /// Returns how many bytes make whole capsules.
    fn take(&mut self, all: &[u8], payload: &mut impl FnMut(&[u8])) -> Result<usize, CapsuleError> {
        let mut at = 0;
        loop {
            at += self.pass_over(&all[at..]);
            let input = &all[at..];
            let Some((kind, length, start)) = header(input) else { return Ok(at) };
            if kind != DATAGRAM {
                self.skip = length;
                at += start;
                continue;
            }
            // What is kept of a capsule that is not whole is bounded here.
            if length > (PAYLOAD_MAX + NUMBER_MAX) as u64 {
                return Err(CapsuleError::TooLarge);
            }
            let end = start + length as usize;
            let Some(datagram) = input.get(start..end) else { return Ok(at) };
            let (context, length) = read(datagram).ok_or(CapsuleError::NoContext)?;
            let body = &datagram[length..];
            if context == UDP_CONTEXT {
                if body.len() > PAYLOAD_MAX {
                    return Err(CapsuleError::TooLarge);
                }
                payload(body);
            }
            at += end;
        }
    }

    /// Returns how many bytes are of a capsule that nobody wants.
    fn pass_over(&mut self, input: &[u8]) -> usize {
        let passed = self.skip.min(input.len() as u64);
        self.skip -= passed;
        passed as usize
    }
}

/// The type and the length of a capsule, and where its value begins.
fn header(input: &[u8]) -> Option<(u64, u64, usize)> {
    let (kind, one) = read(input)?;
    let (length, other) = read(&input[one..])?;
    Some((kind, length, one + other))
}

/// A number and its bytes; `None` when they have not all come.
fn read(input: &[u8]) -> Option<(u64, usize)> {
    let first = *input.first()?;
    let length = 1_usize << (first >> 6);
    let bytes = input.get(1..length)?;
    let start = u64::from(first & 0x3f);
    Some((bytes.iter().fold(start, |value, byte| value << 8 | u64::from(*byte)), length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn decoded(decoder: &mut Decoder, input: &[u8]) -> Result<Vec<Vec<u8>>, CapsuleError> {
        let mut all = Vec::new();
        decoder.feed(input, |payload| all.push(payload.to_vec()))?;
        Ok(all)
    }

    /// As Envoy writes them.
    #[test]
    fn capsules_of_datagrams() {
        let mut out = Vec::new();
        encode(b"hello", &mut out);
        encode(b"", &mut out);
        assert_eq!(out, b"\x00\x06\x00hello\x00\x01\x00");
        assert_eq!(decoded(&mut Decoder::default(), &out).unwrap(), [b"hello".to_vec(), vec![]]);
        for length in [62, 63, 64, 16_382, 16_383, 16_384, PAYLOAD_MAX] {
            let mut out = Vec::new();
            encode(&vec![7; length], &mut out);
            assert_eq!(decoded(&mut Decoder::default(), &out).unwrap(), [vec![7; length]]);
        }
    }

    #[test]
    fn others_are_passed_over() {
        // A type of four bytes with three bytes, a datagram of context 2, and one of ours.
        let input = b"\x80\x01\x02\x03\x03abc\x00\x02\x02x\x00\x02\x00y";
        assert_eq!(decoded(&mut Decoder::default(), input).unwrap(), [b"y".to_vec()]);
        // Numbers may be longer than they have to be.
        let input = b"\x40\x00\x40\x03\x40\x00z";
        assert_eq!(decoded(&mut Decoder::default(), input).unwrap(), [b"z".to_vec()]);
    }

    #[test]
    fn what_is_no_datagram_ends_it() {
        let too_large = [b"\x00\x80\x01\x00\x08".as_slice(), &[0; 16]].concat();
        let outcome = decoded(&mut Decoder::default(), &too_large);
        assert_eq!(outcome, Err(CapsuleError::TooLarge));
        for input in [b"\x00\x00".as_slice(), b"\x00\x01\x40"] {
            let outcome = decoded(&mut Decoder::default(), input);
            assert_eq!(outcome, Err(CapsuleError::NoContext));
        }
    }

    /// A capsule of another type may be of any length, and nothing of it is kept.
    #[test]
    fn what_is_passed_over_takes_no_memory() {
        let mut decoder = Decoder::default();
        let mut input = b"\x21\xc0\x00\x00\x01\x00\x00\x00\x00".to_vec();
        input.extend(vec![0; 1000]);
        assert!(decoded(&mut decoder, &input).unwrap().is_empty());
        assert_eq!(decoder.partial.capacity(), 0);
        assert_eq!(decoder.skip, (1 << 32) - 1000);
    }

    proptest! {
        #[test]
        fn cuts_make_no_difference(
            payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..8),
            size in 1_usize..50,
        ) {
            let mut bytes = Vec::new();
            payloads.iter().for_each(|payload| encode(payload, &mut bytes));
            let (mut decoder, mut found) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(size) {
                found.extend(decoded(&mut decoder, piece).unwrap());
            }
            prop_assert_eq!(found, payloads);
        }

        #[test]
        fn hostile_bytes_take_no_memory(bytes in prop::collection::vec(any::<u8>(), 0..4000)) {
            let mut decoder = Decoder::default();
            for piece in bytes.chunks(7) {
                if decoded(&mut decoder, piece).is_err() {
                    break;
                }
                prop_assert!(decoder.partial.len() <= PAYLOAD_MAX + 3 * NUMBER_MAX);
            }
        }
    }
}
