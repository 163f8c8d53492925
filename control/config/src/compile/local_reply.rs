//! What becomes of local replies (`local_reply_config`), and formats of bodies.

use std::sync::Arc;

use ringway_model::local_reply::{BodyFormat, LocalReplyConfig, ReplyMapper};

use super::at::At;
use super::mutation::{self, Lists};
use super::proto::{core, hcm};
use super::value::data;
use super::{Cx, access_log, format};

/// Envoy has no limit on `body`; a reply is held in memory as a whole.
const BODY_MAX_BYTES: usize = 1 << 20;

/// `None` when it is wrong, `Some(None)` when there is none.
pub(super) fn config(
    cx: &Cx<'_>,
    at: &At<'_>,
    config: Option<&hcm::LocalReplyConfig>,
) -> Option<Option<LocalReplyConfig>> {
    let Some(config) = config else { return Some(None) };
    let at_mappers = at.field("mappers");
    let each = config.mappers.iter().enumerate();
    let mappers: Vec<Option<ReplyMapper>> =
        each.map(|(index, one)| mapper(cx, &at_mappers.index(index), one)).collect();
    let body_format = body_format(cx, &at.field("body_format"), config.body_format.as_ref());
    let mappers: Option<Vec<ReplyMapper>> = mappers.into_iter().collect();
    Some(Some(LocalReplyConfig { mappers: mappers?, body_format: body_format? }))
}

fn mapper(cx: &Cx<'_>, at: &At<'_>, mapper: &hcm::ResponseMapper) -> Option<ReplyMapper> {
    let filter = match &mapper.filter {
        Some(filter) => access_log::filter(&at.field("filter"), filter),
        None => {
            at.invalid("a filter is necessary");
            None
        }
    };
    let body = match &mapper.body {
        Some(source) => {
            data(cx, &at.field("body"), source, BODY_MAX_BYTES).map(Arc::from).map(Some)
        }
        None => Some(None),
    };
    let at_format = at.field("body_format_override");
    let body_format = body_format(cx, &at_format, mapper.body_format_override.as_ref());
    let lists = Lists {
        to_add: ("headers_to_add", &mapper.headers_to_add),
        to_remove: ("headers_to_remove", &[]),
    };
    let headers = mutation::mutations(at, &lists);
    // The API's own rule keeps it from 200 to 599.
    let status = mapper.status_code.and_then(|status| u16::try_from(status.value).ok());
    Some(ReplyMapper { filter: filter?, status, body: body?, body_format: body_format?, headers })
}

/// `None` when it is wrong, `Some(None)` when there is none.
pub(super) fn body_format(
    cx: &Cx<'_>,
    at: &At<'_>,
    format: Option<&core::SubstitutionFormatString>,
) -> Option<Option<BodyFormat>> {
    let Some(one) = format else { return Some(None) };
    let content_type = Some(one.content_type.as_str()).filter(|text| !text.is_empty());
    let content_type = content_type.map(Box::from);
    Some(Some(BodyFormat { format: format::substitution(cx, at, one)?, content_type }))
}
