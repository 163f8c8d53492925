//! The record of a conversation, drawn so that a failing test can be understood from its output.

use std::fmt;
use std::sync::Mutex;
use std::time::Instant;

/// Beyond this many bytes one turn is shortened in the middle.
const SHOWN: usize = 2000;
/// Beyond this many turns the oldest are forgotten, so that a long load test stays small.
const TURNS: usize = 400;

#[derive(Debug)]
enum Turn {
    Sent(Vec<u8>),
    Received(Vec<u8>),
    Note(String),
}

/// What was said on one connection, in order, with the time since its start.
#[derive(Debug)]
pub struct Transcript {
    title: String,
    start: Instant,
    turns: Mutex<Vec<(u128, Turn)>>,
}

impl Transcript {
    /// An empty record; `title` names both ends.
    pub fn new(title: impl Into<String>) -> Self {
        Self { title: title.into(), start: Instant::now(), turns: Mutex::new(Vec::new()) }
    }

    /// Records bytes that the test sent.
    pub fn sent(&self, bytes: &[u8]) {
        self.push(Turn::Sent(kept(bytes)));
    }

    /// Records bytes that the test received.
    pub fn received(&self, bytes: &[u8]) {
        self.push(Turn::Received(kept(bytes)));
    }

    /// Records an event that has no bytes.
    pub fn note(&self, text: impl Into<String>) {
        self.push(Turn::Note(text.into()));
    }

    fn push(&self, turn: Turn) {
        let at = self.start.elapsed().as_millis();
        let mut turns = self.turns.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if turns.len() >= TURNS {
            turns.remove(0);
        }
        turns.push((at, turn));
    }
}

fn kept(bytes: &[u8]) -> Vec<u8> {
    if bytes.len() <= SHOWN {
        return bytes.to_vec();
    }
    let left_out = format!("\r\n[... {} bytes ...]\r\n", bytes.len() - SHOWN);
    [&bytes[..SHOWN / 2], left_out.as_bytes(), &bytes[bytes.len() - SHOWN / 2..]].concat()
}

impl fmt::Display for Transcript {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rule = "─".repeat(80usize.saturating_sub(self.title.chars().count() + 6));
        writeln!(f, "┌─── {} {rule}", self.title)?;
        let turns = self.turns.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        for (at, turn) in turns.iter() {
            match turn {
                Turn::Sent(bytes) => draw(f, *at, '→', bytes)?,
                Turn::Received(bytes) => draw(f, *at, '←', bytes)?,
                Turn::Note(text) => writeln!(f, "│{at:>6} ms   · {text}")?,
            }
        }
        writeln!(f, "└{}", "─".repeat(79))
    }
}

fn draw(f: &mut fmt::Formatter<'_>, at: u128, arrow: char, bytes: &[u8]) -> fmt::Result {
    for (index, line) in bytes.split_inclusive(|byte| *byte == b'\n').enumerate() {
        match index {
            0 => writeln!(f, "│{at:>6} ms {arrow} {}", escape(line))?,
            _ => writeln!(f, "│          {arrow} {}", escape(line))?,
        }
    }
    Ok(())
}

/// Bytes as text on one line: CR, LF and whatever is not printable ASCII as an escape.
pub fn escape(bytes: &[u8]) -> String {
    bytes.escape_ascii().to_string().replace("\\'", "'").replace("\\\"", "\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shows_both_directions_line_by_line() {
        let transcript = Transcript::new("client and proxy");
        transcript.sent(b"GET / HTTP/1.1\r\n\r\n");
        transcript.received(b"\xff");
        transcript.note("they close");
        let drawn = transcript.to_string();
        assert!(drawn.contains("→ GET / HTTP/1.1\\r\\n\n"), "{drawn}");
        assert!(drawn.contains("← \\xff\n"), "{drawn}");
        assert!(drawn.contains("· they close"), "{drawn}");
    }

    #[test]
    fn long_turns_lose_their_middle() {
        assert!(kept(&vec![b'a'; 1 << 20]).len() < SHOWN + 100);
    }
}
