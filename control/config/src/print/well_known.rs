//! The well-known types in their own forms.

use prost_reflect::{DynamicMessage, ReflectMessage, Value};

use super::Printer;
use crate::descriptors;

impl Printer {
    /// Prints a well-known type; false when the message is an ordinary one.
    pub(super) fn well_known(&mut self, message: &DynamicMessage) -> bool {
        let descriptor = message.descriptor();
        let Some(name) = descriptor.full_name().strip_prefix("google.protobuf.") else {
            return false;
        };
        match name {
            "Any" => self.any(message),
            "Duration" => self.out.text(&duration(message)),
            "Timestamp" => self.out.text(&timestamp(message)),
            "FieldMask" => self.out.text(&field_mask(message)),
            "Struct" => self.only_field(message, "fields"),
            "ListValue" => self.only_field(message, "values"),
            "Value" => self.value(message),
            _ if name.ends_with("Value") => self.only_field(message, "value"),
            _ => return false,
        }
        true
    }

    /// Struct, ListValue and the wrappers are printed as their one field.
    fn only_field(&mut self, message: &DynamicMessage, name: &str) {
        let descriptor = message.descriptor();
        if let Some(field) = descriptor.get_field_by_name(name) {
            self.field(&field, &message.get_field(&field));
        }
    }

    fn value(&mut self, message: &DynamicMessage) {
        match message.fields().next() {
            Some((field, value)) if field.name() != "null_value" => self.field(&field, value),
            _ => self.out.bare("null"),
        }
    }

    /// An `Any` of a type that the API does not have shows its type and that it cannot be opened.
    fn any(&mut self, message: &DynamicMessage) {
        let url = string(message, "type_url");
        self.out.open('{');
        if !url.is_empty() {
            self.out.key("@type");
            self.out.text(&url);
        }
        match descriptors::open_any(message) {
            Some(inner) if has_own_form(&inner) => {
                self.out.key("value");
                self.message(&inner);
            }
            Some(inner) => self.fields(&inner),
            None if url.is_empty() => {}
            None => {
                self.out.key("value");
                self.out.text("[cannot be decoded]");
            }
        }
        self.out.close('}');
    }
}

fn has_own_form(message: &DynamicMessage) -> bool {
    let descriptor = message.descriptor();
    descriptor.package_name() == "google.protobuf" && descriptor.name() != "Empty"
}

fn string(message: &DynamicMessage, field: &str) -> String {
    let value = message.get_field_by_name(field);
    value.and_then(|value| value.as_str().map(str::to_owned)).unwrap_or_default()
}

fn seconds_and_nanos(message: &DynamicMessage) -> (i64, i32) {
    let seconds = message.get_field_by_name("seconds").and_then(|value| value.as_i64());
    let nanos = message.get_field_by_name("nanos").and_then(|value| value.as_i32());
    (seconds.unwrap_or_default(), nanos.unwrap_or_default())
}

fn duration(message: &DynamicMessage) -> String {
    let (seconds, nanos) = seconds_and_nanos(message);
    let sign = if seconds < 0 || nanos < 0 { "-" } else { "" };
    format!("{sign}{}{}s", seconds.unsigned_abs(), fraction(nanos.unsigned_abs()))
}

/// Three, six or nine decimals, as proto-JSON writes them.
fn fraction(nanos: u32) -> String {
    match nanos {
        0 => String::new(),
        _ if nanos.is_multiple_of(1_000_000) => format!(".{:03}", nanos / 1_000_000),
        _ if nanos.is_multiple_of(1_000) => format!(".{:06}", nanos / 1_000),
        _ => format!(".{nanos:09}"),
    }
}

fn timestamp(message: &DynamicMessage) -> String {
    let (seconds, nanos) = seconds_and_nanos(message);
    let (year, month, day) = date(seconds.div_euclid(86_400));
    let clock = seconds.rem_euclid(86_400);
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    let fraction = fraction(nanos.unsigned_abs());
    format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}{fraction}Z")
}

/// Year, month and day of a number of days since 1970-01-01 (Gregorian), by counting in years
/// that begin in March, so that the leap day comes last.
fn date(days: i64) -> (i64, i64, i64) {
    let days = days.saturating_add(719_468);
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn field_mask(message: &DynamicMessage) -> String {
    let paths = message.get_field_by_name("paths");
    let paths = paths.as_ref().and_then(|value| value.as_list()).unwrap_or_default();
    paths.iter().filter_map(Value::as_str).map(camel_case).collect::<Vec<_>>().join(",")
}

fn camel_case(path: &str) -> String {
    let mut camel = String::with_capacity(path.len());
    let mut upper = false;
    for c in path.chars() {
        if c == '_' {
            upper = true;
        } else {
            camel.push(if upper { c.to_ascii_uppercase() } else { c });
            upper = false;
        }
    }
    camel
}
