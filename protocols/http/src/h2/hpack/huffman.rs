//! The static Huffman code of RFC 7541 appendix B.
//!
//! The code is canonical: the lengths give the codes. A look-up of [`PRIMARY_BITS`] bits gives one
//! or two symbols at once; the rare symbols with longer codes take a walk over the lengths.

/// Bits of one look-up. The common symbols take five to eight, so that most look-ups give two.
const PRIMARY_BITS: u32 = 11;
const EOS: usize = 256;
const SYMBOLS: usize = 257;
const MAX_LEN: usize = 30;

/// Bits of the code of each symbol; the last is EOS.
#[rustfmt::skip]
const LENGTHS: [u8; SYMBOLS] = [
    13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28,
    28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28,
    6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6,
    5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10,
    13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7,
    7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6,
    15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5,
    6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28,
    20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23,
    24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24,
    22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23,
    21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23,
    26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25,
    19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27,
    20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23,
    26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26,
    30,
];

/// The code of each symbol, in its low bits.
const CODES: [u32; SYMBOLS] = codes();

/// For each length: the first code above those of this length, and what to add to a code of this
/// length to get its place in [`BY_CODE`].
const LIMITS: [u32; MAX_LEN + 1] = limits();
const PLACES: [i32; MAX_LEN + 1] = places();

/// Symbols in the order of their codes.
const BY_CODE: [u16; SYMBOLS] = by_code();

/// What the next [`PRIMARY_BITS`] bits hold: first symbol (bits 0..8), second (8..16), bits of the
/// first (16..20), number of symbols (20..22), bits of both (24..32). No symbol: a longer code.
static PRIMARY: [u32; 1 << PRIMARY_BITS] = primary();

const fn count_of(len: usize) -> u32 {
    let mut count = 0;
    let mut symbol = 0;
    while symbol < SYMBOLS {
        count += (LENGTHS[symbol] as usize == len) as u32;
        symbol += 1;
    }
    count
}

/// The first code of each length: those of the length before it, and one more bit.
const fn first_code(of: usize) -> u32 {
    let mut code = 0;
    let mut len = 1;
    while len < of {
        code = (code + count_of(len)) << 1;
        len += 1;
    }
    code
}

const fn codes() -> [u32; SYMBOLS] {
    let mut codes = [0; SYMBOLS];
    let mut len = 1;
    while len <= MAX_LEN {
        let mut code = first_code(len);
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                codes[symbol] = code;
                code += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    codes
}

const fn limits() -> [u32; MAX_LEN + 1] {
    let mut limits = [0; MAX_LEN + 1];
    let mut len = 1;
    while len <= MAX_LEN {
        limits[len] = first_code(len) + count_of(len);
        len += 1;
    }
    limits
}

const fn places() -> [i32; MAX_LEN + 1] {
    let mut places = [0; MAX_LEN + 1];
    let mut before = 0;
    let mut len = 1;
    while len <= MAX_LEN {
        places[len] = before - first_code(len) as i32;
        before += count_of(len) as i32;
        len += 1;
    }
    places
}

const fn by_code() -> [u16; SYMBOLS] {
    let mut symbols = [0; SYMBOLS];
    let mut at = 0;
    let mut len = 1;
    while len <= MAX_LEN {
        let mut symbol = 0;
        while symbol < SYMBOLS {
            if LENGTHS[symbol] as usize == len {
                symbols[at] = symbol as u16;
                at += 1;
            }
            symbol += 1;
        }
        len += 1;
    }
    symbols
}

/// One symbol for each look-up: symbol, and its bits above it. Zero: a longer code.
const fn singles() -> [u16; 1 << PRIMARY_BITS] {
    let mut table = [0; 1 << PRIMARY_BITS];
    let mut symbol = 0;
    while symbol < EOS {
        let len = LENGTHS[symbol] as u32;
        if len <= PRIMARY_BITS {
            let start = (CODES[symbol] << (PRIMARY_BITS - len)) as usize;
            let mut fill = 0;
            while fill < 1 << (PRIMARY_BITS - len) {
                table[start + fill] = (len as u16) << 8 | symbol as u16;
                fill += 1;
            }
        }
        symbol += 1;
    }
    table
}

const fn primary() -> [u32; 1 << PRIMARY_BITS] {
    let singles = singles();
    let mut table = [0; 1 << PRIMARY_BITS];
    let mut index = 0;
    while index < table.len() {
        table[index] = pair(&singles, index);
        index += 1;
    }
    table
}

const fn pair(singles: &[u16; 1 << PRIMARY_BITS], index: usize) -> u32 {
    let first = singles[index] as u32;
    let len = first >> 8;
    if len == 0 {
        return 0;
    }
    let one = first & 0xff | len << 16;
    let second = singles[(index << len) & ((1 << PRIMARY_BITS) - 1)] as u32;
    let both = len + (second >> 8);
    match second >> 8 != 0 && both <= PRIMARY_BITS {
        true => one | (second & 0xff) << 8 | 2 << 20 | both << 24,
        false => one | 1 << 20 | len << 24,
    }
}

/// Appends what `input` encodes to `out`. False when it is not a valid encoding: a code that does
/// not exist, EOS, or padding that is too long or not all ones (RFC 7541 section 5.2).
pub(super) fn decode(input: &[u8], out: &mut Vec<u8>) -> bool {
    let start = out.len();
    // The shortest code has five bits; a look-up writes two symbols though only one may count.
    out.resize(start + input.len() * 8 / 5 + 2, 0);
    match decode_into(input, &mut out[start..]) {
        Some(len) => {
            out.truncate(start + len);
            true
        }
        None => {
            out.truncate(start);
            false
        }
    }
}

/// The bits that are at hand, from the top; zeros below them.
struct Bits<'a> {
    bits: u64,
    have: u32,
    rest: &'a [u8],
}

