//! The host guide as rules: what a Linux host should be set to so that Ringway can carry a load,
//! and `ringway doctor`, which compares a host with it.
//!
//! This crate owns the snapshot of a host ([`Host`]), the rules, the report and the application of
//! kernel settings. It does not read Ringway's configuration: the binary does, and passes what
//! matters here as [`ConfigFacts`]. The texts beside it (`README.md`, `99-ringway.conf`, the
//! systemd unit and the rest) are the same advice for people and machines that run no doctor.
//!
//! Everything is read below an injectable root directory, so that tests run the rules against
//! stored hosts.

#![forbid(unsafe_code)]

pub mod doctor;
mod facts;
mod finding;
mod fix;
mod host;
mod report;
mod rules;
mod size;

pub use doctor::DoctorArgs;
pub use facts::{ConfigFacts, ListenerFacts};
pub use finding::{Finding, Severity, SysctlChange};
pub use host::{Counters, Cpus, Host, Nic, Offload, Offloads, Process};
pub use rules::examine;
pub use size::Size;
