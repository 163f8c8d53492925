//! Peers and instruments for tests of the whole proxy.
//!
//! Owns: starting a proxy (Ringway or the real Envoy) as a process, scripted origins, a raw client
//! whose parser forgives nothing, and the transcript that a failing test prints. It owns no test:
//! scenarios and comparisons live beside it. Nothing here parses with the code under test, so that
//! a mistake in Ringway's parser cannot hide itself.
//!
//! Everything blocks on plain threads with one deadline ([`PATIENCE`]); nothing sleeps to wait for
//! something that can be awaited.
#![forbid(unsafe_code)]

use std::time::Duration;

mod bootstrap;
mod certificates;
mod client;
mod curl;
mod h2;
mod hyper_origin;
mod keeper;
mod name_server;
mod origin;
mod process;
mod program;
mod proxy;
mod refuser;
mod transcript;
mod wire;

pub use bootstrap::{Bootstrap, h2_upstream, indent};
pub use certificates::Certificates;
pub use client::RawClient;
pub use curl::{Curl, curl};
pub use h2::{Frame, H2, H2Message, kind};
pub use hyper_origin::HyperOrigin;
pub use name_server::{NameServer, Says};
pub use origin::{Act, Asked, Origin, RawOrigin, Reply};
pub use process::{Process, run_to_end};
pub use program::{envoy, ringway};
pub use proxy::{Launch, Make, Proxy, StartError};
pub use refuser::Refuser;
pub use rustix::process::Signal;
pub use transcript::{Transcript, escape};
pub use wire::{Framing, Head, Message, Stream, Wire, WireError};

/// How long a test waits for something that should come at once. Generous, because it only ends a
/// test that has failed already, and because a debug build on a busy machine is slow.
pub const PATIENCE: Duration = Duration::from_secs(15);

/// Says why a test did not run, in the one form that a reader can search for.
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}
