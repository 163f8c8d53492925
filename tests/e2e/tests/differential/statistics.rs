//! The names of the statistics after a handful of requests: Envoy's, but for those whose absence or
//! presence has a reason below. Values are compared by the corpora that log.

use std::collections::BTreeSet;
use std::fmt::Write;
use std::thread;

use ringway_test_support::{Bootstrap, Make, Origin, Proxy, RawClient, Reply, envoy, skip};

/// Names that only one of the two programs shows; `*` stands for any text.
struct Known {
    shown_by: Make,
    names: &'static [&'static str],
    reason: &'static str,
}

const KNOWN: &[Known] = &[
    Known {
        shown_by: Make::Ringway,
        names: &["access_log.bytes_dropped"],
        reason: "Envoy's workers wait for a log that is full; Ringway's drop and count.",
    },
    Known {
        shown_by: Make::Ringway,
        names: &["http2.*", "cluster.origin.http2.*"],
        reason: "Named with the configuration; Envoy names them with the first connection.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http1.*", "cluster.origin.http1.*"],
        reason: "What the codec drops or refuses is not counted apart from other protocol errors.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http.admin.*", "listener.admin.*"],
        reason: "The admin server speaks plain HTTP/1 and has none of the limits of a connection \
                 manager; it counts connections, requests and answers.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["cluster.origin.upstream_rq_retry*", "cluster.origin.upstream_rq_per_try*"],
        reason: "There are no retries yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["cluster.origin.retry_or_shadow_abandoned"],
        reason: "There are no retries and no mirrored requests yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &[
            "cluster.origin.assignment_*",
            "cluster.origin.update_empty",
            "cluster_manager.*merge*",
        ],
        reason: "There is no discovery of endpoints but by configuration and DNS, and nothing is \
                 merged.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["listener.127.0.0.1_0.*extension_config_missing"],
        reason: "There is no discovery of extensions.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["cluster.origin.lb_*", "cluster.origin.default.total_match_count"],
        reason: "There are no subsets and no zone-aware routing yet, and of the transport sockets \
                 nothing is counted where there is one.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["cluster.origin.upstream_cx_pool_overflow"],
        reason: "`max_connection_pools` is refused: a worker has one pool per endpoint.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["cluster.origin.upstream_cx_preconnect_skipped"],
        reason: "`preconnect_policy` is refused yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["*.upstream_*http3*", "*.upstream_*0*rtt", "http.main.downstream_*_http3_*"],
        reason: "There is no HTTP/3 yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["*_bytes_buffered"],
        reason: "What waits in a connection is bounded and not counted: it would cost two stores \
                 for each piece of a body.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["*internal_redirect*", "http.main.rq_redirect"],
        reason: "`internal_redirect_policy` is refused yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http.async-client.*"],
        reason: "Nothing calls out from the control side.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http.main.tracing.*"],
        reason: "There is no tracing yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["envoy.overload_actions.*", "overload.*", "*overload_*", "*_overloaded"],
        reason: "There is no overload manager yet.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http.main.downstream_rq_too_large"],
        reason: "No filter buffers bodies, so none can be too large for it.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &[
            "http.main.downstream_rq_rejected_via_ip_detection",
            "http.main.downstream_rq_too_many_premature_resets",
            "http.main.downstream_cx_http1_soft_drain",
            "cluster.origin.upstream_rq_maintenance_mode",
            "cluster.origin.upstream_rq_rx_reset_no_error",
        ],
        reason: "What these would count does not exist: extensions that detect addresses, the \
                 runtime keys of premature resets and of maintenance mode, and Envoy's soft drain.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["http.main.downstream_cx_destroy_local_active_rq"],
        reason: "A connection that Ringway ends by itself has no request under way any more.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["*.connections_accepted_per_socket_event"],
        reason: "The kernel hands connections over one by one.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &[
            "listener_manager.listener_create_failure",
            "listener_manager.listener_stopped",
            "listener_manager.total_*_draining",
        ],
        reason: "Sockets are bound before anything is published, so workers cannot fail; and the \
                 control side does not follow the last connections of a listener that is gone.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &["listener_manager.workers_pinned"],
        reason: "Workers are pinned wherever the host lets them; the log says so.",
    },
    Known { shown_by: Make::Envoy, names: &["*watchdog_*"], reason: "There is no watchdog." },
    Known { shown_by: Make::Envoy, names: &["runtime.*"], reason: "There is no runtime layer." },
    Known {
        shown_by: Make::Envoy,
        names: &["server.*_unknown_fields", "server.wip_protos"],
        reason: "Unknown fields are errors.",
    },
    Known {
        shown_by: Make::Envoy,
        names: &[
            "server.debug_assertion_failures",
            "server.envoy_bug_failures",
            "server.envoy_notifications",
            "server.dropped_stat_flushes",
            "server.stats_recent_lookups",
        ],
        reason: "They tell of the inside of Envoy.",
    },
];

