//! What is done when resources run out. The pressure is told by a file, as Envoy's own tests do.

use std::fs;
use std::path::PathBuf;

use ringway_test_support::{Bootstrap, H2, Launch, Make, Origin, Proxy, RawClient, indent};
use tempfile::TempDir;

use crate::only_ringway;

const FILE: &str = "envoy.resource_monitors.injected_resource";
const MONITORS: &str = "type.googleapis.com/envoy.extensions.resource_monitors";
const SCALE: &str = "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig";

/// A proxy, and the file that tells how much of a resource is used.
struct Pressed {
    proxy: Proxy,
    file: PathBuf,
    _folder: TempDir,
}

impl Pressed {
    /// With these actions, at the pressure 0; `listener` are more fields of the listener.
    fn start(bootstrap: &Bootstrap, listener: &str, actions: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("pressure");
        fs::write(&file, "0").unwrap();
        let chains = "    filter_chains:\n";
        let fields = format!("    stat_prefix: main\n{}{chains}", indent(listener, 4));
        let yaml = bootstrap.to_yaml().replacen(chains, &fields, 1);
        let manager = format!(
            "\noverload_manager:\n  refresh_interval: 0.05s\n  resource_monitors:\n  - name: {FILE}\n    \
             typed_config: {{ '@type': {MONITORS}.injected_resource.v3.InjectedResourceConfig, \
             filename: '{}' }}\n  actions:\n{}",
            file.display(),
            indent(actions, 2)
        );
        let proxy = Launch::new(Make::subject(), yaml + &manager).start().unwrap();
        Self { proxy, file, _folder: folder }
    }

    /// Returns when the pressure is known.
    fn press(&self, percent: u64) {
        let next = self.file.with_extension("next");
        fs::write(&next, format!("0.{percent:02}")).unwrap();
        // At once, so that no half of it can be read.
        fs::rename(&next, &self.file).unwrap();
        let pressure = format!("overload.{FILE}.pressure");
        self.proxy.wait_stat(&pressure, |shown| shown == percent);
    }

    fn client(&self) -> RawClient {
        RawClient::connect(self.proxy.listener("main"))
    }
}

fn action(name: &str, threshold: f64) -> String {
    format!(
        "- name: envoy.overload_actions.{name}\n  triggers: [{{ name: {FILE}, threshold: {{ \
         value: {threshold} }} }}]\n"
    )
}

fn one_origin() -> (Origin, Bootstrap) {
    let origin = Origin::named("a");
    let bootstrap = Bootstrap::proxying_to(origin.address());
    (origin, bootstrap)
}

#[test]
fn requests_are_refused_and_connections_stay() {
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("stop_accepting_requests", 0.5));
    let mut client = pressed.client();
    assert_eq!(client.get("/").status(), 200);
    pressed.press(50);
    for _ in 0..2 {
        let refused = client.get("/");
        assert_eq!((refused.status(), refused.text().as_str()), (503, "envoy overloaded"));
        assert_eq!(refused.head.get("connection"), None);
    }
    pressed.proxy.wait_stat("http.main.downstream_rq_overload_close", |count| count == 2);
    let action = "overload.envoy.overload_actions.stop_accepting_requests";
    assert_eq!(pressed.proxy.stat(&format!("{action}.active")), 1);
    assert_eq!(pressed.proxy.stat(&format!("{action}.scale_percent")), 100);
    pressed.press(49);
    assert_eq!(client.get("/").status(), 200);
    assert_eq!(pressed.proxy.stat(&format!("{action}.active")), 0);
}

#[test]
fn a_refused_call_of_grpc_has_a_status_of_grpc() {
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("stop_accepting_requests", 0.5));
    pressed.press(60);
    let mut client = H2::connect(pressed.proxy.listener("main"), &[]);
    let stream = client.request("POST", "/s/m", &[("content-type", "application/grpc")], true);
    let answer = client.answer(stream);
    assert_eq!((answer.status(), answer.get("grpc-status")), (200, Some("14")));
    assert_eq!(answer.get("grpc-message"), Some("envoy overloaded"));
}

#[test]
fn connections_end_with_their_next_response() {
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("disable_http_keepalive", 0.5));
    let mut client = pressed.client();
    assert_eq!(client.get("/").head.get("connection"), None);
    pressed.press(80);
    let last = client.get("/");
    assert_eq!((last.status(), last.head.get("connection")), (200, Some("close")));
    client.expect_close();
    let count = |name: &str| pressed.proxy.stat(&format!("http.main.downstream_cx_{name}"));
    assert_eq!((count("overload_disable_keepalive"), count("drain_close")), (1, 1));
}

#[test]
fn connections_are_closed_when_they_come() {
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("reject_incoming_connections", 0.5));
    let mut before = pressed.client();
    assert_eq!(before.get("/").status(), 200);
    pressed.press(70);
    pressed.client().expect_close();
    assert_eq!(before.get("/").status(), 200, "who is there may stay");
    assert_eq!(pressed.proxy.stat("listener.main.downstream_cx_overload_reject"), 1);
    pressed.press(0);
    assert_eq!(pressed.client().get("/").status(), 200);
}

