//! The admin paths, their form and the statistics under Envoy's names.

use ringway_test_support::{Bootstrap, Message, Origin, Proxy, RawClient};
use serde_json::Value;

use crate::only_ringway;

fn serving() -> (Origin, Proxy) {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    (origin, proxy)
}

fn json(message: &Message) -> Value {
    assert_eq!(message.head.get("content-type"), Some("application/json"));
    serde_json::from_slice(&message.body).unwrap()
}

#[test]
fn ready() {
    let (_origin, proxy) = serving();
    let ready = proxy.admin("/ready");
    assert_eq!((ready.status(), ready.text().as_str()), (200, "LIVE\n"));
    assert_eq!(ready.head.get("content-type"), Some("text/plain; charset=UTF-8"));
    assert_eq!(ready.head.get("cache-control"), Some("no-cache, max-age=0"));
    assert_eq!(ready.head.get("x-content-type-options"), Some("nosniff"));
}

#[test]
fn counters_after_known_traffic() {
    let (_origin, proxy) = serving();
    let mut client = RawClient::connect(proxy.listener("main"));
    for path in ["/", "/status/404", "/status/503", "/status/301"] {
        client.get(path);
    }
    let stats = [
        ("http.main.downstream_cx_total", 1),
        ("http.main.downstream_cx_active", 1),
        ("http.main.downstream_cx_http1_total", 1),
        ("http.main.downstream_rq_total", 4),
        ("http.main.downstream_rq_2xx", 1),
        ("http.main.downstream_rq_3xx", 1),
        ("http.main.downstream_rq_4xx", 1),
        ("http.main.downstream_rq_5xx", 1),
        ("http.main.downstream_rq_completed", 4),
        ("http.main.downstream_rq_active", 0),
        ("http.main.downstream_rq_http1_total", 4),
        ("cluster.origin.upstream_cx_total", 1),
        ("cluster.origin.upstream_cx_active", 1),
        ("cluster.origin.upstream_cx_http1_total", 1),
        ("cluster.origin.upstream_rq_total", 4),
        ("cluster.origin.upstream_rq_completed", 4),
        ("cluster.origin.upstream_rq_200", 1),
        ("cluster.origin.upstream_rq_2xx", 1),
        ("cluster.origin.upstream_rq_404", 1),
        ("cluster.origin.upstream_rq_503", 1),
        ("cluster.origin.upstream_rq_5xx", 1),
        ("cluster.origin.membership_total", 1),
        ("cluster.origin.membership_healthy", 1),
        ("cluster_manager.active_clusters", 1),
        ("cluster_manager.cluster_added", 1),
        ("listener_manager.total_listeners_active", 1),
        ("listener_manager.listener_added", 1),
        ("server.live", 1),
        ("server.state", 0),
        ("server.concurrency", 1),
    ];
    proxy.wait_stat("http.main.downstream_rq_completed", |completed| completed == 4);
    for (name, value) in stats {
        assert_eq!(proxy.stat(name), value, "{name}");
    }
}

#[test]
fn stats_in_their_forms() {
    let (_origin, proxy) = serving();
    RawClient::connect(proxy.listener("main")).get("/");
    let filtered = proxy.admin("/stats?filter=%5Ecluster%5C.origin%5C.upstream_rq_total%24").text();
    assert_eq!(filtered, "cluster.origin.upstream_rq_total: 1\n");
    let used = proxy.admin("/stats?usedonly").text();
    assert!(!used.contains("upstream_cx_connect_timeout: 0"), "{used}");
    let stats = json(&proxy.admin("/stats?format=json"));
    let list = stats["stats"].as_array().unwrap();
    let found = list.iter().find(|stat| stat["name"] == "cluster.origin.upstream_rq_total");
    assert_eq!(found.unwrap()["value"], 1);
    let text = proxy.admin("/stats").text();
    let names: Vec<&str> = text.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let scalars = names.iter().filter(|name| text.contains(&format!("{name}: "))).count();
    assert_eq!(scalars, names.len());
}

