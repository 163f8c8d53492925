//! What the fields of a message become.

use std::time::Duration;

use expect_test::{Expect, expect};
use ringway_http::RequestHead;
use ringway_http::h1::Underscores;
use ringway_lb::{Health, LeastRequest, Policy, Selection};
use ringway_model::address::Address;
use ringway_model::cluster::{Cluster, ClusterPolicy};
use ringway_model::http::ServerHeader;
use ringway_model::route::{Action, ClusterChoice, Found, Priority};

use super::*;

const SECOND: Duration = Duration::from_secs(1);

fn only_cluster(draft: &Draft) -> Arc<Cluster> {
    let mut clusters = draft.snapshot.clusters.iter().flatten();
    Arc::clone(clusters.next().expect("a cluster"))
}

fn policy(fields: &str) -> Arc<ClusterPolicy> {
    let yaml = bootstrap(&[], &[cluster("c", fields, &["127.0.0.1:80"])]);
    Arc::clone(&only_cluster(&compiler().draft(&yaml)).policy)
}

#[test]
fn a_plain_cluster_has_the_defaults_of_envoy() {
    let policy = policy("");
    assert_eq!(policy.connect_timeout, 5 * SECOND);
    assert_eq!(policy.balancing, Policy::RoundRobin);
    assert_eq!(policy.settings, ringway_lb::Settings::default());
    assert_eq!(policy.idle_timeout, Some(3600 * SECOND));
    assert_eq!(policy.max_requests_per_connection, None);
    assert_eq!(policy.max_response_headers, 100);
    assert_eq!(policy.max_response_head_bytes, 80 * 1024);
    assert_eq!((policy.buffer_limit, policy.backlog_timeout), (1 << 20, None));
    for limits in &policy.limits {
        let all = [&limits.connections, &limits.pending, &limits.requests, &limits.retries];
        assert_eq!(all.map(|limit| limit.max()), [1024, 1024, 1024, 3]);
    }
}

#[test]
fn the_fields_of_a_cluster_arrive() {
    let policy = policy(
        "connect_timeout: 0.25s, per_connection_buffer_limit_bytes: 32768, \
         per_connection_buffer_high_watermark_timeout: 1s, lb_policy: \
         LEAST_REQUEST, least_request_lb_config: {choice_count: 5, active_request_bias: \
         {default_value: 0.5, runtime_key: x}}, common_lb_config: {healthy_panic_threshold: \
         {value: 0}}, circuit_breakers: {thresholds: [{max_connections: 7, max_pending_requests: \
         0}, {priority: HIGH, max_requests: 9, max_retries: 1}]}, common_http_protocol_options: \
         {idle_timeout: 0s, max_requests_per_connection: 4, max_headers_count: 50, \
         max_response_headers_kb: 96}, http_protocol_options: {enable_trailers: true, \
         header_key_format: {proper_case_words: {}}}, upstream_connection_options: \
         {tcp_keepalive: {keepalive_time: 30}}",
    );
    assert_eq!((policy.connect_timeout, policy.buffer_limit), (SECOND / 4, 32768));
    assert_eq!(policy.backlog_timeout, Some(SECOND));
    let least = LeastRequest { selection: Selection::Choices(5), active_request_bias: 0.5 };
    assert_eq!(policy.balancing, Policy::LeastRequest(least));
    assert_eq!(policy.settings.panic_threshold_percent, 0.0);
    let [default, high] = &policy.limits;
    assert_eq!((default.connections.max(), default.pending.max()), (7, 0));
    assert_eq!((high.requests.max(), high.retries.max(), high.connections.max()), (9, 1, 1024));
    assert_eq!((policy.idle_timeout, policy.max_requests_per_connection), (None, Some(4)));
    assert_eq!((policy.max_response_headers, policy.max_response_head_bytes), (50, 96 * 1024));
    assert!(policy.enable_trailers && policy.proper_case);
    assert_eq!(policy.keepalive.unwrap().time, Some(30));
}

#[test]
fn typed_options_and_policies_take_the_place_of_the_older_fields() {
    let lb = "type.googleapis.com/envoy.extensions.load_balancing_policies";
    let http = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let policy = policy(&format!(
        "load_balancing_policy: {{policies: [{{typed_extension_config: {{name: x, typed_config: \
         {{'@type': {lb}.least_request.v3.LeastRequest, selection_method: FULL_SCAN, \
         locality_lb_config: {{locality_weighted_lb_config: {{}}}}}}}}}}]}}, max_requests_per_connection: \
         3, typed_extension_protocol_options: {{{http}: {{'@type': type.googleapis.com/{http}, \
         common_http_protocol_options: {{max_stream_duration: 2s}}, explicit_http_config: \
         {{http_protocol_options: {{enable_trailers: true}}}}}}}}"
    ));
    let Policy::LeastRequest(least) = policy.balancing else { panic!("{:?}", policy.balancing) };
    assert_eq!(least.selection, Selection::FullScan);
    // The only locality has no weight, and so no load.
    assert_eq!(policy.settings.locality_weights, Some(vec![0]));
    assert_eq!(policy.max_stream_duration, Some(2 * SECOND));
    assert_eq!(policy.max_requests_per_connection, Some(3));
    assert!(policy.enable_trailers);
}

