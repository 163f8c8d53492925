//! The located tree to messages, by the rules of proto-JSON as Envoy's parser applies them.
//!
//! Owns the mapping of shapes to types: names of fields, scalars, the well-known types, `Any`. It
//! collects every error instead of stopping at the first. Whether a value makes sense is the
//! business of `validate`.

mod any;
mod message;
mod scalar;
mod suggest;
mod time;
mod well_known;

use prost_reflect::{DynamicMessage, MessageDescriptor};

use crate::error::ErrorKind;
use crate::findings::{Finding, Findings};
use crate::path::Path;
use crate::source::{Node, Position};

/// Protobuf reads messages from bytes to a depth of 100, and a level of a Struct takes two or
/// three: a text can be within its own bound of depth and beyond this one.
pub(crate) const TOO_DEEP: &str = "nested deeper than protobuf can read";

/// Decodes a tree as a message of the given type. What could not be decoded is in `findings`, and
/// absent from the message.
pub(crate) fn decode(
    root: &Node,
    descriptor: &MessageDescriptor,
    findings: &mut Findings,
) -> DynamicMessage {
    let mut decoder = Decoder { path: Path::default(), findings };
    let message = decoder.message(descriptor, root);
    message.unwrap_or_else(|| DynamicMessage::new(descriptor.clone()))
}

/// One walk down the tree. Its recursion is bounded by the depth of the tree.
struct Decoder<'a> {
    path: Path,
    findings: &'a mut Findings,
}

impl Decoder<'_> {
    /// Records an error about the field at the current path.
    fn error(&mut self, kind: ErrorKind, position: Position, message: impl Into<String>) {
        let (path, message) = (self.path.clone(), message.into());
        self.findings.push(Finding { kind, path, position, message });
    }

    /// Records that the value at the current path has the wrong shape.
    fn wrong_type(&mut self, node: &Node, expected: &str) {
        let message = format!("expected {expected}, found {}", node.shape());
        self.error(ErrorKind::WrongType, node.position, message);
    }
}

#[cfg(test)]
mod tests;
