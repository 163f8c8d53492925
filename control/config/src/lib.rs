//! Envoy's configuration, read: YAML and JSON to messages to snapshots, checked in every way that
//! does not need a worker, with all errors at once, each with its file, line and path.
//!
//! Owns the syntax, proto-JSON, the validation rules of the API, the table of what is built, and
//! the compiler from messages to snapshots. It knows no tokio and no worker; its only sockets are
//! the listening ones. Start reading at [`load`], then [`compile`].

#![forbid(unsafe_code)]

mod canonical;
pub mod compile;
mod decode;
mod descriptors;
mod error;
mod findings;
pub mod load;
mod located;
mod path;
pub mod print;
mod source;
mod support;
mod validate;

pub use error::{ConfigError, ErrorKind};
pub use load::{Loaded, Refused};
pub use located::Located;
pub use source::{Format, Source};
pub use support::{Support, parity_markdown};
