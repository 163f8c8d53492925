//! The errors of one reading while they are collected.

use crate::error::{ConfigError, ErrorKind};
use crate::path::Path;
use crate::source::{self, Node, Position};

/// Most errors that are kept: whoever has a thousand mistakes needs not the thousand-and-first.
const MAX_FINDINGS: usize = 1000;

/// One error, with its path still in steps and its place still a number of a source.
#[derive(Debug)]
pub(crate) struct Finding {
    pub(crate) kind: ErrorKind,
    pub(crate) path: Path,
    pub(crate) position: Position,
    pub(crate) message: String,
}

/// All errors so far.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    found: Vec<Finding>,
}

impl Findings {
    pub(crate) fn push(&mut self, finding: Finding) {
        if self.found.len() < MAX_FINDINGS {
            self.found.push(finding);
        }
    }

    pub(crate) fn extend(&mut self, more: Findings) {
        more.found.into_iter().for_each(|finding| self.push(finding));
    }

    pub(crate) fn len(&self) -> usize {
        self.found.len()
    }

    /// Takes out what was found after the first `len`.
    pub(crate) fn split_off(&mut self, len: usize) -> Findings {
        Findings { found: self.found.split_off(len.min(self.found.len())) }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// True when a field at, above or below the path is already known to be wrong, so that what
    /// a later check says about it would only repeat the first error in other words.
    pub(crate) fn touch(&self, path: &Path) -> bool {
        self.found.iter().any(|have| have.path.contains(path) || path.contains(&have.path))
    }

    /// True when the field is not written, and its message has a key that nobody knows: that key
    /// may have been meant for it. `root` is the text.
    pub(crate) fn may_misspell(&self, path: &Path, root: &Node) -> bool {
        self.found.iter().filter(|have| have.kind == ErrorKind::UnknownField).any(|have| {
            let (message, steps) = (have.path.parent(), path.steps());
            steps.len() > message.len()
                && steps.starts_with(message)
                && !source::is_written(root, &steps[..=message.len()])
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Finding> {
        self.found.iter()
    }

    pub(crate) fn retain(&mut self, keep: impl FnMut(&Finding) -> bool) {
        self.found.retain(keep);
    }

    /// In the order of the text. `files` are the names of the sources by their number.
    pub(crate) fn into_errors(mut self, files: &[String]) -> Vec<ConfigError> {
        self.found.sort_by_key(|finding| finding.position.in_order());
        self.found.into_iter().map(|finding| finding.into_error(files)).collect()
    }
}

impl Finding {
    pub(crate) fn into_error(self, files: &[String]) -> ConfigError {
        let Position { source, line, column } = self.position;
        ConfigError {
            kind: self.kind,
            file: files.get(source as usize).cloned().unwrap_or_default(),
            line,
            column,
            path: self.path.to_string(),
            message: self.message,
        }
    }
}
