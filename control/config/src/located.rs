//! The text of a configuration after it was read: which file and line a path comes from.

use crate::error::{ConfigError, ErrorKind};
use crate::findings::{Finding, Findings};
use crate::path::Path;
use crate::source::{self, Node};

/// The located tree and the names of its files. The compiler reports what it finds through it.
#[derive(Debug, Default)]
pub struct Located {
    root: Node,
    files: Vec<String>,
}

impl Located {
    pub(crate) fn new(root: Node, files: Vec<String>) -> Located {
        Located { root, files }
    }

    pub(crate) fn root(&self) -> &Node {
        &self.root
    }

    /// An error about the field at a path.
    pub(crate) fn error(&self, kind: ErrorKind, path: &Path, message: String) -> ConfigError {
        let position = source::locate(&self.root, path.steps());
        Finding { kind, path: path.clone(), position, message }.into_error(&self.files)
    }

    /// All errors that were collected, in the order of the text.
    pub(crate) fn errors(&self, findings: Findings) -> Vec<ConfigError> {
        findings.into_errors(&self.files)
    }
}