#[test]
fn connections_wait_until_the_pressure_is_gone() {
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("stop_accepting_connections", 0.5));
    let mut before = pressed.client();
    assert_eq!(before.get("/").status(), 200);
    pressed.press(90);
    // What has connected while the workers were being told is still served.
    let total = "listener.main.downstream_cx_total";
    let seen = pressed.proxy.stat(total);
    let mut waiting: Vec<RawClient> = (0..8).map(|_| pressed.client()).collect();
    for client in &mut waiting {
        client.send("GET / HTTP/1.1\r\nhost: a\r\n\r\n");
    }
    assert_eq!(before.get("/").status(), 200);
    let accepted = pressed.proxy.stat(total) - seen;
    assert!(accepted < 8, "{accepted} of 8 were accepted");
    pressed.press(10);
    for client in &mut waiting {
        assert_eq!(client.response().status(), 200);
    }
    assert_eq!(pressed.proxy.stat(total), seen + 8);
}

/// Two listeners whose connections may be idle for ten minutes, and for a moment under pressure.
fn patient() -> (Origin, Bootstrap, String) {
    let origin = Origin::named("a");
    let manager = "common_http_protocol_options: { idle_timeout: 600s }\nroute_config:\n  \
                   virtual_hosts:\n  - name: all\n    domains: ['*']\n    routes: [{ match: { \
                   prefix: / }, route: { cluster: origin } }]\n";
    let bootstrap = Bootstrap::new().http("main", manager).http("other", manager);
    let bootstrap = bootstrap.cluster("origin", &[origin.address()]);
    let actions = format!(
        "{}  typed_config: {{ '@type': {SCALE}, timer_scale_factors: [{{ timer: \
         HTTP_DOWNSTREAM_CONNECTION_IDLE, min_timeout: 0.2s }}] }}\n",
        action("reduce_timeouts", 0.5)
    );
    (origin, bootstrap, actions)
}

#[test]
fn times_get_shorter_for_those_who_wait_already() {
    let (_origin, bootstrap, actions) = patient();
    // The one listener is spared of other actions, and not of this.
    let pressed = Pressed::start(&bootstrap, "bypass_overload_manager: true\n", &actions);
    for listener in ["main", "other"] {
        let mut client = RawClient::connect(pressed.proxy.listener(listener));
        assert_eq!(client.get("/").status(), 200);
        pressed.press(90);
        client.expect_close();
        let ended = format!("http.{listener}.downstream_cx_idle_timeout");
        assert_eq!(pressed.proxy.stat(&ended), 1);
        pressed.press(0);
    }
}

#[test]
fn a_listener_may_be_spared() {
    let (_origin, bootstrap) = one_origin();
    let actions =
        ["stop_accepting_requests", "disable_http_keepalive", "stop_accepting_connections"]
            .map(|name| action(name, 0.5))
            .concat();
    let pressed = Pressed::start(&bootstrap, "bypass_overload_manager: true\n", &actions);
    pressed.press(90);
    let answer = pressed.client().get("/");
    assert_eq!((answer.status(), answer.head.get("connection")), (200, None));
}

#[test]
fn memory_is_given_back() {
    if !only_ringway("to give memory back at once") {
        return;
    }
    let (_origin, bootstrap) = one_origin();
    let pressed = Pressed::start(&bootstrap, "", &action("shrink_heap", 0.5));
    pressed.press(90);
    let shrunk = "overload.envoy.overload_actions.shrink_heap.shrink_count";
    pressed.proxy.wait_stat(shrunk, |count| count == 1);
}

#[test]
fn a_monitor_limits_all_connections() {
    let (_origin, bootstrap) = one_origin();
    let name = "envoy.resource_monitors.global_downstream_max_connections";
    let manager = format!(
        "\noverload_manager:\n  resource_monitors:\n  - name: {name}\n    typed_config: {{ '@type': \
         {MONITORS}.downstream_connections.v3.DownstreamConnectionsConfig, \
         max_active_downstream_connections: 2 }}\n"
    );
    let yaml = bootstrap.to_yaml() + &manager;
    // The connections of this test to the admin count as well.
    let yaml = yaml.replacen("admin:\n", "admin:\n  ignore_global_conn_limit: true\n", 1);
    let yaml =
        yaml.replacen("    filter_chains:\n", "    stat_prefix: main\n    filter_chains:\n", 1);
    let proxy = Launch::new(Make::subject(), yaml).start().unwrap();
    let mut clients = [0; 2].map(|_| RawClient::connect(proxy.listener("main")));
    clients.iter_mut().for_each(|client| assert_eq!(client.get("/").status(), 200));
    RawClient::connect(proxy.listener("main")).expect_close();
    proxy.wait_stat("listener.main.downstream_global_cx_overflow", |count| count == 1);
    assert!(proxy.stat(&format!("overload.{name}.failed_updates")) >= 1);
}
