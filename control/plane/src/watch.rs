//! Watched files: the configuration, and the files of certificates and keys.
//!
//! What is watched is the folder that a file is in, not the file: editors and `mv` replace the
//! file, and Kubernetes swaps a symbolic link (`..data`) beside it, so a watch on the file itself
//! would look at something that is gone. Where a folder on the way is such a link, the folder that
//! holds the link is watched as well. An event only makes the watch look: it tells of a change
//! when the file's identity, size or time of modification is another than before.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use notify::{RecommendedWatcher, RecursiveMode, Watcher};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout_at};

/// A change is told when nothing more has happened for so long: writers take several steps.
const QUIET: Duration = Duration::from_millis(100);
/// However busy the folder is, a change is told after so long.
const QUIET_MAX: Duration = Duration::from_secs(2);

/// Looks after some files.
#[derive(Debug)]
pub struct FileWatch {
    watcher: RecommendedWatcher,
    events: mpsc::Receiver<()>,
    files: Vec<(PathBuf, Option<Fingerprint>)>,
    /// Folders that are watched for their own sake.
    also: Vec<PathBuf>,
    /// All that are watched.
    folders: Vec<PathBuf>,
    /// Events that nobody has looked into yet. It lives here and not in the future of
    /// [`FileWatch::changed`], which is dropped whenever the control thread has something else to
    /// do.
    burst: Option<Burst>,
}

/// Events that belong together.
#[derive(Debug, Clone, Copy)]
struct Burst {
    first: Instant,
    last: Instant,
}

impl Burst {
    fn new() -> Self {
        let now = Instant::now();
        Self { first: now, last: now }
    }

    /// When it is time to look.
    fn over(self) -> Instant {
        (self.last + QUIET).min(self.first + QUIET_MAX)
    }
}

/// What tells one state of a file from another. The path is the one behind all links.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Fingerprint {
    target: PathBuf,
    device: u64,
    inode: u64,
    bytes: u64,
    modified: (i64, i64),
}

impl Fingerprint {
    fn of(path: &Path) -> Option<Self> {
        let (target, meta) = (fs::canonicalize(path).ok()?, fs::metadata(path).ok()?);
        Some(Self {
            target,
            device: meta.dev(),
            inode: meta.ino(),
            bytes: meta.len(),
            modified: (meta.mtime(), meta.mtime_nsec()),
        })
    }
}

impl FileWatch {
    /// Watches `files`, which should exist; their folders must.
    pub fn new(files: impl IntoIterator<Item = PathBuf>) -> notify::Result<Self> {
        // One pending event says all: the watch looks at the files, not at the event.
        let (sender, events) = mpsc::channel(1);
        let watcher = notify::recommended_watcher(move |_| {
            let _ = sender.try_send(());
        })?;
        let files = files.into_iter().map(|file| (Fingerprint::of(&file), file));
        let files = files.map(|(fingerprint, file)| (file, fingerprint)).collect();
        let (also, folders) = (Vec::new(), Vec::new());
        let mut watch = Self { watcher, events, files, also, folders, burst: None };
        watch.watch_folders()?;
        Ok(watch)
    }

    /// Watches these files from now on, and these folders. A file that was not watched before is
    /// told of as changed: it may be another than when it was read.
    pub fn follow(
        &mut self,
        files: impl IntoIterator<Item = PathBuf>,
        folders: impl IntoIterator<Item = PathBuf>,
    ) -> notify::Result<()> {
        let mut known: HashMap<_, _> = self.files.drain(..).collect();
        for file in files {
            let fingerprint = known.remove(&file);
            if fingerprint.is_none() {
                self.burst.get_or_insert_with(Burst::new);
            }
            self.files.push((file, fingerprint.flatten()));
        }
        self.also = folders.into_iter().collect();
        self.watch_folders()
    }

    /// Waits for the next change; returns the files that changed and exist.
    ///
    /// Dropping the future loses nothing: the next call goes on where this one was.
    pub async fn changed(&mut self) -> Vec<PathBuf> {
        loop {
            self.settled().await;
            self.burst = None;
            let changed = self.look();
            if !changed.is_empty() {
                return changed;
            }
        }
    }

    /// Waits for events, and then until no more have come for a while.
    async fn settled(&mut self) {
        loop {
            let Some(burst) = self.burst else {
                self.event().await;
                self.burst = Some(Burst::new());
                continue;
            };
            let over = burst.over();
            if Instant::now() >= over {
                return;
            }
            if timeout_at(over, self.event()).await.is_ok()
                && let Some(burst) = &mut self.burst
            {
                burst.last = Instant::now();
            }
        }
    }

    async fn event(&mut self) {
        if self.events.recv().await.is_none() {
            // The watcher lives as long as `self`, so this does not happen; waiting is safer than
            // telling of changes for ever.
            std::future::pending::<()>().await;
        }
    }

    fn look(&mut self) -> Vec<PathBuf> {
        let mut changed = Vec::new();
        for (file, known) in &mut self.files {
            let now = Fingerprint::of(file);
            // A file that is missing is between two steps of being replaced.
            if now.is_some() && now != *known {
                *known = now;
                changed.push(file.clone());
            }
        }
        if let Err(error) = self.watch_folders() {
            tracing::warn!(target: "config", %error, "a folder cannot be watched");
        }
        changed
    }

