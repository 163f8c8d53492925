//! The hash functions of consistent hashing, with Envoy's seeds.

use xxhash_rust::xxh64::xxh64;

/// What stands for a key, a header or an address (Envoy `HashUtil::xxHash64`).
pub fn hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 0)
}

/// The same of several values, one after the other.
pub fn hash_all<'a>(values: impl Iterator<Item = &'a [u8]>) -> u64 {
    values.fold(0, |seed, bytes| xxh64(bytes, seed))
}

/// A second function of the same key, independent of [`hash`].
pub(crate) fn second_hash(bytes: &[u8]) -> u64 {
    xxh64(bytes, 1)
}

/// `MURMUR_HASH_2`: MurmurHash64A with the seed of `std::hash` in the C++ library.
pub(crate) fn murmur_hash_2(bytes: &[u8]) -> u64 {
    const SEED: u64 = 0xc70f_6907;
    const MUL: u64 = 0xc6a4_a793_5bd1_e995;
    let mix = |value: u64| value ^ (value >> 47);
    let mut hash = SEED ^ (bytes.len() as u64).wrapping_mul(MUL);
    let mut words = bytes.chunks_exact(8);
    for word in &mut words {
        let word = little_endian(word);
        hash ^= mix(word.wrapping_mul(MUL)).wrapping_mul(MUL);
        hash = hash.wrapping_mul(MUL);
    }
    if !words.remainder().is_empty() {
        hash ^= little_endian(words.remainder());
        hash = hash.wrapping_mul(MUL);
    }
    mix(mix(hash).wrapping_mul(MUL))
}

/// At most eight bytes as a number.
fn little_endian(bytes: &[u8]) -> u64 {
    bytes.iter().rev().fold(0, |value, byte| (value << 8) | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        assert_eq!(hash(b""), 0xef46_db37_51d8_e999);
        assert_eq!(hash(b"a"), 0xd24e_c4f1_a98c_6e5b);
        assert_ne!(hash(b"a"), second_hash(b"a"));
        assert_eq!(hash_all([&b"a"[..]].into_iter()), hash(b"a"));
        // As `std::hash<std::string>` of the GNU C++ library has them.
        assert_eq!(murmur_hash_2(b""), 6_142_509_188_972_423_790);
        assert_eq!(murmur_hash_2(b"a"), 4_993_892_634_952_068_459);
        assert_eq!(murmur_hash_2(b"hello world, 19 by"), 12_622_103_977_934_462_542);
    }
}
