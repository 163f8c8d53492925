//! Text to a located tree: YAML and JSON, each value with the line and column where it stands.
//!
//! Owns the syntax and its bounds. It does not know a field or a type of Envoy's API: the tree
//! goes to `decode`.

mod json;
mod locate;
mod merge;
mod node;
mod scalar;
mod yaml;

use std::fs;

pub(crate) use locate::{is_written, locate};
pub(crate) use merge::merge;
pub(crate) use node::{Entry, Kind, Node, Position};

use crate::error::{ConfigError, ErrorKind};

/// Longest text that is read, in bytes.
pub(crate) const MAX_BYTES: usize = 64 << 20;
/// Deepest nesting of maps and lists; Envoy's JSON parser stops at the same depth.
pub(crate) const MAX_DEPTH: usize = 100;
/// Most values in one tree, after aliases are expanded: the bound on an alias bomb.
pub(crate) const MAX_NODES: usize = 2_000_000;

/// One text of configuration, not yet read as YAML or JSON.
#[derive(Debug, Clone)]
pub struct Source {
    /// How errors name it: the path as the user gave it, or `--config-yaml`.
    pub name: String,
    /// The whole text.
    pub text: String,
    /// The syntax of the text.
    pub format: Format,
}

/// The syntax of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// YAML as Envoy reads it: 1.1 booleans, hexadecimal and octal integers.
    Yaml,
    /// JSON with the leniencies of Envoy's parser: single quotes, bare keys, trailing commas.
    Json,
}

impl Source {
    /// Reads a file. The extension decides the syntax as in Envoy: `.yaml` and `.yml` are YAML in
    /// any case of letters, all else is JSON.
    ///
    /// # Errors
    /// `Io` when the file cannot be read, is too large or is not UTF-8; `NotSupported` for the
    /// binary and text formats of protobuf (`.pb`, `.pb_text`).
    pub fn open(path: &str) -> Result<Source, ConfigError> {
        let format = format_of(path)?;
        let bytes = fs::read(path).map_err(|error| io_error(path, &error.to_string()))?;
        if bytes.len() > MAX_BYTES {
            return Err(io_error(path, &format!("more than {MAX_BYTES} bytes")));
        }
        let text = String::from_utf8(bytes).map_err(|_| io_error(path, "not UTF-8"))?;
        Ok(Source { name: path.to_owned(), text, format })
    }

    /// The text of a file that somebody else has read; its name tells what it is written in.
    pub(crate) fn of_file(path: &str, bytes: Vec<u8>) -> Result<Source, ConfigError> {
        let format = format_of(path)?;
        let text = String::from_utf8(bytes).map_err(|_| io_error(path, "not UTF-8"))?;
        Ok(Source { name: path.to_owned(), text, format })
    }

    /// The text of `--config-yaml`.
    pub fn inline(text: &str) -> Source {
        Source { name: "--config-yaml".to_owned(), text: text.to_owned(), format: Format::Yaml }
    }

    /// Reads the text into a tree; `source` is the number that its positions carry.
    pub(crate) fn parse(&self, source: u32) -> Result<Node, ConfigError> {
        // A byte order mark is legal in front of both syntaxes, and Envoy accepts it.
        let text = self.text.strip_prefix('\u{feff}').unwrap_or(&self.text);
        let tree = if text.len() > MAX_BYTES {
            Err(SyntaxError::whole(format!("more than {MAX_BYTES} bytes")))
        } else {
            match self.format {
                Format::Yaml => yaml::parse(text, source),
                Format::Json => json::parse(text, source),
            }
        };
        tree.map_err(|error| ConfigError {
            kind: error.kind,
            file: self.name.clone(),
            line: error.position.line,
            column: error.position.column,
            path: String::new(),
            message: error.message,
        })
    }
}

fn format_of(path: &str) -> Result<Format, ConfigError> {
    let lower = path.to_ascii_lowercase();
    if lower.ends_with(".yaml") || lower.ends_with(".yml") {
        Ok(Format::Yaml)
    } else if lower.ends_with(".pb") || lower.ends_with(".pb_text") {
        Err(ConfigError {
            kind: ErrorKind::NotSupported,
            message: "a configuration in protobuf's own formats; use YAML or JSON".to_owned(),
            ..io_error(path, "")
        })
    } else {
        Ok(Format::Json)
    }
}

fn io_error(path: &str, message: &str) -> ConfigError {
    ConfigError {
        kind: ErrorKind::Io,
        file: path.to_owned(),
        line: 0,
        column: 0,
        path: String::new(),
        message: message.to_owned(),
    }
}

/// Why a text is no tree.
struct SyntaxError {
    kind: ErrorKind,
    position: Position,
    message: String,
}

impl SyntaxError {
    fn at(position: Position, message: impl Into<String>) -> SyntaxError {
        SyntaxError { kind: ErrorKind::Syntax, position, message: message.into() }
    }

    /// About the text as a whole, without a line.
    fn whole(message: impl Into<String>) -> SyntaxError {
        SyntaxError::at(Position::default(), message)
    }

    fn duplicate(position: Position, key: &str) -> SyntaxError {
        let message = format!("the key {key:?} is given twice");
        SyntaxError { kind: ErrorKind::Duplicate, position, message }
    }
}
