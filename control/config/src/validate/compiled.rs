//! The rules of one message, decoded from its options once, and the checks that are one step.

use envoy_types::pb::validate::{AnyRules, EnumRules, FieldRules, field_rules::Type};
use prost_reflect::{DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, OneofDescriptor};

use crate::descriptors::POOL;

/// What to check in a message of one type.
pub(super) struct MessagePlan {
    pub(super) required_oneofs: Vec<OneofDescriptor>,
    pub(super) fields: Vec<FieldPlan>,
}

/// A field that has rules, or below which rules may be.
pub(super) struct FieldPlan {
    pub(super) descriptor: FieldDescriptor,
    pub(super) rules: Option<FieldRules>,
}

impl MessagePlan {
    pub(super) fn of(descriptor: &MessageDescriptor) -> MessagePlan {
        let options = descriptor.options();
        if bool_option(&options, "validate.disabled") || bool_option(&options, "validate.ignored") {
            return MessagePlan { required_oneofs: Vec::new(), fields: Vec::new() };
        }
        let is_required =
            |oneof: &OneofDescriptor| bool_option(&oneof.options(), "validate.required");
        let plans = descriptor.fields().map(FieldPlan::of);
        MessagePlan {
            required_oneofs: descriptor.oneofs().filter(is_required).collect(),
            fields: plans.filter(FieldPlan::is_of_interest).collect(),
        }
    }
}

impl FieldPlan {
    fn of(descriptor: FieldDescriptor) -> FieldPlan {
        let given_up = GIVEN_UP.contains(&descriptor.full_name());
        let rules = if given_up { None } else { rules_of(&descriptor) };
        FieldPlan { descriptor, rules }
    }

    fn is_of_interest(&self) -> bool {
        let is_message = |kind: &Kind| matches!(kind, Kind::Message(_));
        self.rules.is_some() || is_message(&self.descriptor.kind())
    }

    pub(super) fn is_required(&self) -> bool {
        let Some(rules) = &self.rules else { return false };
        rules.message.as_ref().is_some_and(|rules| rules.required())
            || match &rules.r#type {
                Some(Type::Any(rules)) => rules.required(),
                Some(Type::Duration(rules)) => rules.required(),
                Some(Type::Timestamp(rules)) => rules.required(),
                _ => false,
            }
    }
}

/// Rules of the protos that Envoy 1.40 has given up.
const GIVEN_UP: &[&str] = &[
    // `trust_bundles` may stand in its place.
    "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig.trust_domains",
];

/// The option `validate.rules` of a field.
pub(super) fn rules_of(field: &FieldDescriptor) -> Option<FieldRules> {
    let extension = POOL.get_extension_by_name("validate.rules")?;
    let options = field.options();
    if !options.has_extension(&extension) {
        return None;
    }
    options.get_extension(&extension).as_message()?.transcode_to().ok()
}

fn bool_option(options: &DynamicMessage, name: &str) -> bool {
    let extension = POOL.get_extension_by_name(name);
    let value = extension.map(|extension| options.get_extension(&extension).into_owned());
    value.and_then(|value| value.as_bool()).unwrap_or_default()
}

pub(super) fn enumeration(rules: &EnumRules, kind: &Kind, number: i32) -> Option<String> {
    let descriptor = kind.as_enum()?;
    let name = |number: &i32| match descriptor.get_value(*number) {
        Some(value) => value.name().to_owned(),
        None => number.to_string(),
    };
    let names = |numbers: &[i32]| numbers.iter().map(name).collect::<Vec<_>>().join(", ");
    if rules.r#const.is_some_and(|wanted| wanted != number) {
        return Some(format!("value must equal {}", name(&rules.r#const())));
    }
    if rules.defined_only() && descriptor.get_value(number).is_none() {
        return Some("value must be one of the defined enum values".to_owned());
    }
    if !rules.r#in.is_empty() && !rules.r#in.contains(&number) {
        return Some(format!("value must be in list [{}]", names(&rules.r#in)));
    }
    let forbidden = rules.not_in.contains(&number);
    forbidden.then(|| format!("value must not be in list [{}]", names(&rules.not_in)))
}

pub(super) fn any(rules: &AnyRules, any: &DynamicMessage) -> Option<String> {
    let url = any.get_field_by_name("type_url")?.as_str()?.to_owned();
    if !rules.r#in.is_empty() && !rules.r#in.contains(&url) {
        return Some(format!("type URL must be in list [{}]", rules.r#in.join(", ")));
    }
    let forbidden = rules.not_in.contains(&url);
    forbidden.then(|| format!("type URL must not be in list [{}]", rules.not_in.join(", ")))
}
