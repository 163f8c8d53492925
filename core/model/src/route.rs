//! Route tables (Envoy `config.route.v3.RouteConfiguration`), compiled: which virtual host and
//! which route serve a request, and what is done to its head.
//!
//! Owns: host and route matching, redirects, direct responses, the choice of a cluster, rewrites
//! and header mutations. Does not own: what is done with the request afterwards (`ringway-proxy`),
//! nor the clusters (`cluster`). Everything is compiled on the control thread; on a worker nothing
//! here allocates once the scratch space has grown.

mod action;
mod deadline;
mod field;
mod forward;
mod hash;
mod hosts;
mod index;
mod matching;
mod mutation;
mod pattern;
mod redirect;
mod rewrite;
mod value;

use std::sync::Arc;

use ringway_http::{Known, RequestHead, ResponseHead};

pub use self::action::{Action, DirectResponse};
pub use self::deadline::GrpcDeadline;
pub use self::field::RequestField;
pub use self::forward::{
    ClusterChoice, ClusterTarget, ConnectEnd, DEFAULT_TIMEOUT, Forward, HostRewrite, Priority,
    RouteUpgrade, WeightedCluster, WeightedClusters,
};
pub use self::hash::{HashCookie, HashKey, HashMethod, HashSubject, hash_of, hash_of_ip};
use self::hosts::HostIndex;
pub use self::hosts::RouteTableError;
use self::index::RouteIndex;
pub use self::matching::{ClientTls, PathMatch, RouteMatch};
pub use self::mutation::{
    AppendAction, HeaderAdd, HeaderMutations, MutationError, mutable_name, removable_name,
};
pub use self::pattern::{Pattern, PatternError};
pub use self::redirect::{Redirect, RedirectStatus, write_tls_location};
pub use self::rewrite::{PathRewrite, RegexRewrite, Scratch, Substitution, SubstitutionError};
pub(crate) use self::value::query_pairs;
pub use self::value::{
    CookieMatch, Fraction, HeaderCondition, HeaderMatch, QueryCondition, QueryMatch, StringMatch,
};
use crate::filter::{RouteConfig, RouteConfigs};
use crate::format::FormatContext;

/// A compiled route table.
#[derive(Debug)]
pub struct RouteTable {
    /// `name`.
    pub name: Arc<str>,
    options: RouteTableOptions,
    virtual_hosts: Vec<VirtualHost>,
    hosts: HostIndex,
}

/// Everything of a route table but its name and its virtual hosts.
#[derive(Debug, Default)]
pub struct RouteTableOptions {
    /// `ignore_port_in_host_matching`.
    pub ignore_port_in_host_matching: bool,
    /// `ignore_path_parameters_in_path_matching`.
    pub ignore_path_parameters_in_path_matching: bool,
    /// `most_specific_header_mutations_wins`.
    pub most_specific_header_mutations_wins: bool,
    /// `request_headers_to_add`, `request_headers_to_remove`.
    pub request_headers: HeaderMutations,
    /// `response_headers_to_add`, `response_headers_to_remove`.
    pub response_headers: HeaderMutations,
    /// `typed_per_filter_config`.
    pub filter_configs: RouteConfigs,
}

/// A virtual host (Envoy `VirtualHost`).
#[derive(Debug)]
pub struct VirtualHost {
    /// `name`.
    pub name: Arc<str>,
    /// `domains`, as configured.
    pub domains: Vec<String>,
    /// `require_tls`.
    pub require_tls: RequireTls,
    /// `request_headers_to_add`, `request_headers_to_remove`.
    pub request_headers: HeaderMutations,
    /// `response_headers_to_add`, `response_headers_to_remove`.
    pub response_headers: HeaderMutations,
    /// `typed_per_filter_config`.
    pub filter_configs: RouteConfigs,
    routes: Vec<Route>,
    index: RouteIndex,
}

/// `require_tls`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RequireTls {
    /// `NONE`
    #[default]
    None,
    /// `EXTERNAL_ONLY`: requests with `x-envoy-internal: true` may come without.
    ExternalOnly,
    /// `ALL`
    All,
}

/// A route (Envoy `Route`).
#[derive(Debug)]
pub struct Route {
    /// `name`; empty when it has none.
    pub name: Arc<str>,
    /// `match`.
    pub matcher: RouteMatch,
    /// What is done.
    pub action: Action,
    /// `request_headers_to_add`, `request_headers_to_remove`.
    pub request_headers: HeaderMutations,
    /// `response_headers_to_add`, `response_headers_to_remove`.
    pub response_headers: HeaderMutations,
    /// `typed_per_filter_config`.
    pub filter_configs: RouteConfigs,
    /// `stat_prefix`; empty when it has none.
    pub stat_prefix: Box<str>,
}

