//! The rules that Envoy's API states about its own fields (`validate.rules` of
//! protoc-gen-validate), enforced for every message without a line of code per message.
//!
//! Owns the walk and the meaning of the rules. The rules themselves come from the descriptors, so
//! a newer API brings its own. All violations are found in one walk, messages inside `Any`
//! included.

mod compiled;
mod number;
mod text;

use std::collections::HashMap;
use std::rc::Rc;

use envoy_types::pb::validate::{FieldRules, field_rules::Type};
use prost_reflect::{DynamicMessage, Kind, MapKey, OneofDescriptor, ReflectMessage, Value};

use crate::descriptors;
use crate::error::ErrorKind;
use crate::findings::{Finding, Findings};
use crate::path::{Path, Step, key_text};
use crate::source::{self, Node};
use compiled::{FieldPlan, MessagePlan};

/// Checks a message and all below it. `root` is the text that it came from, for the places of the
/// errors; fields that `decoded` already calls wrong are left alone.
pub(crate) fn validate(message: &DynamicMessage, root: &Node, decoded: &Findings) -> Findings {
    let mut validator = Validator {
        path: Path::default(),
        root,
        decoded,
        findings: Findings::default(),
        plans: HashMap::new(),
        patterns: text::Patterns::default(),
    };
    validator.message(message);
    validator.findings
}

/// One walk. Its recursion is bounded by the depth of the text, which bounds the message.
struct Validator<'a> {
    path: Path,
    root: &'a Node,
    decoded: &'a Findings,
    findings: Findings,
    /// The rules of the messages met so far, by full name: options are slow to decode.
    plans: HashMap<String, Rc<MessagePlan>>,
    patterns: text::Patterns,
}

