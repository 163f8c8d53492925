use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy_types::pb::envoy::extensions::common::dynamic_forward_proxy::v3::DnsCacheConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as proto;
use prost::Message;
use proto::filter_config::ImplementationSpecifier;
use proto::per_route_config::HostRewriteSpecifier;
use proto::{FilterConfig, PerRouteConfig};
use ringway_http::RequestHead;
use ringway_model::dns::{
    Answer, DynamicHosts, Limit, Lookup, LookupFamily, NameCache, NameCacheSettings, Refused,
    Resolver,
};
use ringway_model::filter::{HttpFilter, HttpFilterFactory, Process, Step};
use ringway_model::named_stats::Catalog;
use ringway_model::stats::DnsCacheStats;

use super::Factory;
use crate::http::rig::Rig;

fn cache() -> Arc<NameCache> {
    Arc::new(NameCache {
        name: "c".into(),
        settings: NameCacheSettings {
            family: LookupFamily::Auto,
            refresh: Duration::from_secs(60),
            min_refresh: Duration::from_secs(5),
            failure: None,
            refreshes_failures: true,
            host_ttl: Duration::from_secs(300),
            query_timeout: None,
            preresolve: Vec::new(),
            resolver: Resolver::default(),
        },
        pending: Limit::new(1),
        hosts: Limit::new(1),
        epoch: Instant::now(),
        stats: Some(DnsCacheStats::register(
            &Catalog::default(),
            "dns_cache.c",
            "dns_cache.c",
            &[],
        )),
    })
}

struct Within(Arc<NameCache>);

impl Process for Within {
    fn name_cache(&self, path: &str, config: &[u8]) -> Option<Arc<NameCache>> {
        assert_eq!(path, "dns_cache_config");
        let config = DnsCacheConfig::decode(config).expect("a message");
        (config.name == "c").then(|| Arc::clone(&self.0))
    }
}

fn filter(cache: &Arc<NameCache>) -> Arc<dyn HttpFilter> {
    let config = DnsCacheConfig { name: "c".into(), ..Default::default() };
    let specifier = Some(ImplementationSpecifier::DnsCacheConfig(config));
    let config = FilterConfig { implementation_specifier: specifier, ..Default::default() };
    let within = Within(Arc::clone(cache));
    Factory.compile_within(&config.encode_to_vec(), &within).expect("a filter")
}

/// What the filter makes of a look-up with that result.
fn step(known_to_filter: bool, authority: &[u8], lookup: Option<Lookup>) -> Step {
    let (mut rig, cache) = (Rig::new(), cache());
    let cache_of_cluster = Arc::clone(&cache);
    rig.dynamic = Some(DynamicHosts {
        cache: cache_of_cluster,
        default_port: 80,
        known_to_filter,
        auto_sni: true,
    });
    rig.names.answers.borrow_mut().extend(lookup);
    let mut head = RequestHead::new();
    head.set_authority(authority);
    filter(&cache).request_head(&mut None, &mut head, &mut rig.cx())
}

fn answer(address: Option<&str>) -> Lookup {
    let address = address.map(|text| text.parse().expect("an address"));
    Lookup::Known(Answer { address, details: "why".into() }.into())
}

fn reply(step: Step) -> (u16, String, String) {
    match step {
        Step::Respond(reply) => (reply.status, reply.details.into(), reply.body.into()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_known_name_passes_and_one_without_an_address_does_not() {
    assert!(matches!(step(true, b"a.test", Some(answer(Some("10.0.0.1:80")))), Step::Continue));
    let (status, details, body) = reply(step(true, b"a.test", Some(answer(None))));
    assert_eq!((status, &*body), (503, "DNS resolution failure"));
    assert_eq!(details, "dns_resolution_failure{why}");
    let (status, details, _) = reply(step(true, b"", None));
    assert_eq!((status, &*details), (400, "empty_host_header"));
}

#[test]
fn other_clusters_are_left_alone() {
    // Nothing is looked up.
    assert!(matches!(step(false, b"a.test", None), Step::Continue));
}

#[test]
fn refusals_are_told_apart() {
    let refused = |why| reply(step(true, b"a.test", Some(Lookup::Refused(why)))).1;
    assert_eq!(refused(Refused::Hosts), "dns_cache_overflow");
    assert_eq!(refused(Refused::Pending), "dynamic_forward_proxy_pending_request_overflow");
}

#[test]
fn an_answer_is_waited_for() {
    let asking = Lookup::Asked(Box::pin(async { Err(Refused::Hosts) }));
    let Step::Wait(mut waiting) = step(true, b"a.test", Some(asking)) else {
        panic!("it does not wait")
    };
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(step) = waiting.as_mut().poll(&mut cx) else {
        panic!("the answer was there")
    };
    assert_eq!(reply(step).1, "dns_cache_overflow");
}

#[test]
fn while_too_many_wait_nobody_passes() {
    let (mut rig, cache) = (Rig::new(), cache());
    let _waiting = cache.pending.permit().expect("a place");
    let of_cluster = Arc::clone(&cache);
    rig.dynamic = Some(DynamicHosts {
        cache: of_cluster,
        default_port: 80,
        known_to_filter: true,
        auto_sni: true,
    });
    let mut head = RequestHead::new();
    head.set_authority(b"a.test");
    let step = filter(&cache).request_head(&mut None, &mut head, &mut rig.cx());
    assert_eq!(reply(step).1, "dynamic_forward_proxy_pending_request_overflow");
    assert_eq!(rig.names.refused.get(), 1);
}

/// The authority of a request to `b.test` behind a filter to which a route says this.
fn rewritten(specifier: HostRewriteSpecifier) -> Vec<u8> {
    let config = PerRouteConfig { host_rewrite_specifier: Some(specifier) };
    let (mut rig, cache) = (Rig::new(), cache());
    rig.route_config = Some(Factory.compile_route(&config.encode_to_vec()).expect("a rewrite"));
    let of_cluster = Arc::clone(&cache);
    rig.dynamic = Some(DynamicHosts {
        cache: of_cluster,
        default_port: 80,
        known_to_filter: true,
        auto_sni: true,
    });
    rig.names.answers.borrow_mut().push_back(answer(Some("10.0.0.1:80")));
    let mut head = RequestHead::new();
    head.set_authority(b"b.test");
    head.fields.push(b"x-to", b"first.test");
    head.fields.push(b"x-to", b"second.test");
    let step = filter(&cache).request_head(&mut None, &mut head, &mut rig.cx());
    assert!(matches!(step, Step::Continue));
    head.authority().to_vec()
}

#[test]
fn a_route_says_who_is_meant() {
    use HostRewriteSpecifier::{HostRewriteHeader, HostRewriteLiteral};
    assert_eq!(rewritten(HostRewriteLiteral("a.test".into())), b"a.test");
    assert_eq!(rewritten(HostRewriteLiteral(String::new())), b"b.test");
    assert_eq!(rewritten(HostRewriteHeader("X-To".into())), b"first.test");
    assert_eq!(rewritten(HostRewriteHeader("x-none".into())), b"b.test");
}
