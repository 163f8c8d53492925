//! A ring with provided buffers: the unsafe part of the floor.
//!
//! Owns: the ring, the memory that the kernel receives into, and the rule that a buffer belongs
//! either to the kernel or to the caller. Does not own: what is relayed where.

use std::alloc::{self, Layout};
use std::io;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::ptr;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::types::{BufRingEntry, Fd};
use io_uring::{IoUring, cqueue, opcode, squeue};
use socket2::SockAddr;

/// Submission queue entries.
const ENTRIES: u32 = 4096;
/// Completion queue entries: many connections may complete between two turns.
const COMPLETIONS: u32 = 32_768;
/// Completions after which a turn looks for no more.
const GATHERED_MAX: usize = 256;
/// `IORING_ENTER_GETEVENTS`
const GET_EVENTS: u32 = 1;
/// The one group of provided buffers.
const GROUP: u16 = 0;
/// The ring of buffers begins at a page (io_uring_register_buf_ring(3)).
const PAGE: usize = 4096;

/// A completed operation.
#[derive(Debug, Clone, Copy)]
pub(super) struct Completion {
    pub(super) token: u64,
    /// A length or descriptor, or a negative error number.
    pub(super) result: i32,
    /// The buffer that it filled.
    pub(super) buffer: Option<u16>,
    /// The same operation will complete again.
    pub(super) more: bool,
}

/// A ring and its buffers.
pub(super) struct Ring {
    ring: IoUring,
    buffers: Buffers,
    upstream: SockAddr,
}

impl Ring {
    /// `count` buffers (a power of two) of `bytes` each; every connect goes to `upstream`.
    pub(super) fn new(count: u16, bytes: u32, upstream: SocketAddr) -> io::Result<Self> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_cqsize(COMPLETIONS)
            .build(ENTRIES)?;
        let mut buffers = Buffers::new(count, bytes);
        // SAFETY: the entries live as long as `Buffers`, which is dropped after the ring, since
        // fields are dropped in the order of their declaration.
        unsafe { ring.submitter().register_buf_ring(buffers.entries as u64, count, GROUP)? };
        (0..count).for_each(|id| buffers.give(id));
        Ok(Self { ring, buffers, upstream: upstream.into() })
    }

    /// Accepts until further notice.
    pub(super) fn accept(&mut self, listener: RawFd, token: u64) -> io::Result<()> {
        let accept = opcode::AcceptMulti::new(Fd(listener)).flags(libc::SOCK_CLOEXEC);
        self.push(accept.build().user_data(token))
    }

    /// Connects to the upstream address.
    pub(super) fn connect(&mut self, fd: RawFd, token: u64) -> io::Result<()> {
        let address = (self.upstream.as_ptr().cast(), self.upstream.len());
        let connect = opcode::Connect::new(Fd(fd), address.0, address.1);
        self.push(connect.build().user_data(token))
    }

    /// Receives once, or until further notice, into a provided buffer.
    pub(super) fn receive(&mut self, fd: RawFd, multi: bool, token: u64) -> io::Result<()> {
        let entry = if multi {
            opcode::RecvMulti::new(Fd(fd), GROUP).build()
        } else {
            opcode::Recv::new(Fd(fd), ptr::null_mut(), self.buffers.bytes)
                .buf_group(GROUP)
                .build()
                .flags(squeue::Flags::BUFFER_SELECT)
        };
        self.push(entry.user_data(token))
    }

    /// Sends bytes `from..to` of a buffer that the caller owns and keeps until the completion.
    pub(super) fn send(
        &mut self,
        fd: RawFd,
        buffer: u16,
        from: u32,
        to: u32,
        token: u64,
    ) -> io::Result<()> {
        let start = self.buffers.address(buffer).wrapping_add(from as usize);
        let send = opcode::Send::new(Fd(fd), start, to - from).flags(libc::MSG_NOSIGNAL);
        self.push(send.build().user_data(token))
    }

    /// Sends bytes that last for ever.
    pub(super) fn send_static(
        &mut self,
        fd: RawFd,
        bytes: &'static [u8],
        token: u64,
    ) -> io::Result<()> {
        // SAFETY: as they are static, they stay.
        unsafe { self.send_slice(fd, bytes, token) }
    }

    /// Sends all of `bytes`.
    ///
    /// # Safety
    /// They must stay where and as they are until the completion.
    pub(super) unsafe fn send_slice(
        &mut self,
        fd: RawFd,
        bytes: &[u8],
        token: u64,
    ) -> io::Result<()> {
        let flags = libc::MSG_NOSIGNAL | libc::MSG_WAITALL;
        let send = opcode::Send::new(Fd(fd), bytes.as_ptr(), bytes.len() as u32).flags(flags);
        self.push(send.build().user_data(token))
    }

    /// The first bytes of a buffer that was filled and not given back.
    pub(super) fn bytes(&self, buffer: u16, len: u32) -> &[u8] {
        assert!(len <= self.buffers.bytes, "the kernel wrote beyond its buffer");
        // SAFETY: it belongs to the caller and not to the kernel, which has written so much.
        unsafe { std::slice::from_raw_parts(self.buffers.address(buffer), len as usize) }
    }

    /// Gives a buffer back to the kernel.
    pub(super) fn give(&mut self, buffer: u16) {
        self.buffers.give(buffer);
    }

    fn push(&mut self, entry: squeue::Entry) -> io::Result<()> {
        loop {
            // SAFETY: descriptors are open until their operations completed (relay's rule);
            // provided buffers and the address live as long as the ring.
            if unsafe { self.ring.submission().push(&entry) }.is_ok() {
                return Ok(());
            }
            self.ring.submit()?;
        }
    }

    /// Submits what was pushed, waits for at least one completion, and appends all there are.
    pub(super) fn turn(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        match self.ring.submit_and_wait(1) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            // The completion queue is full: what is in it comes first.
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {}
            Err(error) => return Err(error),
        }
        self.take(completions);
        Ok(())
    }

    /// Appends what has happened as well: the kernel makes some twenty completions each time that
    /// it is entered.
    pub(super) fn gather(&mut self, completions: &mut Vec<Completion>) -> io::Result<()> {
        while completions.len() < GATHERED_MAX && self.ring.submission().taskrun() {
            let pending = self.ring.submission().len() as u32;
            // A submission alone makes none. SAFETY: no signal mask is passed.
            let entered = unsafe {
                self.ring.submitter().enter::<libc::sigset_t>(pending, 0, GET_EVENTS, None)
            };
            let before = completions.len();
            self.take(completions);
            match entered {
                Err(error) if error.raw_os_error() != Some(libc::EBUSY) => return Err(error),
                // It says so as well of what it has just worked off, until there is more.
                _ if completions.len() == before => break,
                _ => {}
            }
        }
        Ok(())
    }

    fn take(&mut self, completions: &mut Vec<Completion>) {
        completions.extend(self.ring.completion().map(|entry| Completion {
            token: entry.user_data(),
            result: entry.result(),
            buffer: cqueue::buffer_select(entry.flags()),
            more: cqueue::more(entry.flags()),
        }));
    }
}

