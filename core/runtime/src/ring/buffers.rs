//! Buffers that the kernel may fill: one ring of them per size class.
//!
//! The kernel takes a buffer when bytes have arrived, not when a receive is armed. A buffer that
//! was filled leaves for good, as a plain vector; another one from the pool takes its place.

use std::alloc::{Layout, alloc_zeroed, dealloc};
use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use crate::buffer::{self, Class};

/// Buffers offered per class: how many receives may complete in one turn without a second try.
const OFFERED: [u16; 4] = [256, 64, 32, 16];

/// One group per class; the group's number is the class's.
pub(super) struct Groups([Group; 4]);

impl Groups {
    pub(super) fn register(uring: &IoUring) -> io::Result<Self> {
        let mut groups = Vec::with_capacity(OFFERED.len());
        for (class, offered) in Class::all().zip(OFFERED) {
            groups.push(Group::register(uring, class, offered)?);
        }
        // As many as there are classes.
        groups.try_into().map(Self).map_err(|_| io::Error::other("a buffer group is missing"))
    }

    /// The buffer that the kernel filled with `len` bytes; another takes its place.
    pub(super) fn take(&mut self, class: Class, id: u16, len: usize) -> Vec<u8> {
        self.0[class.index()].take(id, len)
    }
}

struct Group {
    class: Class,
    entries: *mut BufRingEntry,
    layout: Layout,
    count: u16,
    tail: u16,
    /// By buffer id: what the kernel may write to.
    offered: Vec<Vec<u8>>,
}

impl Group {
    fn register(uring: &IoUring, class: Class, count: u16) -> io::Result<Self> {
        let bytes = usize::from(count) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(bytes, 4096).map_err(io::Error::other)?;
        // SAFETY: the layout is not empty.
        let entries = unsafe { alloc_zeroed(layout) }.cast::<BufRingEntry>();
        if entries.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut group = Self { class, entries, layout, count, tail: 0, offered: Vec::new() };
        let address = entries as u64;
        // SAFETY: the memory is page-aligned, large enough, zeroed, and freed only when the group
        // is dropped, after the ring (`Ring` declares the ring first).
        unsafe { uring.submitter().register_buf_ring(address, count, class.index() as u16) }?;
        for id in 0..count {
            group.offered.push(Vec::new());
            group.offer(id);
        }
        Ok(group)
    }

    fn take(&mut self, id: u16, len: usize) -> Vec<u8> {
        let mut bytes = std::mem::take(&mut self.offered[usize::from(id)]);
        assert!(len <= bytes.capacity(), "the kernel wrote beyond its buffer");
        // SAFETY: the kernel has initialised the first `len` bytes, and `len` is at most the
        // capacity, which is what was offered.
        unsafe { bytes.set_len(len) };
        self.offer(id);
        bytes
    }

    /// Puts a fresh buffer under that id.
    fn offer(&mut self, id: u16) {
        let mut bytes = buffer::take(self.class);
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: `slot` is within the ring; the kernel reads an entry only after the tail has
        // passed it.
        let entry = unsafe { &mut *self.entries.add(slot) };
        entry.set_addr(bytes.as_mut_ptr() as u64);
        entry.set_len(self.class.capacity() as u32);
        entry.set_bid(id);
        self.offered[usize::from(id)] = bytes;
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry of the ring, which lives as long as the group;
        // the kernel reads it with acquire semantics.
        let tail = unsafe { &*BufRingEntry::tail(self.entries).cast::<AtomicU16>() };
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // SAFETY: allocated with this layout in `register`; the ring that used it is gone.
        unsafe { dealloc(self.entries.cast(), self.layout) };
    }
}
