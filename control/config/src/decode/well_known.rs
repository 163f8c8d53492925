//! The well-known types, which have a form of their own in proto-JSON.

use prost_reflect::{DynamicMessage, Kind, MapKey, MessageDescriptor, Value};

use super::{Decoder, time};
use crate::error::ErrorKind;
use crate::path::Step;
use crate::source::{self, Node};

/// The package of the well-known types.
const PACKAGE: &str = "google.protobuf.";

impl Decoder<'_> {
    /// Decodes a well-known type; `None` when the message is an ordinary one, or is written with
    /// its fields (`{seconds: 1}`), which Envoy's parser accepts as well.
    pub(super) fn well_known(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
    ) -> Option<Option<DynamicMessage>> {
        let name = descriptor.full_name().strip_prefix(PACKAGE)?;
        match name {
            "Any" => return Some(self.any(descriptor, node)),
            "Struct" => return Some(self.structure(descriptor, node)),
            "Value" => return Some(Some(self.value(descriptor, node))),
            "ListValue" => return Some(self.list_value(descriptor, node)),
            _ => {}
        }
        if matches!(node.kind, source::Kind::Map(_)) {
            return None;
        }
        Some(match name {
            "Duration" => self.duration(descriptor, node),
            "Timestamp" => self.timestamp(descriptor, node),
            "FieldMask" => self.field_mask(descriptor, node),
            _ if name.ends_with("Value") => self.wrapper(descriptor, node),
            _ => return None,
        })
    }

    /// `UInt32Value` and its like: the bare value.
    fn wrapper(&mut self, descriptor: &MessageDescriptor, node: &Node) -> Option<DynamicMessage> {
        let field = descriptor.get_field_by_name("value")?;
        let value = self.single(&field.kind(), node)?;
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field(&field, value);
        Some(message)
    }

    fn duration(&mut self, descriptor: &MessageDescriptor, node: &Node) -> Option<DynamicMessage> {
        let Some(text) = node.as_str() else {
            self.wrong_type(node, "a duration such as \"1.5s\"");
            return None;
        };
        match time::duration(text) {
            Ok(parts) => Some(seconds_and_nanos(descriptor, parts)),
            Err(reason) => {
                let message = format!("{reason}, found {text:?}");
                self.error(ErrorKind::WrongType, node.position, message);
                None
            }
        }
    }

    fn timestamp(&mut self, descriptor: &MessageDescriptor, node: &Node) -> Option<DynamicMessage> {
        let parts = node.as_str().and_then(time::timestamp);
        if parts.is_none() {
            let message = "expected a time such as \"2024-02-29T12:00:00Z\"";
            self.error(ErrorKind::WrongType, node.position, message);
        }
        parts.map(|parts| seconds_and_nanos(descriptor, parts))
    }

    /// Comma-separated paths in lowerCamelCase; the message holds them in snake_case.
    fn field_mask(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
    ) -> Option<DynamicMessage> {
        let Some(text) = node.as_str() else {
            self.wrong_type(node, "a comma-separated list of fields");
            return None;
        };
        let paths = text.split(',').filter(|path| !path.is_empty());
        let paths = paths.map(|path| Value::String(snake_case(path))).collect();
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("paths", Value::List(paths));
        Some(message)
    }

    fn structure(&mut self, descriptor: &MessageDescriptor, node: &Node) -> Option<DynamicMessage> {
        let source::Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, "a map");
            return None;
        };
        let value_type = descriptor.parent_pool().get_message_by_name("google.protobuf.Value")?;
        let mut fields = std::collections::HashMap::with_capacity(entries.len());
        for entry in entries {
            self.path.push(Step::Key(entry.key.clone()));
            let value = self.value(&value_type, &entry.value);
            fields.insert(MapKey::String(entry.key.clone()), Value::Message(value));
            self.path.pop();
        }
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("fields", Value::Map(fields));
        Some(message)
    }

    fn list_value(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
    ) -> Option<DynamicMessage> {
        let source::Kind::List(items) = &node.kind else {
            self.wrong_type(node, "a list");
            return None;
        };
        let value_type = descriptor.parent_pool().get_message_by_name("google.protobuf.Value")?;
        let values = items.iter().map(|item| Value::Message(self.value(&value_type, item)));
        let values = values.collect();
        let mut message = DynamicMessage::new(descriptor.clone());
        message.set_field_by_name("values", Value::List(values));
        Some(message)
    }

    /// Any value at all. A plain YAML number with a fraction arrives here as text, as in Envoy.
    fn value(&mut self, descriptor: &MessageDescriptor, node: &Node) -> DynamicMessage {
        let nested = |name: &str| match descriptor.get_field_by_name(name).map(|f| f.kind()) {
            Some(Kind::Message(nested)) => Some(nested),
            _ => None,
        };
        let (name, value) = match &node.kind {
            source::Kind::Null => ("null_value", Some(Value::EnumNumber(0))),
            source::Kind::Bool(value) => ("bool_value", Some(Value::Bool(*value))),
            source::Kind::Number(value) => ("number_value", Some(Value::F64(*value))),
            source::Kind::String(text) => ("string_value", Some(Value::String(text.clone()))),
            source::Kind::List(_) => {
                let list = nested("list_value").and_then(|inner| self.list_value(&inner, node));
                ("list_value", list.map(Value::Message))
            }
            source::Kind::Map(_) => {
                let map = nested("struct_value").and_then(|inner| self.structure(&inner, node));
                ("struct_value", map.map(Value::Message))
            }
        };
        let mut message = DynamicMessage::new(descriptor.clone());
        if let Some(value) = value {
            message.set_field_by_name(name, value);
        }
        message
    }
}

fn seconds_and_nanos(
    descriptor: &MessageDescriptor,
    (seconds, nanos): (i64, i32),
) -> DynamicMessage {
    let mut message = DynamicMessage::new(descriptor.clone());
    message.set_field_by_name("seconds", Value::I64(seconds));
    message.set_field_by_name("nanos", Value::I32(nanos));
    message
}

fn snake_case(path: &str) -> String {
    let mut snake = String::with_capacity(path.len() + 4);
    for c in path.chars() {
        if c.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(c.to_ascii_lowercase());
    }
    snake
}
