//! Requests reach the cluster that the routes name, changed as the routes say.

use reqwest::redirect::Policy;
use ringway_test_support::{Bootstrap, HyperOrigin, Origin, Proxy, RawClient, curl, skip};

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().redirect(Policy::none()).build().unwrap()
}

#[tokio::test]
async fn a_client_and_an_origin_of_other_makes() {
    let origin = HyperOrigin::start("hyper");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let url = format!("http://{}/echo?q=1", proxy.listener("main"));
    let response = client().post(url).body("hello").send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["x-origin"], "hyper");
    assert_eq!(response.headers()["x-seen"], "POST /echo?q=1");
    assert_eq!(response.headers()["server"], "envoy");
    assert_eq!(response.text().await.unwrap(), "hello");
}

#[test]
fn curl_as_the_client() {
    let origin = HyperOrigin::start("hyper");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let url = format!("http://{}/bytes/100000", proxy.listener("main"));
    let Some(got) =
        curl(&["--write-out", "%{http_code} %{size_download}", "-o", "/dev/null", &url])
    else {
        return skip("there is no curl");
    };
    assert_eq!((got.code, got.out.as_str()), (0, "200 100000"), "{}", got.err);
}

#[test]
fn hosts_and_paths_choose_the_cluster() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let hosts = "
- name: api
  domains: [api.example.com]
  routes:
  - { match: { prefix: /v2/ }, route: { cluster: b, prefix_rewrite: / } }
  - { match: { prefix: / }, route: { cluster: a } }
- name: rest
  domains: ['*']
  routes:
  - { match: { path: /moved }, redirect: { path_redirect: /here } }
  - { match: { path: /hello }, direct_response: { status: 200, body: { inline_string: hi } } }
";
    let bootstrap = Bootstrap::new().virtual_hosts("main", hosts);
    let bootstrap = bootstrap.cluster("a", &[a.address()]).cluster("b", &[b.address()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));

    let response = client.ask("GET /v1/x HTTP/1.1\r\nhost: api.example.com\r\n\r\n");
    assert_eq!(response.head.get("x-origin"), Some("a"));
    let response = client.ask("GET /v2/x?y HTTP/1.1\r\nhost: api.example.com\r\n\r\n");
    assert_eq!(response.head.get("x-origin"), Some("b"));
    assert!(response.text().starts_with("GET /x?y HTTP/1.1\n"), "{}", response.text());
    assert!(response.text().contains("x-envoy-original-path: /v2/x?y\n"), "{}", response.text());

    let moved = client.get("/moved");
    assert_eq!((moved.status(), moved.head.get("location")), (301, Some("http://test/here")));
    let direct = client.get("/hello");
    assert_eq!((direct.status(), direct.text()), (200, "hi".to_owned()));
    assert_eq!(client.get("/nothing").status(), 404);
    assert_eq!(a.requests().len() + b.requests().len(), 2);
}

#[test]
fn weights_share_the_requests() {
    let (a, b) = (Origin::named("a"), Origin::named("b"));
    let clusters = "[{ name: a, weight: 3 }, { name: b, weight: 1 }]";
    let routes = format!(
        "- match: {{ prefix: / }}\n  route: {{ weighted_clusters: {{ clusters: {clusters} }} }}\n"
    );
    let bootstrap = Bootstrap::new().routes("main", &routes);
    let bootstrap = bootstrap.cluster("a", &[a.address()]).cluster("b", &[b.address()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    for _ in 0..1000 {
        assert_eq!(client.get("/").status(), 200);
    }
    // 750 are due; 5 standard deviations are 68.
    let share = a.requests().len();
    assert!((680..=820).contains(&share), "{share} of 1000 went to the cluster of weight 3 of 4");
    assert_eq!(share + b.requests().len(), 1000);
}

#[test]
fn headers_are_added_and_removed_on_both_ways() {
    let origin = Origin::named("a");
    let routes = "
- match: { prefix: / }
  route: { cluster: a }
  request_headers_to_add: [{ header: { key: x-from, value: '%REQ(:method)% %REQ(:authority)%' } }]
  request_headers_to_remove: [user-agent]
  response_headers_to_add: [{ header: { key: x-code, value: '%RESPONSE_CODE%' } }]
  response_headers_to_remove: [x-origin]
";
    let bootstrap = Bootstrap::new().routes("main", routes).cluster("a", &[origin.address()]);
    let proxy = Proxy::start(bootstrap.to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    let response = client.ask("GET /status/201 HTTP/1.1\r\nhost: a\r\nuser-agent: me\r\n\r\n");
    assert_eq!(response.head.get("x-code"), Some("201"));
    assert_eq!(response.head.get("x-origin"), None);
    let head = &origin.wait_for(1)[0].message.head;
    assert_eq!((head.get("x-from"), head.get("user-agent")), (Some("GET a"), None));
}

#[test]
fn the_head_sent_upstream_is_exactly_this() {
    let origin = Origin::named("a");
    let proxy = Proxy::start(Bootstrap::proxying_to(origin.address()).to_yaml());
    let mut client = RawClient::connect(proxy.listener("main"));
    client.ask(
        "GET /a?b HTTP/1.1\r\nX-First: 1\r\nHost: Example.org:80\r\nConnection: keep-alive, X-Hop\r\n\
         X-Hop: 1\r\nKeep-Alive: 5\r\nTE: gzip, trailers\r\nx-last: 2\r\n\r\n",
    );
    let head = &origin.wait_for(1)[0].message.head;
    assert_eq!(head.start, "GET /a?b HTTP/1.1");
    let names: Vec<&str> = head.fields.iter().map(|(name, _)| name.as_str()).collect();
    let expected = [
        "host",
        "x-first",
        "te",
        "x-last",
        "x-forwarded-proto",
        "x-request-id",
        "x-envoy-expected-rq-timeout-ms",
    ];
    assert_eq!(names, expected);
    assert_eq!(head.get("host"), Some("Example.org:80"));
    assert_eq!(head.get("te"), Some("trailers"));
    assert_eq!(head.get("x-forwarded-proto"), Some("http"));
}
