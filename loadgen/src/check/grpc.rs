//! What a right answer to a gRPC call is: whole messages, as many as expected, and a status.

/// What is expected of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Expected {
    /// `grpc-status`; 0 is OK.
    pub(crate) status: u32,
    /// Messages of the answer; `None` for any number but none at all after OK.
    pub(crate) messages: Option<u64>,
}

/// Why an answer is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wrong {
    /// Another status, or none at all.
    Status(Option<u32>),
    /// So many messages.
    Messages(u64),
    /// The body ended within a message.
    Cut,
}

/// Bytes before each message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Counts the messages of one answer as they arrive.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Messages {
    pub(crate) count: u64,
    /// Of the message that is under way.
    left: u64,
    prefix: [u8; PREFIX],
    prefix_len: usize,
    status: Option<u32>,
}

impl Messages {
    /// The status has come, in trailers or in a head that is all there is.
    pub(crate) fn status(&mut self, status: Option<u32>) {
        self.status = status;
    }

    /// A piece of the body.
    pub(crate) fn data(&mut self, mut data: &[u8]) {
        while !data.is_empty() {
            if self.left > 0 {
                let taken = self.left.min(data.len() as u64);
                self.left -= taken;
                data = &data[taken as usize..];
                self.count += u64::from(self.left == 0);
                continue;
            }
            let taken = (PREFIX - self.prefix_len).min(data.len());
            self.prefix[self.prefix_len..self.prefix_len + taken].copy_from_slice(&data[..taken]);
            self.prefix_len += taken;
            data = &data[taken..];
            if self.prefix_len == PREFIX {
                let [_, a, b, c, d] = self.prefix;
                self.left = u64::from(u32::from_be_bytes([a, b, c, d]));
                self.prefix_len = 0;
                self.count += u64::from(self.left == 0);
            }
        }
    }

    /// The call is over.
    pub(crate) fn end(&self, expected: &Expected) -> Result<(), Wrong> {
        if self.status != Some(expected.status) {
            return Err(Wrong::Status(self.status));
        }
        if self.left > 0 || self.prefix_len > 0 {
            return Err(Wrong::Cut);
        }
        let enough = match expected.messages {
            Some(count) => self.count == count,
            None => self.count > 0 || expected.status != 0,
        };
        if enough { Ok(()) } else { Err(Wrong::Messages(self.count)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The answer in pieces of every size.
    fn judge(body: &[u8], status: Option<u32>, expected: Expected) -> Result<(), Wrong> {
        let results: Vec<_> = (1..=body.len().max(1))
            .map(|size| {
                let mut messages = Messages::default();
                body.chunks(size).for_each(|piece| messages.data(piece));
                messages.status(status);
                messages.end(&expected)
            })
            .collect();
        assert!(results.windows(2).all(|pair| pair[0] == pair[1]), "{results:?}");
        results[0]
    }

    #[test]
    fn messages_are_counted_and_must_be_whole() {
        let (ok, two) = (Expected::default(), Expected { status: 0, messages: Some(2) });
        let body = b"\0\0\0\0\x02ab\0\0\0\0\0";
        assert_eq!(judge(body, Some(0), ok), Ok(()));
        assert_eq!(judge(body, Some(0), two), Ok(()));
        assert_eq!(judge(&body[..7], Some(0), two), Err(Wrong::Messages(1)));
        assert_eq!(judge(&body[..6], Some(0), ok), Err(Wrong::Cut));
        assert_eq!(judge(&body[..9], Some(0), ok), Err(Wrong::Cut));
        assert_eq!(judge(b"", Some(0), ok), Err(Wrong::Messages(0)));
    }

    #[test]
    fn the_status_must_be_there_and_be_right() {
        let not_found = Expected { status: 5, messages: None };
        assert_eq!(judge(b"", Some(5), not_found), Ok(()));
        assert_eq!(judge(b"", Some(0), not_found), Err(Wrong::Status(Some(0))));
        assert_eq!(judge(b"", None, Expected::default()), Err(Wrong::Status(None)));
    }
}
