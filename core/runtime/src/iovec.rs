//! Several buffers as one vectored write.

use monoio::buf::IoVecBuf;

use crate::buffer::Buf;

/// Buffers of one write, and where the kernel finds them.
#[derive(Default)]
pub(crate) struct IoVecs {
    bufs: Vec<Buf>,
    /// Index of the first buffer that is not fully written.
    first: usize,
    iovecs: Vec<libc::iovec>,
}

/// Buffers per system call; Linux allows 1024.
pub(crate) const BATCH_MAX: usize = 64;

impl IoVecs {
    /// Takes up to [`BATCH_MAX`] buffers from the front of `queue`.
    pub(crate) fn fill(&mut self, queue: &mut Vec<Buf>) {
        debug_assert!(self.bufs.is_empty(), "the last batch is still being written");
        self.first = 0;
        self.bufs.extend(queue.drain(..queue.len().min(BATCH_MAX)));
    }

    /// Points the kernel at what is left to write.
    pub(crate) fn aim(&mut self) {
        self.iovecs.clear();
        self.iovecs.extend(self.bufs[self.first..].iter().map(|buf| libc::iovec {
            iov_base: buf.as_ptr() as *mut libc::c_void,
            iov_len: buf.len(),
        }));
    }

    /// Takes note of `n` written bytes; `true` when everything is written.
    pub(crate) fn advance(&mut self, mut n: usize) -> bool {
        while let Some(buf) = self.bufs.get_mut(self.first) {
            if n < buf.len() {
                buf.consume(n);
                return false;
            }
            n -= buf.len();
            self.first += 1;
        }
        true
    }

    /// Returns the buffers to the pool.
    pub(crate) fn clear(&mut self) {
        self.bufs.clear();
        self.iovecs.clear();
    }
}

// SAFETY: `aim` runs before each submission and points into heap memory that `bufs` owns; moving
// an `IoVecs` moves neither the buffers nor the iovec array, and nothing touches them while the
// runtime owns the value.
unsafe impl IoVecBuf for IoVecs {
    fn read_iovec_ptr(&self) -> *const libc::iovec {
        self.iovecs.as_ptr()
    }

    fn read_iovec_len(&self) -> usize {
        self.iovecs.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_writes_continue_where_they_stopped() {
        let mut queue: Vec<Buf> =
            [b"abc".to_vec(), b"defg".to_vec()].into_iter().map(Buf::new).collect();
        let mut iovecs = IoVecs::default();
        iovecs.fill(&mut queue);
        iovecs.aim();
        assert_eq!(iovecs.read_iovec_len(), 2);
        assert!(!iovecs.advance(5));
        iovecs.aim();
        assert_eq!((iovecs.read_iovec_len(), iovecs.iovecs[0].iov_len), (1, 2));
        assert!(iovecs.advance(2));
    }
}
