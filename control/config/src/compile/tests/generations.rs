//! What one generation takes over from the one before.

use ringway_model::cluster::Cluster;
use ringway_model::listener::Listener;

use super::*;

const TO_A: &str = "{match: {prefix: /}, route: {cluster: a}}";

fn cluster_of<'a>(draft: &'a Draft, name: &str) -> &'a Arc<Cluster> {
    let id = draft.snapshot.cluster_ids[name];
    draft.snapshot.cluster(id).unwrap()
}

fn listener_at(draft: &Draft, index: usize) -> &Arc<Listener> {
    &draft.snapshot.listeners[index]
}

#[test]
fn the_same_text_gives_the_same_resources() {
    let yaml = bootstrap(
        &[listener("l", "", TO_A)],
        &[cluster("a", "metadata: {filter_metadata: {x: {a: 1, b: 2, c: 3}}}", &["127.0.0.1:1"])],
    );
    let mut compiler = compiler();
    let (one, two) = (compiler.draft(&yaml), compiler.draft(&yaml));
    assert!(Arc::ptr_eq(listener_at(&one, 0), listener_at(&two, 0)));
    assert!(Arc::ptr_eq(cluster_of(&one, "a"), cluster_of(&two, "a")));
    assert!(Arc::ptr_eq(&one.snapshot.cluster_ids, &two.snapshot.cluster_ids));
}

#[test]
fn other_endpoints_leave_the_policy_and_the_endpoints_that_stay() {
    let mut compiler = compiler();
    let mut with = |endpoints: &[&str]| {
        compiler.draft(&bootstrap(&[], &[cluster("a", "", endpoints), cluster("b", "", &[])]))
    };
    let one = with(&["127.0.0.1:1", "127.0.0.1:2"]);
    let two = with(&["127.0.0.1:3", "127.0.0.1:2"]);
    let (before, after) = (cluster_of(&one, "a"), cluster_of(&two, "a"));
    assert!(!Arc::ptr_eq(before, after) && Arc::ptr_eq(&before.policy, &after.policy));
    assert!(Arc::ptr_eq(&before.endpoints[1], &after.endpoints[1]));
    assert_eq!(&*after.endpoints[0].address_text, "127.0.0.1:3");
    assert!(Arc::ptr_eq(cluster_of(&one, "b"), cluster_of(&two, "b")));
}

#[test]
fn another_policy_leaves_the_circuit_breakers_in_use() {
    let mut compiler = compiler();
    let mut with = |max: u32| {
        let breakers = format!("circuit_breakers: {{thresholds: [{{max_requests: {max}}}]}}");
        compiler.draft(&bootstrap(&[], &[cluster("a", &breakers, &[])]))
    };
    let (one, two) = (with(5), with(6));
    let (before, after) = (cluster_of(&one, "a"), cluster_of(&two, "a"));
    assert!(!Arc::ptr_eq(&before.policy, &after.policy));
    let limit = &before.policy.limits[0].requests;
    assert!(Arc::ptr_eq(limit, &after.policy.limits[0].requests));
    assert_eq!(limit.max(), 6);
}

#[test]
fn numbers_of_clusters_outlive_them() {
    let mut compiler = compiler();
    let both = bootstrap(&[], &[cluster("a", "", &[]), cluster("b", "", &[])]);
    let one = compiler.draft(&both);
    let two = compiler.draft(&bootstrap(&[], &[cluster("b", "", &[])]));
    assert!(two.snapshot.cluster(one.snapshot.cluster_ids["a"]).is_none());
    assert!(Arc::ptr_eq(cluster_of(&one, "b"), cluster_of(&two, "b")));
    let three = compiler.draft(&both);
    assert_eq!(one.snapshot.cluster_ids, three.snapshot.cluster_ids);
    // Nobody holds the old policy but `one`: its limits are the same ones again.
    let limits = |draft: &Draft| Arc::clone(&cluster_of(draft, "a").policy.limits[0].requests);
    assert!(Arc::ptr_eq(&limits(&one), &limits(&three)));
}

#[test]
fn other_routes_leave_the_sockets_and_the_other_listeners() {
    let mut compiler = compiler();
    let mut with = |routes: &str| {
        let listeners = [listener("l", "", routes), listener("m", "", TO_A)];
        compiler.draft(&bootstrap(&listeners, &[cluster("a", "", &[])]))
    };
    let one = with(TO_A);
    let two = with("{match: {prefix: /}, direct_response: {status: 200}}");
    let (before, after) = (listener_at(&one, 0), listener_at(&two, 0));
    assert!(!Arc::ptr_eq(before, after) && Arc::ptr_eq(&before.sockets, &after.sockets));
    assert!(Arc::ptr_eq(listener_at(&one, 1), listener_at(&two, 1)));
}

#[test]
fn one_changed_chain_leaves_the_others() {
    let mut compiler = compiler();
    let mut with = |routes: &str| {
        let (fixed, changed) = (filter("", TO_A), filter("", routes));
        let fields = format!(
            "filter_chains: [{{filter_chain_match: {{destination_port: 1}}, filters: [{fixed}]}}], \
             default_filter_chain: {{filters: [{changed}]}}"
        );
        compiler.draft(&bootstrap(&[listener_of("l", &fields)], &[cluster("a", "", &[])]))
    };
    let one = with(TO_A);
    let two = with("{match: {prefix: /}, direct_response: {status: 200}}");
    let (before, after) = (listener_at(&one, 0), listener_at(&two, 0));
    assert!(Arc::ptr_eq(&before.chains[0], &after.chains[0]));
    assert!(!Arc::ptr_eq(&before.chains[1], &after.chains[1]));
}

