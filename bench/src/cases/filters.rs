//! An exchange on its way through five filters: both heads, and of calls both bodies.
//!
//! In the order in which the connection manager visits them; what moves bytes is not in it.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use ringway_bridge::stats::{Catalog, StatName};
use ringway_http::{Fields, RequestHead, ResponseHead, Version};
use ringway_model::address::Address;
use ringway_model::dns::NoNames;
use ringway_model::filter::{
    End, FilterState, HttpFilter, HttpFilterChain, Piece, ResponseStep, Router, Step, StreamCx,
};
use ringway_model::named_stats::NamedStats;
use ringway_model::stream::{ConnectionInfo, StreamInfo};

use super::Case;

pub(super) const CASES: &[Case] = &[
    Case { name: "filters/five-http", make: || exchange(HTTP) },
    Case { name: "filters/five-grpc", make: || exchange(GRPC) },
];

/// What passes.
#[derive(Clone, Copy)]
struct Message {
    method: &'static [u8],
    path: &'static [u8],
    content_type: &'static [u8],
    /// Of both bodies; none where it is empty.
    data: &'static [u8],
}

const HTTP: Message =
    Message { method: b"GET", path: b"/items?page=2", content_type: b"text/html", data: b"" };
const GRPC: Message = Message {
    method: b"POST",
    path: b"/shop.v1.Items/Get",
    content_type: b"application/grpc",
    // One message of 16 bytes.
    data: b"\0\0\0\0\x100123456789abcdef",
};

/// A field of a protobuf message that is a string or a message, of fewer than 128 bytes.
fn part(number: u8, content: &[u8]) -> Vec<u8> {
    let length = u8::try_from(content.len()).expect("short contents");
    [&[number << 3 | 2, length], content].concat()
}

/// A mutation that sets a field to a value.
fn set(name: &str, value: &str) -> Vec<u8> {
    let header = [part(1, name.as_bytes()), part(2, value.as_bytes())].concat();
    // `append_action` is OVERWRITE_IF_EXISTS_OR_ADD.
    part(2, &[part(1, &header), vec![3 << 3, 2]].concat())
}

/// A mutation that removes a field.
fn remove(name: &str) -> Vec<u8> {
    part(1, name.as_bytes())
}

fn mutation(request: &[Vec<u8>], response: &[Vec<u8>]) -> Vec<u8> {
    let of = |number, list: &[Vec<u8>]| list.iter().map(|one| part(number, one)).collect();
    let sides: [Vec<Vec<u8>>; 2] = [of(1, request), of(2, response)];
    part(1, &sides.concat().concat())
}

fn chain() -> HttpFilterChain {
    let factories = ringway_filters::http::all();
    let make = |kind: &str, config: &[u8]| -> (Arc<str>, Arc<dyn HttpFilter>) {
        let url = format!("envoy.extensions.filters.http.{kind}");
        let factory = factories.iter().find(|factory| factory.type_url() == url);
        let filter = factory.expect("it is in this build").compile(config);
        (Arc::from(kind), filter.expect("a good configuration"))
    };
    let first = mutation(
        &[set("x-edge", "1"), set("x-request-start", "%START_TIME%")],
        &[remove("x-internal")],
    );
    let last = mutation(&[remove("x-debug")], &[set("x-frame-options", "DENY")]);
    let filters = vec![
        make("header_mutation.v3.HeaderMutation", &first),
        make("grpc_stats.v3.FilterConfig", &[]),
        make("grpc_web.v3.GrpcWeb", &[]),
        make("grpc_http1_bridge.v3.Config", &[]),
        make("header_mutation.v3.HeaderMutation", &last),
    ];
    HttpFilterChain::new(filters, Router::default())
}

/// An exchange and what is known of it.
struct Passing {
    chain: HttpFilterChain,
    states: Vec<FilterState>,
    request: RequestHead,
    response: ResponseHead,
    trailers: Fields,
    connection: ConnectionInfo,
    stats: NamedStats,
    cluster: StatName,
}

