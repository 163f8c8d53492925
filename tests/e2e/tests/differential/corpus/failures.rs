//! Local replies of the router: nothing to connect to, refusals, timeouts, limits.

use ringway_test_support::{Bootstrap, Reply};

use crate::compare::check;
use crate::exchange::{Corpus, Exchange, Peers, post};

fn route(prefix: &str, action: &str) -> String {
    format!("- match: {{ prefix: /{prefix} }}\n  route: {{ {action} }}\n")
}

#[test]
fn unreachable_origins() {
    let bootstrap = |peers: &Peers| {
        let routes = [
            route("none", "cluster: none"),
            route("refused", "cluster: refused"),
            route("half", "cluster: half"),
        ];
        let bootstrap = Bootstrap::new().routes("main", &routes.concat());
        let bootstrap = bootstrap.cluster_with("none", &[], "");
        bootstrap.cluster("refused", &[peers.refuser.address()]).cluster("half", &[peers.a()])
    };
    let mut exchanges = Vec::new();
    for path in ["/none", "/refused", "/nowhere"] {
        exchanges.push(Exchange::get(path, path, ""));
        exchanges.push(Exchange::ask(
            format!("HEAD {path}"),
            &format!("HEAD {path} HTTP/1.1\nhost: a\n\n"),
        ));
        exchanges.push(post(format!("POST {path}"), path, "hello"));
        exchanges.push(post(format!("large POST {path}"), path, &"x".repeat(200_000)));
        exchanges.push(Exchange::get(format!("close {path}"), path, "connection: close\n"));
        exchanges.push(Exchange::get(
            format!("gRPC {path}"),
            path,
            "content-type: application/grpc\n",
        ));
        exchanges
            .push(Exchange::ask(format!("HTTP/1.0 {path}"), &format!("GET {path} HTTP/1.0\n\n")));
        exchanges.push(Exchange::ask(
            format!("unfinished POST {path}"),
            &format!("POST {path} HTTP/1.1\nhost: a\ncontent-length: 10\n\nhello"),
        ));
        exchanges.push(
            Exchange::ask(
                format!("two of {path}"),
                &format!("GET {path} HTTP/1.1\nhost: a\n\nGET {path} HTTP/1.1\nhost: a\n\n"),
            )
            .and_response(),
        );
    }
    check(&Corpus { name: "unreachable origins", bootstrap, exchanges });
}

#[test]
fn limits_of_a_cluster() {
    let bootstrap = |peers: &Peers| {
        let none = |name: &str| format!("circuit_breakers: {{ thresholds: [{{ {name}: 0 }}] }}\n");
        let kinds = ["max_connections", "max_pending_requests", "max_requests"];
        let routes: String = kinds.map(|kind| route(kind, &format!("cluster: {kind}"))).concat();
        let add = |b: Bootstrap, kind: &&str| b.cluster_with(kind, &[peers.a()], &none(kind));
        kinds.iter().fold(Bootstrap::new().routes("main", &routes), add)
    };
    let exchanges = ["/max_connections", "/max_pending_requests", "/max_requests"]
        .map(|path| Exchange::get(path, path, ""));
    check(&Corpus { name: "limits of a cluster", bootstrap, exchanges: exchanges.into() });
}

#[test]
fn timeouts() {
    let bootstrap = |peers: &Peers| {
        let routes = [
            route("quick", "cluster: a, timeout: 0.05s"),
            route("idle", "cluster: a, idle_timeout: 0.05s"),
            route("never", "cluster: a, timeout: 0s"),
            route("minute", "cluster: a, timeout: 60s"),
        ];
        let routes = routes.concat();
        let managed = format!(
            "route_config:\n  virtual_hosts:\n  - name: all\n    domains: ['*']\n    \
            routes:\n{}",
            ringway_test_support::indent(&routes, 4)
        );
        let options = |option: &str| format!("{option}\n{managed}");
        Bootstrap::new()
            .routes("main", &routes)
            .http("stream_idle", &options("stream_idle_timeout: 0.05s"))
            .http("request", &options("request_timeout: 0.05s"))
            .http("head", &options("request_headers_timeout: 0.05s"))
            .cluster("a", &[peers.a()])
    };
    let unfinished = "POST /minute HTTP/1.1\nhost: a\ncontent-length: 10\n\nhello";
    let body = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhello";
    let exchanges = vec![
        Exchange::get("response in time", "/quick", ""),
        Exchange::get("no response", "/quick", "").reply(Reply::silence()),
        post("no response to a POST", "/quick", "hello").reply(Reply::silence()),
        Exchange::ask("no response to HEAD", "HEAD /quick HTTP/1.1\nhost: a\n\n")
            .reply(Reply::silence()),
        Exchange::get("no response, gRPC", "/quick", "content-type: application/grpc\n")
            .reply(Reply::silence()),
        Exchange::get("body stops", "/quick", "").reply(Reply::raw(body).hang()),
        Exchange::get("interim, then nothing", "/quick", "")
            .reply(Reply::raw("HTTP/1.1 103 Early\r\n\r\n").hang()),
        Exchange::get("idle: no response", "/idle", "").reply(Reply::silence()),
        Exchange::ask(
            "idle: unfinished request",
            "POST /idle HTTP/1.1\nhost: a\ncontent-length: 10\n\nhello",
        ),
        Exchange::get("expected timeout, none", "/never", ""),
        Exchange::get("expected timeout, a minute", "/minute", ""),
        Exchange::get("idle stream: no response", "/minute", "")
            .reply(Reply::silence())
            .on("stream_idle"),
        Exchange::ask("idle stream: unfinished request", unfinished).on("stream_idle"),
        Exchange::ask("request: unfinished", unfinished).on("request"),
        Exchange::get("request: no response", "/quick", "").reply(Reply::silence()).on("request"),
        Exchange::ask("head: unfinished", "GET / HTTP/1.1\nhost: a\n").on("head"),
        Exchange::ask(
            "head: unfinished body",
            "POST /quick HTTP/1.1\nhost: a\ncontent-length: 10\n\nhi",
        )
        .reply(Reply::status(200, "early").early())
        .on("head"),
        Exchange::get(
            "internal headers are not for strangers",
            "/minute",
            "x-envoy-upstream-rq-timeout-ms: 1\n",
        ),
    ];
    check(&Corpus { name: "timeouts", bootstrap, exchanges });
}
