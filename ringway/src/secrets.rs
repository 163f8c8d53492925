//! Files of certificates, keys and lists: they are watched, and when they change the configuration
//! that is in force is compiled again.
//!
//! Owns: which files those are, and the configuration as it was read. Does not own: what becomes
//! of a file that cannot be used; the compiler keeps the last good context.

use std::sync::Arc;

use ringway_bridge::stats::Page;
use ringway_config::Loaded;
use ringway_config::compile::{Updates, Watched};
use ringway_control::watch::FileWatch;
use ringway_model::snapshot::Snapshot;

/// What there is to follow.
pub(crate) struct Secrets {
    page: Arc<Page>,
    /// Only while there are files to be watched.
    followed: Option<Followed>,
}

struct Followed {
    watch: FileWatch,
    watched: Watched,
    loaded: Loaded,
}

impl Secrets {
    /// Those of the first configuration. `page` belongs to the control thread.
    pub(crate) fn new(
        page: Arc<Page>,
        loaded: Loaded,
        watched: Watched,
        updates: &Updates,
    ) -> Self {
        let mut secrets = Self { page, followed: None };
        secrets.report(updates);
        secrets.follow(loaded, watched);
        secrets
    }

    /// Follows the files of a configuration that was just compiled.
    pub(crate) fn follow(&mut self, loaded: Loaded, watched: Watched) {
        if watched.files.is_empty() {
            self.followed = None;
            return;
        }
        let watch = match self.followed.take() {
            Some(followed) => Ok(followed.watch),
            None => FileWatch::new([]),
        };
        match watch {
            Ok(watch) => {
                // Nothing yet, so that the files are handed to the watch in any case.
                self.followed = Some(Followed { watch, watched: Watched::default(), loaded });
                self.watch(watched);
            }
            Err(error) => {
                tracing::error!(target: "config", %error, "certificates are not watched");
            }
        }
    }

    /// Watches other files of the same configuration.
    pub(crate) fn watch(&mut self, watched: Watched) {
        let Some(followed) = &mut self.followed else { return };
        if followed.watched == watched {
            return;
        }
        let (files, folders) = (watched.files.clone(), watched.folders.clone());
        if let Err(error) = followed.watch.follow(files, folders) {
            tracing::error!(target: "config", %error, "some certificates are not watched");
        }
        followed.watched = watched;
    }

    /// Waits until some of them changed. Dropping the future loses nothing.
    pub(crate) async fn changed(&mut self) {
        match &mut self.followed {
            Some(followed) => drop(followed.watch.changed().await),
            None => std::future::pending().await,
        }
    }

    /// The configuration that they belong to.
    pub(crate) fn loaded(&self) -> Option<&Loaded> {
        self.followed.as_ref().map(|followed| &followed.loaded)
    }

    /// Counts what became of secrets, and says what cannot be used.
    pub(crate) fn report(&self, updates: &Updates) {
        updates.counts.iter().for_each(|id| self.page.inc(*id));
        for error in &updates.rejected {
            tracing::warn!(target: "config", "{error}; the last good one stays in service");
        }
    }
}

/// Whether there is anything to be published.
pub(crate) fn differ(before: &Snapshot, after: &Snapshot) -> bool {
    let listeners = before.listeners.iter().zip(&after.listeners);
    let clusters = before.clusters.iter().zip(&after.clusters);
    before.listeners.len() != after.listeners.len()
        || before.clusters.len() != after.clusters.len()
        || listeners.into_iter().any(|(one, other)| !Arc::ptr_eq(one, other))
        || clusters.into_iter().any(|(one, other)| match (one, other) {
            (Some(one), Some(other)) => !Arc::ptr_eq(one, other),
            (one, other) => one.is_some() != other.is_some(),
        })
}