#[test]
fn prometheus() {
    let (_origin, proxy) = serving();
    let mut client = RawClient::connect(proxy.listener("main"));
    client.get("/");
    let metrics = proxy.admin("/stats/prometheus").text();
    let lines = [
        "# TYPE envoy_cluster_upstream_rq_total counter",
        "envoy_cluster_upstream_rq_total{envoy_cluster_name=\"origin\"} 1",
        "# TYPE envoy_http_downstream_cx_active gauge",
        "envoy_http_downstream_cx_active{envoy_http_conn_manager_prefix=\"main\"} 1",
        "envoy_server_live{} 1",
    ];
    for line in lines {
        assert!(metrics.lines().any(|have| have == line), "{line} is not in\n{metrics}");
    }
    // The order of two labels means nothing.
    let by_code =
        metrics.lines().find(|line| line.starts_with("envoy_cluster_upstream_rq{")).unwrap();
    assert!(
        by_code.contains("envoy_response_code=\"200\"") && by_code.ends_with("} 1"),
        "{by_code}"
    );
    let other = proxy.admin("/stats?format=prometheus").text();
    assert!(other.contains(lines[1]), "{other}");
}

#[test]
fn clusters() {
    let (origin, proxy) = serving();
    RawClient::connect(proxy.listener("main")).get("/");
    let text = proxy.admin("/clusters").text();
    let address = origin.address();
    let lines = [
        "origin::observability_name::origin".to_owned(),
        "origin::default_priority::max_connections::1024".to_owned(),
        "origin::default_priority::max_retries::3".to_owned(),
        "origin::added_via_api::false".to_owned(),
        format!("origin::{address}::cx_active::1"),
        format!("origin::{address}::rq_total::1"),
        format!("origin::{address}::rq_success::1"),
        format!("origin::{address}::health_flags::healthy"),
        format!("origin::{address}::weight::1"),
    ];
    for line in lines {
        assert!(text.lines().any(|have| have == line), "{line} is not in\n{text}");
    }
    let json = json(&proxy.admin("/clusters?format=json"));
    let status = &json["cluster_statuses"][0];
    assert_eq!(status["name"], "origin");
    let socket = &status["host_statuses"][0]["address"]["socket_address"];
    assert_eq!(socket["port_value"], address.port());
}

#[test]
fn listeners() {
    let (_origin, proxy) = serving();
    let text = proxy.admin("/listeners").text();
    assert_eq!(text, format!("main::{}\n", proxy.listener("main")));
}

#[test]
fn server_info() {
    let (_origin, proxy) = serving();
    let info = json(&proxy.admin("/server_info"));
    assert_eq!(info["state"], "LIVE");
    assert_eq!(info["command_line_options"]["concurrency"], 1);
    assert!(info["version"].as_str().unwrap().contains('/'), "{info}");
    assert!(info["uptime_current_epoch"].as_str().unwrap().ends_with('s'), "{info}");
}

#[test]
fn config_dump() {
    let (_origin, proxy) = serving();
    let dump = json(&proxy.admin("/config_dump"));
    let configs = dump["configs"].as_array().unwrap();
    let of = |kind: &str| {
        let name = format!("type.googleapis.com/envoy.admin.v3.{kind}");
        configs.iter().find(|config| config["@type"] == name.as_str())
    };
    let bootstrap = of("BootstrapConfigDump").expect("the bootstrap");
    assert!(bootstrap["bootstrap"]["static_resources"]["clusters"].is_array());
    let clusters = of("ClustersConfigDump").expect("the clusters");
    assert_eq!(clusters["static_clusters"][0]["cluster"]["name"], "origin");
    let listeners = of("ListenersConfigDump").expect("the listeners");
    let listener = &listeners["static_listeners"][0]["listener"];
    assert_eq!(listener["name"], "main");
    let filter = &listener["filter_chains"][0]["filters"][0]["typed_config"];
    assert_eq!(filter["stat_prefix"], "main");
}

#[test]
fn logging() {
    let (_origin, proxy) = serving();
    assert_eq!(proxy.admin_post("/logging?level=debug").status(), 200);
    assert_eq!(proxy.admin_post("/logging?level=bogus").status(), 400);
    assert_eq!(proxy.admin("/logging?level=debug").status(), 405);
}

#[test]
fn help_and_unknown_paths() {
    let (_origin, proxy) = serving();
    let help = proxy.admin("/help").text();
    for path in [
        "/clusters",
        "/config_dump",
        "/listeners",
        "/logging",
        "/quitquitquit",
        "/ready",
        "/server_info",
        "/stats",
        "/stats/prometheus",
    ] {
        assert!(help.contains(&format!("  {path}")), "{path} is not in\n{help}");
    }
    let unknown = proxy.admin("/bogus");
    assert_eq!(unknown.status(), 404);
    assert!(unknown.text().starts_with("invalid path. "), "{}", unknown.text());
}