#[test]
fn endpoints_keep_their_order_weight_health_and_locality() {
    let yaml = "
static_resources:
  clusters:
  - name: c
    load_assignment:
      cluster_name: c
      policy: {overprovisioning_factor: 200}
      endpoints:
      - locality: {region: r, zone: z}
        lb_endpoints:
        - endpoint: {hostname: h, address: {socket_address: {address: '::1', port_value: 1}}}
          load_balancing_weight: 7
        - {endpoint: {address: {pipe: {path: /run/x}}}, health_status: DRAINING}
      - priority: 2
        lb_endpoints:
        - endpoint: {address: {socket_address: {address: 127.0.0.1, port_value: 2}}}
          health_status: DEGRADED
";
    let cluster = only_cluster(&compiler().draft(yaml));
    let [first, second, third] = &cluster.endpoints[..] else { panic!("{cluster:?}") };
    assert_eq!(cluster.policy.settings.overprovisioning_factor, 200);
    assert_eq!((&*first.address_text, &*first.hostname), ("[::1]:1", "h"));
    assert_eq!((first.host.weight, first.host.priority, first.host.locality), (7, 0, 0));
    assert_eq!((&*first.locality.region, &*first.locality.zone), ("r", "z"));
    assert_eq!((&*second.address_text, second.host.health), ("/run/x", Health::Unhealthy));
    assert_eq!((third.host.priority, third.host.locality, third.host.weight), (2, 1, 1));
    assert_eq!(third.host.health, Health::Degraded);
}

#[test]
fn a_plain_manager_has_the_defaults_of_envoy() {
    let draft = compiler().draft(&bootstrap(&[listener("l", "", "")], &[]));
    let manager = manager(&draft);
    assert_eq!((manager.h1.max_head_bytes, manager.h1.max_fields), (60 * 1024, 100));
    assert!(manager.h1.allow_absolute_url && !manager.h1.allow_http10);
    let timeouts = manager.timeouts;
    assert_eq!(timeouts.stream_idle, Some(300 * SECOND));
    assert_eq!((timeouts.request, timeouts.request_headers), (None, None));
    assert_eq!(timeouts.connection_idle, Some(3600 * SECOND));
    assert_eq!((timeouts.drain, timeouts.delayed_close), (5 * SECOND, Some(SECOND)));
    assert_eq!((&*manager.server_name, manager.server_header), ("envoy", ServerHeader::Overwrite));
    assert!(manager.request_id.generate && manager.request_id.pack_trace_reason);
    assert!(!manager.client_address.use_remote_address);
    assert!(manager.client_address.internal.is_none());
    assert_eq!(draft.snapshot.listeners[0].buffer_limit, 1 << 20);
}

#[test]
fn the_fields_of_a_manager_arrive() {
    let fields = "common_http_protocol_options: {idle_timeout: 0s, max_requests_per_connection: \
        9, headers_with_underscores_action: REJECT_REQUEST, max_headers_count: 5}, \
        http_protocol_options: {accept_http_10: true, default_host_for_http_10: h, \
        allow_absolute_url: false, enable_trailers: true, \
        override_stream_error_on_invalid_http_message: true}, max_request_headers_kb: 96, \
        stream_idle_timeout: 0s, request_timeout: 3s, server_name: me, \
        server_header_transformation: PASS_THROUGH, via: v, use_remote_address: true, \
        xff_num_trusted_hops: 2, internal_address_config: {cidr_ranges: [{address_prefix: \
        10.1.2.3, prefix_len: 8}]}, normalize_path: true, strip_any_host_port: true, \
        scheme_header_transformation: {scheme_to_overwrite: https}, generate_request_id: false";
    let manager = manager(&compiler().draft(&bootstrap(&[listener("l", fields, "")], &[])));
    assert_eq!((manager.h1.max_head_bytes, manager.h1.max_fields), (96 * 1024, 5));
    assert_eq!(manager.h1.underscores, Underscores::Reject);
    assert!(manager.h1.allow_http10 && manager.h1.enable_trailers);
    assert!(!manager.h1.allow_absolute_url && manager.keep_connection_on_error);
    assert_eq!(manager.default_host_for_http_10.as_deref(), Some("h"));
    assert_eq!((manager.timeouts.stream_idle, manager.timeouts.connection_idle), (None, None));
    assert_eq!(manager.timeouts.request, Some(3 * SECOND));
    assert_eq!(manager.max_requests_per_connection, Some(9));
    assert_eq!((&*manager.server_name, &*manager.via), ("me", "v"));
    assert_eq!(manager.server_header, ServerHeader::PassThrough);
    let client = &manager.client_address;
    assert!(client.use_remote_address && client.trusted_hops == 2);
    let internal = &client.internal.as_ref().unwrap().ranges;
    assert_eq!(internal[..], ["10.0.0.0/8".parse().unwrap()]);
    assert!(manager.path.normalize && manager.host.strip_any_port);
    assert!(manager.filters.router().suppress_envoy_headers && !manager.request_id.generate);
    assert_eq!(manager.scheme_to_overwrite.as_deref(), Some("https"));
}

