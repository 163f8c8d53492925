//! `envoy.filters.http.grpc_web`: gRPC for browsers, which have neither trailers nor, in the text
//! form, binary bodies.

mod base64;
mod config;
mod filter;

pub(crate) use config::Factory;

#[cfg(test)]
mod tests;
