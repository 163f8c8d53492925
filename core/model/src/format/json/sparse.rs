//! JSON without what is missing (`omit_empty_values`): the commas depend on the line.

use super::{JsonNode, Text, number, quoted, sorted, text, write_string, write_typed};
use crate::format::operator::Operator;
use crate::format::{FormatContext, FormatError, Segment};

/// A node of the tree.
#[derive(Debug)]
pub(in crate::format) enum SparseNode {
    /// Keys are quoted, with their colons.
    Object(Vec<(Box<[u8]>, SparseNode)>),
    List(Vec<SparseNode>),
    Raw(Box<[u8]>),
    Typed(Operator),
    Text(Vec<Segment>),
    Missing,
}

impl SparseNode {
    pub(in crate::format) fn speaks_of_wire_bytes(&self) -> bool {
        match self {
            Self::Object(entries) => entries.iter().any(|(_, node)| node.speaks_of_wire_bytes()),
            Self::List(nodes) => nodes.iter().any(Self::speaks_of_wire_bytes),
            Self::Typed(operator) => operator.is_wire_bytes(),
            Self::Text(segments) => crate::format::speak_of_wire_bytes(segments),
            Self::Raw(_) | Self::Missing => false,
        }
    }
}

/// Compiles a tree.
pub(in crate::format) fn compile(tree: &JsonNode) -> Result<SparseNode, FormatError> {
    let raw = |text: &str| SparseNode::Raw(text.as_bytes().into());
    Ok(match tree {
        JsonNode::Object(entries) => {
            let entry = |(key, value): &(String, JsonNode)| {
                let mut key = quoted(key);
                key.push(b':');
                Ok((key.into_boxed_slice(), compile(value)?))
            };
            let entries: Result<_, _> = sorted(entries).into_iter().map(entry).collect();
            SparseNode::Object(entries?)
        }
        JsonNode::List(items) => {
            let items: Result<_, _> = items.iter().map(compile).collect();
            SparseNode::List(items?)
        }
        JsonNode::Text(format) => match text(format)? {
            Text::Constant(quoted) => SparseNode::Raw(quoted.into_boxed_slice()),
            Text::Typed(operator) => SparseNode::Typed(operator),
            Text::Segments(segments) => SparseNode::Text(segments),
        },
        JsonNode::Number(value) => raw(&number(*value)),
        JsonNode::Bool(value) => raw(&value.to_string()),
        JsonNode::Null => SparseNode::Missing,
    })
}

/// Appends a line; an empty object is still one at the top.
pub(in crate::format) fn write(
    tree: &SparseNode,
    missing: &[u8],
    cx: &FormatContext<'_>,
    out: &mut Vec<u8>,
) {
    if !tree.write(missing, cx, out) {
        out.extend_from_slice(b"{}");
    }
    out.push(b'\n');
}

impl SparseNode {
    /// Appends the node; nothing and false when there is nothing to say.
    fn write(&self, missing: &[u8], cx: &FormatContext<'_>, out: &mut Vec<u8>) -> bool {
        match self {
            Self::Missing => return false,
            Self::Raw(text) => out.extend_from_slice(text),
            Self::Typed(operator) => return write_typed(operator, cx, out),
            Self::Text(segments) => write_string(segments, missing, cx, out),
            Self::Object(entries) => {
                let entries = entries.iter().map(|(key, value)| (&**key, value));
                return write_items(entries, *b"{}", missing, cx, out) > 0;
            }
            // Of lists the empty ones stay.
            Self::List(items) => {
                let items = items.iter().map(|item| (&b""[..], item));
                write_items(items, *b"[]", missing, cx, out);
            }
        }
        true
    }
}

/// Appends those items that have something to say, and returns how many there were. An object
/// without any is taken back.
fn write_items<'n>(
    items: impl Iterator<Item = (&'n [u8], &'n SparseNode)>,
    [open, close]: [u8; 2],
    missing: &[u8],
    cx: &FormatContext<'_>,
    out: &mut Vec<u8>,
) -> usize {
    let start = out.len();
    let mut written = 0;
    out.push(open);
    for (key, value) in items {
        let before = out.len();
        if written > 0 {
            out.push(b',');
        }
        out.extend_from_slice(key);
        if value.write(missing, cx, out) {
            written += 1;
        } else {
            out.truncate(before);
        }
    }
    if written == 0 && open == b'{' {
        out.truncate(start);
    } else {
        out.push(close);
    }
    written
}
