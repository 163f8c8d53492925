//! The corpora: one file for each matter, one configuration for each test.

mod access_log;
mod bodies;
mod configurations;
mod dynamic_hosts;
mod failures;
mod fates;
mod framing;
mod grpc;
mod headers;
mod options;
mod original_dst;
mod plain;
mod refusals;
mod rewriting;
mod routing;
mod strictness;