/// Memory that the kernel receives into, and the ring by which it learns which part is free.
struct Buffers {
    entries: *mut BufRingEntry,
    layout: Layout,
    memory: *mut u8,
    memory_layout: Layout,
    bytes: u32,
    count: u16,
    tail: u16,
}

impl Buffers {
    fn new(count: u16, bytes: u32) -> Self {
        assert!(count.is_power_of_two() && bytes > 0, "what the kernel asks for");
        let entries = usize::from(count) * size_of::<BufRingEntry>();
        let layout = Layout::from_size_align(entries, PAGE).expect("a page is a power of two");
        let memory_layout = Layout::from_size_align(usize::from(count) * bytes as usize, PAGE)
            .expect("a page is a power of two");
        // SAFETY: neither layout is empty.
        let (entries, memory) =
            unsafe { (alloc::alloc_zeroed(layout), alloc::alloc_zeroed(memory_layout)) };
        if entries.is_null() || memory.is_null() {
            alloc::handle_alloc_error(memory_layout);
        }
        Self { entries: entries.cast(), layout, memory, memory_layout, bytes, count, tail: 0 }
    }

    fn address(&self, id: u16) -> *mut u8 {
        debug_assert!(id < self.count, "the kernel returns ids that it was given");
        self.memory.wrapping_add(usize::from(id) * self.bytes as usize)
    }

    fn give(&mut self, id: u16) {
        let address = self.address(id) as u64;
        let slot = usize::from(self.tail & (self.count - 1));
        // SAFETY: `slot` is below `count`, and the kernel does not read this entry before the tail
        // is moved past it. The tail lies inside the first entry, which is initialised.
        unsafe {
            let entry = &mut *self.entries.add(slot);
            entry.set_addr(address);
            entry.set_len(self.bytes);
            entry.set_bid(id);
            self.tail = self.tail.wrapping_add(1);
            let tail = BufRingEntry::tail(self.entries).cast::<AtomicU16>();
            (*tail).store(self.tail, Ordering::Release);
        }
    }
}

impl Drop for Buffers {
    fn drop(&mut self) {
        // SAFETY: both were allocated with these layouts, and the ring that used them is gone.
        unsafe {
            alloc::dealloc(self.entries.cast(), self.layout);
            alloc::dealloc(self.memory, self.memory_layout);
        }
    }
}
