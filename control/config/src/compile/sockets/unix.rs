//! Unix sockets: files and abstract names.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ringway_model::address::Address;
use ringway_model::listener::Sockets;
use socket2::{Domain, SockAddr, Socket, Type};

use super::{SocketSpec, SocketState, duplicates, listen, options};

pub(super) fn open(spec: &SocketSpec, path: &Arc<PathBuf>) -> io::Result<Sockets> {
    let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
    let abstract_name = abstract_name(path);
    if abstract_name.is_none() {
        remove_stale(path)?;
    }
    let address = SockAddr::unix(abstract_name.as_deref().unwrap_or(path))?;
    options::apply(&socket, &spec.options, SocketState::Prebind)?;
    socket.bind(&address)?;
    if abstract_name.is_none() && spec.mode != 0 {
        fs::set_permissions(path.as_path(), Permissions::from_mode(spec.mode))?;
    }
    options::apply(&socket, &spec.options, SocketState::Bound)?;
    listen(spec, &socket)?;
    let fds = duplicates(socket, spec.workers)?.into_iter().map(OwnedFd::from).collect();
    Ok(Sockets { fds, address: Address::Pipe(Arc::clone(path)) })
}

/// `@name` as the kernel writes it, with a zero byte in front.
fn abstract_name(path: &Path) -> Option<PathBuf> {
    let name = path.as_os_str().as_bytes().strip_prefix(b"@")?;
    let bytes = [b"\0", name].concat();
    Some(PathBuf::from(std::ffi::OsString::from_vec(bytes)))
}

/// The socket of a process that ended stays in the file system and would make the address busy.
/// Anything that is no socket is left alone, which is safer than Envoy's unlink.
fn remove_stale(path: &Path) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => fs::remove_file(path),
        _ => Ok(()),
    }
}
