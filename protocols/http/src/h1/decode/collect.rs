//! Gathers a head (or trailers) that arrives in pieces and finds its end.
//!
//! Each byte is looked at once for line ends, however the sender splits the head: the state that
//! is kept between pieces is how the current line began.

/// The bytes so far, and where in a line the next one falls.
#[derive(Debug, Default)]
pub(super) struct Collected {
    bytes: Vec<u8>,
    line: Line,
    /// Size from which on it is worth parsing an unfinished head again to refuse garbage.
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
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

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

    /// Whether an unfinished head has doubled since it was parsed last. Parsing only then keeps
    /// the work linear in the bytes received.
    pub(super) fn is_worth_probing(&mut self) -> bool {
        if self.bytes.len() < self.probe_at {
            return false;
        }
        self.probe_at = self.bytes.len() * 2;
        true
    }

    pub(super) fn clear(&mut self) {
        self.bytes.clear();
        self.bytes.shrink_to(KEPT_BYTES);
        self.line = Line::Start;
        self.probe_at = 0;
    }

    /// Position behind the empty line that ends the head.
    fn find_end(&mut self, input: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < input.len() {
            match (self.line, input[at]) {
                // RFC 9112 section 2.2: a lone LF may be recognised as a line end, as Envoy does.
                (Line::Start | Line::StartCr, b'\n') => {
                    self.line = Line::Start;
                    return Some(at + 1);
                }
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
        match memchr::memchr(b'\n', &input[at..]) {
            Some(offset) => {
                self.line = Line::Start;
                at + offset + 1
            }
            None => {
                self.line = Line::Within;
                input.len()
            }
        }
    }
}

/// Whether a line of the head begins with white space: an obsolete fold (RFC 9112 section 5.2).
pub(super) fn has_fold(head: &[u8]) -> bool {
    memchr::memchr_iter(b'\n', head).any(|at| matches!(head.get(at + 1), Some(b' ' | b'\t')))
}

/// Joins folded lines: the line end and the white space around it become one blank.
pub(super) fn unfold(head: &[u8]) -> Vec<u8> {
    let mut joined = Vec::with_capacity(head.len());
    for line in head.split_inclusive(|byte| *byte == b'\n') {
        if matches!(line.first(), Some(b' ' | b'\t')) {
            trim_end(&mut joined);
            joined.push(b' ');
            joined.extend_from_slice(line.trim_ascii_start_of_fold());
        } else {
            joined.extend_from_slice(line);
        }
    }
    joined
}

fn trim_end(bytes: &mut Vec<u8>) {
    while matches!(bytes.last(), Some(b' ' | b'\t' | b'\r' | b'\n')) {
        bytes.pop();
    }
}

trait FoldedLine {
    fn trim_ascii_start_of_fold(&self) -> &[u8];
}

impl FoldedLine for [u8] {
    fn trim_ascii_start_of_fold(&self) -> &[u8] {
        let start = self.iter().position(|byte| !matches!(byte, b' ' | b'\t'));
        &self[start.unwrap_or(self.len())..]
    }
}
