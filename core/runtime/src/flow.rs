//! How large the next receive's buffer is: what a connection's flow teaches.

use crate::buffer::Class;

/// Receives in a row that use little of their buffer before the next one is smaller.
const SMALL_MAX: u8 = 4;

/// What is known of the bytes that a connection receives.
#[derive(Debug, Default)]
pub(crate) struct Flow {
    class: Class,
    /// Bytes that came since a receive had to be waited for.
    burst: usize,
    /// Receives in a row that used little of their buffer.
    small: u8,
}

impl Flow {
    /// The class of the next receive.
    pub(crate) fn class(&self) -> Class {
        self.class
    }

    /// Nothing is there: what comes next is another burst.
    pub(crate) fn waits(&mut self) {
        self.burst = 0;
    }

    /// So many bytes came. What comes at once and fills its buffers makes the next one as large as
    /// all of it. Only several receives in a row that use little of theirs make it smaller: the
    /// last piece of a large message is as small as the next message is not.
    pub(crate) fn received(&mut self, bytes: usize) {
        self.burst += bytes;
        if self.burst >= self.class.capacity() {
            self.class = self.class.grown().max(Class::fitting(self.burst));
        }
        self.small = if bytes < self.class.capacity() / 8 { self.small + 1 } else { 0 };
        if self.small >= SMALL_MAX {
            self.small = 0;
            self.class = self.class.shrunk();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One burst after another, each as its receives.
    fn after(bursts: &[&[usize]]) -> usize {
        let mut flow = Flow::default();
        for burst in bursts {
            flow.waits();
            burst.iter().for_each(|bytes| flow.received(*bytes));
        }
        flow.class().capacity()
    }

    #[test]
    fn small_messages_keep_small_buffers() {
        assert_eq!(after(&[&[100][..]; 100]), 4 << 10);
        assert_eq!(after(&[&[4095][..]; 100]), 4 << 10);
    }

    #[test]
    fn a_burst_of_small_buffers_teaches_how_large_a_message_is() {
        let pieces = [[4096; 16].as_slice(), &[300]].concat();
        assert_eq!(after(&[&pieces]), 68 << 10);
        // The last piece of each message is small, and the next message large again.
        assert_eq!(after(&[&pieces, &[65_000], &[836], &[65_000], &[836]]), 68 << 10);
    }

    #[test]
    fn a_flow_that_fills_its_buffers_gets_the_largest() {
        let full = [68 << 10];
        assert_eq!(after(&[&[4096; 17], &full, &full]), 260 << 10);
        assert_eq!(after(&[&[260 << 10][..]; 9]), 260 << 10);
    }

    #[test]
    fn little_for_long_makes_it_small_again() {
        let large = [[4096; 16].as_slice(), &[300]].concat();
        let little: Vec<&[usize]> = vec![&[100]; 3];
        assert_eq!(after(&[&[large.as_slice()], little.as_slice()].concat()), 20 << 10);
        let little: Vec<&[usize]> = vec![&[100]; 8];
        assert_eq!(after(&[&[large.as_slice()], little.as_slice()].concat()), 4 << 10);
    }
}
