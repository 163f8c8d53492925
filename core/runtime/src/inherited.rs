//! Sockets that the process was started with, as systemd and those like it pass them
//! (sd_listen_fds(3)): descriptors from 3 on, announced in `LISTEN_PID` and `LISTEN_FDS`.
//!
//! Owns the protocol and the one place where a number becomes a descriptor. What kind of sockets
//! they are is for whoever takes them.

use std::env::{self, VarError};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering};

/// Standard input, output and error come before.
const FIRST: RawFd = 3;
/// More than any unit has; a number beyond it is a mistake.
const SOCKETS_MAX: RawFd = 1024;

static TAKEN: AtomicBool = AtomicBool::new(false);

/// The sockets, the first time this is called; none when nobody passed any, or passed them to
/// another process from which this one has inherited the announcement.
///
/// # Errors
/// What is announced is not there.
pub fn sockets() -> io::Result<Vec<OwnedFd>> {
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let (pid, count) = (env::var("LISTEN_PID"), env::var("LISTEN_FDS"));
    let count = announced(pid, count, std::process::id())?;
    (FIRST..FIRST + count).map(take).collect()
}

fn announced(
    pid: Result<String, VarError>,
    count: Result<String, VarError>,
    own: u32,
) -> io::Result<RawFd> {
    let (Ok(pid), Ok(count)) = (pid, count) else { return Ok(0) };
    if pid.parse() != Ok(own) {
        return Ok(0);
    }
    match count.parse() {
        Ok(count @ 0..=SOCKETS_MAX) => Ok(count),
        _ => Err(io::Error::other(format!("LISTEN_FDS: {count:?} is no number of sockets"))),
    }
}

fn take(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: the call takes any number, and looks only.
    let flags = unsafe { libc::fcntl(fd, libc::F_GETFD) };
    if flags == -1 {
        return Err(io::Error::other(format!("LISTEN_FDS: descriptor {fd} is not open")));
    }
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(io::Error::other(format!("LISTEN_FDS: descriptor {fd} was not passed")));
    }
    // SAFETY: the call sets a flag of a descriptor that is open. It could not have been inherited
    // with the flag, and is not to be passed on.
    unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) };
    // SAFETY: it is open, and nobody here owns it: all that this process opens has FD_CLOEXEC
    // from the start, this one had not, and each number is taken once.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(pid: &str, count: &str) -> Result<RawFd, String> {
        let found = announced(Ok(pid.to_owned()), Ok(count.to_owned()), 7);
        found.map_err(|error| error.to_string())
    }

    #[test]
    fn an_announcement_counts_for_its_own_process() {
        assert_eq!(said("7", "2"), Ok(2));
        assert_eq!(said("8", "2"), Ok(0));
        assert_eq!(said("x", "2"), Ok(0));
        let none = Err(VarError::NotPresent);
        assert_eq!(announced(Ok("7".to_owned()), none, 7).ok(), Some(0));
    }

    #[test]
    fn a_number_that_is_none_is_an_error() {
        for count in ["", "-1", "x", "1025", "99999999999"] {
            let error = said("7", count).expect_err("no number of sockets");
            assert!(error.starts_with("LISTEN_FDS: "), "{error}");
        }
    }

    #[test]
    fn what_was_not_passed_is_not_taken() {
        use std::os::fd::AsRawFd;
        let own = std::net::TcpListener::bind("127.0.0.1:0").expect("a socket");
        let error = take(own.as_raw_fd()).expect_err("it is ours").to_string();
        assert!(error.ends_with("was not passed"), "{error}");
        // The largest number that a process may have is far below.
        let error = take(RawFd::MAX).expect_err("not open").to_string();
        assert!(error.ends_with("is not open"), "{error}");
    }
}
