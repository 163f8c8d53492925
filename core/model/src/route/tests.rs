//! What stands in the tables was seen on Envoy 1.40.

mod deadline;
mod hosts;
mod matching;
mod mutation;
mod redirect;
mod rewrite;

use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ringway_http::RequestHead;

use super::*;
use crate::address::Address;
use crate::cluster::{ClusterId, ClusterRef};
use crate::stream::{ConnectionInfo, StreamInfo};

/// A GET request of that path to `h`.
fn get(path: &str, fields: &[(&str, &str)]) -> RequestHead {
    request("h", path, fields)
}

/// A GET request; fields may name `:scheme` and `:method`, too.
fn request(host: &str, path: &str, fields: &[(&str, &str)]) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    head.set_scheme(b"http");
    head.set_authority(host.as_bytes());
    head.set_path(path.as_bytes());
    for (name, value) in fields {
        match *name {
            ":scheme" => head.set_scheme(value.as_bytes()),
            ":method" => head.set_method(value.as_bytes()),
            name => head.fields.push(name.as_bytes(), value.as_bytes()),
        }
    }
    head
}

fn cluster(name: &str) -> ClusterRef {
    ClusterRef { name: Arc::from(name), id: ClusterId(0) }
}

fn forward() -> Forward {
    Forward::new(ClusterChoice::Named(cluster("c1")))
}

/// A named route that forwards.
fn route(name: &str, matcher: RouteMatch) -> Route {
    let action = Action::Forward(Box::new(forward()));
    Route { name: Arc::from(name), ..Route::new(matcher, action) }
}

/// A route of all paths.
fn everything(name: &str) -> Route {
    route(name, RouteMatch::new(PathMatch::prefix("/")))
}

fn virtual_host(name: &str, domains: &[&str], routes: Vec<Route>) -> VirtualHost {
    let domains = domains.iter().map(|domain| (*domain).to_owned()).collect();
    VirtualHost::new(Arc::from(name), domains, routes)
}

/// A table of one virtual host for all hosts.
fn table(routes: Vec<Route>) -> RouteTable {
    table_with(virtual_host("v", &["*"], routes), RouteTableOptions::default())
}

fn table_with(virtual_host: VirtualHost, options: RouteTableOptions) -> RouteTable {
    RouteTable::new(Arc::from("rc"), vec![virtual_host], options).expect("unique domains")
}

fn fields_of(fields: &ringway_http::Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("UTF-8");
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

/// `name: value` lines, joined by ` | `.
fn lines(fields: &ringway_http::Fields) -> String {
    let lines = fields_of(fields).into_iter().map(|(name, value)| format!("{name}: {value}"));
    lines.collect::<Vec<_>>().join(" | ")
}

struct Stream {
    info: StreamInfo,
    connection: ConnectionInfo,
}

impl Stream {
    fn new() -> Self {
        let address = Address::Ip("127.0.0.1:80".parse().expect("an address"));
        Self {
            info: StreamInfo::new(Instant::now(), SystemTime::UNIX_EPOCH),
            connection: ConnectionInfo {
                id: 1,
                local: address.clone(),
                direct_remote: address,
                listener: Arc::from("l"),
                tls: None,
                preamble: None,
                notes: None,
                chain: None,
                socket_local: None,
                transport_failure: None,
                start: Instant::now(),
            },
        }
    }

    fn cx(&self) -> FormatContext<'_> {
        FormatContext::new(&self.info, &self.connection)
    }
}
