//! What the proxy does, as conversations with the real binary: one file for each matter.
//!
//! `RINGWAY_E2E_SUBJECT=envoy` runs the same conversations with the real Envoy, which shows that an
//! expectation is the reference's behaviour and not a habit of Ringway. The few tests of what only
//! Ringway has say so and are skipped then.
#![forbid(unsafe_code)]

mod access_log;
mod activation;
mod admin;
mod alone;
mod backlogs;
mod balancing;
mod bodies;
mod certificates;
mod chain_matcher;
mod clients;
mod command_line;
mod configuration_errors;
mod connection_limits;
mod debug_log;
mod demo;
mod drivers;
mod dynamic_forward_proxy;
mod examples;
mod failures;
mod filter_chains;
mod grpc;
mod hashing;
mod hostile_clients;
mod http2;
mod interim_responses;
mod internal_listeners;
mod keep_alive;
mod leaks;
mod limits;
mod listener_addresses;
mod listener_filters;
mod listeners;
mod local_replies;
mod local_reply_config;
mod network_filters;
mod network_rbac;
mod original_dst;
mod original_src;
mod overload;
mod proxy_headers;
mod reload;
mod routing;
mod shutdown;
mod slow_bytes;
mod smuggling;
mod tcp_proxy;
mod tcp_tls;
mod tcp_tunnels;
mod timeouts;
mod tls;
mod tls_options;
mod udp_proxy;
mod udp_tunnels;

use ringway_test_support::{Make, skip};

/// Whether the program under test is Ringway; otherwise says why the test is skipped.
fn only_ringway(what: &str) -> bool {
    let ringway = Make::subject() == Make::Ringway;
    if !ringway {
        skip(&format!("{what}: Envoy has no such thing"));
    }
    ringway
}
