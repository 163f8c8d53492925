//! The head of whatever is answered: upstream responses, redirects, direct and local replies.

use ringway_http::decimal::decimal;
use ringway_http::h1::{Framing, HeaderKeyFormat};
use ringway_http::{Fields, Known, Method, RequestHead, hop_by_hop};
use ringway_model::format::FormatContext;
use ringway_model::http::ServerHeader;
use ringway_model::route::{DirectResponse, Matched, Redirect};
use ringway_model::stream::LocalReply;

use super::exchange::Exchange;
use super::sides::{Answer, Asked, ClientSide};
use super::{grpc, rewritten};
use crate::tell::{Lines, about_stream};

/// Answers with a reply of our own. Without effect once a response has started: then only the
/// end of the connection can tell the client that something went wrong.
pub(super) fn local<C: ClientSide>(exchange: &mut Exchange<'_, C>, reply: &LocalReply) {
    let details = &reply.details;
    about_stream!(debug, "http", exchange, "sending local reply with details {details}");
    exchange.info.flags.insert(reply.flag);
    exchange.info.details = reply.details.clone();
    exchange.close |= reply.close || breaks_connection(exchange, reply.status);
    if exchange.response_started {
        exchange.close = true;
        exchange.cut = true;
        return;
    }
    begin(exchange, reply.status);
    for (name, value) in &reply.headers {
        exchange.down.response.fields.push(name.as_bytes(), value.as_bytes());
    }
    if let Some(status) = reply.grpc_status
        && exchange.asks_grpc
    {
        grpc::announce(&mut exchange.down.response.fields, status);
    }
    send_text(exchange, reply.body.as_bytes(), b"text/plain");
}

/// 400 says that the request is no request: what follows it cannot be trusted, unless
/// `stream_error_on_invalid_http_message` says so. Envoy holds it so for every reply of its own.
fn breaks_connection<C: ClientSide>(exchange: &Exchange<'_, C>, status: u16) -> bool {
    status == 400 && !exchange.manager.keep_connection_on_error
}

/// Answers with a redirect of the route.
pub(super) fn redirect<C: ClientSide>(
    exchange: &mut Exchange<'_, C>,
    matched: Matched<'_>,
    redirect: &Redirect,
) {
    // `rq_redirect` is Envoy's for internal redirects.
    exchange.down.worker.page.inc(exchange.manager.stats.rq_direct_response);
    exchange.info.details = "direct_response".into();
    begin(exchange, redirect.status());
    let suppress = exchange.filters.router().suppress_envoy_headers;
    let down = &mut *exchange.down;
    redirect.rewrite(&matched.route.matcher, &mut down.request, suppress, &mut down.scratch);
    set_location(exchange, redirect);
    mutate(exchange);
    send_text(exchange, b"", b"text/plain");
}

fn set_location<C: ClientSide>(exchange: &mut Exchange<'_, C>, redirect: &Redirect) {
    let down = &mut *exchange.down;
    down.text.clear();
    redirect.write_location(&down.request, down.request.scheme(), &mut down.text);
    down.response.fields.push_known(Known::Location, &down.text);
}

/// Answers with the direct response of the route.
pub(super) fn direct<C: ClientSide>(exchange: &mut Exchange<'_, C>, direct: &DirectResponse) {
    exchange.down.worker.page.inc(exchange.manager.stats.rq_direct_response);
    exchange.info.details = "direct_response".into();
    exchange.close |= breaks_connection(exchange, direct.status);
    begin(exchange, direct.status);
    if direct.needs_location() {
        set_location(exchange, &Redirect::unchanged());
    }
    mutate(exchange);
    let Some(format) = &direct.body_format else {
        return send_text(exchange, &direct.body, b"text/plain");
    };
    let cx = FormatContext::new(&exchange.info, &exchange.down.info)
        .request(&exchange.down.request)
        .response(&exchange.down.response);
    let body = format.write(&cx, &direct.body);
    send_text(exchange, &body, format.content_type().as_bytes());
}

fn begin<C: ClientSide>(exchange: &mut Exchange<'_, C>, status: u16) {
    exchange.down.response.clear();
    exchange.down.response.status = status;
}

/// Applies the response header mutations of the route and its levels.
pub(super) fn mutate<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let Some(matched) = exchange.matched else { return };
    let down = &mut *exchange.down;
    let cx = FormatContext::new(&exchange.info, &down.info).request(&down.request);
    matched.apply_response_mutations(exchange.weighted, &mut down.response, &cx, &mut down.scratch);
}

/// Sends the head that was begun, with a body that is known as a whole.
fn send_text<C: ClientSide>(exchange: &mut Exchange<'_, C>, body: &[u8], content_type: &[u8]) {
    let Some(config) = &exchange.manager.local_replies else {
        return send_final(exchange, body, content_type);
    };
    let rewritten = rewritten::rewrite(exchange, config, body);
    let body = rewritten.body.as_deref().unwrap_or(body);
    send_final(exchange, body, rewritten.content_type.unwrap_or(content_type));
}

