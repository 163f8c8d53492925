//! Whoever opens the sinks of access logs.

use std::io;
use std::path::Path;

use ringway_model::access_log::SinkId;

/// Opens access logs. The same target gets the same number each time.
pub trait OpenSinks {
    /// A file that lines are appended to, created if it does not exist.
    ///
    /// # Errors
    /// What the system said; the caller names the file.
    fn file(&mut self, path: &Path) -> io::Result<SinkId>;

    /// Standard output.
    ///
    /// # Errors
    /// When there can be no further sink.
    fn stdout(&mut self) -> io::Result<SinkId>;

    /// Standard error.
    ///
    /// # Errors
    /// When there can be no further sink.
    fn stderr(&mut self) -> io::Result<SinkId>;
}

/// Opens nothing: for validation. All sinks have one number.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoSinks;

impl OpenSinks for NoSinks {
    fn file(&mut self, _path: &Path) -> io::Result<SinkId> {
        Ok(SinkId(0))
    }

    fn stdout(&mut self) -> io::Result<SinkId> {
        Ok(SinkId(0))
    }

    fn stderr(&mut self) -> io::Result<SinkId> {
        Ok(SinkId(0))
    }
}
