//! One bootstrap for Envoy and Ringway: what is compared is the program, not the configuration.

use std::io;
use std::process::Command;

use super::{Needs, Setup, add, cluster_prefix, each, path_text, route_path};
use crate::transport::{Client, DIRECT, Identity, Origin};

const FILE: &str = "envoy.yaml";
const ENDPOINTS: &str = "endpoints.yaml";
/// What Ringway's command line advises.
const SPIN_US: &str = "50";

/// Ringway's command line and files.
pub(super) fn ringway(command: &mut Command, setup: &Setup) -> io::Result<()> {
    let file = setup.write(FILE, &bootstrap(setup, &static_cluster("origin", setup)))?;
    command.args(["-c", &path_text(&file), "--concurrency", "1", "-l", "error"]);
    // Another one may run on this machine.
    command.arg("--disable-hot-restart");
    if setup.spin {
        command.args(["--spin-us", SPIN_US]);
    }
    Ok(())
}

/// Envoy's command line and files; where the origin changes, it watches a file of endpoints.
pub(super) fn envoy(command: &mut Command, setup: &Setup) -> io::Result<()> {
    let cluster = if setup.needs == Needs::Reload {
        setup.write(ENDPOINTS, &endpoints(setup.origin))?;
        watching_cluster(&path_text(&setup.file(ENDPOINTS)))
    } else {
        static_cluster("origin", setup)
    };
    let file = setup.write(FILE, &bootstrap(setup, &cluster))?;
    command.args(["-c", &path_text(&file), "--concurrency", "1", "-l", "error"]);
    command.args(["--disable-hot-restart", "--use-dynamic-base-id"]);
    Ok(())
}

/// The whole file again, with another origin.
pub(super) fn rewrite_ringway(setup: &Setup) -> io::Result<()> {
    setup.replace(FILE, &bootstrap(setup, &static_cluster("origin", setup)))
}

/// Envoy's endpoints again, with another origin.
pub(super) fn rewrite_endpoints(setup: &Setup) -> io::Result<()> {
    setup.replace(ENDPOINTS, &endpoints(setup.origin))
}

fn bootstrap(setup: &Setup, origin: &str) -> String {
    let mut clusters = origin.to_owned();
    if let Needs::Clusters(count) = setup.needs {
        clusters += &each(count, |text, number| {
            text.push_str(&static_cluster(&format!("c{number:04}"), setup));
        });
    }
    format!(
        r#"node: {{ id: bench, cluster: bench }}
static_resources:
  listeners:
  - name: bench
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port}{protocol} }} }}
{listens}  clusters:
{clusters}"#,
        port = setup.port,
        protocol = if setup.transport.client == Client::Udp { ", protocol: UDP" } else { "" },
        listens = listens(setup),
    )
}

/// What the listener does.
fn listens(setup: &Setup) -> String {
    let filter = match setup.transport.client {
        Client::Udp => return UDP.to_owned(),
        Client::Tcp => TCP.to_owned(),
        _ => http(setup),
    };
    let tls = tls(setup);
    format!("    tcp_backlog_size: 16384\n    filter_chains:\n    - {tls}filters:\n{filter}")
}

const UDP: &str = r#"    listener_filters:
    - name: envoy.filters.udp_listener.udp_proxy
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.UdpProxyConfig
        stat_prefix: bench
        idle_timeout: 600s
        matcher:
          on_no_match:
            action:
              name: route
              typed_config:
                "@type": type.googleapis.com/envoy.extensions.filters.udp.udp_proxy.v3.Route
                cluster: origin
"#;

const TCP: &str = r#"      - name: envoy.filters.network.tcp_proxy
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy
          stat_prefix: bench
          cluster: origin
"#;

fn http(setup: &Setup) -> String {
    let upgrade = match setup.transport.client {
        Client::WebSocket => "upgrade_configs: [{ upgrade_type: websocket }]\n          ",
        _ => "",
    };
    format!(
        r#"      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: bench
          {upgrade}route_config:
            virtual_hosts:
            - name: bench
              domains: ["*"]
              routes:
{routes}              - match: {{ prefix: "/" }}
                {action}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#,
        routes = routes(setup.needs),
        action = action(setup),
    )
}

fn action(setup: &Setup) -> String {
    match setup.transport.origin {
        Origin::Direct => {
            format!("direct_response: {{ status: 200, body: {{ inline_string: \"{DIRECT}\" }} }}")
        }
        _ => "route: { cluster: origin, timeout: 0s }".to_owned(),
    }
}

fn tls(setup: &Setup) -> String {
    let Some(Identity { certificate, key, .. }) = setup.identity() else { return String::new() };
    format!(
        r#"transport_socket:
        name: envoy.transport_sockets.tls
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext
          common_tls_context:
            alpn_protocols: [h2, http/1.1]
            tls_certificates:
            - certificate_chain: {{ filename: "{certificate}" }}
              private_key: {{ filename: "{key}" }}
      "#
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

/// HTTP/2 to the origin.
const HTTP2: &str = r#"typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http2_protocol_options: {} }
    "#;

fn static_cluster(name: &str, setup: &Setup) -> String {
    let protocol = if setup.transport.origin == Origin::Http2 { HTTP2 } else { "" };
    format!(
        "  - name: {name}
    connect_timeout: 5s
    {protocol}{BREAKERS}    load_assignment:
      cluster_name: {name}
      endpoints:
      - lb_endpoints:
        - endpoint:
            address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
",
        port = setup.origin
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
