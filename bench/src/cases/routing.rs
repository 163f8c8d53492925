//! From a request head to its route.

use std::hint::black_box;
use std::sync::Arc;

use ringway_http::RequestHead;
use ringway_model::cluster::{ClusterId, ClusterRef};
use ringway_model::route::{
    Action, ClusterChoice, Forward, Found, PathMatch, Route, RouteMatch, RouteTable,
    RouteTableOptions, VirtualHost,
};

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "route/one-prefix", make: || find(1, prefix, "/any/path") },
    Case { name: "route/1000-prefixes-last", make: || find(1000, prefix, "/p/0999/x") },
    Case { name: "route/10000-exact-middle", make: || find(10_000, exact, "/p/5000/") },
    Case { name: "route/10000-exact-none", make: || find(10_000, exact, "/elsewhere") },
    Case { name: "route/100-hosts", make: hundred_hosts },
];

fn route(path: PathMatch) -> Route {
    let cluster = ClusterRef { name: Arc::from("origin"), id: ClusterId(0) };
    let forward = Forward::new(ClusterChoice::Named(cluster));
    Route::new(RouteMatch::new(path), Action::Forward(Box::new(forward)))
}

fn prefix(number: usize) -> PathMatch {
    PathMatch::prefix(&format!("/p/{number:04}/"))
}

fn exact(number: usize) -> PathMatch {
    PathMatch::exact(&format!("/p/{number:04}/"))
}

fn host(domain: &str, mut routes: Vec<Route>) -> VirtualHost {
    routes.push(route(PathMatch::prefix("/")));
    VirtualHost::new(Arc::from(domain), vec![domain.to_owned()], routes)
}

fn table(hosts: Vec<VirtualHost>) -> RouteTable {
    let table = RouteTable::new(Arc::from("bench"), hosts, RouteTableOptions::default());
    table.expect("no domain twice")
}

fn request(authority: &str, path: &str) -> RequestHead {
    let mut head = RequestHead::new();
    head.set_method(b"GET");
    head.set_authority(authority.as_bytes());
    head.set_path(path.as_bytes());
    head
}

fn lookup(table: RouteTable, head: RequestHead) -> Box<dyn FnMut()> {
    Box::new(move || {
        let found = table.find(black_box(&head), false, 0);
        assert!(matches!(found, Found::Route(_)), "the last route takes everything");
    })
}

/// A table of `count` routes and one for the rest.
fn find(count: usize, make: fn(usize) -> PathMatch, path: &str) -> Box<dyn FnMut()> {
    let routes = (0..count).map(|number| route(make(number))).collect();
    lookup(table(vec![host("*", routes)]), request("example.com", path))
}

fn hundred_hosts() -> Box<dyn FnMut()> {
    let hosts = (0..100).map(|n| host(&format!("host-{n}.example.com"), Vec::new())).collect();
    lookup(table(hosts), request("host-77.example.com", "/any"))
}
