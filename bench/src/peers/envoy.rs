//! One bootstrap for Envoy and Ringway: what is compared is the program, not the configuration.

use std::io;
use std::process::Command;

use super::{Needs, Setup, add, cluster_prefix, each, path_text, route_path};

const FILE: &str = "envoy.yaml";
const ENDPOINTS: &str = "endpoints.yaml";

/// Ringway's command line and files.
pub(super) fn ringway(command: &mut Command, setup: &Setup) -> io::Result<()> {
    let file = setup.write(FILE, &bootstrap(setup, &static_cluster("origin", setup.origin)))?;
    command.args(["-c", &path_text(&file), "--concurrency", "1", "-l", "error"]);
    // Another one may run on this machine.
    command.arg("--disable-hot-restart");
    Ok(())
}

/// Envoy's command line and files; where the origin changes, it watches a file of endpoints.
pub(super) fn envoy(command: &mut Command, setup: &Setup) -> io::Result<()> {
    let cluster = if setup.needs == Needs::Reload {
        setup.write(ENDPOINTS, &endpoints(setup.origin))?;
        watching_cluster(&path_text(&setup.file(ENDPOINTS)))
    } else {
        static_cluster("origin", setup.origin)
    };
    let file = setup.write(FILE, &bootstrap(setup, &cluster))?;
    command.args(["-c", &path_text(&file), "--concurrency", "1", "-l", "error"]);
    command.args(["--disable-hot-restart", "--use-dynamic-base-id"]);
    Ok(())
}

/// The whole file again, with another origin.
pub(super) fn rewrite_ringway(setup: &Setup) -> io::Result<()> {
    setup.replace(FILE, &bootstrap(setup, &static_cluster("origin", setup.origin)))
}

/// Envoy's endpoints again, with another origin.
pub(super) fn rewrite_endpoints(setup: &Setup) -> io::Result<()> {
    setup.replace(ENDPOINTS, &endpoints(setup.origin))
}

fn bootstrap(setup: &Setup, origin: &str) -> String {
    let mut clusters = origin.to_owned();
    if let Needs::Clusters(count) = setup.needs {
        clusters += &each(count, |text, number| {
            text.push_str(&static_cluster(&format!("c{number:04}"), setup.origin));
        });
    }
    format!(
        r#"node: {{ id: bench, cluster: bench }}
static_resources:
  listeners:
  - name: bench
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    tcp_backlog_size: 16384
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          route_config:
            virtual_hosts:
            - name: bench
              domains: ["*"]
              routes:
{routes}              - match: {{ prefix: "/" }}
                route: {{ cluster: origin, timeout: 0s }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
{clusters}"#,
        port = setup.port,
        routes = routes(setup.needs),
    )
}

fn routes(needs: Needs) -> String {
    match needs {
        Needs::Plain | Needs::Reload => String::new(),
        Needs::Routes(count) => each(count, |text, number| {
            let path = route_path(number);
            route(text, &format!("path: \"{path}\""), "origin");
        }),
        Needs::Clusters(count) => each(count, |text, number| {
            let prefix = cluster_prefix(number);
            route(text, &format!("prefix: \"{prefix}\""), &format!("c{number:04}"));
        }),
    }
}

fn route(text: &mut String, condition: &str, cluster: &str) {
    let indent = " ".repeat(14);
    add(
        text,
        format_args!(
            "{indent}- match: {{ {condition} }}\n\
             {indent}  route: {{ cluster: {cluster}, timeout: 0s }}\n"
        ),
    );
}

/// Limits that no load meets: Envoy's default of 1,024 connections would refuse some.
const BREAKERS: &str = "circuit_breakers:
      thresholds:
      - { max_connections: 100000, max_pending_requests: 100000, max_requests: 100000 }
";

fn static_cluster(name: &str, port: u16) -> String {
    format!(
        "  - name: {name}
    connect_timeout: 5s
    {BREAKERS}    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
"
    )
}

fn watching_cluster(file: &str) -> String {
    format!(
        "  - name: origin
    type: EDS
    connect_timeout: 5s
    {BREAKERS}    eds_cluster_config:
      service_name: origin
      eds_config: {{ path_config_source: {{ path: \"{file}\" }}, resource_api_version: V3 }}
"
    )
}

fn endpoints(port: u16) -> String {
    format!(
        "resources:
- \"@type\": type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment
  cluster_name: origin
  endpoints:
  - lb_endpoints:
    - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }} }}
"
    )
}
