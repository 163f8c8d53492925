//! `envoy.filters.http.grpc_stats`: what gRPC calls come to, by cluster and by method.

mod config;
mod filter;

pub(crate) use config::Factory;

#[cfg(test)]
mod tests;
