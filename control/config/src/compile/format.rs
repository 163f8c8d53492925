//! Format strings of access logs, bodies and header values.

use ringway_model::format::{Format, FormatError, FormatProblem, JsonNode};

use super::Cx;
use super::at::At;
use super::proto::{core, google};
use super::value::data;

/// Text of a format that is read from a file.
const FORMAT_MAX_BYTES: usize = 1 << 20;

/// `core.v3.SubstitutionFormatString`. `None` when it is wrong.
pub(super) fn substitution(
    cx: &Cx<'_>,
    at: &At<'_>,
    format: &core::SubstitutionFormatString,
) -> Option<Format> {
    use core::substitution_format_string::Format as Kind;
    let omit = format.omit_empty_values;
    match format.format.as_ref()? {
        Kind::TextFormat(source) => text(&at.field("text_format"), source, omit),
        Kind::JsonFormat(tree) => json(&at.field("json_format"), tree, omit),
        Kind::TextFormatSource(source) => {
            let at = at.field("text_format_source");
            let bytes = data(cx, &at, source, FORMAT_MAX_BYTES)?;
            let source = at.take(String::from_utf8(bytes))?;
            text(&at, &source, omit)
        }
    }
}

/// A text format.
pub(super) fn text(at: &At<'_>, source: &str, omit_empty: bool) -> Option<Format> {
    let format =
        if omit_empty { Format::text_omitting_empty(source) } else { Format::text(source) };
    format.map_err(|error| report(at, &error)).ok()
}

/// A JSON format. Its keys come in the order of their names: a protobuf Struct has no other.
pub(super) fn json(at: &At<'_>, tree: &google::Struct, omit_empty: bool) -> Option<Format> {
    let node = object(tree);
    let format = if omit_empty { Format::json_omitting_empty(&node) } else { Format::json(&node) };
    if format.is_err() {
        report_texts(at, &node);
    }
    format.ok()
}

/// Reports each text of the tree that is wrong, at its own place.
fn report_texts(at: &At<'_>, node: &JsonNode) {
    match node {
        JsonNode::Object(entries) => {
            entries.iter().for_each(|(key, node)| report_texts(&at.key(key), node));
        }
        JsonNode::List(items) => {
            let each = items.iter().enumerate();
            each.for_each(|(index, node)| report_texts(&at.index(index), node));
        }
        JsonNode::Text(source) => {
            if let Err(error) = Format::text(source) {
                report(at, &error);
            }
        }
        JsonNode::Number(_) | JsonNode::Bool(_) | JsonNode::Null => {}
    }
}

fn report(at: &At<'_>, error: &FormatError) {
    match &error.problem {
        // The operator is one of Envoy's, or of nobody's: both are told from the name.
        FormatProblem::Unsupported(operator) => at.unsupported(format_args!("%{operator}%")),
        _ => at.invalid(error),
    }
}

fn object(tree: &google::Struct) -> JsonNode {
    let mut entries: Vec<_> =
        tree.fields.iter().map(|(key, value)| (key.clone(), node(value))).collect();
    entries.sort_by(|one, other| one.0.cmp(&other.0));
    JsonNode::Object(entries)
}

/// The depth is bounded by that of the decoder.
fn node(value: &google::Value) -> JsonNode {
    use google::value::Kind;
    match &value.kind {
        Some(Kind::StructValue(tree)) => object(tree),
        Some(Kind::ListValue(list)) => JsonNode::List(list.values.iter().map(node).collect()),
        Some(Kind::StringValue(text)) => JsonNode::Text(text.clone()),
        Some(Kind::NumberValue(number)) => JsonNode::Number(*number),
        Some(Kind::BoolValue(value)) => JsonNode::Bool(*value),
        Some(Kind::NullValue(_)) | None => JsonNode::Null,
    }
}
