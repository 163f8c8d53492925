//! Extensions of the data path: what a filter is.
//!
//! A filter is two things: its immutable configuration, which is in the snapshot and implements
//! [`HttpFilter`], and what it remembers of one stream, a [`FilterState`] that it makes only if it
//! needs one. Its steps are synchronous; a filter that must wait for somebody returns
//! [`Step::Wait`], and only then anything is boxed.
//!
//! Each message passes in phases: its head, the pieces of its body as they come, and its end with
//! the trailers. A filter is visited in the phases that it has an [`Interest`] in, and where no
//! filter of a chain has one in bodies, a body is never looked at. Requests pass the chain in its
//! order, responses in the opposite one.
//!
//! - Pieces are where the network cut them. A filter may change one ([`Piece::replace`]); it then
//!   has to take `content-length` out of the head, in the head's phase.
//! - The end comes after the last piece. A filter may change trailers, take them away, and put
//!   bytes behind the body ([`End::tail`]), which the filters behind it see as one more piece. A
//!   message that ends with its head has no end phase.
//! - A response that can only be judged as a whole is held back by [`ResponseStep::Collect`]; up to
//!   the buffer limit it waits in memory, and the filters behind see nothing of it until then.
//! - Local replies pass the phases of responses like any other.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ringway_bridge::stats::StatName;
use ringway_http::{Fields, RequestHead, ResponseHead};

use crate::dns::{DynamicHosts, NameCache, Names};
use crate::named_stats::NamedStats;
use crate::stream::{ConnectionInfo, LocalReply, StreamInfo};

/// What a filter remembers of one stream; empty until the filter puts something in.
pub type FilterState = Option<Box<dyn Any>>;

/// What happens after a step.
pub enum Step {
    /// The next filter.
    Continue,
    /// This response instead of whatever would have come.
    Respond(Box<LocalReply>),
    /// The step that the future resolves to; the stream waits, the worker does not.
    Wait(Pin<Box<dyn Future<Output = Step>>>),
}

/// What happens after the head of a response was seen. Filters may not wait here.
#[derive(Debug)]
pub enum ResponseStep {
    /// The next filter.
    Continue,
    /// This response instead.
    Respond(Box<LocalReply>),
    /// The response is kept until it is complete, and comes to
    /// [`HttpFilter::response_whole`]. One that is larger than the buffer limit is answered with
    /// 500 in its place, as in Envoy.
    Collect,
}

/// A piece of a body on its way.
#[derive(Debug)]
pub struct Piece<'a> {
    bytes: &'a [u8],
    replacement: Option<Vec<u8>>,
}

impl<'a> Piece<'a> {
    /// These bytes, as they came.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, replacement: None }
    }

    /// The bytes as they are now.
    pub fn bytes(&self) -> &[u8] {
        self.replacement.as_deref().unwrap_or(self.bytes)
    }

    /// Others in their place; none at all are allowed.
    pub fn replace(&mut self, bytes: Vec<u8>) {
        self.replacement = Some(bytes);
    }

    /// What takes the place of the bytes that came.
    pub fn into_replacement(self) -> Option<Vec<u8>> {
        self.replacement
    }
}

/// The end of a message that has a body.
#[derive(Debug)]
pub struct End<'a> {
    /// The trailers, empty when there are none. What is left of them is sent.
    pub trailers: &'a mut Fields,
    /// Bytes that go behind the last piece.
    pub tail: &'a mut Vec<u8>,
}

/// A response that was collected.
#[derive(Debug)]
pub struct Whole<'a> {
    /// Its head; the length is set from the body afterwards.
    pub head: &'a mut ResponseHead,
    /// Its body.
    pub body: &'a mut Vec<u8>,
    /// Its trailers.
    pub trailers: &'a mut Fields,
}

impl fmt::Debug for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("Continue"),
            Self::Respond(reply) => f.debug_tuple("Respond").field(reply).finish(),
            Self::Wait(_) => f.write_str("Wait"),
        }
    }
}

/// Which phases a filter wants to see. A filter is never visited for the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Interest {
    /// [`HttpFilter::request_head`].
    pub request_head: bool,
    /// [`HttpFilter::request_data`] and [`HttpFilter::request_end`].
    pub request_body: bool,
    /// [`HttpFilter::response_head`].
    pub response_head: bool,
    /// [`HttpFilter::response_data`] and [`HttpFilter::response_end`].
    pub response_body: bool,
}