#[test]
fn the_names_are_envoys() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    if Make::subject() == Make::Envoy {
        return skip("Envoy has the names of Envoy");
    }
    let (theirs, ours) = thread::scope(|scope| {
        let theirs = scope.spawn(|| Shown::by(Make::Envoy));
        (theirs.join().expect("the reference's side does not panic"), Shown::by(Make::Ringway))
    });
    let mut report = String::new();
    let mut met = vec![BTreeSet::new(); KNOWN.len()];
    for (make, only) in [
        (Make::Envoy, theirs.names.difference(&ours.names)),
        (Make::Ringway, ours.names.difference(&theirs.names)),
    ] {
        for name in only {
            if !is_known(make, name, &mut met) {
                let _ = writeln!(report, "only {make:?} shows {name}");
            }
        }
    }
    for (known, met) in KNOWN.iter().zip(&met) {
        for pattern in known.names.iter().filter(|pattern| !met.contains(*pattern)) {
            let _ = writeln!(report, "no difference any more, but on record: {pattern}");
        }
    }
    assert!(report.is_empty(), "{report}");
}

/// Whether a rule speaks of a name that one program shows; notes its patterns.
fn is_known(make: Make, name: &str, met: &mut [BTreeSet<&'static str>]) -> bool {
    let mut known = false;
    for (rule, met) in KNOWN.iter().zip(met).filter(|(rule, _)| rule.shown_by == make) {
        assert!(!rule.reason.is_empty());
        for pattern in rule.names.iter().filter(|pattern| matches(pattern, name)) {
            met.insert(pattern);
            known = true;
        }
    }
    known
}

#[test]
fn prometheus_has_envoys_names_and_kinds() {
    if envoy().is_none() {
        return skip("nothing to compare with");
    }
    let (theirs, ours) = (Shown::by(Make::Envoy), Shown::by(Make::subject()));
    let extra: Vec<&String> = ours.types.difference(&theirs.types).collect();
    let known = |line: &&&String| line.contains("_http2_") || line.contains("_bytes_dropped ");
    let extra: Vec<_> = extra.iter().filter(|line| !known(line)).collect();
    assert!(extra.is_empty(), "Envoy does not show {extra:#?}");
    assert!(ours.types.len() > 100, "{} are shown", ours.types.len());
}

/// What one program shows after a handful of requests.
struct Shown {
    /// Of `/stats`; the listener's scope has the port of the configuration, 0.
    names: BTreeSet<String>,
    /// `# TYPE` lines of `/stats/prometheus`.
    types: BTreeSet<String>,
}

impl Shown {
    fn by(make: Make) -> Self {
        let origin = Origin::start(|head| match head.target() {
            "/missing" => Reply::status(404, "no"),
            _ => Reply::ok("yes"),
        });
        let proxy = Proxy::of(make, Bootstrap::proxying_to(origin.address()).to_yaml());
        let mut client = RawClient::connect(proxy.listener("main"));
        assert_eq!(client.get("/").status(), 200);
        assert_eq!(client.get("/missing").status(), 404);
        let post = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 2\r\n\r\nhi";
        assert_eq!(client.ask(post).status(), 200);
        drop(client);
        proxy.wait_stat("http.main.downstream_cx_active", |active| active == 0);
        let text = proxy.admin("/stats").text();
        let names = text.lines().filter_map(|line| line.split(": ").next());
        let prometheus = proxy.admin("/stats/prometheus").text();
        let types = prometheus.lines().filter(|line| line.starts_with("# TYPE "));
        Self {
            names: names.map(str::to_owned).collect(),
            types: types.map(str::to_owned).collect(),
        }
    }
}

/// Whether a name fits a pattern in which `*` stands for any text.
fn matches(pattern: &str, name: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return pattern == name };
    let Some(name) = name.strip_prefix(first) else { return false };
    let ends = name.char_indices().map(|(index, _)| index).chain([name.len()]);
    ends.into_iter().any(|index| matches(rest, &name[index..]))
}

#[test]
fn patterns() {
    for (pattern, name, fits) in [
        ("a.*", "a.b.c", true),
        ("a.*", "b.a.c", false),
        ("*.x_*", "a.x_y", true),
        ("*.x", "a.x_y", false),
        ("a", "a", true),
    ] {
        assert_eq!(matches(pattern, name), fits, "{pattern} {name}");
    }
}