#[test]
fn another_backlog_asks_for_other_sockets() {
    let mut compiler = compiler();
    let mut with = |backlog: u32| {
        let chain = format!("default_filter_chain: {{filters: [{}]}}", filter("", ""));
        let fields = format!("tcp_backlog_size: {backlog}, {chain}");
        compiler.draft(&bootstrap(&[listener_of("l", &fields)], &[]))
    };
    let (one, two) = (with(10), with(20));
    let (before, after) = (listener_at(&one, 0), listener_at(&two, 0));
    assert!(!Arc::ptr_eq(&before.sockets, &after.sockets));
    assert!(Arc::ptr_eq(&before.chains[0], &after.chains[0]));
}

#[test]
fn a_file_that_changed_is_read_again() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("body");
    let routes = format!(
        "{{match: {{prefix: /}}, direct_response: {{status: 200, body: {{filename: '{}'}}}}}}",
        file.display()
    );
    let yaml = bootstrap(&[listener("l", "", &routes)], &[]);
    let mut compiler = compiler();
    std::fs::write(&file, "one").unwrap();
    let one = compiler.draft(&yaml);
    std::fs::write(&file, "two").unwrap();
    let two = compiler.draft(&yaml);
    assert!(format!("{:?}", manager(&two).routes).contains(&format!("{:?}", b"two")));
    assert!(Arc::ptr_eq(&listener_at(&one, 0).sockets, &listener_at(&two, 0).sockets));
}

#[test]
fn a_cluster_that_went_is_missed_by_a_listener_that_did_not_change() {
    let mut compiler = compiler();
    let listeners = [listener("l", "", TO_A)];
    let one = compiler.draft(&bootstrap(&listeners, &[cluster("a", "", &[])]));
    let errors = compiler.errors(&bootstrap(&listeners, &[]));
    assert!(errors.contains("route: unknown cluster 'a'"), "{errors}");
    // The generation before is still the one that the next is compared with.
    let three = compiler.draft(&bootstrap(&listeners, &[cluster("a", "", &[])]));
    assert!(Arc::ptr_eq(listener_at(&one, 0), listener_at(&three, 0)));
    assert!(Arc::ptr_eq(cluster_of(&one, "a"), cluster_of(&three, "a")));
}

#[test]
fn a_refused_generation_leaves_the_limits_as_they_were() {
    let mut compiler = compiler();
    let with = |max: u32, more: &[String]| {
        let breakers = format!("circuit_breakers: {{thresholds: [{{max_requests: {max}}}]}}");
        bootstrap(more, &[cluster("a", &breakers, &[])])
    };
    let one = compiler.draft(&with(5, &[]));
    let nowhere = "{match: {prefix: /}, route: {cluster: nowhere}}";
    assert!(!compiler.errors(&with(1, &[listener("l", "", nowhere)])).is_empty());
    assert_eq!(cluster_of(&one, "a").policy.limits[0].requests.max(), 5);
}

fn answers(cluster: &str, host: &str, ips: &[&str]) -> ResolvedEndpoints {
    let mut answers = ResolvedEndpoints::new();
    answers.insert(cluster, host, ips.iter().map(|ip| ip.parse().unwrap()).collect());
    answers
}

fn texts(cluster: &Cluster) -> Vec<&str> {
    cluster.endpoints.iter().map(|endpoint| &*endpoint.address_text).collect()
}

#[test]
fn names_are_listed_and_their_answers_become_endpoints() {
    let fields = "type: STRICT_DNS, dns_lookup_family: V4_ONLY, dns_refresh_rate: 3s, \
                  dns_failure_refresh_rate: {base_interval: 2s}";
    let endpoints = ["a.test:80", "192.0.2.9:80", "a.test:81"];
    let yaml = bootstrap(&[], &[cluster("c", fields, &endpoints)]);
    let mut compiler = compiler();
    let first = compiler.draft(&yaml);
    assert_eq!(texts(cluster_of(&first, "c")), ["192.0.2.9:80"]);
    let [target] = &first.dns[..] else { panic!("{:?}", first.dns) };
    assert_eq!((&*target.cluster, &target.hosts[..]), ("c", &["a.test".to_owned()][..]));
    assert_eq!(target.family, LookupFamily::V4Only);
    let seconds = std::time::Duration::from_secs;
    assert_eq!(target.refresh.interval, seconds(3));
    assert_eq!(target.refresh.failure, Some((seconds(2), seconds(20))));

    let found = answers("c", "a.test", &["192.0.2.1", "192.0.2.9"]);
    let next = compiler.with_endpoints("c", found.of("c").unwrap()).unwrap();
    let resolved = next.clusters[0].as_ref().unwrap();
    // 192.0.2.9:80 is one endpoint, whoever leads to it first.
    let expected = ["192.0.2.1:80", "192.0.2.9:80", "192.0.2.1:81", "192.0.2.9:81"];
    assert_eq!(texts(resolved), expected);
    assert_eq!(&*resolved.endpoints[0].hostname, "a.test");
    assert!(Arc::ptr_eq(&resolved.policy, &cluster_of(&first, "c").policy));
    assert!(compiler.with_endpoints("c", found.of("c").unwrap()).is_none());
    assert!(compiler.with_endpoints("other", found.of("c").unwrap()).is_none());

    let again = compiler.with_answers(&yaml, &found);
    assert!(Arc::ptr_eq(cluster_of(&again, "c"), resolved));
}
