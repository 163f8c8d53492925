//! The corpora: one file for each matter, one configuration for each test.

mod access_log;
mod bodies;
mod configurations;
mod failures;
mod fates;
mod framing;
mod headers;
mod options;
mod plain;
mod rewriting;
mod routing;