#[test]
fn only_what_allow_paths_names_is_answered() {
    let yaml = Bootstrap::new().to_yaml().replacen(
        "admin:\n",
        "admin:\n  allow_paths: [{ prefix: /listeners }, \
         { exact: /ready }, { prefix: /stats }]\n",
        1,
    );
    let proxy = Proxy::start(yaml);
    for (path, status) in [
        ("/ready", 200),
        ("/stats?filter=nothing", 200),
        ("/statsz", 404),
        // The query counts, and the end of the path.
        ("/ready?x", 403),
        ("/ready/", 403),
        ("/server_info", 403),
        ("/", 403),
    ] {
        let answer = proxy.admin(path);
        assert_eq!(answer.status(), status, "{path}");
        if status == 403 {
            assert_eq!(answer.text(), format!("request to path {path} not allowed"));
        }
    }
    assert_eq!(proxy.admin_post("/quitquitquit").status(), 403);
}

/// What both programs answer alike, whatever their builds can do.
#[test]
fn looks_into_the_program() {
    let (_origin, proxy) = serving();
    let contention = proxy.admin("/contention");
    assert_eq!(contention.status(), 200);
    assert!(contention.text().starts_with("Mutex contention tracing is not enabled. "));
    let lookups = proxy.admin("/stats/recentlookups");
    assert_eq!(lookups.status(), 200);
    assert!(lookups.text().starts_with("Lookup tracking is not enabled. "));
    assert_eq!(proxy.admin_post("/stats/recentlookups/clear").text(), "OK\n");
    assert_eq!(proxy.admin_post("/stats/recentlookups/disable").text(), "OK\n");
    for (path, status, text) in [
        ("/cpuprofiler", 400, "?enable=<y|n>\n"),
        ("/cpuprofiler?enable=n", 200, "OK\n"),
        ("/heapprofiler?enable=y", 501, "The current build does not support heap profiler"),
        ("/allocprofiler", 400, "?enable=<y|n>\n"),
        ("/runtime_modify?a=b", 503, "No admin layer specified"),
    ] {
        let answer = proxy.admin_post(path);
        assert_eq!((answer.status(), answer.text().as_str()), (status, text), "{path}");
        let path = path.split('?').next().unwrap();
        assert_eq!(proxy.admin(path).status(), 405, "GET {path}");
    }
    let usage = proxy.admin_post("/runtime_modify");
    assert_eq!(usage.status(), 400);
    let lines: Vec<String> = usage.text().lines().map(str::to_owned).collect();
    assert_eq!(lines[0], "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN");
    assert_eq!(lines[1], "       or send the parameters as form values");
    assert_eq!(lines[2], "use an empty value to remove a previously added override");
}

/// Nothing reads a runtime value yet, so none may seem to be set.
#[test]
fn a_runtime_value_that_would_be_lost_is_refused() {
    if !only_ringway("runtime values are not built") {
        return;
    }
    let layers = "layered_runtime: { layers: [{ name: admin, admin_layer: {} }] }\n";
    let proxy = Proxy::start(Bootstrap::new().to_yaml() + layers);
    assert_eq!(proxy.admin_post("/runtime_modify?a=b").status(), 501);
}

#[test]
fn quitquitquit_only_by_post() {
    let (_origin, mut proxy) = serving();
    assert_eq!(proxy.admin("/quitquitquit").status(), 405);
    assert!(proxy.is_running());
    let answer = proxy.admin_post("/quitquitquit");
    assert_eq!((answer.status(), answer.text().as_str()), (200, "OK\n"));
    assert_eq!(proxy.wait_exit().code(), Some(0));
}

#[test]
fn healthcheck_fail_and_ok() {
    let (_origin, proxy) = serving();
    assert_eq!(proxy.admin_post("/healthcheck/fail").status(), 200);
    let ready = proxy.admin("/ready");
    assert_eq!((ready.status(), ready.text().as_str()), (503, "DRAINING\n"));
    assert_eq!(proxy.admin_post("/healthcheck/ok").status(), 200);
    assert_eq!(proxy.admin("/ready").status(), 200);
}
