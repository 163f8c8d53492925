//! Commands about the server as a whole: ready, health, drain, quit, reset.

use std::time::SystemTime;

use hyper::StatusCode;
use serde_json::json;

use super::query::Request;
use super::reply::Reply;
use super::state::{AdminState, Command, ServerState};
use crate::certificates;

/// `/ready`
pub(crate) fn ready(state: &AdminState, _: &Request) -> Reply {
    let now = state.lifecycle.state();
    let text = format!("{}\n", now.name());
    match now {
        ServerState::Live => Reply::text(text),
        _ => Reply::error(StatusCode::SERVICE_UNAVAILABLE, text),
    }
}

/// `/healthcheck/fail`
pub(crate) fn fail_health_checks(state: &AdminState, _: &Request) -> Reply {
    state.lifecycle.fail_health_checks(true);
    state.order(Command::FailHealthChecks)
}

/// `/healthcheck/ok`
pub(crate) fn pass_health_checks(state: &AdminState, _: &Request) -> Reply {
    state.lifecycle.fail_health_checks(false);
    state.order(Command::PassHealthChecks)
}

/// `/quitquitquit`
pub(crate) fn quit(state: &AdminState, _: &Request) -> Reply {
    state.order(Command::Quit)
}

/// `/drain_listeners`
pub(crate) fn drain_listeners(state: &AdminState, request: &Request) -> Reply {
    state.order(Command::DrainListeners {
        graceful: request.params.has("graceful"),
        skip_exit: request.params.has("skip_exit"),
        inbound_only: request.params.has("inboundonly"),
    })
}

/// `/reopen_logs`
pub(crate) fn reopen_logs(state: &AdminState, _: &Request) -> Reply {
    state.order(Command::ReopenLogs)
}

/// `/reset_counters`
pub(crate) fn reset_counters(state: &AdminState, _: &Request) -> Reply {
    state.catalog.reset_counters();
    Reply::ok()
}

/// `/certs`
pub(crate) fn certs(state: &AdminState, _: &Request) -> Reply {
    let shown = certificates::shown(&state.snapshot.borrow(), SystemTime::now());
    Reply::pretty(&json!({"certificates": shown}))
}

/// `/runtime`: there are no runtime layers yet.
pub(crate) fn runtime(_: &AdminState, _: &Request) -> Reply {
    Reply::pretty(&json!({"entries": {}, "layers": []}))
}

/// `/init_dump`: nothing is waited for once the configuration was compiled.
pub(crate) fn init_dump(_: &AdminState, _: &Request) -> Reply {
    Reply::pretty(&json!({}))
}