/// The same, with what `local_reply_config` has made of it.
fn send_final<C: ClientSide>(exchange: &mut Exchange<'_, C>, mut body: &[u8], content_type: &[u8]) {
    let down = &mut *exchange.down;
    if exchange.asks_grpc {
        grpc::translate(&mut down.response, body, down.request.method_kind());
        body = b"";
    } else if body.is_empty() || matches!(down.response.status, 204 | 304) {
        // RFC 9112 section 6.3: nothing follows 204 and 304, whatever the configuration says.
        body = b"";
        // A mutation may have announced what does not come.
        down.response.fields.remove_known(Known::ContentLength);
    } else {
        describe(&mut down.response.fields, body, content_type);
    }
    if !exchange.request_complete {
        exchange.read_rest();
    }
    let filtered = match exchange.filter_reply(body) {
        Ok(filtered) => filtered,
        Err(reply) => {
            // A filter that replaces a reply replaces it once: its own is not filtered again.
            begin(exchange, reply.status);
            exchange.info.details = reply.details.clone();
            None
        }
    };
    let body = filtered.as_deref().unwrap_or(body);
    let head = &exchange.down.response;
    let framing = match head.status {
        _ if head.fields.has(Known::ContentLength) => Framing::Described,
        // RFC 9110 section 8.6: 204 has no length, and 304 none but that of the 200.
        204 | 304 => Framing::None,
        _ => Framing::Length(0),
    };
    let body = if exchange.down.request.method_kind() == Method::Head { b"" } else { body };
    send_head(exchange, framing, body.is_empty());
    exchange.down.side.send_last_text(body);
    exchange.info.bytes_sent += body.len() as u64;
}

fn describe(fields: &mut Fields, body: &[u8], content_type: &[u8]) {
    fields.set_known(Known::ContentLength, decimal(body.len() as u64, &mut [0; 20]));
    if !fields.has(Known::ContentType) {
        fields.push_known(Known::ContentType, content_type);
    }
}

/// Finishes the response head and sends it: `date`, `server`, `via`, the request id and the fate of
/// the connection. `is_end` where nothing follows the head.
pub(super) fn send_head<C: ClientSide>(
    exchange: &mut Exchange<'_, C>,
    framing: Framing,
    is_end: bool,
) {
    let manager = exchange.manager;
    let elapsed = exchange.elapsed();
    let now = exchange.info.start_time + elapsed;
    exchange.close |= answers_early(exchange) || exchange.down.side.wants_close(exchange.down.now);
    let down = &mut *exchange.down;
    let switches = down.response.status == 101;
    let fields = &mut down.response.fields;
    hop_by_hop::strip_response(fields, switches);
    if !fields.has(Known::Date) {
        fields.push_known(Known::Date, &down.worker.date(now));
    }
    match manager.server_header {
        ServerHeader::PassThrough => {}
        ServerHeader::AppendIfAbsent if fields.has(Known::Server) => {}
        _ => fields.set_known(Known::Server, manager.server_name.as_bytes()),
    }
    if !manager.via.is_empty() {
        fields.append_known(Known::Via, b", ", manager.via.as_bytes());
    }
    if manager.request_id.in_response
        && let Some(id) = down.request.fields.known(Known::XRequestId)
    {
        fields.set_known(Known::XRequestId, id);
    }
    if down.worker.is_failing_health_checks() {
        fields.set_known(Known::XEnvoyImmediateHealthCheckFail, b"true");
    }
    exchange.response_started = true;
    exchange.info.response_code = down.response.status;
    exchange.info.response_sent = Some(elapsed);
    let answer = Answer {
        asked: asked(&down.request),
        framing,
        close: exchange.close,
        key_format: if manager.proper_case {
            HeaderKeyFormat::ProperCaseWords
        } else {
            HeaderKeyFormat::LowerCase
        },
    };
    down.side.send_head(&down.response, answer, is_end);
    tell_head(exchange);
}

/// Says what is answered.
fn tell_head<C>(exchange: &Exchange<'_, C>) {
    let head = &exchange.down.response;
    about_stream!(debug, "http", exchange, "encoding headers: {}", head.status);
    about_stream!(trace, "http", exchange, "response headers:{}", Lines(&head.fields));
}

/// Sends the upstream's informational response on.
pub(super) fn send_informational<C: ClientSide>(exchange: &mut Exchange<'_, C>) {
    let down = &mut *exchange.down;
    hop_by_hop::strip_response(&mut down.response.fields, false);
    down.worker.page.inc(exchange.manager.stats.downstream_rq_1xx);
    down.side.send_informational(&down.response, asked(&down.request));
}

fn asked(request: &RequestHead) -> Asked {
    Asked { method: request.method_kind(), version: request.version() }
}

/// Whether the response begins before the request has ended: nobody wants the rest of it, so the
/// connection ends with this response.
fn answers_early<C: ClientSide>(exchange: &Exchange<'_, C>) -> bool {
    let early = !exchange.request_ended();
    if early {
        let stats = &exchange.manager.stats;
        exchange.down.worker.page.inc(stats.downstream_rq_response_before_rq_complete);
    }
    early
}