/// What a table says of a request.
#[derive(Debug, Clone, Copy)]
pub enum Found<'a> {
    /// This route serves it.
    Route(Matched<'a>),
    /// The virtual host is served over TLS only: 301 to `https://` ([`write_tls_location`]).
    TlsRequired {
        /// The virtual host.
        virtual_host: &'a VirtualHost,
    },
    /// No virtual host has the request's authority: 404, NR.
    NoVirtualHost,
    /// No route of the virtual host matches: 404, NR.
    NoRoute {
        /// The virtual host.
        virtual_host: &'a VirtualHost,
    },
}

/// A route with its virtual host and its table.
#[derive(Debug, Clone, Copy)]
pub struct Matched<'a> {
    /// The table.
    pub table: &'a RouteTable,
    /// The virtual host.
    pub virtual_host: &'a VirtualHost,
    /// The route.
    pub route: &'a Route,
    /// Where both stand in the table.
    pub position: Position,
}

/// Where a route stands in its table: what a stream keeps beside the `Arc` of the table, so that
/// it needs neither a borrow nor a second search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    virtual_host: u32,
    route: u32,
}

impl RouteTable {
    /// A table of these virtual hosts. Fails when a domain is claimed twice.
    pub fn new(
        name: Arc<str>,
        virtual_hosts: Vec<VirtualHost>,
        options: RouteTableOptions,
    ) -> Result<Self, RouteTableError> {
        let hosts = HostIndex::new(&name, &virtual_hosts)?;
        Ok(Self { name, options, virtual_hosts, hosts })
    }

    /// A table without virtual hosts, which serves nothing.
    pub fn empty(name: Arc<str>) -> Self {
        Self {
            name,
            options: RouteTableOptions::default(),
            virtual_hosts: Vec::new(),
            hosts: HostIndex::default(),
        }
    }

    /// In the order of the configuration.
    pub fn virtual_hosts(&self) -> &[VirtualHost] {
        &self.virtual_hosts
    }

    /// The options that it was made with.
    pub fn options(&self) -> &RouteTableOptions {
        &self.options
    }

    /// The route of a request. `random` decides on `runtime_fraction`; it is the same number for
    /// the whole request, as in Envoy, and serves [`Forward::choose`] too.
    ///
    /// Whether the request came by TLS is what `x-forwarded-proto` says, as in Envoy, so that a
    /// proxy in front may have ended TLS; `tls` counts when that header is missing.
    pub fn find(&self, head: &RequestHead, tls: impl Into<ClientTls>, random: u64) -> Found<'_> {
        let tls = tls.into();
        if !head.has_authority() {
            return Found::NoVirtualHost;
        }
        let authority = self.host_of(head);
        let Some(at) = self.hosts.find(authority) else { return Found::NoVirtualHost };
        let virtual_host = &self.virtual_hosts[at];
        if virtual_host.wants_tls(head, tls.secured) {
            return Found::TlsRequired { virtual_host };
        }
        match virtual_host.find(head, self.path_of(head), tls, random) {
            Some(route) => {
                Found::Route(self.at(Position { virtual_host: at as u32, route: route as u32 }))
            }
            None => Found::NoRoute { virtual_host },
        }
    }

    /// The route at a position that this table gave.
    ///
    /// # Panics
    /// When the position came from another table.
    pub fn at(&self, position: Position) -> Matched<'_> {
        let virtual_host = &self.virtual_hosts[position.virtual_host as usize];
        let route = &virtual_host.routes[position.route as usize];
        Matched { table: self, virtual_host, route, position }
    }

    /// The authority as hosts are matched: without its port if so configured.
    fn host_of<'h>(&self, head: &'h RequestHead) -> &'h [u8] {
        let authority = head.authority();
        if !self.options.ignore_port_in_host_matching {
            return authority;
        }
        let end = hosts::port_start(authority);
        &authority[..end.unwrap_or(authority.len())]
    }

    /// The path as routes match it: without the query, and without what follows `;` if so
    /// configured.
    fn path_of<'h>(&self, head: &'h RequestHead) -> &'h [u8] {
        let path = head.path_without_query();
        if !self.options.ignore_path_parameters_in_path_matching {
            return path;
        }
        let end = path.iter().position(|byte| *byte == b';');
        &path[..end.unwrap_or(path.len())]
    }
}

impl VirtualHost {
    /// A virtual host of these routes, which are tried in this order.
    pub fn new(name: Arc<str>, domains: Vec<String>, routes: Vec<Route>) -> Self {
        let index = RouteIndex::new(&routes);
        Self {
            name,
            domains,
            require_tls: RequireTls::None,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            filter_configs: RouteConfigs::default(),
            routes,
            index,
        }
    }

