//! Envoy's configuration, read.

#![forbid(unsafe_code)]

mod decode;
mod descriptors;
mod error;
mod findings;
mod path;
pub mod print;
mod source;
mod validate;

pub use error::{ConfigError, ErrorKind};
pub use source::{Format, Source};
