//! Scalars: numbers, booleans, text, bytes and enums from one node.

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use prost_reflect::{EnumDescriptor, Kind, Value};

use super::suggest;
use crate::error::ErrorKind;
use crate::source::{self, Node};

/// Base64 with or without padding, as proto-JSON asks.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// Why a node is no value of the type.
#[derive(Debug)]
pub(super) struct Problem {
    pub(super) kind: ErrorKind,
    pub(super) message: String,
}

impl Problem {
    fn shape(node: &Node, expected: &str) -> Problem {
        Problem::text(format!("expected {expected}, found {}", node.shape()))
    }

    fn text(message: String) -> Problem {
        Problem { kind: ErrorKind::WrongType, message }
    }
}

/// Decodes any kind but messages, which have fields of their own.
pub(super) fn decode(kind: &Kind, node: &Node) -> Result<Value, Problem> {
    match kind {
        Kind::Bool => boolean(node).map(Value::Bool),
        Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => integer(node).map(Value::I32),
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => integer(node).map(Value::I64),
        Kind::Uint32 | Kind::Fixed32 => integer(node).map(Value::U32),
        Kind::Uint64 | Kind::Fixed64 => integer(node).map(Value::U64),
        Kind::Float => float(node).map(|value| Value::F32(value as f32)),
        Kind::Double => float(node).map(Value::F64),
        Kind::String => text(node).map(|text| Value::String(text.to_owned())),
        Kind::Bytes => bytes(node),
        Kind::Enum(descriptor) => enumeration(descriptor, node),
        Kind::Message(_) => Err(Problem::shape(node, "a scalar")),
    }
}

/// Envoy's parser also takes the words that `absl::SimpleAtob` knows, when they are quoted.
fn boolean(node: &Node) -> Result<bool, Problem> {
    let problem = || Problem::shape(node, "true or false");
    match &node.kind {
        source::Kind::Bool(value) => Ok(*value),
        source::Kind::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "1" => Ok(true),
            "false" | "f" | "no" | "n" | "0" => Ok(false),
            _ => Err(Problem::text(format!("expected true or false, found {text:?}"))),
        },
        _ => Err(problem()),
    }
}

/// Whole numbers, as a number or as text, in any form that has no fraction: `12`, `12.0`, `1e3`.
fn integer<T: TryFrom<i128>>(node: &Node) -> Result<T, Problem> {
    let exact = match &node.kind {
        source::Kind::Number(value) => whole(*value),
        source::Kind::String(text) => match text.parse::<i128>() {
            Ok(value) => Some(value),
            Err(_) => whole(parse_float(text)?),
        },
        _ => return Err(Problem::shape(node, "a whole number")),
    };
    let exact =
        exact.ok_or_else(|| Problem::text("expected a whole number, found a fraction".into()))?;
    T::try_from(exact).map_err(|_| Problem::text(format!("{exact} is out of range")))
}

fn whole(value: f64) -> Option<i128> {
    (value.is_finite() && value.fract() == 0.0).then_some(value as i128)
}

fn float(node: &Node) -> Result<f64, Problem> {
    match &node.kind {
        source::Kind::Number(value) => Ok(*value),
        source::Kind::String(text) => parse_float(text),
        _ => Err(Problem::shape(node, "a number")),
    }
}

/// Envoy's parser also takes quoted hexadecimal numbers.
fn parse_float(text: &str) -> Result<f64, Problem> {
    let hexadecimal = || {
        let digits = text.strip_prefix("0x")?;
        let plain = digits.starts_with(|first: char| first.is_ascii_hexdigit());
        plain.then(|| u32::from_str_radix(digits, 16).ok()).flatten().map(f64::from)
    };
    let problem = || Problem::text(format!("invalid number: {text:?}"));
    text.parse().ok().or_else(hexadecimal).ok_or_else(problem)
}

fn text(node: &Node) -> Result<&str, Problem> {
    node.as_str().ok_or_else(|| match &node.kind {
        // A common surprise of YAML: `on` and `12` are no text unless they are quoted.
        source::Kind::Bool(_) | source::Kind::Number(_) => {
            Problem::text(format!("expected a string, found {}; put it in quotes", node.shape()))
        }
        _ => Problem::shape(node, "a string"),
    })
}

/// Both alphabets of base64: proto-JSON writes the first and reads either.
fn bytes(node: &Node) -> Result<Value, Problem> {
    let standard = text(node)?.replace('-', "+").replace('_', "/");
    match BASE64.decode(&standard) {
        Ok(bytes) => Ok(Value::Bytes(bytes.into())),
        Err(_) => Err(Problem::text("corrupt base64".to_owned())),
    }
}

/// A name in any case of letters, or a number, which need not be one of the defined values:
/// enums of proto3 are open, and the rule `defined_only` closes those that should be closed.
fn enumeration(descriptor: &EnumDescriptor, node: &Node) -> Result<Value, Problem> {
    let number = match &node.kind {
        source::Kind::String(text) => match enum_number(descriptor, text) {
            Some(number) => number,
            None => return Err(unknown_value(descriptor, text)),
        },
        source::Kind::Number(_) => integer(node)?,
        _ => return Err(Problem::shape(node, "the name or number of an enum value")),
    };
    Ok(Value::EnumNumber(number))
}

fn enum_number(descriptor: &EnumDescriptor, text: &str) -> Option<i32> {
    let same = |name: &str| name.eq_ignore_ascii_case(text);
    descriptor
        .get_value_by_name(text)
        .or_else(|| descriptor.values().find(|value| same(value.name())))
        .map(|value| value.number())
        .or_else(|| text.parse().ok())
}

fn unknown_value(descriptor: &EnumDescriptor, text: &str) -> Problem {
    let values: Vec<_> = descriptor.values().collect();
    let names = || values.iter().map(|value| value.name());
    let hint = match suggest::closest(text, names()) {
        Some(name) => format!("did you mean {name:?}?"),
        None => format!("one of {}", names().collect::<Vec<_>>().join(", ")),
    };
    let message = format!("unknown enum value {text:?} ({hint})");
    Problem { kind: ErrorKind::UnknownName, message }
}
