//! Receive and send buffers, recycled per worker.
//!
//! Sizes come in classes, since a connection that moves bulk data is several times cheaper with a
//! large buffer and an idle one should hold as little as possible.

use std::cell::RefCell;
use std::ops::Deref;

/// Capacities of the classes. Bodies like to be powers of two, TLS records too, and a head goes
/// before them: with room for it, message and buffer are one.
const CLASSES: [usize; 4] = [4 << 10, 20 << 10, 68 << 10, 260 << 10];
/// Buffers kept per class: at most 2 MiB, 2 MiB, 4 MiB and 4 MiB per worker. Enough small ones for
/// what some hundred connections give back in one turn of the loop and take in the next.
const KEPT: [usize; 4] = [512, 128, 64, 16];

/// A size class of buffers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Class(u8);

impl Class {
    /// What an idle connection holds: 4 KiB.
    pub const SMALL: Self = Self(0);
    /// The largest: 260 KiB.
    pub const LARGE: Self = Self(CLASSES.len() as u8 - 1);

    /// All classes, the smallest first.
    pub(crate) fn all() -> impl Iterator<Item = Self> {
        (0..CLASSES.len() as u8).map(Self)
    }

    /// Its place among the classes.
    pub(crate) fn index(self) -> usize {
        usize::from(self.0)
    }

    /// Bytes that a buffer of this class holds.
    pub fn capacity(self) -> usize {
        CLASSES[usize::from(self.0)]
    }

    /// The smallest class that holds so many bytes, or the largest.
    pub fn fitting(bytes: usize) -> Self {
        let index = CLASSES.iter().position(|capacity| *capacity >= bytes);
        Self(index.map_or(Self::LARGE.0, |index| index as u8))
    }

    /// The next larger class, or the largest.
    #[must_use]
    pub fn grown(self) -> Self {
        Self((self.0 + 1).min(Self::LARGE.0))
    }

    /// The next smaller class, or the smallest.
    #[must_use]
    pub fn shrunk(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

thread_local! {
    static POOL: RefCell<[Vec<Vec<u8>>; CLASSES.len()]> =
        const { RefCell::new([const { Vec::new() }; CLASSES.len()]) };
}

/// An empty vector with the capacity of `class`.
pub fn take(class: Class) -> Vec<u8> {
    let recycled = POOL.try_with(|pool| pool.borrow_mut()[usize::from(class.0)].pop());
    recycled.ok().flatten().unwrap_or_else(|| Vec::with_capacity(class.capacity()))
}

/// Gives a vector back. One of an odd capacity (grown by its user) goes to the class below it.
pub fn give(mut bytes: Vec<u8>) {
    let Some(class) = CLASSES.iter().rposition(|capacity| bytes.capacity() >= *capacity) else {
        return;
    };
    if bytes.capacity() > 2 * CLASSES[class] {
        return;
    }
    bytes.clear();
    // While the thread ends the pool may be gone before a buffer that another thread-local holds.
    let _ = POOL.try_with(|pool| {
        let kept = &mut pool.borrow_mut()[class];
        if kept.len() < KEPT[class] {
            kept.push(bytes);
        }
    });
}

/// Received bytes, or bytes to send; goes back to the pool when dropped.
#[derive(Debug, Default)]
pub struct Buf {
    bytes: Vec<u8>,
    start: usize,
}

impl Buf {
    /// Owns `bytes`, all of them unread.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self { bytes, start: 0 }
    }

    /// Drops the first `n` bytes (0 <= n <= len).
    pub fn consume(&mut self, n: usize) {
        self.start += n;
        debug_assert!(self.start <= self.bytes.len(), "consumed more than there was");
    }

    /// Adds bytes behind those that are there.
    pub fn append(&mut self, more: &[u8]) {
        self.bytes.extend_from_slice(more);
    }

    /// Keeps the first `n` bytes (no effect when there are fewer).
    pub fn truncate(&mut self, n: usize) {
        self.bytes.truncate(self.start + n);
    }
}

impl Deref for Buf {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

impl Drop for Buf {
    fn drop(&mut self) {
        if self.bytes.capacity() > 0 {
            give(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_comes_back_empty_and_with_its_capacity() {
        let mut bytes = take(Class::SMALL.grown());
        bytes.extend_from_slice(b"of the last request");
        let address = bytes.as_ptr();
        drop(Buf::new(bytes));
        let again = take(Class::SMALL.grown());
        assert_eq!((again.as_ptr(), again.len()), (address, 0));
    }

    #[test]
    fn reading_moves_the_start() {
        let mut buf = Buf::new(b"abcdef".to_vec());
        buf.consume(2);
        buf.truncate(3);
        assert_eq!(&*buf, b"cde");
    }

    #[test]
    fn the_pool_is_bounded() {
        let many: Vec<Buf> = (0..KEPT[0] + 36).map(|_| Buf::new(take(Class::SMALL))).collect();
        drop(many);
        assert_eq!(POOL.with_borrow(|pool| pool[0].len()), KEPT[0]);
    }
}
