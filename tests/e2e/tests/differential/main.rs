//! Ringway and the real Envoy 1.40 on the same configuration and the same bytes.
//!
//! Each corpus is one configuration and a list of exchanges. Both programs play the whole corpus,
//! each with peers of its own, at the same time; then everything that they said is compared:
//! status, fields in order, body, what happened to the connection, and what the origins received.
//! Only what must differ by nature (times, ports, random identifiers) is masked: see `mask`.
//! Differences that are meant stand in `differences`, each with its reason.
//!
//! `RINGWAY_DIFF_PRINT=1` prints what Envoy did; `RINGWAY_E2E_SUBJECT=envoy` compares Envoy with
//! itself, which shows that the harness is steady.
#![forbid(unsafe_code)]

mod compare;
mod corpus;
mod differences;
mod exchange;
mod http2;
mod mask;
mod play;
mod statistics;
mod tls;
mod tunnels;
mod udp;
