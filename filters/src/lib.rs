//! Filters, one folder each: `config.rs` reads the protobuf message on the control thread,
//! `filter.rs` does the work on a worker.
//!
//! A filter knows the traits of `ringway-model` and nothing of the proxy that runs it. To add one:
//! make its folder, implement `HttpFilterFactory` in `config.rs` and `HttpFilter` in `filter.rs`,
//! and name the factory in [`http::all`].
#![forbid(unsafe_code)]

pub mod http;
