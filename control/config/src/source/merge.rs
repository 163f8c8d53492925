//! The trees of several sources as one, so that a path of the merged message leads to the line
//! that it came from. The values are merged by `load`, on messages; this is only about places.

use super::node::{Kind, Node};

/// Lays `overlay` over `base` as protobuf's `MergeFrom` does: maps are merged key by key, lists
/// are appended, all else is replaced.
pub(crate) fn merge(base: Node, overlay: Node) -> Node {
    match (base.kind, overlay.kind) {
        (Kind::Map(mut entries), Kind::Map(over)) => {
            for entry in over {
                // The same field may be written `listener_filters` in one and `listenerFilters`
                // in the other source.
                match entries.iter().position(|have| same_field(&have.key, &entry.key)) {
                    Some(at) => {
                        let have = entries.remove(at);
                        let value = merge(have.value, entry.value);
                        entries.insert(at, super::node::Entry { value, ..entry });
                    }
                    None => entries.push(entry),
                }
            }
            Node::new(Kind::Map(entries), base.position)
        }
        (Kind::List(mut items), Kind::List(more)) => {
            items.extend(more);
            Node::new(Kind::List(items), base.position)
        }
        (_, kind) => Node::new(kind, overlay.position),
    }
}

/// True when two keys name one field: equal but for underscores and the case of letters.
pub(super) fn same_field(one: &str, other: &str) -> bool {
    let letters = |key: &str| {
        key.bytes().filter(|b| *b != b'_').map(|b| b.to_ascii_lowercase()).collect::<Vec<_>>()
    };
    one == other || letters(one) == letters(other)
}
