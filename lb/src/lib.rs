//! Pure load balancing: which endpoint of a cluster takes the next request.
//!
//! This crate owns the maths: priorities with overprovisioning and panic, localities, the
//! schedules of round robin and least request, the tables of consistent hashing, and the admission
//! rule of circuit breakers. It
//! owns no clock, no random number generator, no thread and no counter of requests: randomness
//! and the number of active requests are arguments of [`Balancer::pick`], so that every choice
//! can be replayed from a seed.
//!
//! A worker holds one [`Balancer`] for each cluster of its snapshot and calls it with `&mut self`;
//! nothing here is shared between cores. A pick allocates nothing.

#![forbid(unsafe_code)]

mod balancer;
mod edf;
mod hash;
mod host;
mod level;
mod limits;
mod load;
mod policy;
mod source;
mod table;

pub use balancer::{Balancer, Settings};
pub use hash::{hash, hash_all};
pub use host::{Health, Host};
pub use limits::{RetryBudget, Thresholds};
pub use load::PriorityLoad;
pub use policy::{
    Consistent, HashFunction, LeastRequest, Maglev, Policy, RingHash, Selection, Table,
};
pub use table::{Figures, HashTables};
