//! From the path of a field back to the place in the text.

use super::merge::same_field;
use super::node::{Entry, Kind, Node, Position};
use crate::path::Step;

/// Where the text says what the path names, or the nearest place above it: a missing field is
/// reported where its message begins.
pub(crate) fn locate(root: &Node, steps: &[Step]) -> Position {
    walk(root, steps).0
}

/// Whether the text says something at the path itself.
pub(crate) fn is_written(root: &Node, steps: &[Step]) -> bool {
    walk(root, steps).1 == steps.len()
}

/// The place, and how many of the steps lead there.
fn walk(root: &Node, steps: &[Step]) -> (Position, usize) {
    let mut node = root;
    let mut position = root.position;
    for (taken, step) in steps.iter().enumerate() {
        node = inside_typed_struct(node);
        let next = match (step, &node.kind) {
            (Step::Field(name), Kind::Map(entries)) => find(entries, |key| same_field(key, name)),
            (Step::Key(name), Kind::Map(entries)) => find(entries, |key| key == name),
            (Step::Index(index), Kind::List(items)) => {
                items.get(*index).map(|item| (item, item.position))
            }
            // A single value stands for a list of one.
            (Step::Index(_), _) => Some((node, position)),
            _ => None,
        };
        match next {
            Some((below, place)) => (node, position) = (below, place),
            None => return (position, taken),
        }
    }
    (position, steps.len())
}

/// Errors about a field point at its key, not at what may be a long value below it.
fn find(entries: &[Entry], accept: impl Fn(&str) -> bool) -> Option<(&Node, Position)> {
    let entry = entries.iter().find(|entry| accept(&entry.key))?;
    Some((&entry.value, entry.key_position))
}

/// A TypedStruct is unwrapped by the decoder, so the path does not name its field `value`.
fn inside_typed_struct(node: &Node) -> &Node {
    let url = node.get("@type").and_then(Node::as_str).unwrap_or("");
    let inner = node.get("value").filter(|_| url.ends_with(".TypedStruct"));
    inner.unwrap_or(node)
}
