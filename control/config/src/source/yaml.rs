//! YAML events to the tree, with aliases expanded under a budget.

use std::collections::{HashMap, HashSet};

use saphyr_parser::{Event, Marker, Parser, ScalarStyle, ScanError, Span, StrInput, Tag};

use super::node::{Entry, Kind, Node, Position};
use super::{MAX_DEPTH, MAX_NODES, SyntaxError, scalar};

/// Reads one YAML document. A second one in the text is an error: Envoy leaves it aside in
/// silence, which hides half of a file from whoever wrote it.
pub(super) fn parse(text: &str, source: u32) -> Result<Node, SyntaxError> {
    let mut reader = Reader {
        events: Parser::new_from_str(text),
        source,
        anchors: HashMap::new(),
        budget: MAX_NODES,
    };
    reader.document()
}

struct Reader<'a> {
    events: Parser<'a, StrInput<'a>>,
    source: u32,
    /// The values that carry an anchor, with the number of nodes in each.
    anchors: HashMap<usize, (Node, usize)>,
    /// Nodes that may still be made.
    budget: usize,
}

impl<'a> Reader<'a> {
    fn document(&mut self) -> Result<Node, SyntaxError> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamStart | Event::DocumentStart(_) | Event::DocumentEnd => {}
                Event::StreamEnd => {
                    return root.ok_or_else(|| SyntaxError::whole("the document is empty"));
                }
                _ if root.is_some() => {
                    let position = self.position(span.start);
                    return Err(SyntaxError::at(position, "more than one YAML document"));
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
    }

    fn next(&mut self) -> Result<(Event<'a>, Span), SyntaxError> {
        match self.events.next_event() {
            Some(Ok(event)) => Ok(event),
            Some(Err(error)) => Err(self.scan_error(&error)),
            None => Err(SyntaxError::whole("unexpected end of the document")),
        }
    }

    fn scan_error(&self, error: &ScanError) -> SyntaxError {
        SyntaxError::at(self.position(*error.marker()), error.info())
    }

    fn node(&mut self, event: Event<'a>, span: Span, depth: usize) -> Result<Node, SyntaxError> {
        let position = self.position(span.start);
        if depth > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(SyntaxError::at(position, message));
        }
        self.spend(1, position)?;
        let before = self.budget;
        let (kind, anchor) = match event {
            Event::Scalar(text, style, anchor, _) => (scalar_kind(&text, style), anchor),
            Event::SequenceStart(anchor, _) => (self.list(depth)?, anchor),
            Event::MappingStart(anchor, _) => (self.map(depth)?, anchor),
            Event::Alias(anchor) => return self.alias(anchor, position, depth),
            _ => return Err(SyntaxError::at(position, "unexpected end of a value")),
        };
        let node = Node::new(kind, position);
        if anchor != 0 {
            // The copy that later aliases take counts too, else anchors inside anchors would
            // multiply the memory without an alias in sight.
            let size = before - self.budget + 1;
            self.spend(size, position)?;
            self.anchors.insert(anchor, (node.clone(), size));
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, _) => return Ok(Kind::List(items)),
                (event, span) => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Kind, SyntaxError> {
        let mut entries = Vec::new();
        let mut seen = HashSet::new();
        loop {
            let (event, span) = self.next()?;
            if event == Event::MappingEnd {
                return Ok(Kind::Map(entries));
            }
            let ignored = is_ignored(&event);
            let key_position = self.position(span.start);
            let key = self.key(event, key_position)?;
            let (event, span) = self.next()?;
            let value = self.node(event, span, depth + 1)?;
            if ignored {
                continue;
            }
            if !seen.insert(key.clone()) {
                return Err(SyntaxError::duplicate(key_position, &key));
            }
            entries.push(Entry { key, key_position, value });
        }
    }

    /// Keys are text whatever they look like: `on: 1` is the key `on`.
    fn key(&self, event: Event<'a>, position: Position) -> Result<String, SyntaxError> {
        match event {
            Event::Scalar(text, ..) => Ok(text.into_owned()),
            Event::Alias(anchor) => match self.anchors.get(&anchor) {
                Some((Node { kind: Kind::String(text), .. }, _)) => Ok(text.clone()),
                _ => Err(SyntaxError::at(position, "a key must be text")),
            },
            _ => Err(SyntaxError::at(position, "a key must be text")),
        }
    }

    /// An alias stands for a copy of the anchored value, which keeps the lines of the original.
    fn alias(
        &mut self,
        anchor: usize,
        position: Position,
        depth: usize,
    ) -> Result<Node, SyntaxError> {
        let Some((node, size)) = self.anchors.get(&anchor) else {
            return Err(SyntaxError::at(position, "the alias stands inside its own anchor"));
        };
        let (node, size) = (node.clone(), *size);
        self.spend(size, position)?;
        if depth + height(&node) > MAX_DEPTH {
            let message = format!("nested deeper than {MAX_DEPTH} levels");
            return Err(SyntaxError::at(position, message));
        }
        Ok(node)
    }

    fn spend(&mut self, nodes: usize, position: Position) -> Result<(), SyntaxError> {
        self.budget = self.budget.checked_sub(nodes).ok_or_else(|| {
            SyntaxError::at(position, format!("more than {MAX_NODES} values, aliases included"))
        })?;
        Ok(())
    }