    /// In the order in which they are tried.
    pub fn routes(&self) -> &[Route] {
        &self.routes
    }

    fn wants_tls(&self, head: &RequestHead, is_tls: bool) -> bool {
        if self.require_tls == RequireTls::None {
            return false;
        }
        let secure = match head.fields.known(Known::XForwardedProto) {
            Some(scheme) => scheme == b"https",
            None => is_tls,
        };
        let internal = || head.fields.known(Known::XEnvoyInternal) == Some(b"true");
        !secure && (self.require_tls == RequireTls::All || !internal())
    }

    /// The first route that matches. A request without a path (CONNECT) matches `connect_matcher`
    /// only, also where a prefix is empty.
    fn find(&self, head: &RequestHead, path: &[u8], tls: ClientTls, random: u64) -> Option<usize> {
        let matches = |route: &Route| route.matcher.matches(head, path, tls, random);
        if head.path().is_empty() {
            let tunnels = |route: &Route| matches!(route.matcher.path, PathMatch::Connect);
            return self.routes.iter().position(|route| tunnels(route) && matches(route));
        }
        self.index.find(&self.routes, path, matches)
    }
}

impl Route {
    /// A route without name and mutations.
    pub fn new(matcher: RouteMatch, action: Action) -> Self {
        Self {
            name: Arc::from(""),
            matcher,
            action,
            request_headers: HeaderMutations::default(),
            response_headers: HeaderMutations::default(),
            filter_configs: RouteConfigs::default(),
            stat_prefix: Box::from(""),
        }
    }
}

impl<'a> Matched<'a> {
    /// What is said to a filter by the most specific of the entry of weighted clusters, the route,
    /// its virtual host and its table.
    pub fn filter_config(
        &self,
        weighted: Option<&'a WeightedCluster>,
        filter: &str,
    ) -> Option<&'a RouteConfig> {
        let of_entry = weighted.and_then(|entry| entry.filter_configs.get(filter));
        of_entry
            .or_else(|| self.route.filter_configs.get(filter))
            .or_else(|| self.virtual_host.filter_configs.get(filter))
            .or_else(|| self.table.options.filter_configs.get(filter))
    }
}

impl Matched<'_> {
    /// Whether the route, its virtual host or its table change request headers.
    pub fn mutates_request(&self) -> bool {
        self.request_levels().into_iter().any(|level| !level.is_empty())
    }

    /// Whether the route, its virtual host or its table change response headers.
    pub fn mutates_response(&self) -> bool {
        self.response_levels().into_iter().any(|level| !level.is_empty())
    }

    /// Applies the request header mutations of all levels: weighted cluster, then route, virtual
    /// host and table, or table, virtual host and route with `most_specific_header_mutations_wins`
    /// (the weighted cluster comes first in any case). The last one wins.
    ///
    /// `cx.request` is taken from `head`. Rewrites come afterwards ([`Forward::rewrite`]): values
    /// speak of the path and the host as they came.
    pub fn apply_request_mutations(
        &self,
        weighted: Option<&WeightedCluster>,
        head: &mut RequestHead,
        cx: &FormatContext<'_>,
        scratch: &mut Scratch,
    ) {
        if let Some(weighted) = weighted {
            weighted.request_headers.apply_request(head, cx, scratch);
            // The route's values speak of this host already.
            weighted.rewrite_host(head);
        }
        for level in self.request_levels() {
            level.apply_request(head, cx, scratch);
        }
    }

    /// As [`Matched::apply_request_mutations`] for the response, local replies included.
    /// `cx.response` is taken from `head`.
    pub fn apply_response_mutations(
        &self,
        weighted: Option<&WeightedCluster>,
        head: &mut ResponseHead,
        cx: &FormatContext<'_>,
        scratch: &mut Scratch,
    ) {
        if let Some(weighted) = weighted {
            weighted.response_headers.apply_response(head, cx, scratch);
        }
        for level in self.response_levels() {
            level.apply_response(head, cx, scratch);
        }
    }

    fn request_levels(&self) -> [&HeaderMutations; 3] {
        self.in_order([
            &self.route.request_headers,
            &self.virtual_host.request_headers,
            &self.table.options.request_headers,
        ])
    }

    fn response_levels(&self) -> [&HeaderMutations; 3] {
        self.in_order([
            &self.route.response_headers,
            &self.virtual_host.response_headers,
            &self.table.options.response_headers,
        ])
    }

    fn in_order<'l>(&self, mut levels: [&'l HeaderMutations; 3]) -> [&'l HeaderMutations; 3] {
        if self.table.options.most_specific_header_mutations_wins {
            levels.reverse();
        }
        levels
    }
}

#[cfg(test)]
mod tests;
