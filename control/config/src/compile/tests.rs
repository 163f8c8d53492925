//! The compiler as a whole: snapshots from YAML, and what generations share. Errors stand in
//! `tests/corpus`.

mod generations;
mod http2;
mod snapshots;
mod tls;

use std::sync::Arc;

use ringway_bridge::stats::Catalog;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory, Interest, Registry};
use ringway_model::http::ConnectionManager;
use ringway_model::listener::Terminal;

use super::*;
use crate::{ConfigError, Source, Support, load};

/// A filter that does nothing, with one field of its configuration that is wrong when set.
#[derive(Debug)]
struct Idle;

impl HttpFilter for Idle {
    fn interest(&self) -> Interest {
        Interest { request_head: true, ..Interest::default() }
    }
}

impl HttpFilterFactory for Idle {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
    }

    fn compile(&self, config: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        if config.is_empty() {
            return Ok(Arc::new(Idle));
        }
        let path = "emit_filter_state".to_owned();
        Err(vec![FieldError { path, message: "more than can be".to_owned() }])
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("envoy.extensions.filters.http.grpc_stats.v3.FilterConfig", &["emit_filter_state"])]
    }
}

fn compiler() -> Compiler {
    Compiler::new(Environment {
        catalog: Arc::new(Catalog::default()),
        registry: Registry { http_filters: vec![Box::new(Idle)] },
        workers: 2,
        local_ip: "192.0.2.1".parse().unwrap(),
    })
}

fn loaded(yaml: &str) -> Loaded {
    let support = Support::built_in().with_http_filter(Idle.type_url(), Idle.supported());
    load::read(&[Source::inline(yaml)], &support)
        .unwrap_or_else(|refused| panic!("{}\n{yaml}", lines(&Vec::from(refused))))
}

fn lines(errors: &[ConfigError]) -> String {
    errors.iter().map(|error| format!("{error}\n")).collect()
}

impl Compiler {
    fn draft(&mut self, yaml: &str) -> Draft {
        self.with_answers(yaml, &ResolvedEndpoints::new())
    }

    fn with_answers(&mut self, yaml: &str, answers: &ResolvedEndpoints) -> Draft {
        let draft = self.compile(&loaded(yaml), answers, &mut BindSockets, &mut NoSinks);
        draft.unwrap_or_else(|errors| panic!("{}\n{yaml}", lines(&errors)))
    }

    fn errors(&mut self, yaml: &str) -> String {
        let answers = ResolvedEndpoints::new();
        let draft = self.compile(&loaded(yaml), &answers, &mut BindSockets, &mut NoSinks);
        lines(&draft.err().unwrap_or_default())
    }
}

/// A bootstrap of listeners and clusters.
fn bootstrap(listeners: &[String], clusters: &[String]) -> String {
    let list = |items: &[String]| items.iter().map(|item| format!("  - {item}\n")).collect();
    let (listeners, clusters): (String, String) = (list(listeners), list(clusters));
    let or_empty = |list: String| if list.is_empty() { "    []\n".to_owned() } else { list };
    let (listeners, clusters) = (or_empty(listeners), or_empty(clusters));
    format!("static_resources:\n  listeners:\n{listeners}  clusters:\n{clusters}")
}

/// A listener on a port that the kernel chooses, with these fields of its connection manager, and
/// these routes.
fn listener(name: &str, manager: &str, routes: &str) -> String {
    let chain = format!("{{filters: [{}]}}", filter(manager, routes));
    listener_of(name, &format!("default_filter_chain: {chain}"))
}

fn listener_of(name: &str, fields: &str) -> String {
    format!(
        "{{name: {name}, address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}, \
         {fields}}}"
    )
}

fn filter(manager: &str, routes: &str) -> String {
    let types = "type.googleapis.com/envoy.extensions.filters";
    let table = format!("virtual_hosts: [{{name: all, domains: ['*'], routes: [{routes}]}}]");
    let router = format!(
        "{{name: router, typed_config: {{'@type': {types}.http.router.v3.Router, \
         suppress_envoy_headers: true}}}}"
    );
    let filters = match manager.contains("http_filters") {
        true => String::new(),
        false => format!("http_filters: [{router}], "),
    };
    let manager = manager.replace("ROUTER", &router);
    let manager = if manager.is_empty() { manager } else { format!("{manager}, ") };
    format!(
        "{{name: hcm, typed_config: {{'@type': \
         {types}.network.http_connection_manager.v3.HttpConnectionManager, stat_prefix: web, \
         {filters}{manager}route_config: {{{table}}}}}}}"
    )
}

/// A cluster with these fields and these endpoints.
fn cluster(name: &str, fields: &str, endpoints: &[&str]) -> String {
    let each = endpoints.iter().map(|endpoint| {
        let (host, port) = endpoint.rsplit_once(':').unwrap();
        format!(
            "{{endpoint: {{address: {{socket_address: {{address: '{host}', \
             port_value: {port}}}}}}}}}"
        )
    });
    let endpoints: Vec<String> = each.collect();
    let fields = if fields.is_empty() { String::new() } else { format!("{fields}, ") };
    format!(
        "{{name: '{name}', {fields}load_assignment: {{cluster_name: c, endpoints: \
         [{{lb_endpoints: [{}]}}]}}}}",
        endpoints.join(", ")
    )
}

fn manager(draft: &Draft) -> Arc<ConnectionManager> {
    match &draft.snapshot.listeners[0].chains[0].terminal {
        Terminal::Http(manager) => Arc::clone(manager),
        other => panic!("no connection manager: {other:?}"),
    }
}
