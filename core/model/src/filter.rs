//! Extensions of the data path: what a filter is.
//!
//! A filter is two things: its immutable configuration, which is in the snapshot and implements
//! [`HttpFilter`], and what it remembers of one stream, a [`FilterState`] that it makes only if it
//! needs one. Its steps are synchronous; a filter that must wait for somebody returns
//! [`Step::Wait`], and only then anything is boxed.

use std::any::Any;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use ringway_http::{RequestHead, ResponseHead};

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
    /// [`HttpFilter::response_head`].
    pub response_head: bool,
}

/// The stream as a filter sees it.
#[derive(Debug)]
pub struct StreamCx<'a> {
    /// The connection that it came on.
    pub connection: &'a ConnectionInfo,
    /// What is known so far.
    pub info: &'a mut StreamInfo,
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

    /// The response head, on its way back.
    fn response_head(
        &self,
        _state: &mut FilterState,
        _request: &RequestHead,
        _head: &mut ResponseHead,
        _cx: &mut StreamCx<'_>,
    ) -> Step {
        Step::Continue
    }
}

/// The filters of a connection manager, in order, with one list per phase.
#[derive(Debug, Default)]
pub struct HttpFilterChain {
    filters: Vec<(Arc<str>, Arc<dyn HttpFilter>)>,
    request_head: Vec<usize>,
    response_head: Vec<usize>,
}

impl HttpFilterChain {
    /// The chain of the named filters, without the router that ends it.
    pub fn new(filters: Vec<(Arc<str>, Arc<dyn HttpFilter>)>) -> Self {
        let wanting = |wants: fn(Interest) -> bool| -> Vec<usize> {
            (0..filters.len()).filter(|index| wants(filters[*index].1.interest())).collect()
        };
        let request_head = wanting(|interest| interest.request_head);
        let mut response_head = wanting(|interest| interest.response_head);
        // Responses pass the chain in the opposite direction.
        response_head.reverse();
        Self { filters, request_head, response_head }
    }

    /// How many filters there are; each stream has as many states.
    pub fn len(&self) -> usize {
        self.filters.len()
    }

    /// Whether there is none but the router.
    pub fn is_empty(&self) -> bool {
        self.filters.is_empty()
    }

    /// Indices of the filters that want the request head, in the order of their visit.
    pub fn request_head(&self) -> &[usize] {
        &self.request_head
    }

    /// Indices of the filters that want the response head, in the order of their visit.
    pub fn response_head(&self) -> &[usize] {
        &self.response_head
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

    /// The fields that it supports, by message (for the support table): message name, fields.
    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])];
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
}
