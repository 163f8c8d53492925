//! Unix sockets: files and abstract names.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ringway_model::address::Address;
use ringway_model::listener::Sockets;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{SocketSpec, SocketState, duplicates, listen, options};

/// How long a queue may stay full before somebody else is taken to be behind it.
const FULL_QUEUE_MAX: Duration = Duration::from_secs(1);

pub(super) fn open(spec: &SocketSpec, path: &Arc<PathBuf>) -> io::Result<Sockets> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let abstract_name = abstract_name(path);
    if abstract_name.is_none() {
        remove_stale(path)?;
    }
    let address = SockAddr::unix(abstract_name.as_deref().unwrap_or(path))?;
    options::apply(&socket, &spec.options, SocketState::Prebind)?;
    socket.bind(&address)?;
    set_mode(spec, path)?;
    options::apply(&socket, &spec.options, SocketState::Bound)?;
    listen(spec, &socket)?;
    let fds = duplicates(socket, spec.workers)?.into_iter().map(OwnedFd::from).collect();
    Ok(Sockets::new(fds, Address::Pipe(Arc::clone(path))))
}

/// `pipe.mode`; an abstract name has no permissions.
pub(super) fn set_mode(spec: &SocketSpec, path: &Path) -> io::Result<()> {
    if spec.mode == 0 || abstract_name(path).is_some() {
        return Ok(());
    }
    fs::set_permissions(path, Permissions::from_mode(spec.mode))
}

/// `@name` as the kernel writes it, with a zero byte in front.
fn abstract_name(path: &Path) -> Option<PathBuf> {
    let name = path.as_os_str().as_bytes().strip_prefix(b"@")?;
    let bytes = [b"\0", name].concat();
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// The socket of a process that ended stays in the file system and would make the address busy.
/// One that somebody else listens on is left alone, and so is anything that is no socket: safer
/// than Envoy's unlink, which takes the path away from a process that serves.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        _ => return Ok(()),
    }
    match is_served_by_another(path) {
        Ok(true) => Err(io::Error::from_raw_os_error(rustix::io::Errno::ADDRINUSE.raw_os_error())),
        Ok(false) => fs::remove_file(path),
        // Not to be known: a socket of another type, or one that we may not connect to. Then it
        // is for `bind` to refuse the address.
        Err(_) => Ok(()),
    }
}

/// Connects, since only that tells a live socket from what is left of one. This process may
/// listen there itself, when a listener is opened anew with other options.
fn is_served_by_another(path: &Path) -> io::Result<bool> {
    let probe = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    // A full queue makes `connect` wait for room; our own workers make some meanwhile.
    probe.set_write_timeout(Some(FULL_QUEUE_MAX))?;
    match probe.connect(&SockAddr::unix(path)?) {
        Ok(()) => {
            let peer = rustix::net::sockopt::socket_peercred(&probe)?;
            Ok(peer.pid != rustix::process::getpid())
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => Ok(false),
        Err(error) => Err(error),
    }
}
