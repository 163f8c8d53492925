//! `%UNIQUE_ID%`: a UUID that nobody else has.

use std::cell::Cell;
use std::hash::{BuildHasher, Hasher, RandomState};

use ringway_tls::certificate::write_hex;

thread_local! {
    /// The key of this thread, and how many it has made.
    static MADE: (RandomState, Cell<u64>) = (RandomState::new(), Cell::new(0));
}

/// Appends a UUID of version 4. Nothing secret depends on it.
pub(super) fn write(out: &mut Vec<u8>) -> bool {
    let [high, low] = MADE.with(|(key, made)| {
        let count = made.get();
        made.set(count.wrapping_add(1));
        [count.wrapping_mul(2), count.wrapping_mul(2).wrapping_add(1)].map(|number| {
            let mut hasher = key.build_hasher();
            hasher.write_u64(number);
            hasher.finish()
        })
    });
    // RFC 9562 section 5.4: the version, and the variant.
    let high = high & !0xf000 | 0x4000;
    let low = low & !(0b11 << 62) | 0b10 << 62;
    let digits = (u128::from(high) << 64 | u128::from(low)).to_be_bytes();
    let mut groups = digits.as_slice();
    for (index, length) in [4, 2, 2, 2, 6].into_iter().enumerate() {
        let (group, rest) = groups.split_at(length);
        groups = rest;
        if index > 0 {
            out.push(b'-');
        }
        write_hex(group, out);
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_form_of_version_4_and_differ() {
        let id = || {
            let mut out = Vec::new();
            assert!(write(&mut out));
            String::from_utf8(out).expect("text")
        };
        let (one, other) = (id(), id());
        assert_ne!(one, other);
        let lengths: Vec<usize> = one.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
        assert_eq!(&one[14..15], "4");
        assert!("89ab".contains(&one[19..20]), "{one}");
    }
}
