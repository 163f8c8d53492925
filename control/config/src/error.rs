//! What is wrong with a configuration, where, and how it is said.
//!
//! Owns the error type of the crate and the path of a field. It decides nothing: the rooms that
//! read, decode, validate and compile find the errors.

use std::fmt;

/// One thing that is wrong with the configuration.
///
/// `Display` gives one line, in the form that editors and compilers understand:
/// `envoy.yaml:12:7: admin.adress: unknown field (did you mean "address"?)`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    /// What sort of mistake it is.
    pub kind: ErrorKind,
    /// The file as the user named it, or `--config-yaml`.
    pub file: String,
    /// Line in the file, from 1; 0 when the place is not known.
    pub line: u32,
    /// Column in the line, from 1, in characters; 0 when the place is not known.
    pub column: u32,
    /// Full path of the field, in the snake_case names of the protos; empty for a whole file.
    pub path: String,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
}

/// The sort of a configuration error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The file cannot be read.
    Io,
    /// The text is not YAML or JSON, or is beyond the bounds of size, depth or expansion.
    Syntax,
    /// A key that the message does not have.
    UnknownField,
    /// A key that is given twice, or two members of one oneof.
    Duplicate,
    /// A value of the wrong shape for its field.
    WrongType,
    /// A name or type URL that the API does not have: an enum value, a message in `@type`.
    UnknownName,
    /// A value that breaks a rule of the API or of the proxy.
    Invalid,
    /// Valid for Envoy 1.40, and not built here yet.
    NotSupported,
    /// A warning: a value that changes nothing where it stands, in Envoy neither.
    NoEffect,
    /// A warning: a value that works, and about which whoever wrote it should know.
    Warning,
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", OneLine(&self.file))?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        match self.kind {
            ErrorKind::NotSupported => f.write_str(": not supported yet")?,
            ErrorKind::NoEffect => f.write_str(": no effect")?,
            _ => {}
        }
        for part in [&self.path, &self.message] {
            if !part.is_empty() {
                write!(f, ": {}", OneLine(part))?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigError {}

/// Text from a configuration that must not break the line or steer the terminal it is shown on.
struct OneLine<'a>(&'a str);

impl fmt::Display for OneLine<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
            match c {
                c if c.is_control() => write!(f, "{}", c.escape_default())?,
                c => fmt::Write::write_char(f, c)?,
            }
        }
        Ok(())
    }
}
