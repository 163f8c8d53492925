//! Messages back to proto-JSON text, as the admin's config_dump shows them.
//!
//! The names are the snake_case ones of the protos, defaults are left out, `Any` is opened by its
//! `@type`, and the entries of maps are sorted, so that one configuration has one text. Text and
//! bytes that the API marks as sensitive (private keys, passwords) are never printed.

mod sensitive;
mod well_known;
mod writer;

use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, Value};

use crate::path::key_text;
use writer::Writer;

/// Deepest nesting that is printed. A message that was read from text is within it; one that came
/// over the wire may not be, and is cut there.
const MAX_DEPTH: usize = 2 * crate::source::MAX_DEPTH;

/// One line without spaces.
pub fn compact(message: &DynamicMessage) -> String {
    print(message, Writer::compact())
}

/// Indented by one space for each level, as Envoy prints it.
pub fn pretty(message: &DynamicMessage) -> String {
    print(message, Writer::pretty())
}

fn print(message: &DynamicMessage, out: Writer) -> String {
    let mut printer = Printer { out, depth: 0, redact: false };
    printer.message(message);
    printer.out.finish()
}

struct Printer {
    out: Writer,
    depth: usize,
    /// True inside a sensitive field.
    redact: bool,
}

impl Printer {
    fn message(&mut self, message: &DynamicMessage) {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            self.out.text("nested too deep");
        } else if !self.well_known(message) {
            self.out.open('{');
            self.fields(message);
            self.out.close('}');
        }
        self.depth -= 1;
    }

    /// The fields that are set, in the order of their numbers.
    fn fields(&mut self, message: &DynamicMessage) {
        for (field, value) in message.fields() {
            self.out.key(field.name());
            let outer = self.redact;
            self.redact |= sensitive::is_sensitive(&field);
            self.field(&field, value);
            self.redact = outer;
        }
    }

    fn field(&mut self, field: &FieldDescriptor, value: &Value) {
        let kind = field.kind();
        match value {
            Value::List(items) => {
                self.out.open('[');
                for item in items {
                    self.out.item();
                    self.single(&kind, item);
                }
                self.out.close(']');
            }
            Value::Map(entries) => {
                let value_kind = match &kind {
                    Kind::Message(entry) => entry.map_entry_value_field().kind(),
                    scalar => scalar.clone(),
                };
                let mut entries: Vec<_> = entries.iter().collect();
                entries.sort_by(|one, other| one.0.cmp(other.0));
                self.out.open('{');
                for (key, value) in entries {
                    self.out.key(&key_text(key));
                    self.single(&value_kind, value);
                }
                self.out.close('}');
            }
            single => self.single(&kind, single),
        }
    }

    fn single(&mut self, kind: &Kind, value: &Value) {
        match value {
            Value::String(_) | Value::Bytes(_) if self.redact => self.out.text("[redacted]"),
            Value::Bool(value) => self.out.bare(&value.to_string()),
            Value::I32(value) => self.out.bare(&value.to_string()),
            Value::U32(value) => self.out.bare(&value.to_string()),
            // Proto-JSON writes 64-bit numbers as text: JavaScript would round them.
            Value::I64(value) => self.out.text(&value.to_string()),
            Value::U64(value) => self.out.text(&value.to_string()),
            Value::F32(value) => self.float(f64::from(*value), &value.to_string()),
            Value::F64(value) => self.float(*value, &value.to_string()),
            Value::String(text) => self.out.text(text),
            Value::Bytes(bytes) => {
                use base64::Engine;
                self.out.text(&base64::prelude::BASE64_STANDARD.encode(bytes));
            }
            Value::EnumNumber(number) => self.enumeration(kind, *number),
            Value::Message(message) => self.message(message),
            // A list or map never stands inside another without a message between them.
            Value::List(_) | Value::Map(_) => self.out.bare("null"),
        }
    }

    fn float(&mut self, value: f64, text: &str) {
        match value {
            _ if value.is_nan() => self.out.text("NaN"),
            f64::INFINITY => self.out.text("Infinity"),
            f64::NEG_INFINITY => self.out.text("-Infinity"),
            _ => self.out.bare(text),
        }
    }

    /// A number that has no name is printed as it is.
    fn enumeration(&mut self, kind: &Kind, number: i32) {
        match kind.as_enum().and_then(|kind| kind.get_value(number)) {
            Some(value) => self.out.text(value.name()),
            None => self.out.bare(&number.to_string()),
        }
    }
}
