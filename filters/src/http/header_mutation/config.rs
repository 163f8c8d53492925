//! From the protobuf message to the filter.

use std::sync::Arc;

use envoy_types::pb::envoy::config::common::mutation_rules::v3::HeaderMutation as Mutation;
use envoy_types::pb::envoy::config::common::mutation_rules::v3::header_mutation::Action;
use envoy_types::pb::envoy::config::core::v3::HeaderValueOption;
use envoy_types::pb::envoy::config::core::v3::header_value_option::HeaderAppendAction;
use envoy_types::pb::envoy::extensions::filters::http::header_mutation::v3::HeaderMutation;
use prost::Message;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory};
use ringway_model::format::Format;
use ringway_model::route::{
    AppendAction, HeaderAdd, HeaderMutations, mutable_name, removable_name,
};

use super::filter::Filter;

/// Makes header mutation filters.
pub(crate) struct Factory;

impl HttpFilterFactory for Factory {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.header_mutation.v3.HeaderMutation"
    }

    fn compile(&self, config: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        let config = HeaderMutation::decode(config)
            .map_err(|error| vec![field_error(String::new(), error.to_string())])?;
        let mutations = config.mutations.unwrap_or_default();
        let mut errors = Vec::new();
        let request = compile(&mutations.request_mutations, "request", &mut errors);
        let response = compile(&mutations.response_mutations, "response", &mut errors);
        if errors.is_empty() { Ok(Arc::new(Filter::new(request, response))) } else { Err(errors) }
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[
            ("envoy.extensions.filters.http.header_mutation.v3.HeaderMutation", &["mutations"]),
            (
                "envoy.extensions.filters.http.header_mutation.v3.Mutations",
                &["request_mutations", "response_mutations"],
            ),
            ("envoy.config.common.mutation_rules.v3.HeaderMutation", &["remove", "append"]),
        ]
    }
}

fn field_error(path: String, message: impl ToString) -> FieldError {
    FieldError { path, message: message.to_string() }
}

/// One entry per mutation: each sees what the one before it did.
fn compile(
    mutations: &[Mutation],
    side: &str,
    errors: &mut Vec<FieldError>,
) -> Vec<HeaderMutations> {
    let mut compiled = Vec::with_capacity(mutations.len());
    for (index, mutation) in mutations.iter().enumerate() {
        let path = format!("mutations.{side}_mutations[{index}]");
        match compile_one(mutation, &path) {
            Ok(mutation) => compiled.push(mutation),
            Err(error) => errors.push(error),
        }
    }
    compiled
}

fn compile_one(mutation: &Mutation, path: &str) -> Result<HeaderMutations, FieldError> {
    match &mutation.action {
        Some(Action::Remove(name)) => {
            let name = removable_name(name)
                .map_err(|error| field_error(format!("{path}.remove"), error))?;
            Ok(HeaderMutations { add: Vec::new(), remove: vec![name] })
        }
        Some(Action::Append(option)) => {
            let add = compile_add(option, &format!("{path}.append"))?;
            Ok(HeaderMutations { add: vec![add], remove: Vec::new() })
        }
        Some(Action::RemoveOnMatch(_)) => {
            Err(field_error(format!("{path}.remove_on_match"), "not supported yet"))
        }
        None => Err(field_error(path.to_owned(), "no action is set")),
    }
}

fn compile_add(option: &HeaderValueOption, path: &str) -> Result<HeaderAdd, FieldError> {
    let header = option.header.clone().unwrap_or_default();
    let name = mutable_name(&header.key)
        .map_err(|error| field_error(format!("{path}.header.key"), error))?;
    let value = Format::text_omitting_empty(&header.value)
        .map_err(|error| field_error(format!("{path}.header.value"), error))?;
    let action = match HeaderAppendAction::try_from(option.append_action) {
        Ok(HeaderAppendAction::AppendIfExistsOrAdd) => AppendAction::AppendIfExistsOrAdd,
        Ok(HeaderAppendAction::AddIfAbsent) => AppendAction::AddIfAbsent,
        Ok(HeaderAppendAction::OverwriteIfExistsOrAdd) => AppendAction::OverwriteIfExistsOrAdd,
        Ok(HeaderAppendAction::OverwriteIfExists) => AppendAction::OverwriteIfExists,
        Err(_) => {
            return Err(field_error(format!("{path}.append_action"), "not a value of the enum"));
        }
    };
    Ok(HeaderAdd { name, value, action, keep_empty_value: option.keep_empty_value })
}
