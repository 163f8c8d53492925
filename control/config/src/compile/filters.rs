//! HTTP filters: the chain of a connection manager, which ends in the router.

use std::sync::Arc;

use ringway_model::filter::{HttpFilter, HttpFilterChain, RouteConfig, RouteConfigs, Router};

use super::Cx;
use super::at::At;
use super::name_cache::Within;
use super::proto::{google, hcm, router};
use super::value::{is, type_name, unpack};
use hcm::http_filter::ConfigType;

/// What Envoy calls the router in its errors.
const ROUTER: &str = "envoy.filters.http.router";

pub(super) fn chain(cx: &Cx<'_>, at: &At<'_>, list: &[hcm::HttpFilter]) -> Option<HttpFilterChain> {
    let mut filters = Vec::with_capacity(list.len());
    let mut router = None;
    let mut whole = true;
    for (index, filter) in list.iter().enumerate() {
        let at = at.index(index);
        let is_last = index + 1 == list.len();
        match one(cx, &at, filter) {
            Some(Filter::Router(config)) if is_last => router = Some(config),
            Some(Filter::Router(_)) => {
                whole = false;
                at.invalid(format_args!(
                    "Error: terminal filter named {} of type {ROUTER} must be the last filter in \
                     a http filter chain.",
                    filter.name
                ));
            }
            Some(Filter::Other(_)) if is_last => {
                whole = false;
                at.invalid(not_terminal(filter));
            }
            Some(Filter::Other(config)) => filters.push((Arc::from(filter.name.as_str()), config)),
            None => whole = false,
        }
    }
    if list.is_empty() {
        at.warn("there is no router to answer: requests wait until they time out");
        return Some(HttpFilterChain::default());
    }
    let suppress_envoy_headers = router.filter(|_| whole)?.suppress_envoy_headers;
    Some(HttpFilterChain::new(filters, Router { suppress_envoy_headers }))
}

fn not_terminal(filter: &hcm::HttpFilter) -> String {
    let kind = match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => type_name(any),
        _ => "",
    };
    format!(
        "Error: non-terminal filter named {} of type {kind} is the last filter in a http filter \
         chain.",
        filter.name
    )
}

enum Filter {
    Router(router::Router),
    Other(Arc<dyn HttpFilter>),
}

fn one(cx: &Cx<'_>, at: &At<'_>, filter: &hcm::HttpFilter) -> Option<Filter> {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else {
        at.invalid(format_args!("the filter {} has no typed_config", filter.name));
        return None;
    };
    let at = at.field("typed_config");
    if is::<router::Router>(any) {
        return unpack(&at, any).map(Filter::Router);
    }
    from_registry(cx, &at, any).map(Filter::Other)
}

fn from_registry(cx: &Cx<'_>, at: &At<'_>, any: &google::Any) -> Option<Arc<dyn HttpFilter>> {
    let Some(factory) = cx.env.registry.http_filter(type_name(any)) else {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    };
    match factory.compile_within(&any.value, &Within(cx, at)) {
        Ok(filter) => Some(filter),
        Err(errors) => {
            for error in &errors {
                at.inside(&error.path).invalid(&error.message);
            }
            None
        }
    }
}

/// `typed_per_filter_config`: what a route, or a level above or below it, says to filters.
pub(super) fn of_route(
    cx: &Cx<'_>,
    at: &At<'_>,
    all: &std::collections::HashMap<String, google::Any>,
) -> RouteConfigs {
    let at = at.field("typed_per_filter_config");
    let each = all.iter().filter_map(|(name, any)| {
        let config = one_of_route(cx, &at.key(name), any)?;
        Some((Box::from(name.as_str()), config))
    });
    RouteConfigs::new(each.collect())
}

fn one_of_route(cx: &Cx<'_>, at: &At<'_>, any: &google::Any) -> Option<RouteConfig> {
    let Some(factory) = cx.env.registry.of_route(type_name(any)) else {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    };
    match factory.compile_route(&any.value) {
        Ok(config) => Some(config),
        Err(errors) => {
            errors.iter().for_each(|error| at.inside(&error.path).invalid(&error.message));
            None
        }
    }
}
