//! Rules about numbers, booleans and durations: constants, ranges and lists.

use std::fmt::{self, Display};

use envoy_types::pb::google::protobuf::Duration;
use envoy_types::pb::validate::{DurationRules, field_rules::Type};
use prost_reflect::{DynamicMessage, Value};

/// The rules of any ordered type.
struct Rules<T> {
    constant: Option<T>,
    lt: Option<T>,
    lte: Option<T>,
    gt: Option<T>,
    gte: Option<T>,
    one_of: Vec<T>,
    none_of: Vec<T>,
}

/// The messages of rules differ in nothing but the type of the number.
macro_rules! rules {
    ($rules:expr) => {
        Rules {
            constant: $rules.r#const.clone(),
            lt: $rules.lt.clone(),
            lte: $rules.lte.clone(),
            gt: $rules.gt.clone(),
            gte: $rules.gte.clone(),
            one_of: $rules.r#in.clone(),
            none_of: $rules.not_in.clone(),
        }
    };
}

/// As `rules!`, for a number that may be exempt while it is zero.
macro_rules! checked {
    ($rules:expr, $value:expr) => {
        if $rules.ignore_empty() && is_zero($value) { None } else { rules!($rules).check($value) }
    };
}

/// Checks a number or a boolean. Rules of another type than the value say nothing about it.
pub(super) fn check(rules: &Type, value: &Value) -> Option<String> {
    match (rules, value) {
        (Type::Float(rules), Value::F32(value)) => checked!(rules, value),
        (Type::Double(rules), Value::F64(value)) => checked!(rules, value),
        (Type::Int32(rules), Value::I32(value)) => checked!(rules, value),
        (Type::Sint32(rules), Value::I32(value)) => checked!(rules, value),
        (Type::Sfixed32(rules), Value::I32(value)) => checked!(rules, value),
        (Type::Int64(rules), Value::I64(value)) => checked!(rules, value),
        (Type::Sint64(rules), Value::I64(value)) => checked!(rules, value),
        (Type::Sfixed64(rules), Value::I64(value)) => checked!(rules, value),
        (Type::Uint32(rules), Value::U32(value)) => checked!(rules, value),
        (Type::Fixed32(rules), Value::U32(value)) => checked!(rules, value),
        (Type::Uint64(rules), Value::U64(value)) => checked!(rules, value),
        (Type::Fixed64(rules), Value::U64(value)) => checked!(rules, value),
        (Type::Bool(rules), Value::Bool(value)) => {
            let wrong = rules.r#const.is_some_and(|wanted| wanted != *value);
            wrong.then(|| format!("value must equal {}", rules.r#const()))
        }
        _ => None,
    }
}

pub(super) fn duration(rules: &DurationRules, message: &DynamicMessage) -> Option<String> {
    let duration: Duration = message.transcode_to().ok()?;
    let span = |duration: &Duration| Span(duration.seconds, duration.nanos);
    let rules = Rules {
        constant: rules.r#const.as_ref().map(span),
        lt: rules.lt.as_ref().map(span),
        lte: rules.lte.as_ref().map(span),
        gt: rules.gt.as_ref().map(span),
        gte: rules.gte.as_ref().map(span),
        one_of: rules.r#in.iter().map(span).collect(),
        none_of: rules.not_in.iter().map(span).collect(),
    };
    rules.check(&span(&duration))
}

/// A duration as (seconds, nanoseconds) of one sign, which orders by the first, then the second.
#[derive(PartialEq, PartialOrd)]
struct Span(i64, i32);

impl Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanos = format!("{:09}", self.1.unsigned_abs());
        match nanos.trim_end_matches('0') {
            "" => write!(f, "{}s", self.0),
            fraction => write!(f, "{}.{fraction}s", self.0),
        }
    }
}

impl<T: PartialOrd + Display> Rules<T> {
    /// What is wrong with the value, in the words of protoc-gen-validate.
    fn check(&self, value: &T) -> Option<String> {
        if let Some(constant) = self.constant.as_ref().filter(|constant| *constant != value) {
            return Some(format!("value must equal {constant}"));
        }
        if let Some(problem) = self.outside(value) {
            return Some(problem);
        }
        if !self.one_of.is_empty() && !self.one_of.contains(value) {
            return Some(format!("value must be in list [{}]", list(&self.one_of)));
        }
        let forbidden = self.none_of.contains(value);
        forbidden.then(|| format!("value must not be in list [{}]", list(&self.none_of)))
    }

    fn outside(&self, value: &T) -> Option<String> {
        // NaN is inside no range, so the comparisons ask for what must hold.
        let above = self.gt.as_ref().is_none_or(|low| value > low)
            && self.gte.as_ref().is_none_or(|low| value >= low);
        let below = self.lt.as_ref().is_none_or(|high| value < high)
            && self.lte.as_ref().is_none_or(|high| value <= high);
        let low = self.gt.as_ref().map(|low| (low, '(', "greater than"));
        let low = low.or(self.gte.as_ref().map(|low| (low, '[', "greater than or equal to")));
        let high = self.lt.as_ref().map(|high| (high, ')', "less than"));
        let high = high.or(self.lte.as_ref().map(|high| (high, ']', "less than or equal to")));
        match (low, high) {
            // The range is turned around when its low end is the higher one.
            (Some((low, ..)), Some((high, ..))) if low > high => {
                (!above && !below).then(|| format!("value must be outside range [{high}, {low}]"))
            }
            (Some((low, open, _)), Some((high, close, _))) => (!above || !below)
                .then(|| format!("value must be inside range {open}{low}, {high}{close}")),
            (Some((low, _, words)), None) => {
                (!above).then(|| format!("value must be {words} {low}"))
            }
            (None, Some((high, _, words))) => {
                (!below).then(|| format!("value must be {words} {high}"))
            }
            (None, None) => None,
        }
    }
}

fn is_zero<T: PartialEq + Default>(value: &T) -> bool {
    *value == T::default()
}

fn list<T: Display>(values: &[T]) -> String {
    values.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
