//! Bytes there and back: each piece that is sent is answered by so many bytes.

use std::collections::VecDeque;

use super::{Answers, Malformed};

/// The client's side.
#[derive(Debug, Default)]
pub(crate) struct Bytes {
    /// Bytes of the answers that are due, the oldest first.
    due: VecDeque<u64>,
    /// Of the oldest, what has come.
    received: u64,
}

impl Bytes {
    /// A piece was sent; `answer` bytes must follow.
    pub(crate) fn expect(&mut self, answer: u64) {
        self.due.push_back(answer);
    }

    /// Reads all of `input`.
    pub(crate) fn receive(
        &mut self,
        mut input: &[u8],
        answers: &mut impl Answers,
    ) -> Result<(), Malformed> {
        while !input.is_empty() {
            let expected = *self.due.front().ok_or(Malformed::Unsolicited)?;
            if self.received == 0 {
                answers.head(0);
            }
            let left = expected - self.received;
            let taken = usize::try_from(left).map_or(input.len(), |n| n.min(input.len()));
            answers.data(&input[..taken]);
            self.received += taken as u64;
            input = &input[taken..];
            if self.received == expected {
                self.due.pop_front();
                self.received = 0;
                answers.end(true);
            }
        }
        Ok(())
    }
}
