//! Receive and send buffers, recycled per worker.
//!
//! Sizes come in classes, since a connection that moves bulk data is several times cheaper with a
//! large buffer and an idle one should hold as little as possible. What lay unused for a while goes
//! back to the system (on a ring; elsewhere the pool is only bounded).

use std::cell::RefCell;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// Capacities of the classes. Bodies like to be powers of two, TLS records too, and a head goes
/// before them: with room for it, message and buffer are one.
const CLASSES: [usize; 4] = [4 << 10, 20 << 10, 68 << 10, 260 << 10];
/// Buffers kept per class: at most 4 MiB, 5 MiB, 8.5 MiB and 16 MiB per worker. As many as some
/// hundred connections give back in one turn of the loop and take in the next.
const KEPT: [usize; 4] = [1024, 256, 128, 64];
/// Buffers that stay when a worker has been idle: 256 KiB, 320 KiB and 272 KiB.
const STAYING: [usize; 4] = [64, 16, 4, 0];
/// How often what lay unused is given back to the system.
const TRIM_EVERY: Duration = Duration::from_secs(1);

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
    pub const fn grown(self) -> Self {
        if self.0 < Self::LARGE.0 { Self(self.0 + 1) } else { Self::LARGE }
    }

    /// The next smaller class, or the smallest.
    #[must_use]
    pub fn shrunk(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

thread_local! {
    static POOL: RefCell<Pool> = const { RefCell::new(Pool::EMPTY) };
}

/// Buffers of a thread that nobody uses.
struct Pool {
    shelves: [Shelf; CLASSES.len()],
    /// More than what stays, and nobody has been told of it.
    excess: bool,
    trimming: bool,
}

/// Those of one class.
struct Shelf {
    buffers: Vec<Vec<u8>>,
    /// The fewest that lay here since the last trim: those that were not needed.
    least: usize,
}

impl Pool {
    const EMPTY: Self = Self {
        shelves: [const { Shelf { buffers: Vec::new(), least: 0 } }; CLASSES.len()],
        excess: false,
        trimming: false,
    };

    fn take(&mut self, class: usize) -> Option<Vec<u8>> {
        let shelf = &mut self.shelves[class];
        let buffer = shelf.buffers.pop();
        shelf.least = shelf.least.min(shelf.buffers.len());
        buffer
    }

    fn give(&mut self, class: usize, buffer: Vec<u8>) {
        let shelf = &mut self.shelves[class];
        if shelf.buffers.len() < KEPT[class] {
            shelf.buffers.push(buffer);
            self.excess |= !self.trimming && shelf.buffers.len() > STAYING[class];
        }
    }

    /// Frees half of what was not needed since the last time; `true` while there is more to free.
    fn trim(&mut self) -> bool {
        self.trimming = false;
        for (shelf, staying) in self.shelves.iter_mut().zip(STAYING) {
            let rest = shelf.buffers.len() - shelf.least.div_ceil(2);
            shelf.buffers.truncate(rest.max(staying));
            shelf.least = shelf.buffers.len();
            self.trimming |= shelf.buffers.len() > staying;
        }
        self.excess = false;
        self.trimming
    }
}

/// Whether the pool has begun to hold more than it should keep for ever: whoever asks must run
/// [`trim_until_done`].
pub(crate) fn has_excess() -> bool {
    POOL.with_borrow_mut(|pool| {
        let excess = std::mem::take(&mut pool.excess);
        pool.trimming |= excess;
        excess
    })
}

/// Gives back what is not needed, little by little, until the pool is small. Two of them at once
/// do no harm.
pub(crate) async fn trim_until_done() {
    loop {
        crate::sleep(TRIM_EVERY).await;
        if !POOL.with_borrow_mut(Pool::trim) & !crate::recycled::trim() {
            // Pages on which the C library holds only what was freed: for when a busy time is over.
            return crate::memory::give_back();
        }
    }
}

/// Has the C library map large buffers one by one, so that each that is freed leaves the process.
/// By itself it would put them between small pieces, which hold the memory around them.
pub(crate) fn map_large_ones() {
    #[cfg(target_env = "gnu")]
    {
        static ONCE: std::sync::Once = std::sync::Once::new();
        // SAFETY: both calls take the allocator's lock and change a number.
        ONCE.call_once(|| unsafe {
            libc::mallopt(libc::M_MMAP_THRESHOLD, 64 << 10);
            // The first turns off what adapts this one: trimming at each free would cost faults.
            libc::mallopt(libc::M_TRIM_THRESHOLD, 1 << 20);
        });
    }
}

/// An empty vector with the capacity of `class`.
pub fn take(class: Class) -> Vec<u8> {
    let recycled = POOL.try_with(|pool| pool.borrow_mut().take(class.index()));
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
    let _ = POOL.try_with(|pool| pool.borrow_mut().give(class, bytes));
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

    /// Bytes that can be added without growing.
    pub fn spare(&self) -> usize {
        self.bytes.capacity() - self.bytes.len()
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

impl DerefMut for Buf {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..]
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
        assert_eq!(POOL.with_borrow(|pool| pool.shelves[0].buffers.len()), KEPT[0]);
    }

    #[test]
    fn what_lies_unused_is_given_back_and_what_is_used_stays() {
        let mut pool = Pool::EMPTY;
        (0..100).for_each(|_| pool.give(0, take(Class::SMALL)));
        assert!(pool.excess);
        assert!(pool.trim() && pool.shelves[0].buffers.len() == 100, "they may be in use yet");
        // In use now and then: ten of them at a time.
        let used: Vec<_> = (0..10).filter_map(|_| pool.take(0)).collect();
        used.into_iter().for_each(|buffer| pool.give(0, buffer));
        assert!(!pool.trim() && pool.shelves[0].buffers.len() == STAYING[0]);
        (0..8).for_each(|_| pool.give(3, take(Class::LARGE)));
        let left: Vec<usize> = std::iter::repeat_with(|| {
            pool.trim();
            pool.shelves[3].buffers.len()
        })
        .take(5)
        .collect();
        assert_eq!(left, [8, 4, 2, 1, 0]);
    }
}
