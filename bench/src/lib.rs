//! `ringway-bench`: Ringway beside its peers, and the floor that the kernel sets.
//!
//! Owns: the peers' equal configurations (`peers`), the loads (`workload`), the comparison and
//! its reports (`compare`), the relay that parses nothing (`floor`). Does not own: the load
//! generator and the origin, which are `ringway-load`; anything of the proxy.

mod app;
pub mod cases;
mod companions;
mod compare;
mod cores;
mod counts;
pub mod floor;
mod host;
mod instructions;
mod load;
mod origin;
mod peers;
mod process;
mod programs;
mod rank;
mod statistics;
mod transport;
mod usage;
mod wire;
mod workload;

pub use app::main;