#[test]
fn filters_come_from_the_registry_and_their_errors_have_a_place() {
    let idle = "{name: idle, typed_config: {'@type': type.googleapis.com/\
                envoy.extensions.filters.http.grpc_stats.v3.FilterConfig}}";
    let with = |idle: &str| {
        let fields = format!("http_filters: [{idle}, ROUTER]");
        bootstrap(&[listener("l", &fields, "")], &[])
    };
    let manager = manager(&compiler().draft(&with(idle)));
    assert_eq!((manager.filters.len(), manager.filters.name(0)), (1, "idle"));
    let wrong = idle.replace("FilterConfig", "FilterConfig, emit_filter_state: true");
    expect![[r#"
        --config-yaml:3:399: static_resources.listeners[0].default_filter_chain.filters[0].typed_config.http_filters[0].typed_config.emit_filter_state: more than can be
    "#]]
    .assert_eq(&compiler().errors(&with(&wrong)));
}

/// The route that a request for `path` gets.
fn action<T>(draft: &Draft, path: &str, look: impl FnOnce(&Action) -> T) -> T {
    let mut head = RequestHead::new();
    head.set_authority(b"a");
    head.path_mut().extend_from_slice(path.as_bytes());
    match manager(draft).routes.find(&head, false, 0) {
        Found::Route(matched) => look(&matched.route.action),
        other => panic!("{path}: {other:?}"),
    }
}

#[test]
fn routes_name_their_clusters_by_number() {
    let routes = "{match: {prefix: /b}, route: {cluster: b, timeout: 0s, idle_timeout: 0s, \
                  priority: HIGH, max_stream_duration: {max_stream_duration: 1s}, \
                  cluster_not_found_response_code: NOT_FOUND}}, \
                  {match: {prefix: /w}, route: {weighted_clusters: {clusters: [{name: a, weight: \
                  1}, {name: b, weight: 3}]}}}, {match: {prefix: /}, redirect: {https_redirect: \
                  true, response_code: FOUND}}";
    let clusters = [cluster("a", "", &[]), cluster("b", "", &[])];
    let draft = compiler().draft(&bootstrap(&[listener("l", "", routes)], &clusters));
    let snapshot = &draft.snapshot;
    action(&draft, "/b", |action| {
        let Action::Forward(forward) = action else { panic!("{action:?}") };
        let ClusterChoice::Named(cluster) = &forward.cluster else { panic!("{forward:?}") };
        assert_eq!(&*snapshot.cluster(cluster.id).unwrap().name, "b");
        assert_eq!((forward.timeout, forward.idle_timeout), (None, Some(None)));
        assert_eq!(forward.max_stream_duration, Some(Some(SECOND)));
        assert_eq!((forward.priority, forward.cluster_not_found_code), (Priority::High, 404));
    });
    action(&draft, "/w", |action| {
        let Action::Forward(forward) = action else { panic!("{action:?}") };
        let ClusterChoice::Weighted(weighted) = &forward.cluster else { panic!("{forward:?}") };
        assert_eq!(weighted.total(), 4);
        let ids = weighted.entries().iter().map(|entry| entry.cluster.id);
        let names = ids.map(|id| snapshot.cluster(id).unwrap().name.to_string());
        assert_eq!(names.collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(forward.timeout, Some(15 * SECOND));
    });
    action(&draft, "/", |action| {
        let Action::Redirect(redirect) = action else { panic!("{action:?}") };
        assert_eq!((redirect.status(), redirect.scheme.as_deref()), (302, Some("https")));
    });
    assert_eq!(snapshot.cluster_ids.len(), 2);
}

#[test]
fn a_cluster_that_is_not_there_has_a_number_where_that_is_allowed() {
    let routes = "{match: {prefix: /}, route: {cluster: later}}";
    let yaml = bootstrap(&[listener("l", "", routes)], &[]);
    let lenient = yaml.replace("virtual_hosts:", "validate_clusters: false, virtual_hosts:");
    let draft = compiler().draft(&lenient);
    let id = draft.snapshot.cluster_ids["later"];
    assert!(draft.snapshot.cluster(id).is_none());
    assert!(compiler().errors(&yaml).contains("route: unknown cluster 'later'"));
}

#[test]
fn bodies_and_formats_are_read_from_files() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    std::fs::write(&file, "from a file").unwrap();
    let routes = format!(
        "{{match: {{prefix: /}}, direct_response: {{status: 201, body: {{filename: '{}'}}}}}}",
        file.display()
    );
    let draft = compiler().draft(&bootstrap(&[listener("l", "", &routes)], &[]));
    action(&draft, "/", |action| {
        let Action::Direct(direct) = action else { panic!("{action:?}") };
        assert_eq!((direct.status, &*direct.body), (201, &b"from a file"[..]));
    });
}

#[test]
fn chains_are_chosen_by_their_match() {
    let filters = format!("filters: [{}]", filter("", ""));
    let fields = format!(
        "filter_chains: [{{name: one, filter_chain_match: {{server_names: ['*.A.org'], \
         source_type: EXTERNAL, source_ports: [7], prefix_ranges: [{{address_prefix: 10.0.0.0, \
         prefix_len: 8}}]}}, {filters}}}, {{{filters}}}], default_filter_chain: {{{filters}}}"
    );
    let draft = compiler().draft(&bootstrap(&[listener_of("l", &fields)], &[]));
    let listener = &draft.snapshot.listeners[0];
    let names: Vec<_> = listener.chains.iter().map(|chain| chain.name.text.to_string()).collect();
    assert_eq!(names, ["one", "filter_chains[1]", "default_filter_chain"]);
    assert_eq!(listener.matcher.default, Some(2));
    let (rule, index) = &listener.matcher.rules[0];
    assert_eq!((*index, &rule.server_names[..]), (0, &["*.a.org".to_owned()][..]));
    assert_eq!((&rule.source_ports[..], rule.destination.len()), (&[7][..], 1));
}

#[test]
fn the_port_that_was_bound_is_known() {
    let draft = compiler().draft(&bootstrap(&[listener("l", "", "")], &[]));
    let listener = &draft.snapshot.listeners[0];
    let Address::Ip(address) = &listener.address else { panic!("{:?}", listener.address) };
    assert_ne!(address.port(), 0);
    assert_eq!(listener.sockets.fds.len(), 2);
}

#[test]
fn a_busy_address_names_the_listener() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = holder.local_addr().unwrap().port();
    let yaml = bootstrap(&[listener("web", "", "")], &[]);
    let yaml = yaml.replace("port_value: 0", &format!("port_value: {port}"));
    let errors = compiler().errors(&yaml).replace(&port.to_string(), "PORT");
    expect![[r#"
        --config-yaml:3:17: static_resources.listeners[0].address: listener "web": cannot bind 127.0.0.1:PORT: Address already in use
    "#]]
    .assert_eq(&errors);
}

#[test]
fn admin_and_its_log_are_handed_on() {
    let yaml = "admin: {address: {socket_address: {address: 127.0.0.1, port_value: 9901}}, \
                access_log: [{name: a, typed_config: {'@type': type.googleapis.com/\
                envoy.extensions.access_loggers.stream.v3.StdoutAccessLog}}]}";
    let admin = compiler().draft(yaml).admin.unwrap();
    assert_eq!(admin.address, Some(Address::Ip("127.0.0.1:9901".parse().unwrap())));
    assert_eq!(admin.access_logs.len(), 1);
    assert!(compiler().draft("static_resources: {}").admin.is_none());
}

fn statistics(compiler: &Compiler, yaml_expect: &Expect, suffix: &str) {
    let totals = compiler.env.catalog.totals();
    let names = totals.iter().map(|(entry, _)| &entry.name);
    let lines = names
        .filter(|name| name.full.ends_with(suffix))
        .map(|name| format!("{} = {} {:?}\n", name.full, name.base, name.tags));
    yaml_expect.assert_eq(&lines.collect::<String>());
}

#[test]
fn statistics_have_the_names_and_tags_of_envoy() {
    let mut compiler = compiler();
    let clusters = [cluster("a.b:c", "", &[]), cluster("x", "alt_stat_name: z", &[])];
    compiler.draft(&bootstrap(&[listener("l", "", "")], &clusters));
    statistics(
        &compiler,
        &expect![[r#"
            http.web.downstream_rq_2xx = http.downstream_rq_2xx [("envoy.http_conn_manager_prefix", "web")]
            listener.127.0.0.1_0.http.web.downstream_rq_2xx = listener.http.downstream_rq_2xx [("envoy.listener_address", "127.0.0.1_0"), ("envoy.http_conn_manager_prefix", "web")]
        "#]],
        "_2xx",
    );
}
