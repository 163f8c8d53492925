//! How the control thread wakes a worker that sleeps in its ring.
//!
//! A socket pair rather than an eventfd: both the io_uring and the epoll driver can receive from
//! it with the operations that they have anyway.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// The control side: rings the bell of one worker.
#[derive(Debug)]
pub struct Bell(UnixStream);

impl Bell {
    /// A bell and the stream on which its worker hears it, both non-blocking.
    pub fn pair() -> io::Result<(Self, UnixStream)> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok((Self(bell), ear))
    }

    /// Wakes the worker. A full socket means that it has been rung already; a closed one means
    /// that the worker has ended: neither is an error of the caller.
    pub fn ring(&self) {
        let _ = (&self.0).write(&[1]);
    }
}
