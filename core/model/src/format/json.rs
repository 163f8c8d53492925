//! JSON formats: the braces and keys are written once, when the format is compiled.

use super::operator::Operator;
use super::{FormatContext, FormatError, Segment, parse, write_segments};

/// A JSON format as configured (`google.protobuf.Struct`).
#[derive(Debug, Clone, PartialEq)]
pub enum JsonNode {
    /// An object; its keys are written in this order.
    Object(Vec<(String, JsonNode)>),
    /// A list.
    List(Vec<JsonNode>),
    /// A string, which is a format.
    Text(String),
    /// A number.
    Number(f64),
    /// A boolean.
    Bool(bool),
    /// `null`
    Null,
}

/// A piece of a line.
#[derive(Debug)]
pub(super) enum JsonPiece {
    /// Braces, keys, and all that is the same in each line.
    Raw(Box<[u8]>),
    /// One operator: its value keeps its type, and `null` stands for a missing one.
    Typed(Operator),
    /// A string of several segments.
    Text(Vec<Segment>),
}

/// Compiles a tree, line end included.
pub(super) fn compile(tree: &JsonNode) -> Result<Vec<JsonPiece>, FormatError> {
    let mut compiler = Compiler::default();
    compiler.node(tree)?;
    compiler.raw.push(b'\n');
    compiler.flush();
    Ok(compiler.pieces)
}

/// Appends a line.
pub(super) fn write(
    pieces: &[JsonPiece],
    missing: &[u8],
    cx: &FormatContext<'_>,
    out: &mut Vec<u8>,
) {
    for piece in pieces {
        match piece {
            JsonPiece::Raw(text) => out.extend_from_slice(text),
            JsonPiece::Typed(operator) if operator.is_number() => {
                if !operator.write(cx, out) {
                    out.extend_from_slice(b"null");
                }
            }
            JsonPiece::Typed(operator) => {
                let start = out.len();
                out.push(b'"');
                if operator.write(cx, out) {
                    escape_tail(out, start + 1);
                    out.push(b'"');
                } else {
                    out.truncate(start);
                    out.extend_from_slice(b"null");
                }
            }
            JsonPiece::Text(segments) => {
                out.push(b'"');
                let start = out.len();
                write_segments(segments, missing, cx, out);
                escape_tail(out, start);
                out.push(b'"');
            }
        }
    }
}

#[derive(Default)]
struct Compiler {
    pieces: Vec<JsonPiece>,
    raw: Vec<u8>,
}

impl Compiler {
    fn node(&mut self, node: &JsonNode) -> Result<(), FormatError> {
        match node {
            JsonNode::Object(entries) => {
                self.list(b'{', b'}', entries, |compiler, (key, value)| {
                    compiler.string(key);
                    compiler.raw.push(b':');
                    compiler.node(value)
                })?;
            }
            JsonNode::List(items) => self.list(b'[', b']', items, Self::node)?,
            JsonNode::Text(format) => self.text(format)?,
            JsonNode::Number(value) => self.raw.extend_from_slice(value.to_string().as_bytes()),
            JsonNode::Bool(true) => self.raw.extend_from_slice(b"true"),
            JsonNode::Bool(false) => self.raw.extend_from_slice(b"false"),
            JsonNode::Null => self.raw.extend_from_slice(b"null"),
        }
        Ok(())
    }

    fn list<T>(
        &mut self,
        open: u8,
        close: u8,
        items: &[T],
        mut each: impl FnMut(&mut Self, &T) -> Result<(), FormatError>,
    ) -> Result<(), FormatError> {
        self.raw.push(open);
        for (index, item) in items.iter().enumerate() {
            if index > 0 {
                self.raw.push(b',');
            }
            each(self, item)?;
        }
        self.raw.push(close);
        Ok(())
    }

    fn text(&mut self, format: &str) -> Result<(), FormatError> {
        let mut segments = parse::segments(format)?;
        let literal = |segment: &Segment| match segment {
            Segment::Literal(text) => Some(text.clone()),
            Segment::Value(_) => None,
        };
        if segments.len() == 1 && matches!(segments[0], Segment::Value(_)) {
            if let Some(Segment::Value(operator)) = segments.pop() {
                self.flush();
                self.pieces.push(JsonPiece::Typed(operator));
            }
            return Ok(());
        }
        let literals: Option<Vec<_>> = segments.iter().map(literal).collect();
        match literals {
            Some(literals) => {
                self.raw.push(b'"');
                let start = self.raw.len();
                self.raw.extend(literals.iter().flat_map(|text| text.iter()));
                escape_tail(&mut self.raw, start);
                self.raw.push(b'"');
            }
            None => {
                self.flush();
                self.pieces.push(JsonPiece::Text(segments));
            }
        }
        Ok(())
    }

    fn string(&mut self, text: &str) {
        self.raw.push(b'"');
        let start = self.raw.len();
        self.raw.extend_from_slice(text.as_bytes());
        escape_tail(&mut self.raw, start);
        self.raw.push(b'"');
    }

    fn flush(&mut self) {
        if !self.raw.is_empty() {
            let raw = std::mem::take(&mut self.raw).into_boxed_slice();
            self.pieces.push(JsonPiece::Raw(raw));
        }
    }
}

/// Escapes what was written from `start` on, in its place: there is mostly nothing to escape.
fn escape_tail(out: &mut Vec<u8>, start: usize) {
    let grown: usize = out[start..].iter().map(|byte| escaped_len(*byte) - 1).sum();
    if grown == 0 {
        return;
    }
    let mut read = out.len();
    out.resize(read + grown, 0);
    let mut write = out.len();
    // From the end, so that nothing is overwritten before it was read.
    while read > start {
        read -= 1;
        let byte = out[read];
        write -= escaped_len(byte);
        escape(byte, &mut out[write..write + escaped_len(byte)]);
    }
}

fn escaped_len(byte: u8) -> usize {
    match byte {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 0x08 | 0x0c => 2,
        0x00..0x20 => 6,
        _ => 1,
    }
}

fn escape(byte: u8, target: &mut [u8]) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'\n' => b'n',
        b'\r' => b'r',
        b'\t' => b't',
        0x08 => b'b',
        0x0c => b'f',
        other => other,
    };
    match target {
        [only] => *only = byte,
        [slash, letter] => (*slash, *letter) = (b'\\', short),
        long => {
            long[..4].copy_from_slice(b"\\u00");
            long[4] = HEX[usize::from(byte >> 4)];
            long[5] = HEX[usize::from(byte & 15)];
        }
    }
}
