//! Routes and what they do without an upstream: redirects and direct responses.

use std::sync::Arc;

use ringway_model::route::{Action, DirectResponse, Redirect, RedirectStatus, Route};

use super::at::At;
use super::mutation::{request, response};
use super::proto::route;
use super::value::data;
use super::{Cx, filters, forward, local_reply, route_match};
use route::redirect_action::{PathRewriteSpecifier, SchemeRewriteSpecifier};

/// What a table says about its routes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// `max_direct_response_body_size_bytes`.
    pub(super) body_max: usize,
}

pub(super) fn route(
    cx: &Cx<'_>,
    at: &At<'_>,
    route: &route::Route,
    limits: Limits,
) -> Option<Route> {
    let matcher = match &route.r#match {
        Some(matcher) => route_match::route_match(&at.field("match"), matcher),
        None => {
            at.invalid("a match is necessary");
            None
        }
    };
    let action = action(cx, at, route, limits);
    let request_headers = request!(at, route);
    let response_headers = response!(at, route);
    let mut compiled = Route::new(matcher?, action?);
    compiled.name = Arc::from(route.name.as_str());
    compiled.request_headers = request_headers;
    compiled.response_headers = response_headers;
    compiled.filter_configs = filters::of_route(cx, at, &route.typed_per_filter_config);
    Some(compiled)
}

fn action(cx: &Cx<'_>, at: &At<'_>, route: &route::Route, limits: Limits) -> Option<Action> {
    use route::route::Action as Kind;
    match route.action.as_ref() {
        Some(Kind::Route(action)) => {
            let forward = forward::forward(cx, &at.field("route"), action)?;
            Some(Action::Forward(Box::new(forward)))
        }
        Some(Kind::Redirect(action)) => {
            let redirect = redirect(&at.field("redirect"), action)?;
            Some(Action::Redirect(Box::new(redirect)))
        }
        Some(Kind::DirectResponse(action)) => {
            direct(cx, &at.field("direct_response"), action, limits).map(Action::Direct)
        }
        _ => {
            at.unsupported("");
            None
        }
    }
}

fn redirect(at: &At<'_>, action: &route::RedirectAction) -> Option<Redirect> {
    let scheme = match &action.scheme_rewrite_specifier {
        Some(SchemeRewriteSpecifier::HttpsRedirect(true)) => Some("https"),
        Some(SchemeRewriteSpecifier::SchemeRedirect(scheme)) => Some(scheme.as_str()),
        Some(SchemeRewriteSpecifier::HttpsRedirect(false)) | None => None,
    };
    let Ok(port) = u16::try_from(action.port_redirect) else {
        at.field("port_redirect").invalid("a port is at most 65535");
        return None;
    };
    let mut redirect = Redirect {
        status: status(action.response_code),
        scheme: scheme.map(Box::from),
        host: action.host_redirect.as_str().into(),
        port: Some(port).filter(|port| *port > 0),
        strip_query: action.strip_query,
        ..Redirect::default()
    };
    match &action.path_rewrite_specifier {
        None => {}
        Some(PathRewriteSpecifier::PathRedirect(path)) => redirect.path = path.as_str().into(),
        Some(PathRewriteSpecifier::PrefixRewrite(prefix)) => {
            redirect.path_rewrite = forward::rewrite(at, Some(prefix), None)?;
        }
        Some(PathRewriteSpecifier::RegexRewrite(regex)) => {
            redirect.path_rewrite = forward::rewrite(at, None, Some(regex))?;
        }
        #[allow(unreachable_patterns, reason = "newer versions of the API may have more")]
        Some(_) => {
            at.unsupported("");
            return None;
        }
    }
    Some(redirect)
}

fn status(number: i32) -> RedirectStatus {
    use route::redirect_action::RedirectResponseCode as Code;
    match Code::try_from(number) {
        Ok(Code::Found) => RedirectStatus::Found,
        Ok(Code::SeeOther) => RedirectStatus::SeeOther,
        Ok(Code::TemporaryRedirect) => RedirectStatus::TemporaryRedirect,
        Ok(Code::PermanentRedirect) => RedirectStatus::PermanentRedirect,
        Ok(Code::MovedPermanently) | Err(_) => RedirectStatus::MovedPermanently,
    }
}

fn direct(
    cx: &Cx<'_>,
    at: &At<'_>,
    action: &route::DirectResponseAction,
    limits: Limits,
) -> Option<DirectResponse> {
    // The API's own rule keeps it below 600.
    let status = at.field("status").take(u16::try_from(action.status));
    let body = match &action.body {
        Some(source) => data(cx, &at.field("body"), source, limits.body_max).map(Arc::from),
        None => Some(Arc::default()),
    };
    let at_format = at.field("body_format");
    let body_format = local_reply::body_format(cx, &at_format, action.body_format.as_ref())?;
    Some(DirectResponse { status: status?, body: body?, body_format })
}
