//! Messages: which key is which field, repeated fields, maps, oneofs.

use std::collections::HashMap;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MapKey, MessageDescriptor, Value};

use super::{Decoder, scalar, suggest};
use crate::error::ErrorKind;
use crate::path::Step;
use crate::source::{self, Entry, Node};
use crate::support::is_newer;

/// The fields of one message that were seen, to notice a second time.
#[derive(Default)]
struct Seen {
    fields: Vec<u32>,
    oneofs: Vec<(String, String)>,
}

impl Decoder<'_> {
    /// Any message, well-known types included. `None` when the shape is wrong.
    pub(super) fn message(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
    ) -> Option<DynamicMessage> {
        if let Some(special) = self.well_known(descriptor, node) {
            return special;
        }
        match &node.kind {
            source::Kind::Map(entries) => Some(self.fields(descriptor, entries)),
            _ => {
                self.wrong_type(node, &format!("a map with the fields of {}", descriptor.name()));
                None
            }
        }
    }

    /// The fields of a message from the entries of a map. The key `@type` belongs to `Any`.
    pub(super) fn fields(
        &mut self,
        descriptor: &MessageDescriptor,
        entries: &[Entry],
    ) -> DynamicMessage {
        let mut message = DynamicMessage::new(descriptor.clone());
        let mut seen = Seen::default();
        for entry in entries {
            match field_of(descriptor, &entry.key) {
                Some(field) => self.entry(&mut message, &field, entry, &mut seen),
                None => self.unknown_field(descriptor, entry),
            }
        }
        message
    }

    fn entry(
        &mut self,
        message: &mut DynamicMessage,
        field: &FieldDescriptor,
        entry: &Entry,
        seen: &mut Seen,
    ) {
        // Proto-JSON: null means that the field is not set.
        if entry.value.kind == source::Kind::Null && !accepts_null(field) {
            return;
        }
        self.path.push_field(field.name());
        if self.first_time(field, entry, seen)
            && let Some(value) = self.field(field, &entry.value)
        {
            // Each branch of `field` makes the type that the descriptor asks for; a mismatch
            // would be a mistake here, and is said instead of dropped.
            if message.try_set_field(field, value).is_err() {
                self.error(ErrorKind::WrongType, entry.value.position, "cannot hold this value");
            }
        }
        self.path.pop();
    }

    /// False, with an error, when the field or another member of its oneof is already set.
    fn first_time(&mut self, field: &FieldDescriptor, entry: &Entry, seen: &mut Seen) -> bool {
        let position = entry.key_position;
        if seen.fields.contains(&field.number()) {
            let message = "given twice, once in snake_case and once in camelCase";
            self.error(ErrorKind::Duplicate, position, message);
            return false;
        }
        seen.fields.push(field.number());
        let Some(oneof) = field.containing_oneof().filter(|oneof| !oneof.is_synthetic()) else {
            return true;
        };
        if let Some((_, other)) = seen.oneofs.iter().find(|(name, _)| name == oneof.name()) {
            let message = format!("cannot stand beside {other:?}: only one of the two may be set");
            self.error(ErrorKind::Duplicate, position, message);
            return false;
        }
        seen.oneofs.push((oneof.name().to_owned(), field.name().to_owned()));
        true
    }

    fn unknown_field(&mut self, descriptor: &MessageDescriptor, entry: &Entry) {
        if is_newer(descriptor.full_name(), &entry.key) {
            self.path.push_field(&entry.key);
            self.error(ErrorKind::NotSupported, entry.key_position, "");
            return self.path.pop();
        }
        let fields: Vec<FieldDescriptor> = descriptor.fields().collect();
        let names = fields.iter().map(FieldDescriptor::name);
        let message = match suggest::closest(&entry.key, names) {
            Some(name) => format!("unknown field (did you mean {name:?}?)"),
            None => format!("unknown field of {}", descriptor.full_name()),
        };
        self.path.push_field(&entry.key);
        self.error(ErrorKind::UnknownField, entry.key_position, message);
        self.path.pop();
    }

    fn field(&mut self, field: &FieldDescriptor, node: &Node) -> Option<Value> {
        if field.is_map() {
            self.map(field, node)
        } else if field.is_list() {
            Some(self.list(field, node))
        } else {
            self.single(&field.kind(), node)
        }
    }

    /// Envoy's parser takes a single value for a list of one, and a null item for an empty one.
    fn list(&mut self, field: &FieldDescriptor, node: &Node) -> Value {
        let kind = field.kind();
        let items = match &node.kind {
            source::Kind::List(items) => items.as_slice(),
            _ => std::slice::from_ref(node),
        };
        let mut values = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            // What cannot be read keeps its place, or the paths of those behind it would be wrong.
            let value = self.element(&kind, item);
            values.push(value.unwrap_or_else(|| Value::default_value(&kind)));
            self.path.pop();
        }
        Value::List(values)
    }

    /// The value of a list item or map entry: null gives an empty message.
    fn element(&mut self, kind: &Kind, node: &Node) -> Option<Value> {
        match kind {
            Kind::Message(message)
                if node.kind == source::Kind::Null
                    && message.full_name() != "google.protobuf.Value" =>
            {
                Some(Value::Message(DynamicMessage::new(message.clone())))
            }
            _ => self.single(kind, node),
        }
    }

    fn map(&mut self, field: &FieldDescriptor, node: &Node) -> Option<Value> {
        let source::Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, "a map");
            return None;
        };
        // `field` is a map, so its kind is the message of its entries.
        let kind = field.kind();
        let entry_type = kind.as_message()?;
        let key_kind = entry_type.map_entry_key_field().kind();
        let value_kind = entry_type.map_entry_value_field().kind();
        let mut values = HashMap::with_capacity(entries.len());
        for entry in entries {
            self.path.push(Step::Key(entry.key.clone()));
            if let Some(key) = self.map_key(&key_kind, entry)
                && let Some(value) = self.element(&value_kind, &entry.value)
            {
                values.insert(key, value);
            }
            self.path.pop();
        }
        Some(Value::Map(values))
    }

    fn map_key(&mut self, kind: &Kind, entry: &Entry) -> Option<MapKey> {
        let text = Node::new(source::Kind::String(entry.key.clone()), entry.key_position);
        let value = match scalar::decode(kind, &text) {
            Ok(value) => value,
            Err(problem) => {
                self.error(problem.kind, entry.key_position, format!("key: {}", problem.message));
                return None;
            }
        };
        value.into_map_key()
    }

    /// One value that is neither a list nor a map field.
    pub(super) fn single(&mut self, kind: &Kind, node: &Node) -> Option<Value> {
        if let Kind::Message(descriptor) = kind {
            return self.message(descriptor, node).map(Value::Message);
        }
        match scalar::decode(kind, node) {
            Ok(value) => Some(value),
            Err(problem) => {
                self.error(problem.kind, node.position, problem.message);
                None
            }
        }
    }
}

/// Both spellings of proto-JSON: the name in the proto, and lowerCamelCase.
fn field_of(descriptor: &MessageDescriptor, key: &str) -> Option<FieldDescriptor> {
    descriptor.get_field_by_name(key).or_else(|| descriptor.get_field_by_json_name(key))
}

/// `google.protobuf.Value` is the one type that has a null of its own.
fn accepts_null(field: &FieldDescriptor) -> bool {
    match field.kind() {
        Kind::Message(message) => {
            message.full_name() == "google.protobuf.Value" && !field.is_list() && !field.is_map()
        }
        _ => false,
    }
}
