//! What a compilation has read beside the configuration itself.
//!
//! A message that names a file says nothing of what is in it. So whatever is compiled from files
//! and variables is kept with their digests, and is still right when all of them still have them.

use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use prost::Message as _;
use ringway_tls::certificate::sha256;

use super::proto::tls;

/// All that one resource was read from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Reads {
    list: Vec<Read>,
    folders: Vec<PathBuf>,
}

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
    /// A secret of `static_resources`: the field that it is in, and its name.
    Secret(&'static str, String),
}

impl Reads {
    /// Reads, and remembers what was there.
    pub(super) fn read(&mut self, from: From, secrets: &Secrets<'_>) -> io::Result<Vec<u8>> {
        let bytes = read(&from, secrets);
        self.list.push(Read { from, sum: bytes.as_ref().ok().map(|bytes| sha256(bytes)) });
        bytes
    }

    /// Remembers a folder that is watched for its own sake (`watched_directory`).
    pub(super) fn watch_folder(&mut self, folder: &str) {
        self.folders.push(folder.into());
    }

    /// Adds what a part of the resource was read from.
    pub(super) fn extend(&mut self, part: &Reads) {
        self.list.extend_from_slice(&part.list);
        self.folders.extend_from_slice(&part.folders);
    }

    /// What is not watched: what a resource was read from beside its secrets.
    pub(super) fn unwatched(&self) -> Reads {
        let is_watched = |one: &&Read| matches!(one.from, From::File(_, _, true));
        let list = self.list.iter().filter(|one| !is_watched(one)).cloned();
        Reads { list: list.collect(), folders: Vec::new() }
    }

    /// Whether all of it would be read alike again.
    pub(super) fn are_unchanged(&self, secrets: &Secrets<'_>) -> bool {
        let sum = |from: &From| read(from, secrets).ok().map(|bytes| sha256(&bytes));
        self.list.iter().all(|one| sum(&one.from) == one.sum)
    }

    /// The files whose changes matter at once.
    pub(super) fn files(&self) -> impl Iterator<Item = &Path> {
        self.list.iter().filter_map(|one| match &one.from {
            From::File(path, _, true) => Some(path.as_path()),
            _ => None,
        })
    }

    /// The folders in which something may be swapped by which files become others.
    pub(super) fn folders(&self) -> impl Iterator<Item = &Path> {
        self.folders.iter().map(PathBuf::as_path)
    }
}

/// The secrets of `static_resources`, each with its place in the list.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Secrets<'a>(pub(super) &'a [tls::Secret]);

impl<'a> Secrets<'a> {
    /// The first of that kind and name.
    pub(super) fn find(self, kind: &str, name: &str) -> Option<(usize, &'a tls::Secret)> {
        let mut all = self.0.iter().enumerate();
        all.find(|(_, secret)| secret.name == name && kind_of(secret) == kind)
    }
}

/// The field that the secret is in.
pub(super) fn kind_of(secret: &tls::Secret) -> &'static str {
    use tls::secret::Type;
    match &secret.r#type {
        Some(Type::TlsCertificate(_)) => "tls_certificate",
        Some(Type::SessionTicketKeys(_)) => "session_ticket_keys",
        Some(Type::ValidationContext(_)) => "validation_context",
        Some(Type::GenericSecret(_)) => "generic_secret",
        None => "",
    }
}

fn read(from: &From, secrets: &Secrets<'_>) -> io::Result<Vec<u8>> {
    use std::os::unix::ffi::OsStringExt;
    let missing = || io::Error::from(io::ErrorKind::NotFound);
    match from {
        From::File(path, max, _) => read_file(path, *max),
        From::Variable(name) => {
            std::env::var_os(name).map(OsStringExt::into_vec).ok_or_else(missing)
        }
        From::Secret(kind, name) => {
            let found = secrets.find(kind, name).ok_or_else(missing);
            found.map(|(_, secret)| secret.encode_to_vec())
        }
    }
}

/// Reads one byte more than may be, so that a device or a huge file is not read to its end.
fn read_file(path: &Path, max: usize) -> io::Result<Vec<u8>> {
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    let mut bytes = Vec::new();
    File::open(path)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}