impl Bits<'_> {
    #[inline]
    fn refill(&mut self) {
        if let Some((four, rest)) = self.rest.split_first_chunk::<4>() {
            self.bits |= u64::from(u32::from_be_bytes(*four)) << (32 - self.have);
            self.have += 32;
            self.rest = rest;
            return;
        }
        for byte in self.rest {
            self.bits |= u64::from(*byte) << (56 - self.have);
            self.have += 8;
        }
        self.rest = &[];
    }

    /// Takes `len` bits away; `None` when there are fewer.
    #[inline]
    fn take(&mut self, len: u32) -> Option<()> {
        self.have = self.have.checked_sub(len)?;
        self.bits <<= len;
        Some(())
    }

    /// Whether what is left is padding: fewer than eight ones. No symbol has such a code.
    #[inline]
    fn is_padding(&self) -> bool {
        self.have < 8 && (!self.bits).leading_zeros() >= self.have
    }

    /// A symbol whose code is longer than a look-up.
    #[cold]
    fn long_symbol(&mut self) -> Option<u8> {
        for len in PRIMARY_BITS as usize + 1..=MAX_LEN {
            let code = (self.bits >> (64 - len)) as u32;
            if code < LIMITS[len] {
                self.take(len as u32)?;
                let place = usize::try_from(code as i32 + PLACES[len]).ok()?;
                return u8::try_from(*BY_CODE.get(place)?).ok();
            }
        }
        None
    }
}

/// The number of bytes written.
fn decode_into(input: &[u8], out: &mut [u8]) -> Option<usize> {
    let mut bits = Bits { bits: 0, have: 0, rest: input };
    let mut at = 0;
    loop {
        if bits.have < 32 {
            bits.refill();
            if bits.is_padding() {
                return Some(at);
            }
        }
        let entry = PRIMARY[(bits.bits >> (64 - PRIMARY_BITS)) as usize];
        let symbols = (entry >> 20) & 3;
        if symbols == 0 {
            *out.get_mut(at)? = bits.long_symbol()?;
            at += 1;
            continue;
        }
        let pair = out.get_mut(at..at + 2)?;
        pair[0] = entry as u8;
        pair[1] = (entry >> 8) as u8;
        if entry >> 24 <= bits.have {
            bits.take(entry >> 24)?;
            at += symbols as usize;
        } else {
            // The second symbol began in the zeros below the last bits.
            bits.take((entry >> 16) & 0xf)?;
            at += 1;
        }
    }
}

/// Bytes that [`encode`] takes for `input`.
pub(super) fn encoded_len(input: &[u8]) -> usize {
    let bits: usize = input.iter().map(|byte| usize::from(LENGTHS[usize::from(*byte)])).sum();
    bits.div_ceil(8)
}

/// Appends the encoding of `input` to `out`.
pub(super) fn encode(input: &[u8], out: &mut Vec<u8>) {
    let mut bits: u64 = 0;
    let mut have = 0;
    for byte in input {
        let symbol = usize::from(*byte);
        let len = u32::from(LENGTHS[symbol]);
        bits = bits << len | u64::from(CODES[symbol]);
        have += len;
        if have >= 32 {
            have -= 32;
            out.extend_from_slice(&((bits >> have) as u32).to_be_bytes());
        }
    }
    // RFC 7541 section 5.2: the rest of the last byte is the beginning of EOS, which is all ones.
    let padding = have.wrapping_neg() & 7;
    bits = bits << padding | ((1 << padding) - 1);
    have += padding;
    while have > 0 {
        have -= 8;
        out.push((bits >> have) as u8);
    }
}
