//! Integers with a prefix (RFC 7541 section 5.1).

/// Reads an integer whose first byte, which the caller has seen, leaves `prefix` bits for it.
/// `None` when the input ends within it or it does not fit 28 bits, which no size or index needs.
#[inline]
pub(super) fn decode(first: u8, prefix: u32, rest: &mut &[u8]) -> Option<usize> {
    let mask = (1u8 << prefix).wrapping_sub(1);
    let value = first & mask;
    match value < mask {
        true => Some(usize::from(value)),
        false => decode_rest(usize::from(value), rest),
    }
}

fn decode_rest(mut value: usize, rest: &mut &[u8]) -> Option<usize> {
    for shift in [0, 7, 14, 21] {
        let (byte, after) = rest.split_first()?;
        *rest = after;
        value += usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

/// Appends `value` behind the bits of `pattern`, which leave `prefix` bits.
#[inline]
pub(super) fn encode(mut value: usize, pattern: u8, prefix: u32, out: &mut Vec<u8>) {
    let mask = (1usize << prefix) - 1;
    if value < mask {
        return out.push(pattern | value as u8);
    }
    out.push(pattern | mask as u8);
    value -= mask;
    while value >= 0x80 {
        out.push(0x80 | (value & 0x7f) as u8);
        value >>= 7;
    }
    out.push(value as u8);
}
