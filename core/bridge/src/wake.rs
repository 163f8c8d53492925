//! How the control thread wakes a worker that sleeps in its ring, and the other way round.
//!
//! A socket pair rather than an eventfd: both the io_uring and the epoll driver can receive from
//! it with the operations that they have anyway.

use std::io::{self, Write};
use std::os::unix::net::UnixStream;

/// Rings for the thread that holds the other end.
#[derive(Debug)]
pub struct Bell(UnixStream);

impl Bell {
    /// A bell and the stream on which it is heard, both non-blocking.
    pub fn pair() -> io::Result<(Self, UnixStream)> {
        let (bell, ear) = UnixStream::pair()?;
        bell.set_nonblocking(true)?;
        ear.set_nonblocking(true)?;
        Ok((Self(bell), ear))
    }

    /// Wakes whoever listens. A full socket means that it has been rung already; a closed one
    /// that nobody is there any more: neither is an error of the caller.
    pub fn ring(&self) {
        let _ = (&self.0).write(&[1]);
    }
}
