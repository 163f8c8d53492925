//! The network filters of a chain: those that decide, and the one at the end that takes the bytes.

use std::sync::Arc;

use ringway_model::listener::Terminal;

use super::at::At;
use super::proto::{google, hcm, listener, tcp_proxy};
use super::value::{is, type_name, unpack};
use super::{Cx, connection, route_table};
use listener::filter::ConfigType;

/// What one filter is.
enum Filter {
    Terminal(Terminal),
}

/// The filters of a chain.
#[derive(Debug)]
pub(super) struct Filters {
    pub(super) terminal: Terminal,
}

pub(super) fn filters(
    cx: &Cx<'_>,
    at: &At<'_>,
    chain: &listener::FilterChain,
    scope: &str,
) -> Option<Filters> {
    let at = at.field("filters");
    if chain.filters.is_empty() {
        at.unsupported("a filter chain without filters");
        return None;
    }
    let mut terminal = None;
    let mut whole = true;
    for (index, filter) in chain.filters.iter().enumerate() {
        let is_last = index + 1 == chain.filters.len();
        let at = at.index(index);
        match one(cx, &at, filter, scope) {
            Some(Filter::Terminal(found)) if is_last => terminal = Some(found),
            Some(Filter::Terminal(_)) => {
                whole = false;
                at.invalid(misplaced(filter));
            }
            None => whole = false,
        }
    }
    Some(Filters { terminal: terminal.filter(|_| whole)? })
}

fn misplaced(filter: &listener::Filter) -> String {
    format!(
        "Error: terminal filter named {} of type {} must be the last filter in a network filter \
         chain.",
        filter.name,
        type_of(filter)
    )
}

/// What Envoy calls a filter in its errors.
fn type_of(filter: &listener::Filter) -> &str {
    let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { return "" };
    if is::<hcm::HttpConnectionManager>(any) {
        "envoy.filters.network.http_connection_manager"
    } else if is::<tcp_proxy::TcpProxy>(any) {
        "envoy.filters.network.tcp_proxy"
    } else {
        type_name(any)
    }
}

fn one(cx: &Cx<'_>, at: &At<'_>, filter: &listener::Filter, scope: &str) -> Option<Filter> {
    let any = typed_config(at, filter)?;
    let at = at.field("typed_config");
    if is::<hcm::HttpConnectionManager>(any) {
        let config = unpack(&at, any)?;
        let manager = connection::manager(cx, &at, &config, scope)?;
        return Some(Filter::Terminal(Terminal::Http(Arc::new(manager))));
    }
    if is::<tcp_proxy::TcpProxy>(any) {
        let config = unpack(&at, any)?;
        let proxy = super::tcp_proxy::proxy(cx, &at, &config)?;
        return Some(Filter::Terminal(Terminal::Tcp(Arc::new(proxy))));
    }
    at.unsupported(format_args!("the extension {}", type_name(any)));
    None
}

fn typed_config<'f>(at: &At<'_>, filter: &'f listener::Filter) -> Option<&'f google::Any> {
    match &filter.config_type {
        Some(ConfigType::TypedConfig(any)) => Some(any),
        _ => {
            at.invalid(format_args!("the filter {} has no typed_config", filter.name));
            None
        }
    }
}

/// As [`route_table::check_clusters`] for all tables of a chain.
pub(super) fn check_clusters(cx: &Cx<'_>, at: &At<'_>, chain: &listener::FilterChain) {
    let at = at.field("filters");
    for (index, filter) in chain.filters.iter().enumerate() {
        let at = at.index(index);
        let at = at.field("typed_config");
        let Some(ConfigType::TypedConfig(any)) = &filter.config_type else { continue };
        if !is::<hcm::HttpConnectionManager>(any) {
            continue;
        }
        let config: Option<hcm::HttpConnectionManager> = unpack(&at, any);
        if let Some(table) = config.as_ref().and_then(connection::inline_routes) {
            route_table::check_clusters(cx, &at.field("route_config"), table);
        }
    }
}
