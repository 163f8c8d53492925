//! `envoy.filters.http.grpc_http1_bridge`: gRPC for clients of HTTP/1, which read no trailers.

mod config;
mod filter;

pub(crate) use config::Factory;

#[cfg(test)]
mod tests;
