//! Holds a message against the table: every field that is set must be in it.

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, ReflectMessage, Value};

use super::{Accept, Support};
use crate::descriptors;
use crate::error::ErrorKind;
use crate::findings::{Finding, Findings};
use crate::path::{Path, Step, key_text};
use crate::source::{self, Node};

/// Reports each field that is set and not supported, the outermost one of a whole that is not.
/// `root` is the text, for the places; fields that `known` already calls wrong are left alone.
pub(crate) fn check(
    support: &Support,
    message: &DynamicMessage,
    root: &Node,
    known: &Findings,
) -> Findings {
    let mut walk =
        Walk { support, path: Path::default(), root, known, findings: Findings::default() };
    walk.message(message);
    walk.findings
}

/// One walk. Its recursion is bounded by the depth of the message.
struct Walk<'a> {
    support: &'a Support,
    path: Path,
    root: &'a Node,
    known: &'a Findings,
    findings: Findings,
}

impl Walk<'_> {
    fn message(&mut self, message: &DynamicMessage) {
        let descriptor = message.descriptor();
        let Some(fields) = self.support.fields(descriptor.full_name()) else {
            self.unsupported("");
            return;
        };
        for (field, value) in message.fields() {
            self.path.push_field(field.name());
            match fields.get(field.name()) {
                Some(accept) => self.field(accept, &field, value),
                None => self.unsupported(""),
            }
            self.path.pop();
        }
    }

    fn field(&mut self, accept: Accept, field: &FieldDescriptor, value: &Value) {
        let kind = field.kind();
        match value {
            Value::List(items) => {
                for (index, item) in items.iter().enumerate() {
                    self.path.push(Step::Index(index));
                    self.single(accept, &kind, item);
                    self.path.pop();
                }
            }
            Value::Map(entries) => {
                for (key, value) in entries {
                    self.path.push(Step::Key(key_text(key)));
                    self.single(accept, &kind, value);
                    self.path.pop();
                }
            }
            single => self.single(accept, &kind, single),
        }
    }

    fn single(&mut self, accept: Accept, kind: &Kind, value: &Value) {
        if let Value::Message(message) = value {
            let descriptor = message.descriptor();
            match descriptor.full_name() {
                "google.protobuf.Any" => self.any(accept, message),
                // The other well-known types are values: their field decides about them.
                _ if descriptor.package_name() == "google.protobuf" => {}
                _ => self.message(message),
            }
        } else if let Accept::Only(values) = accept {
            let text = text_of(kind, value);
            if !values.contains(&text.as_str()) {
                self.unsupported(&text);
            }
        }
    }

    fn any(&mut self, accept: Accept, any: &DynamicMessage) {
        let Some(inner) = descriptors::open_any(any) else {
            // Envoy looks some of these up by the name of the extension; here the type decides.
            self.unsupported("an extension without @type");
            return;
        };
        let descriptor = inner.descriptor();
        let name = descriptor.full_name();
        let supported = match accept {
            Accept::Types(types) => types.contains(&name),
            Accept::HttpFilters => self.support.http_filters.contains(&name),
            Accept::RouteConfigs => self.support.of_routes.contains(&name),
            Accept::All | Accept::Only(_) => false,
        };
        if supported {
            self.message(&inner);
        } else {
            self.unsupported(&format!("the extension {name}"));
        }
    }

    fn unsupported(&mut self, message: &str) {
        if !self.known.touch(&self.path) {
            self.findings.push(Finding {
                kind: ErrorKind::NotSupported,
                path: self.path.clone(),
                position: source::locate(self.root, self.path.steps()),
                message: message.to_owned(),
            });
        }
    }
}

/// A value as the tables write it.
fn text_of(kind: &Kind, value: &Value) -> String {
    match value {
        Value::EnumNumber(number) => {
            let known = kind.as_enum().and_then(|kind| kind.get_value(*number));
            known.map_or_else(|| number.to_string(), |value| value.name().to_owned())
        }
        Value::Bool(value) => value.to_string(),
        Value::U32(value) => value.to_string(),
        Value::String(text) => text.clone(),
        _ => String::new(),
    }
}