/// The stream as a filter sees it.
#[derive(Debug)]
pub struct StreamCx<'a> {
    /// The connection that it came on.
    pub connection: &'a ConnectionInfo,
    /// What is known so far.
    pub info: &'a mut StreamInfo,
    /// Statistics of names that come with requests.
    pub stats: &'a NamedStats,
    /// `cluster.<name>` of the cluster that serves the route, if it has one.
    pub cluster: Option<&'a StatName>,
    /// How that cluster finds its hosts, where requests name them.
    pub dynamic: Option<&'a DynamicHosts>,
    /// The caches of names.
    pub names: &'a dyn Names,
    /// What the route says to the filter, if it does.
    pub route_config: Option<&'a RouteConfig>,
}

/// What a route says to a filter, as the filter's own factory has made it.
pub type RouteConfig = Arc<dyn Any + Send + Sync>;

/// `typed_per_filter_config` of a route, or of a level above or below it: by the name of the
/// filter.
#[derive(Clone, Default)]
pub struct RouteConfigs(Vec<(Box<str>, RouteConfig)>);

impl fmt::Debug for RouteConfigs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter().map(|(name, _)| name)).finish()
    }
}

impl RouteConfigs {
    /// These, each with the name of its filter.
    pub fn new(all: Vec<(Box<str>, RouteConfig)>) -> Self {
        Self(all)
    }

    /// What is said to the filter of that name.
    pub fn get(&self, filter: &str) -> Option<&RouteConfig> {
        self.0.iter().find(|(name, _)| **name == *filter).map(|(_, config)| config)
    }
}

/// An HTTP filter's configuration.
pub trait HttpFilter: fmt::Debug + Send + Sync {
    /// The phases that it wants.
    fn interest(&self) -> Interest;

    /// The request head, before the route is used.
    fn request_head(
        &self,
        _state: &mut FilterState,
        _head: &mut RequestHead,
        _cx: &mut StreamCx<'_>,
    ) -> Step {
        Step::Continue
    }

    /// A piece of the request's body. An error is answered in place of what would have come.
    fn request_data(
        &self,
        _state: &mut FilterState,
        _piece: &mut Piece<'_>,
        _cx: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        Ok(())
    }

    /// The request's body has come to its end.
    fn request_end(
        &self,
        _state: &mut FilterState,
        _end: &mut End<'_>,
        _cx: &mut StreamCx<'_>,
    ) -> Result<(), Box<LocalReply>> {
        Ok(())
    }

    /// The response head, on its way back.
    fn response_head(
        &self,
        _state: &mut FilterState,
        _request: &RequestHead,
        _head: &mut ResponseHead,
        _cx: &mut StreamCx<'_>,
    ) -> ResponseStep {
        ResponseStep::Continue
    }

    /// A piece of the response's body.
    fn response_data(
        &self,
        _state: &mut FilterState,
        _piece: &mut Piece<'_>,
        _cx: &mut StreamCx<'_>,
    ) {
    }

    /// The response's body has come to its end.
    fn response_end(&self, _state: &mut FilterState, _end: &mut End<'_>, _cx: &mut StreamCx<'_>) {}

    /// The response that [`ResponseStep::Collect`] has asked for.
    fn response_whole(
        &self,
        _state: &mut FilterState,
        _request: &RequestHead,
        _whole: &mut Whole<'_>,
        _cx: &mut StreamCx<'_>,
    ) {
    }
}

/// What the router at the end of a chain is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Router {
    /// `suppress_envoy_headers`: neither requests nor responses get `x-envoy-*` fields.
    pub suppress_envoy_headers: bool,
}

/// The filters of a connection manager, in order, with one list per phase.
#[derive(Debug, Default)]
pub struct HttpFilterChain {
    filters: Vec<(Arc<str>, Arc<dyn HttpFilter>)>,
    /// None where nobody answers.
    router: Option<Router>,
    request_head: Vec<usize>,
    request_body: Vec<usize>,
    response_head: Vec<usize>,
    response_body: Vec<usize>,
}