impl Passing {
    fn new() -> Self {
        let catalog = Arc::new(Catalog::default());
        let address = Address::Ip(([127, 0, 0, 1], 80).into());
        let connection = ConnectionInfo {
            id: 1,
            local: address.clone(),
            direct_remote: address,
            listener: "bench".into(),
            tls: None,
            preamble: None,
            notes: None,
            chain: None,
            socket_local: None,
            transport_failure: None,
            start: Instant::now(),
        };
        let chain = chain();
        Self {
            states: (0..chain.len()).map(|_| None).collect(),
            chain,
            request: RequestHead::new(),
            response: ResponseHead::new(),
            trailers: Fields::default(),
            connection,
            stats: NamedStats::new(catalog.new_page(), catalog),
            cluster: StatName::new("cluster.origin", "cluster", "", &[]),
        }
    }

    fn fill(&mut self, message: Message) {
        self.states.fill_with(|| None);
        self.request.clear();
        // In HTTP/1.1 the bridge would collect the answers of calls.
        self.request.set_version(Version::Http2);
        self.request.set_method(message.method);
        self.request.set_authority(b"example.com");
        self.request.set_path(message.path);
        self.response.clear();
        self.response.status = 200;
        for fields in [&mut self.request.fields, &mut self.response.fields] {
            fields.push(b"content-type", message.content_type);
            fields.push(b"x-debug", b"1");
        }
        self.trailers.clear();
        self.trailers.push(b"grpc-status", b"0");
    }

    fn pass(&mut self, message: Message) {
        self.fill(message);
        let Self { chain, states, request, response, trailers, connection, stats, cluster } = self;
        let mut info = StreamInfo::new(Instant::now(), SystemTime::UNIX_EPOCH);
        let (cluster, info) = (Some(&*cluster), &mut info);
        let (dynamic, names, route_config) = (None, &NoNames, None);
        let mut cx = StreamCx { connection, info, stats, cluster, dynamic, names, route_config };
        for &index in chain.request_head() {
            let step = chain.get(index).request_head(&mut states[index], request, &mut cx);
            assert!(matches!(step, Step::Continue), "no filter answers");
        }
        let has_body = !message.data.is_empty();
        for &index in chain.request_body().iter().filter(|_| has_body) {
            let (filter, state) = (chain.get(index), &mut states[index]);
            let looked = filter.request_data(state, &mut Piece::new(message.data), &mut cx);
            let mut end = End { trailers: &mut Fields::default(), tail: &mut Vec::new() };
            let ended = filter.request_end(state, &mut end, &mut cx);
            assert!(looked.and(ended).is_ok(), "no filter answers");
        }
        for &index in chain.response_head() {
            let (filter, state) = (chain.get(index), &mut states[index]);
            let step = filter.response_head(state, request, response, &mut cx);
            assert!(matches!(step, ResponseStep::Continue), "no filter collects");
        }
        for &index in chain.response_body().iter().filter(|_| has_body) {
            let (filter, state) = (chain.get(index), &mut states[index]);
            filter.response_data(state, &mut Piece::new(message.data), &mut cx);
            let mut end = End { trailers, tail: &mut Vec::new() };
            filter.response_end(state, &mut end, &mut cx);
        }
    }
}

fn exchange(message: Message) -> Box<dyn FnMut()> {
    let mut passing = Passing::new();
    Box::new(move || {
        passing.pass(black_box(message));
        black_box((&passing.request, &passing.response));
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_five_do_their_work() {
        let mut passing = Passing::new();
        assert_eq!(passing.chain.len(), 5);
        passing.pass(GRPC);
        assert!(passing.request.fields.get(b"x-request-start").is_some());
        assert!(passing.request.fields.get(b"x-debug").is_none());
        assert_eq!(passing.response.fields.get(b"x-frame-options"), Some(&b"DENY"[..]));
        // Of calls, the one that counts remembers something.
        assert!(passing.states.iter().any(Option::is_some));
        passing.pass(HTTP);
        assert!(passing.states.iter().all(Option::is_none));
    }
}
