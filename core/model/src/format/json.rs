//! JSON formats: the braces and keys are written once, when the format is compiled.

pub(super) mod escape;
pub(super) mod sparse;

use self::escape::{escape_constant, escape_tail};
use super::operator::Operator;
use super::{FormatContext, FormatError, Segment, parse};

/// A JSON format as configured (`google.protobuf.Struct`).
#[derive(Debug, Clone, PartialEq)]
pub enum JsonNode {
    /// An object; its keys are written in their order, as Envoy does.
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
    /// A string of several segments, the literal ones escaped already.
    Text(Vec<Segment>),
}

/// A string, compiled.
enum Text {
    /// The same in each line, escaped and quoted.
    Constant(Vec<u8>),
    /// One operator.
    Typed(Operator),
    /// Several segments, the literal ones escaped already.
    Segments(Vec<Segment>),
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
            JsonPiece::Typed(operator) => {
                if !write_typed(operator, cx, out) {
                    out.extend_from_slice(b"null");
                }
            }
            JsonPiece::Text(segments) => write_string(segments, missing, cx, out),
        }
    }
}

/// Appends a number or a quoted string; nothing and false when the value is missing.
fn write_typed(operator: &Operator, cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
    if operator.is_number() {
        return operator.write(cx, out);
    }
    let start = out.len();
    out.push(b'"');
    if !operator.write(cx, out) {
        out.truncate(start);
        return false;
    }
    escape_tail(out, start + 1);
    out.push(b'"');
    true
}

fn write_string(segments: &[Segment], missing: &[u8], cx: &FormatContext<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    for segment in segments {
        match segment {
            Segment::Literal(escaped) => out.extend_from_slice(escaped),
            Segment::Value(operator) => {
                let start = out.len();
                if !operator.write(cx, out) {
                    out.extend_from_slice(missing);
                }
                escape_tail(out, start);
            }
        }
    }
    out.push(b'"');
}

/// Compiles a string.
fn text(format: &str) -> Result<Text, FormatError> {
    let mut segments = parse::segments(format)?;
    match segments.pop() {
        None => Ok(Text::Constant(quoted(""))),
        Some(Segment::Value(operator)) if segments.is_empty() => Ok(Text::Typed(operator)),
        Some(Segment::Literal(text)) if segments.is_empty() => {
            // Literals of a format are parts of a string, and UTF-8 therefore.
            Ok(Text::Constant(quoted(&String::from_utf8_lossy(&text))))
        }
        Some(last) => {
            segments.push(last);
            for segment in &mut segments {
                if let Segment::Literal(text) = segment {
                    *text = escape_constant(text).into_boxed_slice();
                }
            }
            Ok(Text::Segments(segments))
        }
    }
}

fn quoted(text: &str) -> Vec<u8> {
    let mut quoted = vec![b'"'];
    quoted.extend(escape_constant(text.as_bytes()));
    quoted.push(b'"');
    quoted
}

/// A number as C's `%g` writes it, with as many digits as it needs.
fn number(value: f64) -> String {
    let magnitude = value.abs();
    if magnitude == 0.0 || (1e-4..1e15).contains(&magnitude) {
        return value.to_string();
    }
    let text = format!("{value:e}");
    let Some((digits, exponent)) = text.split_once('e') else {
        // JSON has no words for infinity; a protobuf struct cannot hold it either.
        return "null".to_owned();
    };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(exponent) => ('-', exponent),
        None => ('+', exponent),
    };
    format!("{digits}e{sign}{exponent:0>2}")
}

/// The entries of an object in the order of their keys.
fn sorted(entries: &[(String, JsonNode)]) -> Vec<&(String, JsonNode)> {
    let mut sorted: Vec<_> = entries.iter().collect();
    sorted.sort_by(|(a, _), (b, _)| a.cmp(b));
    sorted
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
                let entries = sorted(entries);
                self.list(b'{', b'}', &entries, |compiler, (key, value)| {
                    compiler.raw.extend(quoted(key));
                    compiler.raw.push(b':');
                    compiler.node(value)
                })?;
            }
            JsonNode::List(items) => self.list(b'[', b']', items, Self::node)?,
            JsonNode::Text(format) => self.text(format)?,
            JsonNode::Number(value) => self.raw.extend_from_slice(number(*value).as_bytes()),
            JsonNode::Bool(value) => self.raw.extend_from_slice(value.to_string().as_bytes()),
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
        let piece = match text(format)? {
            Text::Constant(quoted) => {
                self.raw.extend(quoted);
                return Ok(());
            }
            Text::Typed(operator) => JsonPiece::Typed(operator),
            Text::Segments(segments) => JsonPiece::Text(segments),
        };
        self.flush();
        self.pieces.push(piece);
        Ok(())
    }

    fn flush(&mut self) {
        if !self.raw.is_empty() {
            let raw = std::mem::take(&mut self.raw).into_boxed_slice();
            self.pieces.push(JsonPiece::Raw(raw));
        }
    }
}
