//! Datagrams there and back. Each begins with its number, in two bytes, by which its answer is
//! known, whatever was lost or has overtaken it: as queries of DNS do (RFC 1035 section 4.1.1).

use ringway_runtime::buffer::{self, Class};

use super::Answers;

/// Bytes of a number.
pub(crate) const NUMBER: usize = 2;
/// What IPv4 can carry (RFC 791 section 3.1, RFC 768).
pub(crate) const LARGEST: usize = 65_507;

/// The client's side.
#[derive(Debug, Default)]
pub(crate) struct Numbers {
    /// Of the next datagram, counted from 0 on this socket.
    next: u32,
}

impl Numbers {
    /// The datagram of a message: its first bytes give way to the number.
    pub(crate) fn request(&mut self, message: &[u8]) -> Vec<u8> {
        let mut datagram = buffer::take(Class::fitting(message.len()));
        datagram.extend_from_slice(message);
        datagram.resize(datagram.len().max(NUMBER), 0);
        datagram[..NUMBER].copy_from_slice(&(self.next as u16).to_be_bytes());
        self.next = self.next.wrapping_add(1);
        datagram
    }

    /// Reads one datagram. One that answers nothing is too late, or there twice: no error of its
    /// own, since what it answers was counted.
    pub(crate) fn receive(&self, datagram: &[u8], answers: &mut impl Answers) {
        let Some(number) = datagram.first_chunk().map(|number| u16::from_be_bytes(*number)) else {
            return;
        };
        // Of all datagrams with this number the last one: so many others are never open.
        let last = self.next.wrapping_sub(1);
        let age = (last as u16).wrapping_sub(number);
        if answers.select(last.wrapping_sub(u32::from(age))) {
            answers.head(0);
            answers.data(datagram);
            answers.end(true);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes what is answered, of what is open.
    struct Open {
        numbers: Vec<u32>,
        selected: u32,
        answered: Vec<u32>,
    }

    impl Answers for Open {
        fn oldest_is_head(&self) -> Option<bool> {
            (!self.numbers.is_empty()).then_some(false)
        }

        fn select(&mut self, number: u32) -> bool {
            self.selected = number;
            self.numbers.contains(&number)
        }

        fn head(&mut self, _: u16) {}

        fn data(&mut self, _: &[u8]) {}

        fn end(&mut self, _: bool) {
            self.numbers.retain(|number| *number != self.selected);
            self.answered.push(self.selected);
        }
    }

    fn open(numbers: &[u32]) -> Open {
        Open { numbers: numbers.to_vec(), selected: 0, answered: Vec::new() }
    }

    #[test]
    fn answers_may_be_lost_late_and_doubled() {
        let mut numbers = Numbers::default();
        let sent: Vec<Vec<u8>> = (0..4).map(|_| numbers.request(b"xx4")).collect();
        assert_eq!((sent[0].as_slice(), sent[3].as_slice()), (&b"\0\x004"[..], &b"\0\x034"[..]));
        let mut open = open(&[1, 2, 3]);
        for datagram in [&sent[3], &sent[0], &sent[1], &sent[1], &vec![0], &vec![]] {
            numbers.receive(datagram, &mut open);
        }
        assert_eq!((open.answered.as_slice(), open.numbers.as_slice()), (&[3, 1][..], &[2][..]));
    }

    #[test]
    fn numbers_begin_anew_and_answers_are_still_known() {
        let mut numbers = Numbers { next: 65_535 };
        let (before, after) = (numbers.request(b"a"), numbers.request(b"a"));
        assert_eq!((before.as_slice(), after.as_slice()), (&[255, 255][..], &[0, 0][..]));
        let mut open = open(&[65_535, 65_536]);
        numbers.receive(&after, &mut open);
        numbers.receive(&before, &mut open);
        assert_eq!(open.answered, [65_536, 65_535]);
    }
}