    /// Watches the folder of each file and, where there are links, those that hold the links and
    /// that of the file behind them.
    fn watch_folders(&mut self) -> notify::Result<()> {
        let mut wanted = self.also.clone();
        for (file, known) in &self.files {
            wanted.push(folder(file));
            wanted.extend(links(file).map(folder));
            wanted.extend(known.iter().map(|known| folder(&known.target)));
        }
        wanted.sort();
        wanted.dedup();
        for gone in self.folders.iter().filter(|folder| !wanted.contains(folder)) {
            // It may not exist any more, and then it is not watched either.
            let _ = self.watcher.unwatch(gone);
        }
        let mut result = Ok(());
        // One that cannot be watched is tried again next time, and keeps no other from it.
        wanted.retain(|folder| {
            if self.folders.contains(folder) {
                return true;
            }
            let watched = self.watcher.watch(folder, RecursiveMode::NonRecursive);
            let good = watched.is_ok();
            result = std::mem::replace(&mut result, Ok(())).and(watched);
            good
        });
        self.folders = wanted;
        result
    }
}

/// The folder that a file or a link is in.
fn folder(path: &Path) -> PathBuf {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// The folders on the way to a file that are symbolic links.
fn links(file: &Path) -> impl Iterator<Item = &Path> {
    file.ancestors().skip(1).filter(|path| path.is_symlink())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::os::unix::fs::symlink;

    use super::*;

    /// Far more than a loaded machine needs.
    const LIMIT: Duration = Duration::from_secs(30);

    async fn next(watch: &mut FileWatch) -> Vec<PathBuf> {
        tokio::time::timeout(LIMIT, watch.changed()).await.expect("a change was seen")
    }

    #[tokio::test]
    async fn a_file_that_is_renamed_into_place_or_written_to_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, "1").expect("written");
        let mut watch = FileWatch::new([file.clone()]).expect("watched");
        for text in ["2", "3"] {
            fs::write(folder.path().join("new"), text).expect("written");
            fs::rename(folder.path().join("new"), &file).expect("renamed");
            assert_eq!(next(&mut watch).await, vec![file.clone()]);
        }
        let mut open = fs::OpenOptions::new().append(true).open(&file).expect("opened");
        open.write_all(b"more").expect("written");
        assert_eq!(next(&mut watch).await, vec![file.clone()]);
    }

    /// The control thread waits for many things at once and drops this wait for any of them.
    #[tokio::test]
    async fn a_wait_that_is_dropped_again_and_again_loses_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, "1").expect("written");
        let mut watch = FileWatch::new([file.clone()]).expect("watched");
        let mut other = tokio::time::interval(QUIET / 10);
        for text in ["22", "333", "4444"] {
            fs::write(&file, text).expect("written");
            let seen = async {
                loop {
                    tokio::select! {
                        changed = watch.changed() => return changed,
                        _ = other.tick() => {}
                    }
                }
            };
            let seen = tokio::time::timeout(LIMIT, seen).await.expect("a change was seen");
            assert_eq!(seen, std::slice::from_ref(&file));
        }
    }

    #[tokio::test]
    async fn a_swapped_link_to_the_folder_of_data_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2", "v3"] {
            fs::create_dir(path(version)).expect("created");
            fs::write(path(version).join("envoy.yaml"), version).expect("written");
        }
        symlink("v1", path("..data")).expect("linked");
        symlink("..data/envoy.yaml", path("envoy.yaml")).expect("linked");
        let mut watch = FileWatch::new([path("envoy.yaml")]).expect("watched");
        for version in ["v2", "v3"] {
            symlink(version, path("..data_tmp")).expect("linked");
            fs::rename(path("..data_tmp"), path("..data")).expect("swapped");
            assert_eq!(next(&mut watch).await, [path("envoy.yaml")]);
            assert_eq!(fs::read_to_string(path("envoy.yaml")).expect("read"), version);
        }
    }

    #[tokio::test]
    async fn a_swapped_link_on_the_way_is_a_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        for version in ["v1", "v2", "v3"] {
            fs::create_dir(path(version)).expect("created");
            fs::write(path(version).join("a.pem"), version).expect("written");
        }
        symlink("v1", path("current")).expect("linked");
        let file = path("current").join("a.pem");
        let mut watch = FileWatch::new([file.clone()]).expect("watched");
        for version in ["v2", "v3"] {
            symlink(version, path("new")).expect("linked");
            fs::rename(path("new"), path("current")).expect("swapped");
            assert_eq!(next(&mut watch).await, std::slice::from_ref(&file));
        }
    }

    #[tokio::test]
    async fn another_list_of_files_is_followed() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::write(path("a"), "1").expect("written");
        fs::write(path("b"), "1").expect("written");
        let mut watch = FileWatch::new([]).expect("watched");
        watch.follow([path("a")], []).expect("followed");
        assert_eq!(next(&mut watch).await, [path("a")]);
        watch.follow([path("a"), path("b")], []).expect("followed");
        assert_eq!(next(&mut watch).await, [path("b")], "a is known");
        fs::write(path("a"), "22").expect("written");
        assert_eq!(next(&mut watch).await, [path("a")]);
        watch.follow([path("b")], []).expect("followed");
        fs::write(path("a"), "333").expect("written");
        fs::write(path("b"), "333").expect("written");
        assert_eq!(next(&mut watch).await, [path("b")]);
    }

    #[tokio::test]
    async fn other_files_and_a_file_that_is_missing_for_a_moment_are_no_change() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("envoy.yaml");
        fs::write(&file, "1").expect("written");
        let mut watch = FileWatch::new([file.clone()]).expect("watched");
        fs::write(folder.path().join("other"), "x").expect("written");
        fs::rename(&file, folder.path().join("away")).expect("moved");
        assert!(watch.look().is_empty());
        fs::write(&file, "2").expect("written");
        assert_eq!(next(&mut watch).await, [file]);
    }

    #[test]
    fn a_folder_that_does_not_exist_is_an_error() {
        assert!(FileWatch::new(["/nonexistent/envoy.yaml".into()]).is_err());
    }
}
