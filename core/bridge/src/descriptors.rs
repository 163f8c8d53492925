//! Sockets that the control thread has opened and workers use.
//!
//! The kernel holds an address for as long as anybody has a descriptor of its socket, so whoever
//! gives it up must be able to close them all. The lock is taken where a worker begins to listen
//! and where listening ends, and at no other time.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// One descriptor per worker, until they are closed.
#[derive(Debug, Default)]
pub struct Descriptors(Mutex<Vec<OwnedFd>>);

impl Descriptors {
    /// Takes them over; indexed by worker.
    pub fn new(fds: Vec<OwnedFd>) -> Self {
        Self(Mutex::new(fds))
    }

    /// Another descriptor of the socket of that worker.
    ///
    /// # Errors
    /// There is none, or the process has no descriptor left.
    pub fn duplicate(&self, worker: usize) -> io::Result<OwnedFd> {
        let fds = self.all();
        let fd = fds.get(worker).ok_or_else(|| io::Error::other("no socket for this worker"))?;
        fd.try_clone()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all().len()
    }

    /// Whether there is none: they were closed, or nothing was bound.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Calls `visit` with each.
    pub fn each(&self, visit: impl FnMut(&OwnedFd)) {
        self.all().iter().for_each(visit);
    }

    /// Closes all of them.
    pub fn close(&self) {
        self.all().clear();
    }

    fn all(&self) -> MutexGuard<'_, Vec<OwnedFd>> {
        // A list of descriptors is valid at every point.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;

    use super::*;

    #[test]
    fn an_address_is_free_once_all_descriptors_are_closed() {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
        let address = socket.local_addr().expect("an address");
        let descriptors = Descriptors::new(vec![socket.into()]);
        let duplicate = descriptors.duplicate(0).expect("a descriptor");
        assert!(descriptors.duplicate(1).is_err());
        descriptors.close();
        assert!(UdpSocket::bind(address).is_err(), "the duplicate holds it");
        drop(duplicate);
        UdpSocket::bind(address).expect("the address is free");
        assert!(descriptors.is_empty());
    }
}