impl HttpFilterChain {
    /// The chain of the named filters, and the router that ends it.
    pub fn new(filters: Vec<(Arc<str>, Arc<dyn HttpFilter>)>, router: Router) -> Self {
        let wanting = |wants: fn(Interest) -> bool| -> Vec<usize> {
            (0..filters.len()).filter(|index| wants(filters[*index].1.interest())).collect()
        };
        let request_head = wanting(|interest| interest.request_head);
        let request_body = wanting(|interest| interest.request_body);
        // Responses pass the chain in the opposite direction.
        let mut response_head = wanting(|interest| interest.response_head);
        response_head.reverse();
        let mut response_body = wanting(|interest| interest.response_body);
        response_body.reverse();
        let router = Some(router);
        Self { filters, router, request_head, request_body, response_head, response_body }
    }

    /// Whether there is a router at the end. A chain of nothing has none (the default one); as in
    /// Envoy, nobody answers what comes to it.
    pub fn has_router(&self) -> bool {
        self.router.is_some()
    }

    /// How many filters there are; each stream has as many states.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there is none but the router.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// What the router at the end is told.
    pub fn router(&self) -> Router {
        self.router.unwrap_or_default()
    }

    /// Indices of the filters that want the request head, in the order of their visit.
    pub fn request_head(&self) -> &[usize] {
        &self.request_head
    }

    /// Indices of the filters that want the response head, in the order of their visit.
    pub fn response_head(&self) -> &[usize] {
        &self.response_head
    }

    /// As [`HttpFilterChain::request_head`], of those that want the body.
    pub fn request_body(&self) -> &[usize] {
        &self.request_body
    }

    /// As [`HttpFilterChain::response_head`], of those that want the body.
    pub fn response_body(&self) -> &[usize] {
        &self.response_body
    }

    /// A filter by index.
    pub fn get(&self, index: usize) -> &dyn HttpFilter {
        &*self.filters[index].1
    }

    /// The instance name of a filter.
    pub fn name(&self, index: usize) -> &str {
        &self.filters[index].0
    }
}

/// Makes filters of one kind on the control thread.
pub trait HttpFilterFactory: Send + Sync {
    /// Without `type.googleapis.com/`: `envoy.extensions.filters.http.header_mutation.v3...`.
    fn type_url(&self) -> &'static str;

    /// Reads the configuration; `config` is the protobuf message of that type. Each error names
    /// the field inside the message and what is wrong with it.
    fn compile(&self, config: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>>;

    /// As [`HttpFilterFactory::compile`], for a filter that needs something of the process.
    fn compile_within(
        &self,
        config: &[u8],
        _process: &dyn Process,
    ) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        self.compile(config)
    }

    /// The type of what routes may say to its filters (`typed_per_filter_config`), if they may.
    fn route_type_url(&self) -> Option<&'static str> {
        None
    }

    /// Reads what a route says; `config` is the protobuf message of that type.
    fn compile_route(&self, _config: &[u8]) -> Result<RouteConfig, Vec<FieldError>> {
        let message = "routes say nothing to this filter".to_owned();
        Err(vec![FieldError { path: String::new(), message }])
    }

    /// The fields that it supports, by message (for the support table): message name, fields.
    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])];
}

/// What filters get of the process that they are compiled in.
pub trait Process {
    /// The cache of names of a `DnsCacheConfig`, which is that of all who give the same one. `path`
    /// is its place inside the filter's message. Whatever is wrong is reported there; then there
    /// is none.
    fn name_cache(&self, path: &str, config: &[u8]) -> Option<Arc<NameCache>>;
}

/// Something wrong with a field of an extension's configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FieldError {
    /// Path inside the message, empty for the message itself.
    pub path: String,
    /// What is wrong.
    pub message: String,
}

/// The extensions that this build has; the binary fills it.
#[derive(Default)]
pub struct Registry {
    /// HTTP filters, beside the router.
    pub http_filters: Vec<Box<dyn HttpFilterFactory>>,
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = self.http_filters.iter().map(|factory| factory.type_url());
        f.debug_list().entries(names).finish()
    }
}

impl Registry {
    /// The factory of HTTP filters of that type.
    pub fn http_filter(&self, type_url: &str) -> Option<&dyn HttpFilterFactory> {
        let found = self.http_filters.iter().find(|factory| factory.type_url() == type_url);
        found.map(Box::as_ref)
    }

    /// The factory of the filters to which routes say this.
    pub fn of_route(&self, type_url: &str) -> Option<&dyn HttpFilterFactory> {
        let mut all = self.http_filters.iter();
        all.find(|factory| factory.route_type_url() == Some(type_url)).map(Box::as_ref)
    }
}
