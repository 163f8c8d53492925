//! One place that lines go to.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::LogTarget;

/// An open target.
#[derive(Debug)]
pub(super) struct Sink {
    output: Output,
    /// The last write broke off in the middle of a line.
    torn: bool,
}

#[derive(Debug)]
enum Output {
    File { path: PathBuf, file: File },
    Stdout,
    Stderr,
}

impl Sink {
    pub(super) fn open(target: &LogTarget) -> io::Result<Self> {
        let output = match target {
            LogTarget::File(path) => Output::File { path: path.clone(), file: append(path)? },
            LogTarget::Stdout => Output::Stdout,
            LogTarget::Stderr => Output::Stderr,
        };
        Ok(Self { output, torn: false })
    }

    pub(super) fn path(&self) -> Option<&Path> {
        match &self.output {
            Output::File { path, .. } => Some(path),
            Output::Stdout | Output::Stderr => None,
        }
    }

    /// Writes whole lines; returns how many writes that took. After an error the rest of the
    /// batch is lost.
    pub(super) fn write(&mut self, bytes: &[u8]) -> io::Result<u64> {
        let mut count = 0;
        if self.torn {
            // The next line must not look like the end of the one that broke off.
            self.write_once(b"\n")?;
            self.torn = false;
            count += 1;
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            match self.write_once(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => {
                    rest = &rest[written..];
                    count += 1;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let written = &bytes[..bytes.len() - rest.len()];
                    self.torn = written.last().is_some_and(|last| *last != b'\n');
                    return Err(error);
                }
            }
        }
        Ok(count)
    }

    fn write_once(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.output {
            Output::File { file, .. } => file.write(bytes),
            Output::Stdout => flushed(&mut io::stdout(), bytes),
            Output::Stderr => io::stderr().write(bytes),
        }
    }

    /// Opens the file by its name again; keeps the old one when that fails.
    pub(super) fn reopen(&mut self) -> io::Result<()> {
        if let Output::File { path, file } = &mut self.output {
            *file = append(path)?;
            self.torn = false;
        }
        Ok(())
    }
}

fn append(path: &Path) -> io::Result<File> {
    OpenOptions::new().append(true).create(true).open(path)
}

/// Rust's standard output is buffered by lines; a batch has to come out whole.
fn flushed(output: &mut impl Write, bytes: &[u8]) -> io::Result<usize> {
    output.write_all(bytes)?;
    output.flush()?;
    Ok(bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn on(file: File) -> Sink {
        Sink { output: Output::File { path: PathBuf::new(), file }, torn: false }
    }

    #[test]
    fn a_full_disk_is_an_error_and_not_the_end() {
        let full = OpenOptions::new().write(true).open("/dev/full").expect("Linux has it");
        let mut sink = on(full);
        let error = sink.write(b"line\n").expect_err("no space");
        assert_eq!(error.raw_os_error(), Some(28), "ENOSPC");
        assert!(!sink.torn, "nothing was written");
    }

    #[test]
    fn a_reader_that_went_away_is_an_error() {
        let (reader, writer) = io::pipe().expect("a pipe");
        drop(reader);
        let mut sink = on(std::os::fd::OwnedFd::from(writer).into());
        let error = sink.write(b"line\n").expect_err("nobody reads");
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[test]
    fn a_line_after_a_torn_one_stands_alone() {
        let file = tempfile::tempfile().expect("a file");
        let mut sink = on(file.try_clone().expect("a duplicate"));
        sink.write(b"half a li").expect("written");
        sink.torn = true;
        assert_eq!(sink.write(b"next\n").expect("written"), 2);
        let mut file = file;
        io::Seek::rewind(&mut file).expect("rewound");
        assert_eq!(io::read_to_string(file).expect("read"), "half a li\nnext\n");
    }
}
