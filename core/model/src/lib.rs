//! The vocabulary of the house: the immutable snapshot that the control thread compiles and the
//! workers follow, and the traits of its extensions.
//!
//! Nothing here is mutated after it was published. What changes per request lives in the worker
//! (`ringway-proxy`); what is read from files and protobufs lives in `ringway-config`, and no
//! protobuf type comes in here.

#![forbid(unsafe_code)]

pub mod access_log;
pub mod address;
pub mod cluster;
pub mod dns;
pub mod filter;
pub mod format;
pub mod grpc;
pub mod http;
pub mod listener;
pub mod local_reply;
pub mod matching;
pub mod named_stats;
pub mod network;
pub mod original_dst;
pub mod overload;
pub mod proxy_header;
pub mod rbac;
pub mod route;
pub mod snapshot;
pub mod stats;
pub mod stream;
pub mod tcp;
pub mod transport;
pub mod udp;
