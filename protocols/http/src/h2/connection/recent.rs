//! The last header block of a kind, and the head that it stands for.
//!
//! Who asks or answers the same over and over sends the same block over and over: while the table
//! stays as it is, it means the same head. To compare and copy costs a quarter of what it costs to
//! decode or encode one.
//!
//! Bounded: a block and a head that are kept are small, and go when the connection idles.

use super::pool::Storage;
use crate::{Fields, RequestHead, ResponseHead};

/// The longest block that is kept; it stands for at most as many fields.
const BLOCK_MAX: usize = 128;
/// The most bytes of names and values that are kept.
const HEAD_MAX: usize = 1024;

/// The last block that was received.
#[derive(Debug, Default)]
pub(super) struct Received<T>(Option<Box<Kept<T>>>);

#[derive(Debug, Default)]
struct Kept<T> {
    block: Vec<u8>,
    /// The state of the table.
    changes: u64,
    head: T,
    /// Its head is here, too.
    has_head: bool,
}

impl<T: Storage> Received<T> {
    /// Copies the head of `block`, if that is known; whether it was. `changes` tells one state of
    /// the decoder's table from the others.
    #[inline]
    pub(super) fn recall(&self, block: &[u8], changes: u64, into: &mut T) -> bool {
        let Some(kept) = &self.0 else { return false };
        let is_known = kept.has_head && kept.changes == changes && kept.block == block;
        if is_known {
            into.copy_from(&kept.head);
        }
        is_known
    }

    /// Takes note of a block that changed nothing in the table. Its head is kept when it comes for
    /// the second time: blocks that all differ are not worth the copies.
    pub(super) fn note(&mut self, block: &[u8], changes: u64, head: &T) {
        if block.len() > BLOCK_MAX || head.byte_size() > HEAD_MAX {
            return;
        }
        let kept = self.0.get_or_insert_default();
        kept.has_head = kept.changes == changes && kept.block == block;
        if kept.has_head {
            return kept.head.copy_from(head);
        }
        kept.changes = changes;
        kept.block.clear();
        kept.block.extend_from_slice(block);
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

/// The last response that was sent.
#[derive(Debug, Default)]
pub(super) struct Sent(Option<Box<Kept<ResponseHead>>>);

impl Sent {
    /// The block of this response, if that is known.
    #[inline]
    pub(super) fn recall(&self, status: u16, fields: &Fields, changes: u64) -> Option<&[u8]> {
        let kept = self.0.as_ref()?;
        let is_known = kept.changes == changes
            && kept.head.status == status
            && kept.head.fields.is_stored_as(fields);
        is_known.then_some(&kept.block)
    }

    /// Takes note of a block that changed nothing in the table.
    pub(super) fn note(&mut self, status: u16, fields: &Fields, changes: u64, block: &[u8]) {
        if block.len() > BLOCK_MAX || fields.stored_bytes() > HEAD_MAX {
            return;
        }
        let kept = self.0.get_or_insert_default();
        kept.changes = changes;
        kept.head.status = status;
        kept.head.fields.copy_from(fields);
        kept.block.clear();
        kept.block.extend_from_slice(block);
    }

    pub(super) fn forget(&mut self) {
        self.0 = None;
    }
}

impl Storage for RequestHead {
    fn held_bytes(&self) -> usize {
        self.fields.capacity_bytes() + self.path().len()
    }

    fn byte_size(&self) -> usize {
        Self::byte_size(self)
    }

    fn copy_from(&mut self, other: &Self) {
        Self::copy_from(self, other);
    }
}

impl Storage for Box<RequestHead> {
    fn held_bytes(&self) -> usize {
        (**self).held_bytes()
    }

    fn byte_size(&self) -> usize {
        RequestHead::byte_size(self)
    }

    fn copy_from(&mut self, other: &Self) {
        RequestHead::copy_from(self, other);
    }
}

impl Storage for ResponseHead {
    fn held_bytes(&self) -> usize {
        self.fields.capacity_bytes()
    }

    fn byte_size(&self) -> usize {
        self.fields.byte_size()
    }

    fn copy_from(&mut self, other: &Self) {
        (self.status, self.version) = (other.status, other.version);
        self.fields.copy_from(&other.fields);
    }
}

impl Storage for Fields {
    fn held_bytes(&self) -> usize {
        self.capacity_bytes()
    }

    fn byte_size(&self) -> usize {
        Self::byte_size(self)
    }

    fn copy_from(&mut self, other: &Self) {
        Self::copy_from(self, other);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(path: &[u8]) -> RequestHead {
        let mut head = RequestHead::new();
        head.set_method(b"GET");
        head.set_path(path);
        head.fields.push(b"x-a", b"1");
        head
    }

    #[test]
    fn a_block_is_known_when_it_came_twice_and_the_table_is_the_same() {
        let (mut received, mut into) = (Received::default(), head(b"/other"));
        assert!(!received.recall(b"\x82", 3, &mut into));
        received.note(b"\x82", 3, &head(b"/a"));
        assert!(!received.recall(b"\x82", 3, &mut into));
        received.note(b"\x82", 3, &head(b"/a"));
        assert!(!received.recall(b"\x82", 4, &mut into) && !received.recall(b"\x83", 3, &mut into));
        assert_eq!(into, head(b"/other"));
        assert!(received.recall(b"\x82", 3, &mut into));
        assert_eq!(into, head(b"/a"));
        received.note(b"\x82", 5, &head(b"/b"));
        assert!(!received.recall(b"\x82", 3, &mut into) && !received.recall(b"\x82", 5, &mut into));
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let (mut received, mut into) = (Received::default(), RequestHead::new());
        for _ in 0..3 {
            received.note(&[0x82; BLOCK_MAX + 1], 0, &head(b"/a"));
            received.note(b"\x82", 0, &head(&[b'/'; HEAD_MAX]));
        }
        assert!(!received.recall(&[0x82; BLOCK_MAX + 1], 0, &mut into));
        assert!(!received.recall(b"\x82", 0, &mut into));
    }

    #[test]
    fn a_response_is_known_by_its_status_and_all_its_fields() {
        let (mut sent, fields) = (Sent::default(), head(b"/").fields);
        sent.note(200, &fields, 1, b"block");
        assert_eq!(sent.recall(200, &fields, 1), Some(b"block".as_slice()));
        assert!(sent.recall(201, &fields, 1).is_none() && sent.recall(200, &fields, 2).is_none());
        let mut others = Fields::new();
        others.push(b"x-a", b"2");
        assert!(sent.recall(200, &others, 1).is_none());
        others.clear();
        others.push(b"x-", b"a1");
        assert!(sent.recall(200, &others, 1).is_none());
    }
}
