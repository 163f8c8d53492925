//! The table of admin commands: one entry per path, from which requests are dispatched and the
//! help is written.

use std::fmt::Write;

use hyper::{Method, StatusCode};

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;
use super::{
    clusters, config_dump, diagnostics, lifecycle, listeners, logging, memory, server_info, stats,
};

/// What an operator can ask for.
struct Entry {
    path: &'static str,
    /// Changes something, so a link or a prefetch must not be able to trigger it.
    mutates: bool,
    help: &'static str,
    params: &'static [(&'static str, &'static str)],
    handle: fn(&AdminState, &Request) -> Reply,
}

const FILTER: (&str, &str) = ("filter", "Regular expression (Google re2) for filtering stats");
const INVERT: (&str, &str) = ("invert_filter", "Invert the filter regex");
const USED_ONLY: (&str, &str) =
    ("usedonly", "Only include stats that have been written by system since restart");

/// In the order of their paths, as `/help` lists them.
const COMMANDS: &[Entry] = &[
    Entry { path: "/", mutates: false, help: "Admin home page", params: &[], handle: home },
    Entry {
        path: "/allocprofiler",
        mutates: true,
        help: "enable/disable the allocation profiler (if supported)",
        params: &[("enable", "enable/disable the allocation profiler; One of (y, n)")],
        handle: diagnostics::allocation_profiler,
    },
    Entry {
        path: "/certs",
        mutates: false,
        help: "print certs on machine",
        params: &[],
        handle: lifecycle::certs,
    },
    Entry {
        path: "/clusters",
        mutates: false,
        help: "upstream cluster status",
        params: &[
            ("filter", "Regular expression (Google re2) for filtering clusters by name"),
            ("format", "File format to use; One of (text, json)"),
        ],
        handle: clusters::clusters,
    },
    Entry {
        path: "/config_dump",
        mutates: false,
        help: "dump current Envoy configs",
        params: &[
            ("resource", "The resource to dump"),
            (
                "mask",
                "The mask to apply, a comma-separated list of field paths. With a resource it is \
                 applied to each element of it",
            ),
            ("name_regex", "Dump only the configurations whose names match the regex"),
            ("include_eds", "Dump the endpoints as well"),
        ],
        handle: config_dump::config_dump,
    },
    Entry {
        path: "/contention",
        mutates: false,
        help: "dump current Envoy mutex contention stats (if enabled)",
        params: &[],
        handle: diagnostics::contention,
    },
    Entry {
        path: "/cpuprofiler",
        mutates: true,
        help: "enable/disable the CPU profiler",
        params: &[("enable", "enables the CPU profiler; One of (y, n)")],
        handle: diagnostics::cpu_profiler,
    },
    Entry {
        path: "/drain_listeners",
        mutates: true,
        help: "drain listeners",
        params: &[
            ("graceful", "Drain connections for the drain time before the listeners are closed"),
            ("skip_exit", "Drain connections but never close the listeners"),
            ("inboundonly", "Drain only listeners whose traffic_direction is INBOUND"),
        ],
        handle: lifecycle::drain_listeners,
    },
    Entry {
        path: "/healthcheck/fail",
        mutates: true,
        help: "cause the server to fail health checks",
        params: &[],
        handle: lifecycle::fail_health_checks,
    },
    Entry {
        path: "/healthcheck/ok",
        mutates: true,
        help: "cause the server to pass health checks",
        params: &[],
        handle: lifecycle::pass_health_checks,
    },
    Entry {
        path: "/heap_dump",
        mutates: false,
        help: "dump current Envoy heap (if supported)",
        params: &[],
        handle: diagnostics::heap_dump,
    },
    Entry {
        path: "/heapprofiler",
        mutates: true,
        help: "enable/disable the heap profiler",
        params: &[("enable", "enable/disable the heap profiler; One of (y, n)")],
        handle: diagnostics::heap_profiler,
    },
    Entry {
        path: "/help",
        mutates: false,
        help: "print out list of admin commands",
        params: &[],
        handle: help,
    },
    Entry {
        path: "/hot_restart_version",
        mutates: false,
        help: "print the hot restart compatibility version",
        params: &[],
        handle: server_info::hot_restart_version,
    },
    Entry {
        path: "/init_dump",
        mutates: false,
        help: "dump current Envoy init manager information (experimental)",
        params: &[("mask", "The component whose unready targets are wanted, e.g. listener")],
        handle: lifecycle::init_dump,
    },
    Entry {
        path: "/listeners",
        mutates: false,
        help: "print listener info",
        params: &[("format", "File format to use; One of (text, json)")],
        handle: listeners::listeners,
    },
    Entry {
        path: "/logging",
        mutates: true,
        help: "query/change logging levels",
        params: &[
            ("paths", "Change multiple logging levels: <logger1>:<level1>,<logger2>:<level2>"),
            (
                "level",
                "desired logging level, this will change all loggers's level; One of (, trace, \
                 debug, info, warning, error, critical, off)",
            ),
        ],
        handle: logging::logging,
    },
    Entry {
        path: "/memory",
        mutates: false,
        help: "print current allocation/heap usage",
        params: &[],
        handle: memory::memory,
    },
    Entry {
        path: "/memory/tcmalloc",
        mutates: false,
        help: "print TCMalloc stats",
        params: &[],
        handle: diagnostics::tcmalloc,
    },
    Entry {
        path: "/peak_heap_dump",
        mutates: false,
        help: "dump peak Envoy heap (if supported)",
        params: &[],
        handle: diagnostics::heap_dump,
    },
    Entry {
        path: "/quitquitquit",
        mutates: true,
        help: "exit the server",
        params: &[],
        handle: lifecycle::quit,
    },
    Entry {
        path: "/ready",
        mutates: false,
        help: "print server state, return 200 if LIVE, otherwise return 503",
        params: &[],
        handle: lifecycle::ready,
    },
    Entry {
        path: "/reopen_logs",
        mutates: true,
        help: "reopen access logs",
        params: &[],
        handle: lifecycle::reopen_logs,
    },
    Entry {
        path: "/reset_counters",
        mutates: true,
        help: "reset all counters to zero",
        params: &[],
        handle: lifecycle::reset_counters,
    },
    Entry {
        path: "/runtime",
        mutates: false,
        help: "print runtime values",
        params: &[],
        handle: lifecycle::runtime,
    },
    Entry {
        path: "/runtime_modify",
        mutates: true,
        help: "Adds or modifies runtime values as passed in query parameters. To delete a \
               previously added key, use an empty string as the value. E.g. \
               ?key1=value1&key2=value2...",
        params: &[],
        handle: diagnostics::runtime_modify,
    },
    Entry {
        path: "/server_info",
        mutates: false,
        help: "print server version/status information",
        params: &[],
        handle: server_info::server_info,
    },
    Entry {
        path: "/stats",
        mutates: false,
        help: "print server stats",
        params: &[
            USED_ONLY,
            FILTER,
            INVERT,
            ("format", "Format to use; One of (html, active-html, text, json, prometheus)"),
            (
                "type",
                "Stat types to include.; One of (All, Counters, Histograms, Gauges, TextReadouts)",
            ),
            (
                "histogram_buckets",
                "Histogram bucket display mode; One of (cumulative, disjoint, detailed, summary)",
            ),
        ],
        handle: stats::stats,
    },
    Entry {
        path: "/stats/prometheus",
        mutates: false,
        help: "print server stats in prometheus format",
        params: &[
            USED_ONLY,
            (
                "text_readouts",
                "Render text_readouts as new gaugues with value 0 (increases Prometheus data size)",
            ),
            FILTER,
            INVERT,
            ("histogram_buckets", "Histogram bucket display mode; One of (cumulative, summary)"),
        ],
        handle: stats::prometheus,
    },
    Entry {
        path: "/stats/recentlookups",
        mutates: false,
        help: "Show recent stat-name lookups",
        params: &[],
        handle: diagnostics::recent_lookups,
    },
    Entry {
        path: "/stats/recentlookups/clear",
        mutates: true,
        help: "clear list of stat-name lookups and counter",
        params: &[],
        handle: diagnostics::no_recent_lookups,
    },
    Entry {
        path: "/stats/recentlookups/disable",
        mutates: true,
        help: "disable recording of reset stat-name lookup names",
        params: &[],
        handle: diagnostics::no_recent_lookups,
    },
    Entry {
        path: "/stats/recentlookups/enable",
        mutates: true,
        help: "enable recording of reset stat-name lookup names",
        params: &[],
        handle: diagnostics::enable_recent_lookups,
    },
];

