//! Gathers a head (or trailers) that arrives in pieces and finds its end.
//!
//! Each byte is looked at once for line ends, however the sender splits the head: the state that
//! is kept between pieces is how the current line began. The bytes are parsed again only when the
//! first line has ended, when the head has doubled, and when it is whole, so that the work stays
//! linear in the bytes received.

/// The bytes so far, and where in a line the next one falls.
#[derive(Debug, Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    line: Line,
    /// Whether a line has ended.
    has_line: bool,
    /// The same, at the last look.
    probed_line: bool,
    /// Size from which on the next look is due.
    probe_at: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Line {
    /// At the first byte of a line.
    #[default]
    Start,
    /// Behind a CR that is the first byte of a line.
    StartCr,
    /// Within a line.
    Within,
}

/// A connection between messages keeps no more than this, so that idle connections stay small.
const KEPT_BYTES: usize = 4096;

impl Collected {
    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Takes from `input` up to the end of the head. Returns how much that was and whether the end
    /// was found.
    pub(super) fn take(&mut self, input: &[u8]) -> (usize, bool) {
        let (taken, ended) = match self.find_end(input) {
            Some(end) => (end, true),
            None => (input.len(), false),
        };
        self.bytes.extend_from_slice(&input[..taken]);
        (taken, ended)
    }

    /// Whether an unfinished head has grown enough to look at it again, to refuse garbage early.
    pub(super) fn is_worth_probing(&mut self) -> bool {
        let due = self.bytes.len() >= self.probe_at || (self.has_line && !self.probed_line);
        if due {
            self.note_probed();
        }
        due
    }

    /// The bytes so far have been looked at.
    pub(super) fn note_probed(&mut self) {
        self.probed_line = self.has_line;
        self.probe_at = self.bytes.len() * 2;
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.line = Line::Start;
        self.has_line = false;
        self.probed_line = false;
        self.probe_at = 0;
    }

    /// Position behind the empty line that ends the head.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            match (self.line, input[at]) {
                // RFC 9112 section 2.2: a lone LF may be recognised as a line end, as Envoy does.
                (Line::Start | Line::StartCr, b'\n') => return Some(at + 1),
                (Line::Start, b'\r') => {
                    self.line = Line::StartCr;
                    at += 1;
                }
                _ => at = self.skip_line(input, at),
            }
        }
        None
    }

    fn skip_line(&mut self, input: &[u8], at: usize) -> usize {
        let Some(offset) = memchr::memchr(b'\n', &input[at..]) else {
            self.line = Line::Within;
            return input.len();
        };
        self.line = Line::Start;
        self.has_line = true;
        at + offset + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feeds `head` and junk behind it in pieces of `size`; returns what was taken.
    fn collect(head: &[u8], size: usize) -> Option<Vec<u8>> {
        let mut collected = Collected::default();
        let input = [head, b"X-NEXT"].concat();
        for piece in input.chunks(size) {
            if collected.take(piece).1 {
                return Some(collected.bytes().to_vec());
            }
        }
        None
    }

    #[test]
    fn the_end_is_found_at_every_split() {
        for head in ["a\r\nb: c\r\n\r\n", "a\nb\n\n", "a\r\n\n", "a\n\r\n", "\r\n", "a\r\r\n\r\n"] {
            for size in 1..=head.len() + 6 {
                let taken = collect(head.as_bytes(), size);
                assert_eq!(taken.as_deref(), Some(head.as_bytes()), "{head:?} by {size}");
            }
        }
    }

    #[test]
    fn a_lone_cr_does_not_end_a_line() {
        for head in ["a\r\rb", "a\r\n\rb\r\n", "a\r\n \r\n"] {
            assert_eq!(collect(head.as_bytes(), 1), None, "{head:?}");
        }
    }

    #[test]
    fn looks_double() {
        let mut collected = Collected::default();
        let mut looks = 0;
        for _ in 0..60_000 {
            collected.take(b"x");
            looks += usize::from(collected.is_worth_probing());
        }
        assert!(looks < 20, "{looks}");
    }

    #[test]
    fn storage_is_given_back() {
        let mut collected = Collected::default();
        collected.take(&vec![b'x'; 100_000]);
        collected.clear();
        assert!(collected.bytes.capacity() <= KEPT_BYTES);
    }
}
