//! `local_reply_config`: other statuses, fields and bodies for the replies of our own.
//!
//! Where it is absent, replies never come here.

use std::borrow::Cow;

use ringway_model::format::FormatContext;
use ringway_model::local_reply::{BodyFormat, LocalReplyConfig, ReplyMapper};

use super::exchange::Exchange;
use super::sides::ClientSide;

/// What is sent in place of the body of a reply.
#[derive(Debug)]
pub(super) struct Rewritten<'c> {
    /// `None` leaves it as it is.
    pub(super) body: Option<Cow<'c, [u8]>>,
    /// `None` leaves it as it is.
    pub(super) content_type: Option<&'c [u8]>,
}

/// Changes the head that was begun, in Envoy's order: fields, which still speak of the status
/// that the reply had, then the status, then the body.
pub(super) fn rewrite<'c, C: ClientSide>(
    exchange: &mut Exchange<'c, C>,
    config: &'c LocalReplyConfig,
    body: &[u8],
) -> Rewritten<'c> {
    exchange.info.response_code = exchange.down.response.status;
    // What is asked for a duration now is told how long the stream has taken until now.
    let finished = exchange.info.finished.replace(exchange.elapsed());
    let mapper = config.mapper(&context(exchange));
    if let Some(mapper) = mapper {
        change_head(exchange, mapper);
    }
    let own = mapper.and_then(|mapper| mapper.body.as_deref());
    let format = config.format_of(mapper);
    let written = format.map(|format| format.write(&context(exchange), own.unwrap_or(body)));
    exchange.info.finished = finished;
    Rewritten {
        body: written.map(Cow::Owned).or(own.map(Cow::Borrowed)),
        content_type: format.map(BodyFormat::content_type).map(str::as_bytes),
    }
}

fn context<'a, C: ClientSide>(exchange: &'a Exchange<'_, C>) -> FormatContext<'a> {
    FormatContext::new(&exchange.info, &exchange.down.info)
        .request(&exchange.down.request)
        .response(&exchange.down.response)
}

fn change_head<C: ClientSide>(exchange: &mut Exchange<'_, C>, mapper: &ReplyMapper) {
    let down = &mut *exchange.down;
    let cx = FormatContext::new(&exchange.info, &down.info).request(&down.request);
    mapper.headers.apply_response(&mut down.response, &cx, &mut down.scratch);
    if let Some(status) = mapper.status {
        down.response.status = status;
        exchange.info.response_code = status;
    }
}
