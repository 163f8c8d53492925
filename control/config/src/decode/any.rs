//! `google.protobuf.Any`: the message that `@type` names, and `TypedStruct` unwrapped into it.

use prost_reflect::prost::bytes::Bytes;
use prost_reflect::{DynamicMessage, MessageDescriptor, ReflectMessage, Value};

use super::{Decoder, TOO_DEEP, suggest};
use crate::canonical;
use crate::descriptors::{self, POOL};
use crate::error::ErrorKind;
use crate::source::{self, Entry, Node, Position};

/// How every type URL of Envoy begins.
const PREFIX: &str = "type.googleapis.com/";

/// The wrappers that carry a message of another type as a Struct. Their protos are not part of
/// the API that is embedded, and need not be: they never reach the decoded message.
const TYPED_STRUCTS: [&str; 2] = ["xds.type.v3.TypedStruct", "udpa.type.v1.TypedStruct"];

impl Decoder<'_> {
    pub(super) fn any(
        &mut self,
        descriptor: &MessageDescriptor,
        node: &Node,
    ) -> Option<DynamicMessage> {
        let source::Kind::Map(entries) = &node.kind else {
            self.wrong_type(node, "a map with @type");
            return None;
        };
        // An empty map is an empty Any, as in Envoy's parser.
        if entries.is_empty() {
            return Some(DynamicMessage::new(descriptor.clone()));
        }
        let (name, position) = self.type_name(entries, node.position)?;
        let content = if TYPED_STRUCTS.contains(&name) {
            self.typed_struct(entries, node.position)?
        } else {
            let inner = self.named(name, position)?;
            self.any_content(&inner, entries, node.position)?
        };
        let bytes = Bytes::from(canonical::encode(&content));
        if DynamicMessage::decode(content.descriptor(), bytes.clone()).is_err() {
            self.error(ErrorKind::Syntax, node.position, TOO_DEEP);
            return None;
        }
        let url = format!("{PREFIX}{}", content.descriptor().full_name());
        let mut any = DynamicMessage::new(descriptor.clone());
        any.set_field_by_name("type_url", Value::String(url));
        any.set_field_by_name("value", Value::Bytes(bytes));
        Some(any)
    }

    /// The full name of the message in `@type`, and where it stands.
    fn type_name<'n>(
        &mut self,
        entries: &'n [Entry],
        position: Position,
    ) -> Option<(&'n str, Position)> {
        let Some(entry) = entries.iter().find(|entry| entry.key == "@type") else {
            self.error(ErrorKind::Invalid, position, "missing @type");
            return None;
        };
        let position = entry.value.position;
        let url = entry.value.as_str().and_then(|url| url.rsplit_once('/'));
        match url {
            Some((host, name)) if !host.is_empty() => Some((name, position)),
            _ => {
                let message = format!("@type must be a URL such as \"{PREFIX}...\"");
                self.error(ErrorKind::Invalid, position, message);
                None
            }
        }
    }

    fn named(&mut self, name: &str, position: Position) -> Option<MessageDescriptor> {
        let found = descriptors::message(name);
        if found.is_none() {
            let all: Vec<_> = POOL.all_messages().collect();
            let hint = suggest::closest(name, all.iter().map(MessageDescriptor::full_name));
            let hint = hint.map(|name| format!(" (did you mean {name:?}?)")).unwrap_or_default();
            let message = format!("unknown type {name:?}{hint}");
            self.error(ErrorKind::UnknownName, position, message);
        }
        found
    }

    fn any_content(
        &mut self,
        inner: &MessageDescriptor,
        entries: &[Entry],
        position: Position,
    ) -> Option<DynamicMessage> {
        let fields = entries.iter().filter(|entry| entry.key != "@type").cloned();
        let fields = Node::new(source::Kind::Map(fields.collect()), position);
        // A type with a form of its own stands in the key `value`.
        if has_own_form(inner) {
            let empty = Node::new(source::Kind::Null, position);
            let value = fields.get("value").unwrap_or(&empty);
            return self.message(inner, value);
        }
        self.message(inner, &fields)
    }

    /// `{type_url: ..., value: {...}}`: the value is decoded as the type that the URL names.
    fn typed_struct(&mut self, entries: &[Entry], position: Position) -> Option<DynamicMessage> {
        let find = |key: &str, camel: &str| {
            entries.iter().find(|entry| entry.key == key || entry.key == camel)
        };
        for entry in entries {
            if !matches!(entry.key.as_str(), "@type" | "type_url" | "typeUrl" | "value") {
                self.path.push_field(&entry.key);
                let message = "unknown field of TypedStruct";
                self.error(ErrorKind::UnknownField, entry.key_position, message);
                self.path.pop();
            }
        }
        let url = find("type_url", "typeUrl").and_then(|entry| entry.value.as_str());
        let Some(url) = url else {
            self.error(ErrorKind::Invalid, position, "a TypedStruct needs the field type_url");
            return None;
        };
        let name = url.rsplit_once('/').map_or(url, |(_, name)| name);
        let inner = self.named(name, position)?;
        match find("value", "value").map(|entry| &entry.value) {
            Some(value) if value.kind != source::Kind::Null => self.message(&inner, value),
            _ => Some(DynamicMessage::new(inner)),
        }
    }
}

/// True for the types whose JSON is not a map of their fields.
fn has_own_form(descriptor: &MessageDescriptor) -> bool {
    descriptor.package_name() == "google.protobuf" && descriptor.name() != "Empty"
}
