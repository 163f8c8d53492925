use std::io::Read;

use ringway_bridge::stats::Total;

use super::*;
use crate::fixture::{cluster, listener, policy, snapshot};

fn total(catalog: &Catalog, name: &str) -> u64 {
    match catalog.total(name) {
        Some(Total::Counter(value) | Total::Gauge(value)) => value,
        other => panic!("{name}: {other:?}"),
    }
}

fn control(catalog: &Catalog, workers: usize) -> (Control, Vec<WorkerEnd>) {
    Control::new(catalog, catalog.new_page(), workers).expect("bells")
}

#[test]
fn every_worker_hears_of_a_generation_and_takes_the_latest() {
    let catalog = Catalog::default();
    let (mut control, workers) = control(&catalog, 2);
    control.publish(Snapshot::default());
    let second = control.publish(Snapshot { generation: 77, ..Snapshot::default() });
    assert_eq!(second.generation, 2, "the generation is given here");
    for mut worker in workers {
        assert_eq!(worker.ear.read(&mut [0; 16]).expect("rung"), 2);
        let taken = worker.snapshots.take().expect("a snapshot");
        assert!(Arc::ptr_eq(&taken, &second));
        assert!(worker.snapshots.take().is_none());
    }
    assert!(Arc::ptr_eq(&control.current(), &second));
}

#[tokio::test]
async fn a_generation_is_settled_when_the_slowest_worker_has_it() {
    let catalog = Catalog::default();
    let (mut control, workers) = control(&catalog, 2);
    control.publish(Snapshot::default());
    assert_eq!(control.adopted(), 0);
    assert_eq!(total(&catalog, "listener_manager.workers_started"), 0);
    workers[0].adopted.send(1).expect("room");
    assert!(!control.settled(1, Duration::from_millis(20)).await);
    let slow = workers[1].adopted.clone();
    let worker = std::thread::spawn(move || slow.send(1));
    assert!(control.settled(1, Duration::from_secs(30)).await);
    worker.join().expect("the thread ends").expect("room");
    assert_eq!(total(&catalog, "listener_manager.workers_started"), 1);
}

#[test]
fn changes_are_counted_as_envoy_counts_them() {
    let catalog = Catalog::default();
    let (mut control, _workers) = control(&catalog, 1);
    let (a, b) = (listener(&catalog, "a", "127.0.0.1:1"), listener(&catalog, "b", "127.0.0.1:2"));
    let (one, two) = (policy(&catalog, "one"), policy(&catalog, "two"));
    let clusters =
        [cluster(&one, "one", &["127.0.0.1:80", "127.0.0.1:81"]), cluster(&two, "two", &[])];
    control.publish(snapshot(&[a.clone(), b.clone()], &clusters));
    control.publish(snapshot(&[a.clone(), b], &clusters));
    let count = |name: &str| total(&catalog, name);
    assert_eq!(count("listener_manager.listener_added"), 2);
    assert_eq!(count("listener_manager.listener_modified"), 0);
    assert_eq!(count("cluster_manager.cluster_added"), 2);
    assert_eq!(count("cluster_manager.active_clusters"), 2);
    assert_eq!(count("cluster.one.membership_total"), 2);
    assert_eq!(count("cluster.one.membership_healthy"), 2);
    assert_eq!(count("cluster.one.membership_change"), 1);
    assert_eq!(count("cluster.two.membership_change"), 0);

    let changed = listener(&catalog, "a", "127.0.0.1:3");
    control.publish(snapshot(&[changed], &[cluster(&one, "one", &["127.0.0.1:80"])]));
    assert_eq!(count("listener_manager.listener_modified"), 1);
    assert_eq!(count("listener_manager.listener_removed"), 1);
    assert_eq!(count("listener_manager.total_listeners_active"), 1);
    assert_eq!(count("cluster_manager.cluster_updated"), 1);
    assert_eq!(count("cluster_manager.cluster_modified"), 0);
    assert_eq!(count("cluster_manager.cluster_removed"), 1);
    assert_eq!(count("cluster_manager.active_clusters"), 1);
    assert_eq!(count("cluster.one.membership_total"), 1);
    assert_eq!(count("cluster.one.membership_change"), 2);
}

#[test]
fn new_endpoints_are_a_generation_that_keeps_everything_else() {
    let catalog = Catalog::default();
    let (mut control, _workers) = control(&catalog, 1);
    let policy = policy(&catalog, "one");
    let listener = listener(&catalog, "a", "127.0.0.1:1");
    control.publish(snapshot(std::slice::from_ref(&listener), &[cluster(&policy, "one", &[])]));
    let endpoints = vec![Arc::new(crate::fixture::endpoint("127.0.0.1:80"))];
    assert!(control.replace_endpoints([("one".into(), endpoints.clone())]));
    let now = control.current();
    assert_eq!(now.generation, 2);
    assert!(Arc::ptr_eq(&now.listeners[0], &listener));
    let cluster = now.clusters[0].as_ref().expect("still there");
    assert!(Arc::ptr_eq(&cluster.policy, &policy));
    assert_eq!(cluster.endpoints, endpoints);
    assert!(!control.replace_endpoints([("one".into(), endpoints)]), "nothing changes");
    assert!(!control.replace_endpoints([("gone".into(), Vec::new())]));
    assert_eq!(control.current().generation, 2);
}
