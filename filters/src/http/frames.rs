//! gRPC's frames in a body that comes in pieces: five bytes of flags and length, then a message.

/// Finds where messages begin and end. Keeps no message.
#[derive(Debug, Default)]
pub(super) struct Frames {
    header: [u8; 5],
    /// Bytes of the header that have come.
    have: usize,
    /// Bytes of the message that are still to come.
    left: u64,
}

impl Frames {
    /// How many messages begin in these bytes.
    pub(super) fn count(&mut self, bytes: &[u8]) -> u64 {
        let mut begun = 0;
        self.split(bytes, |_, _| {}, |header| begun += u64::from(header));
        begun
    }

    /// Gives the bytes in parts, each with whether a message ends with it. `begins` is told of
    /// each header that is complete.
    pub(super) fn split<'b>(
        &mut self,
        mut bytes: &'b [u8],
        mut part: impl FnMut(&'b [u8], bool),
        mut begins: impl FnMut(bool),
    ) {
        while !bytes.is_empty() {
            let taken = match self.have {
                5 => usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len()),
                have => (5 - have).min(bytes.len()),
            };
            let (now, later) = bytes.split_at(taken);
            begins(self.take(now));
            let ends = self.have == 5 && self.left == 0;
            if ends {
                self.have = 0;
            }
            part(now, ends);
            bytes = later;
        }
    }

    /// Whether a header became complete.
    fn take(&mut self, bytes: &[u8]) -> bool {
        if self.have == 5 {
            self.left -= bytes.len() as u64;
            return false;
        }
        self.header[self.have..self.have + bytes.len()].copy_from_slice(bytes);
        self.have += bytes.len();
        if self.have < 5 {
            return false;
        }
        let [_, length @ ..] = self.header;
        self.left = u64::from(u32::from_be_bytes(length));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_counted_at_every_split() {
        let body = [&[0, 0, 0, 0, 2, 7, 7][..], &[0, 0, 0, 0, 0], &[1, 0, 0, 0, 1, 9]].concat();
        for first in 0..=body.len() {
            for second in first..=body.len() {
                let mut frames = Frames::default();
                let pieces = [&body[..first], &body[first..second], &body[second..]];
                let counted: u64 = pieces.iter().map(|piece| frames.count(piece)).sum();
                assert_eq!(counted, 3, "{first} {second}");
                assert_eq!(frames.have, 0, "{first} {second}");
            }
        }
    }

    #[test]
    fn a_message_of_any_length_is_skipped() {
        let mut frames = Frames::default();
        assert_eq!(frames.count(&[0, 255, 255, 255, 255]), 1);
        assert_eq!(frames.count(&[0; 1000]), 0);
    }
}
