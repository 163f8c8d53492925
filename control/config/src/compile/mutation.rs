//! Header mutations of routes, virtual hosts, tables and weighted clusters.

use ringway_http::FieldName;
use ringway_model::route::{
    AppendAction, HeaderAdd, HeaderMutations, mutable_name, removable_name,
};

use super::at::At;
use super::format;
use super::proto::core;

/// The two fields of one direction, at the message that holds them.
pub(super) struct Lists<'a> {
    pub(super) to_add: (&'static str, &'a [core::HeaderValueOption]),
    pub(super) to_remove: (&'static str, &'a [String]),
}

/// The mutations of requests of any message with Envoy's four fields.
macro_rules! request {
    ($at:expr, $message:expr) => {
        $crate::compile::mutation::mutations(
            $at,
            &$crate::compile::mutation::Lists {
                to_add: ("request_headers_to_add", &$message.request_headers_to_add),
                to_remove: ("request_headers_to_remove", &$message.request_headers_to_remove),
            },
        )
    };
}

/// As `request` for responses.
macro_rules! response {
    ($at:expr, $message:expr) => {
        $crate::compile::mutation::mutations(
            $at,
            &$crate::compile::mutation::Lists {
                to_add: ("response_headers_to_add", &$message.response_headers_to_add),
                to_remove: ("response_headers_to_remove", &$message.response_headers_to_remove),
            },
        )
    };
}

pub(super) use {request, response};

pub(super) fn mutations(at: &At<'_>, lists: &Lists<'_>) -> HeaderMutations {
    let (name, options) = lists.to_add;
    let at_add = at.field(name);
    let adds = options.iter().enumerate();
    let add = adds.filter_map(|(index, option)| header_add(&at_add.index(index), option));
    let (name, names) = lists.to_remove;
    let at_remove = at.field(name);
    let removes = names.iter().enumerate();
    let remove = removes.filter_map(|(index, name)| removal(&at_remove.index(index), name));
    HeaderMutations { add: add.collect(), remove: remove.collect() }
}

fn removal(at: &At<'_>, name: &str) -> Option<FieldName> {
    at.take(removable_name(name))
}

fn header_add(at: &At<'_>, option: &core::HeaderValueOption) -> Option<HeaderAdd> {
    let at_header = at.field("header");
    let Some(header) = &option.header else {
        at.invalid("a header is necessary");
        return None;
    };
    let name = at_header.field("key").take(mutable_name(&header.key));
    let value = format::text(&at_header.field("value"), &header.value, true);
    let action = append_action(at, option);
    Some(HeaderAdd {
        name: name?,
        value: value?,
        action: action?,
        keep_empty_value: option.keep_empty_value,
    })
}

/// `append_action`, or the older `append`.
fn append_action(at: &At<'_>, option: &core::HeaderValueOption) -> Option<AppendAction> {
    use core::header_value_option::HeaderAppendAction as Action;
    let action = match Action::try_from(option.append_action) {
        Ok(Action::AppendIfExistsOrAdd) => AppendAction::AppendIfExistsOrAdd,
        Ok(Action::AddIfAbsent) => AppendAction::AddIfAbsent,
        Ok(Action::OverwriteIfExistsOrAdd) => AppendAction::OverwriteIfExistsOrAdd,
        Ok(Action::OverwriteIfExists) => AppendAction::OverwriteIfExists,
        Err(_) => {
            at.field("append_action").invalid("unknown action");
            return None;
        }
    };
    match option.append {
        None => Some(action),
        Some(_) if action != AppendAction::AppendIfExistsOrAdd => {
            at.field("append")
                .invalid("Both append and append_action are set and it's not allowed");
            None
        }
        Some(append) if append.value => Some(AppendAction::AppendIfExistsOrAdd),
        Some(_) => Some(AppendAction::OverwriteIfExistsOrAdd),
    }
}
