//! `TlsKeyLog`: a file for the secrets of connections.

use std::path::Path;

use ringway_model::transport::KeyLog;

use super::super::Cx;
use super::super::at::At;
use super::super::proto::tls;
use super::super::value::{cidrs, without_number};

/// The log of a context; within it, `None` where none is kept. `at` is the place of
/// `common_tls_context`.
#[expect(clippy::option_option, reason = "an error is not the absence of a log")]
pub(super) fn of(
    cx: &Cx<'_>,
    at: &At<'_>,
    common: &tls::CommonTlsContext,
) -> Option<Option<KeyLog>> {
    let Some(message) = &common.key_log else { return Some(None) };
    let at = at.field("key_log");
    let mark = at.mark();
    let local = cidrs(&at.field("local_address_range"), &message.local_address_range);
    let remote = cidrs(&at.field("remote_address_range"), &message.remote_address_range);
    // A range that is wrong must not turn into none, which stands for all.
    if !at.is_clean_since(mark) {
        return None;
    }
    let opened = cx.sinks.borrow_mut().file(Path::new(&message.path));
    let report = |error| {
        let path = &message.path;
        at.field("path")
            .io(format_args!("unable to open file '{path}': {}", without_number(&error)));
    };
    let sink = opened.map_err(report).ok()?;
    Some(Some(KeyLog { sink, local, remote }))
}
