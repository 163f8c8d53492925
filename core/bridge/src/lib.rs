//! The only place where threads meet.
//!
//! Everything that one thread says to another goes through a type of this crate: the published
//! snapshot ([`published`]), bounded mailboxes ([`mailbox`]), statistics pages ([`stats`]),
//! access-log batches ([`log_ring`]), process-wide limits ([`limit`]), rates ([`rate`]) and levels
//! ([`levels`]), marks of use ([`touch`]), listening sockets ([`descriptors`]) and how connections
//! are shared out ([`balance`]). Whoever wants to know what is shared, and how stale it may be,
//! reads this crate and no other.
//!
//! It does not know what it carries: snapshots, commands and records are type parameters.

pub mod balance;
pub mod descriptors;
pub mod levels;
pub mod limit;
pub mod log_ring;
pub mod mailbox;
pub mod published;
pub mod rate;
pub mod stats;
pub mod touch;
pub mod wake;
