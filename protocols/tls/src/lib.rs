//! TLS as an engine without IO, on rustls: bytes in, plaintext out, and back.
//!
//! Owns: contexts that are built once on the control thread and shared by all workers (certificates
//! and their selection, verification of the peer, sessions and ticket keys, parameters), the engine
//! of one connection, the names of peer certificates. Does not own: sockets, files (the caller
//! reads them), deadlines beyond that of the handshake, or where a failure is counted.
#![forbid(unsafe_code)]

pub mod certificate;
mod chain;
mod client;
mod der;
mod engine;
mod error;
mod handshake;
mod hello;
mod load;
mod name;
mod notes;
mod order;
mod parameters;
mod pem;
mod reason;
mod records;
mod sealed;
mod select;
mod server;
mod signature;
mod spiffe;
mod staple;
mod ticket;
mod verify;
mod version1;

pub use certificate::Certificate;
pub use client::{ClientContext, ClientOptions, ServerNameError};
pub use engine::{Engine, Progress};
pub use error::{Counter, TlsError};
pub use handshake::{Handshake, Peer};
pub use load::{ContextError, Identity, Source};
pub use name::{NameKind, NameMatcher, Text};
pub use parameters::{Parameters, TlsVersion};
pub use pem::write_escaped_pem;
pub use sealed::{unsealed_key, unsealed_pkcs12};
pub use server::{ClientCertificates, ServerContext, ServerOptions, Sessions};
pub use spiffe::TrustBundle;
pub use staple::{Staple, StaplePolicy, Stapled};
pub use ticket::{TicketKey, TicketKeys};
pub use verify::{Validation, VerifyFailure};
