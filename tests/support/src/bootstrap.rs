//! Bootstraps that most tests share: YAML with every port 0.

use std::net::SocketAddr;

const HTTP_LISTENER: &str = r#"
- name: {name}
  address: { socket_address: { address: {address}, port_value: 0 } }
  filter_chains:
  - filters:
    - name: envoy.filters.network.http_connection_manager
      typed_config:
        "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
        stat_prefix: {name}
        http_filters:
        - name: envoy.filters.http.router
          typed_config: { "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router }
{manager}"#;

/// A bootstrap under construction. Admin listens on 127.0.0.1, port 0.
#[derive(Clone, Debug, Default)]
pub struct Bootstrap {
    listeners: String,
    clusters: String,
}

impl Bootstrap {
    /// No listener and no cluster yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// One listener, named `main`, that proxies everything to one origin, the cluster `origin`.
    pub fn proxying_to(origin: SocketAddr) -> Self {
        let all = "- match: { prefix: / }\n  route: { cluster: origin }";
        Self::new().routes("main", all).cluster("origin", &[origin])
    }

    /// Requests to the cluster `origin` may take as long as they like: how long large bodies take
    /// is a matter of the machine.
    #[must_use]
    pub fn patient(mut self) -> Self {
        let quick = "route: { cluster: origin }";
        let patient = "route: { cluster: origin, timeout: 0s }";
        assert!(self.listeners.contains(quick), "{}", self.listeners);
        self.listeners = self.listeners.replace(quick, patient);
        self
    }

    /// Adds a listener with an HTTP connection manager and the router; `manager` holds the rest of
    /// the manager's fields, `route_config` among them.
    pub fn http(self, name: &str, manager: &str) -> Self {
        self.http_on("127.0.0.1", name, manager)
    }

    /// As [`http`](Self::http), on another address.
    pub fn http_on(self, address: &str, name: &str, manager: &str) -> Self {
        let yaml = HTTP_LISTENER
            .replace("{name}", name)
            .replace("{address}", &format!("{address:?}"))
            .replace("{manager}", &indent(manager, 8));
        self.listener(&yaml)
    }

    /// Adds an HTTP listener whose only virtual host takes every host and has these routes.
    pub fn routes(self, name: &str, routes: &str) -> Self {
        let hosts = format!("- name: all\n  domains: ['*']\n  routes:\n{}", indent(routes, 2));
        self.virtual_hosts(name, &hosts)
    }

    /// Adds an HTTP listener with these virtual hosts.
    pub fn virtual_hosts(self, name: &str, hosts: &str) -> Self {
        let hosts = indent(hosts, 2);
        self.http(name, &format!("route_config:\n  name: {name}\n  virtual_hosts:\n{hosts}"))
    }

    /// Adds a listener as an item of a YAML list.
    pub fn listener(mut self, yaml: &str) -> Self {
        self.listeners.push_str(&indent(yaml, 2));
        self
    }

    /// Adds a STATIC cluster of these endpoints, with Envoy's defaults.
    pub fn cluster(self, name: &str, endpoints: &[SocketAddr]) -> Self {
        self.cluster_with(name, endpoints, "")
    }

    /// Adds a STATIC cluster of these endpoints; `more` holds further fields of the cluster.
    pub fn cluster_with(mut self, name: &str, endpoints: &[SocketAddr], more: &str) -> Self {
        let mut yaml = format!("- name: {name}\n  type: STATIC\n  connect_timeout: 5s\n");
        yaml.push_str(&indent(more, 2));
        yaml.push_str(&format!("  load_assignment:\n    cluster_name: {name}\n    endpoints:\n"));
        yaml.push_str("    - lb_endpoints:\n");
        for endpoint in endpoints {
            let (ip, port) = (endpoint.ip(), endpoint.port());
            let socket = format!("{{ address: \"{ip}\", port_value: {port} }}");
            let endpoint = format!("{{ endpoint: {{ address: {{ socket_address: {socket} }} }} }}");
            yaml.push_str(&format!("      - {endpoint}\n"));
        }
        self.clusters.push_str(&indent(&yaml, 2));
        self
    }

    /// Adds a cluster as an item of a YAML list.
    pub fn other_cluster(mut self, yaml: &str) -> Self {
        self.clusters.push_str(&indent(yaml, 2));
        self
    }

    /// Adds a STATIC cluster that speaks HTTP/2; `options` are its `http2_protocol_options`.
    pub fn h2_cluster(self, name: &str, endpoints: &[SocketAddr], options: &str) -> Self {
        self.cluster_with(name, endpoints, &h2_upstream(options, ""))
    }

    /// The whole bootstrap.
    pub fn to_yaml(&self) -> String {
        let admin = "admin:\n  address: { socket_address: { address: 127.0.0.1, port_value: 0 } }";
        let (listeners, clusters) = (&self.listeners, &self.clusters);
        let list = |name: &str, items: &str| match items.is_empty() {
            true => format!("  {name}: []\n"),
            false => format!("  {name}:\n{items}"),
        };
        let (listeners, clusters) = (list("listeners", listeners), list("clusters", clusters));
        format!("{admin}\nstatic_resources:\n{listeners}{clusters}")
    }
}

/// The field of a cluster that has it speak HTTP/2, with these `http2_protocol_options` and, where
/// there are any, `common_http_protocol_options`.
pub fn h2_upstream(options: &str, common: &str) -> String {
    let name = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let common = match common.is_empty() {
        true => String::new(),
        false => format!(", common_http_protocol_options: {{ {common} }}"),
    };
    format!(
        "typed_extension_protocol_options: {{ {name}: {{ \"@type\": type.googleapis.com/{name}, \
         explicit_http_config: {{ http2_protocol_options: {{ {options} }} }}{common} }} }}\n"
    )
}

/// Moves every line of `text` that is not blank to the right.
pub fn indent(text: &str, by: usize) -> String {
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    lines.map(|line| format!("{:by$}{line}\n", "")).collect()
}
