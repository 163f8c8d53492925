//! The tree that YAML and JSON are read into.

/// One value of the text and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    pub(crate) position: Position,
}

/// The shape of a value. It is what Envoy hands to its JSON decoder: a plain YAML scalar that is
/// neither null, boolean nor a 32-bit integer is a string there, floating-point numbers included.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    Null,
    Bool(bool),
    Number(f64),
    String(String),
    List(Vec<Node>),
    Map(Vec<Entry>),
}

/// One entry of a map, in the order of the text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    /// Where the key stands: errors about a field point there.
    pub(crate) key_position: Position,
    pub(crate) value: Node,
}

/// A place in one of the sources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Position {
    /// Number of the source in the order of reading.
    pub(crate) source: u32,
    /// Line from 1; 0 when not known.
    pub(crate) line: u32,
    /// Column from 1, in characters; 0 when not known.
    pub(crate) column: u32,
}

impl Position {
    /// The key that sorts places in the order of reading.
    pub(crate) fn in_order(&self) -> (u32, u32, u32) {
        (self.source, self.line, self.column)
    }
}

/// An empty text: null at no place.
impl Default for Node {
    fn default() -> Node {
        Node { kind: Kind::Null, position: Position::default() }
    }
}

impl Node {
    pub(crate) fn new(kind: Kind, position: Position) -> Node {
        Node { kind, position }
    }

    /// The value of a key, when this is a map that has it.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        match &self.kind {
            Kind::Map(entries) => {
                entries.iter().find(|entry| entry.key == key).map(|entry| &entry.value)
            }
            _ => None,
        }
    }

    pub(crate) fn as_str(&self) -> Option<&str> {
        match &self.kind {
            Kind::String(text) => Some(text),
            _ => None,
        }
    }

    /// How errors call the shape.
    pub(crate) fn shape(&self) -> &'static str {
        match self.kind {
            Kind::Null => "null",
            Kind::Bool(_) => "a boolean",
            Kind::Number(_) => "a number",
            Kind::String(_) => "a string",
            Kind::List(_) => "a list",
            Kind::Map(_) => "a map",
        }
    }
}