    fn position(&self, marker: Marker) -> Position {
        Position {
            source: self.source,
            line: u32::try_from(marker.line()).unwrap_or(u32::MAX),
            column: u32::try_from(marker.col() + 1).unwrap_or(u32::MAX),
        }
    }
}

/// Quoted and block scalars are always text; tags such as `!!int` change nothing, as in Envoy.
fn scalar_kind(text: &str, style: ScalarStyle) -> Kind {
    match style {
        ScalarStyle::Plain => scalar::resolve(text),
        _ => Kind::String(text.to_owned()),
    }
}

/// Envoy leaves out an entry whose key carries the tag `!ignore`: a place to define anchors.
fn is_ignored(event: &Event<'_>) -> bool {
    let is_ignore = |tag: &Tag| tag.handle == "!" && tag.suffix == "ignore";
    matches!(event, Event::Scalar(.., Some(tag)) if is_ignore(tag))
}

/// Levels below a node. Anchored values are within `MAX_DEPTH`, so the recursion is bounded.
fn height(node: &Node) -> usize {
    match &node.kind {
        Kind::List(items) => items.iter().map(|item| height(item) + 1).max().unwrap_or(0),
        Kind::Map(entries) => {
            entries.iter().map(|entry| height(&entry.value) + 1).max().unwrap_or(0)
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line, to compare with.
    fn show(node: &Node) -> String {
        match &node.kind {
            Kind::Null => "null".into(),
            Kind::Bool(value) => value.to_string(),
            Kind::Number(value) => value.to_string(),
            Kind::String(text) => format!("{text:?}"),
            Kind::List(items) => {
                format!("[{}]", items.iter().map(show).collect::<Vec<_>>().join(","))
            }
            Kind::Map(entries) => {
                let entry = |entry: &Entry| format!("{}:{}", entry.key, show(&entry.value));
                format!("{{{}}}", entries.iter().map(entry).collect::<Vec<_>>().join(","))
            }
        }
    }

    fn read(text: &str) -> String {
        match parse(text, 0) {
            Ok(node) => show(&node),
            Err(error) => format!("{}: {}", error.position.line, error.message),
        }
    }

    #[test]
    fn quoted_and_block_scalars_stay_text() {
        assert_eq!(read("a: 'yes'\nb: \"1\"\nc: yes\n"), r#"{a:"yes",b:"1",c:true}"#);
        assert_eq!(read("a: |\n  12\n"), r#"{a:"12\n"}"#);
        assert_eq!(read("a: !!str 12\n"), "{a:12}");
    }

    #[test]
    fn keys_stay_text() {
        assert_eq!(read("on: 1\n5: x\n"), r#"{on:1,5:"x"}"#);
    }

    #[test]
    fn aliases_are_copies_and_ignored_keys_vanish() {
        assert_eq!(read("!ignore x: &t {a: 1}\nb: *t\n"), "{b:{a:1}}");
        assert_eq!(read("a: &a\n  b: *a\n"), "2: the alias stands inside its own anchor");
        assert!(read("a: *nope\n").starts_with("1: "));
    }

    #[test]
    fn merge_keys_are_plain_keys() {
        assert_eq!(read("a: &a {b: 1}\nc: {<<: *a}\n"), "{a:{b:1},c:{<<:{b:1}}}");
    }

    #[test]
    fn a_key_twice_is_an_error() {
        assert_eq!(read("a: 1\nb: 2\na: 3\n"), "3: the key \"a\" is given twice");
    }

    #[test]
    fn an_empty_or_second_document_is_an_error() {
        assert_eq!(read("# nothing\n"), "0: the document is empty");
        assert_eq!(read("a: 1\n---\nb: 2\n"), "3: more than one YAML document");
        assert_eq!(read("---\na: 1\n...\n"), "{a:1}");
    }

    #[test]
    fn an_alias_bomb_is_refused() {
        let mut text = String::from("a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n");
        for level in 1..12 {
            let aliases = vec![format!("*a{}", level - 1); 10].join(",");
            text += &format!("a{level}: &a{level} [{aliases}]\n");
        }
        assert!(read(&text).ends_with("more than 2000000 values, aliases included"));
    }

    #[test]
    fn depth_is_bounded_in_text_and_through_aliases() {
        let deep = format!("a: {}{}", "[".repeat(120), "]".repeat(120));
        assert_eq!(read(&deep), "1: nested deeper than 100 levels");
        let half = format!("a: &a {}{}", "[".repeat(60), "]".repeat(60));
        let twice = format!("{half}\nb: {}*a{}\n", "[".repeat(60), "]".repeat(60));
        assert_eq!(read(&twice), "2: nested deeper than 100 levels");
    }

    #[test]
    fn positions_count_from_one() {
        let node = parse("a:\n  b: c\n", 7).unwrap_or_else(|_| panic!("it is YAML"));
        let b = node.get("a").and_then(|a| a.get("b")).unwrap();
        assert_eq!(b.position, Position { source: 7, line: 2, column: 6 });
    }

    #[test]
    fn tabs_are_fine_inside_flow_values() {
        assert_eq!(read("{\"a\":\t{},\n\t\"b\": 1}"), "{a:{},b:1}");
    }
}
