//! Commands with which Envoy looks into itself: mutexes, lookups of statistics, profilers, and
//! `/runtime_modify`.
//!
//! There is little to look into here, and what cannot be done is refused: nobody should wait for
//! a profile that nobody writes. The words are Envoy's, of its builds without the feature, where
//! it has such words.

use hyper::StatusCode;

use super::query::Request;
use super::reply::Reply;
use super::state::AdminState;

const RUNTIME_USAGE: &str = "usage: /runtime_modify?key1=value1&key2=value2&keyN=valueN\n\
     \x20      or send the parameters as form values\n\
     use an empty value to remove a previously added override\n";

/// `/contention`: Envoy needs `--enable-mutex-tracing` for it.
pub(crate) fn contention(_: &AdminState, _: &Request) -> Reply {
    Reply::text(
        "Mutex contention tracing is not enabled. Workers take no mutex, so there is nothing to \
         trace.\n",
    )
}

/// `/stats/recentlookups`: Envoy shows which names the request path looks up, to find code that
/// does.
pub(crate) fn recent_lookups(_: &AdminState, _: &Request) -> Reply {
    Reply::text(
        "Lookup tracking is not enabled. It is not built: names of statistics are looked up when \
         a configuration is compiled, and never for a request.\n",
    )
}

/// `/stats/recentlookups/enable`
pub(crate) fn enable_recent_lookups(_: &AdminState, _: &Request) -> Reply {
    not_built("Lookup tracking is not built\n")
}

/// `/stats/recentlookups/clear` and `/stats/recentlookups/disable`: so it is already.
pub(crate) fn no_recent_lookups(_: &AdminState, _: &Request) -> Reply {
    Reply::ok()
}

/// `/cpuprofiler`: off can be had, on cannot.
pub(crate) fn cpu_profiler(_: &AdminState, request: &Request) -> Reply {
    match switch(request) {
        None => Reply::bad_request("?enable=<y|n>\n"),
        Some(false) => Reply::ok(),
        Some(true) => {
            let process = std::process::id();
            let text = format!(
                "The current build does not support the CPU profiler: perf record -p {process}\n"
            );
            not_built(&text)
        }
    }
}

/// `/heapprofiler`
pub(crate) fn heap_profiler(_: &AdminState, _: &Request) -> Reply {
    not_built("The current build does not support heap profiler")
}

/// `/allocprofiler`
pub(crate) fn allocation_profiler(_: &AdminState, request: &Request) -> Reply {
    match switch(request) {
        None => Reply::bad_request("?enable=<y|n>\n"),
        Some(_) => not_built("The current build does not support allocation profiler"),
    }
}

/// `/heap_dump` and `/peak_heap_dump`
pub(crate) fn heap_dump(_: &AdminState, _: &Request) -> Reply {
    not_built("Heap profile is not implemented in current build")
}

/// `/memory/tcmalloc`
pub(crate) fn tcmalloc(_: &AdminState, _: &Request) -> Reply {
    not_built("The current build does not use tcmalloc: see /memory\n")
}

/// `/runtime_modify`: an admin layer may stand in a configuration, but no code reads a runtime
/// value yet, so that a value set here would be lost.
pub(crate) fn runtime_modify(state: &AdminState, request: &Request) -> Reply {
    if request.params.len() == 0 {
        return Reply::bad_request(RUNTIME_USAGE);
    }
    if state.config.borrow().has_admin_layer() {
        return not_built("Runtime values cannot be modified: that is not built yet\n");
    }
    Reply::error(StatusCode::SERVICE_UNAVAILABLE, "No admin layer specified")
}

/// `enable=y` or `enable=n`, and nothing beside it.
fn switch(request: &Request) -> Option<bool> {
    match (request.params.len(), request.params.get("enable")) {
        (1, Some("y")) => Some(true),
        (1, Some("n")) => Some(false),
        _ => None,
    }
}

fn not_built(text: &str) -> Reply {
    Reply::error(StatusCode::NOT_IMPLEMENTED, text)
}
