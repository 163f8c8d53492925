//! What a compilation has read beside the configuration itself.
//!
//! A message that names a file says nothing of what is in it. So whatever is compiled from files
//! and variables is kept with their digests, and is still right when all of them still have them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use ringway_tls::certificate::sha256;

/// All that one resource was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads(Vec<Read>);

#[derive(Debug, Clone, PartialEq, Eq)]
struct Read {
    from: From,
    /// `None` when there was nothing to be read.
    sum: Option<[u8; 32]>,
}

/// Where something was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum From {
    /// A file of at most that many bytes. The flag: it is watched.
    File(PathBuf, usize, bool),
    /// A variable of the environment.
    Variable(String),
}

impl Reads {
    /// Reads, and remembers what was there.
    pub(super) fn read(&mut self, from: From) -> io::Result<Vec<u8>> {
        let bytes = read(&from);
        self.0.push(Read { from, sum: bytes.as_ref().ok().map(|bytes| sha256(bytes)) });
        bytes
    }

    /// Adds what a part of the resource was read from.
    pub(super) fn extend(&mut self, part: &Reads) {
        self.0.extend_from_slice(&part.0);
    }

    /// Whether all of it would be read alike again.
    pub(super) fn are_unchanged(&self) -> bool {
        let same = |one: &Read| read(&one.from).ok().map(|bytes| sha256(&bytes)) == one.sum;
        self.0.iter().all(same)
    }

    /// The files whose changes matter at once.
    pub(super) fn watched(&self) -> impl Iterator<Item = &Path> {
        self.0.iter().filter_map(|one| match &one.from {
            From::File(path, _, true) => Some(path.as_path()),
            _ => None,
        })
    }
}

fn read(from: &From) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    match from {
        From::File(path, max, _) => read_file(path, *max),
        From::Variable(name) => std::env::var_os(name)
            .map(OsStringExt::into_vec)
            .ok_or_else(|| io::ErrorKind::NotFound.into()),
    }
}

/// Reads one byte more than may be, so that a device or a huge file is not read to its end.
fn read_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