impl Validator<'_> {
    fn message(&mut self, message: &DynamicMessage) {
        let plan = self.plan(message);
        for oneof in &plan.required_oneofs {
            let is_set = oneof.fields().any(|field| message.has_field(&field));
            if !is_set && !self.is_miswritten(oneof) {
                self.path.push_field(oneof.name());
                let members: Vec<_> = oneof.fields().map(|f| f.name().to_owned()).collect();
                let message = format!("value is required: one of {}", members.join(", "));
                self.violation(message);
                self.path.pop();
            }
        }
        for field in &plan.fields {
            self.path.push_field(field.descriptor.name());
            self.field(message, field);
            self.path.pop();
        }
        if message.descriptor().full_name() == "google.protobuf.Any" {
            self.inside_any(message);
        }
    }

    /// A member that is written, but wrongly, is one mistake and is told once, as its own.
    fn is_miswritten(&mut self, oneof: &OneofDescriptor) -> bool {
        oneof.fields().any(|field| {
            self.path.push_field(field.name());
            let is_wrong = self.decoded.touch(&self.path);
            self.path.pop();
            is_wrong
        })
    }

    fn plan(&mut self, message: &DynamicMessage) -> Rc<MessagePlan> {
        let descriptor = message.descriptor();
        if let Some(plan) = self.plans.get(descriptor.full_name()) {
            return Rc::clone(plan);
        }
        let plan = Rc::new(MessagePlan::of(&descriptor));
        self.plans.insert(descriptor.full_name().to_owned(), Rc::clone(&plan));
        plan
    }

    /// Typed configurations are validated as the message that they carry, at the path of the
    /// `Any`, which has no name of its own for what is inside.
    fn inside_any(&mut self, any: &DynamicMessage) {
        if let Some(inner) = descriptors::open_any(any) {
            self.message(&inner);
        }
    }

    fn field(&mut self, message: &DynamicMessage, field: &FieldPlan) {
        let descriptor = &field.descriptor;
        let is_set = message.has_field(descriptor);
        // "Required" on a member of a oneof means: if it is the chosen one.
        if !is_set && field.is_required() && descriptor.containing_oneof().is_none() {
            self.violation("value is required");
            return;
        }
        // A scalar without presence is checked even when it is absent, as its zero; an optional
        // one, a member of a oneof or a message only when it is there.
        if !is_set && descriptor.supports_presence() {
            return;
        }
        let value = message.get_field(descriptor);
        match value.as_ref() {
            Value::List(items) => self.list(field, items),
            Value::Map(entries) => self.map(field, entries),
            single => self.single(&field.rules, &descriptor.kind(), single),
        }
    }

    fn list(&mut self, field: &FieldPlan, items: &[Value]) {
        let mut item_rules = None;
        if let Some(FieldRules { r#type: Some(Type::Repeated(rules)), .. }) = &field.rules {
            if rules.ignore_empty() && items.is_empty() {
                return;
            }
            self.counted(items.len(), rules.min_items, rules.max_items, "item(s)");
            if rules.unique() && (1..items.len()).any(|at| items[..at].contains(&items[at])) {
                self.violation("repeated value must contain unique items");
            }
            item_rules = rules.items.as_deref().cloned();
        }
        let kind = field.descriptor.kind();
        for (index, item) in items.iter().enumerate() {
            self.path.push(Step::Index(index));
            self.single(&item_rules, &kind, item);
            self.path.pop();
        }
    }

    fn map(&mut self, field: &FieldPlan, entries: &HashMap<MapKey, Value>) {
        let (mut key_rules, mut value_rules) = (None, None);
        if let Some(FieldRules { r#type: Some(Type::Map(rules)), .. }) = &field.rules {
            if rules.ignore_empty() && entries.is_empty() {
                return;
            }
            self.counted(entries.len(), rules.min_pairs, rules.max_pairs, "pair(s)");
            key_rules = rules.keys.as_deref().cloned();
            value_rules = rules.values.as_deref().cloned();
        }
        let kind = field.descriptor.kind();
        let Kind::Message(entry) = &kind else { return };
        let (key_field, value_field) = (entry.map_entry_key_field(), entry.map_entry_value_field());
        for (key, value) in entries {
            self.path.push(Step::Key(key_text(key)));
            self.single(&key_rules, &key_field.kind(), &Value::from(key.clone()));
            self.single(&value_rules, &value_field.kind(), value);
            self.path.pop();
        }
    }

    fn single(&mut self, rules: &Option<FieldRules>, kind: &Kind, value: &Value) {
        let skip =
            rules.as_ref().and_then(|rules| rules.message.as_ref()).is_some_and(|r| r.skip());
        if let Some(rules) = rules.as_ref().and_then(|rules| rules.r#type.as_ref()) {
            self.check(rules, kind, value);
        }
        if let Value::Message(message) = value
            && !skip
        {
            self.message(message);
        }
    }

    fn check(&mut self, rules: &Type, kind: &Kind, value: &Value) {
        let problem = match (rules, value) {
            (Type::Enum(rules), Value::EnumNumber(number)) => {
                compiled::enumeration(rules, kind, *number)
            }
            (Type::String(rules), Value::String(text)) => self.patterns.string(rules, text),
            (Type::Bytes(rules), Value::Bytes(bytes)) => text::bytes(rules, bytes),
            (Type::Any(rules), Value::Message(any)) => compiled::any(rules, any),
            (Type::Duration(rules), Value::Message(duration)) => number::duration(rules, duration),
            // A wrapper such as UInt32Value: the rules are about the value inside.
            (rules, Value::Message(wrapper)) => {
                if let Some(field) = wrapper.descriptor().get_field_by_name("value") {
                    let inner = wrapper.get_field(&field).into_owned();
                    if !matches!(inner, Value::Message(_)) {
                        self.check(rules, &field.kind(), &inner);
                    }
                }
                None
            }
            (rules, value) => number::check(rules, value),
        };
        if let Some(problem) = problem {
            self.violation(problem);
        }
    }

    fn counted(&mut self, count: usize, min: Option<u64>, max: Option<u64>, unit: &str) {
        let count = count as u64;
        let below = min.is_some_and(|min| count < min);
        let above = max.is_some_and(|max| count > max);
        match (min, max) {
            (Some(min), Some(max)) if min == max && (below || above) => {
                self.violation(format!("value must contain exactly {min} {unit}"));
            }
            (Some(min), Some(max)) if below || above => {
                let unit = format!("between {min} and {max} {unit}, inclusive");
                self.violation(format!("value must contain {unit}"));
            }
            (Some(min), None) if below => {
                self.violation(format!("value must contain at least {min} {unit}"));
            }
            (None, Some(max)) if above => {
                self.violation(format!("value must contain no more than {max} {unit}"));
            }
            _ => {}
        }
    }

    fn violation(&mut self, message: impl Into<String>) {
        let is_known = self.decoded.touch(&self.path);
        if !is_known && !self.decoded.may_misspell(&self.path, self.root) {
            self.findings.push(Finding {
                kind: ErrorKind::Invalid,
                path: self.path.clone(),
                position: source::locate(self.root, self.path.steps()),
                message: message.into(),
            });
        }
    }
}

#[cfg(test)]
mod tests;