/// Answers a request.
pub(crate) fn dispatch(state: &AdminState, request: &Request) -> Reply {
    let Some(entry) = COMMANDS.iter().find(|entry| entry.path == request.path) else {
        let text = format!("invalid path. {}", help_text());
        return Reply::error(StatusCode::NOT_FOUND, text);
    };
    if entry.mutates && request.method != Method::POST {
        let text = format!("Method {} not allowed, POST required.", request.method);
        return Reply::error(StatusCode::METHOD_NOT_ALLOWED, text);
    }
    (entry.handle)(state, request)
}

fn help(_: &AdminState, _: &Request) -> Reply {
    Reply::text(help_text())
}

fn help_text() -> String {
    let mut text = String::from("admin commands are:\n");
    for entry in COMMANDS {
        let post = if entry.mutates { " (POST)" } else { "" };
        // Writing to a string cannot fail.
        let _ = writeln!(text, "  {}{post}: {}", entry.path, entry.help);
        for (name, help) in entry.params {
            let _ = writeln!(text, "      {name}: {help}");
        }
    }
    text
}

fn home(_: &AdminState, _: &Request) -> Reply {
    let mut page = String::from(
        "<!DOCTYPE html>\n<html lang='en'>\n<head>\n<title>Ringway admin</title>\n</head>\n\
         <body>\n<table>\n<tr><th>Command</th><th>Description</th></tr>\n",
    );
    for entry in COMMANDS {
        page.push_str(&home_row(entry));
    }
    page.push_str("</table>\n</body>\n</html>\n");
    Reply::html(page)
}

/// A link, or a button where a link would be a GET that the command refuses.
fn home_row(entry: &Entry) -> String {
    let (path, help) = (entry.path, escape(entry.help));
    let action = if entry.mutates {
        format!("<form action='{path}' method='post'><button>{path}</button></form>")
    } else {
        format!("<a href='{path}'>{path}</a>")
    };
    format!("<tr><td>{action}</td><td>{help}</td></tr>\n")
}

/// Text for HTML: a statistic's name may come from a request.
pub(crate) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_listed_in_order_and_once() {
        assert!(COMMANDS.is_sorted_by(|a, b| a.path < b.path));
    }

    #[test]
    fn names_cannot_break_out_of_a_page() {
        assert_eq!(escape("<script>&"), "&lt;script&gt;&amp;");
    }
}
