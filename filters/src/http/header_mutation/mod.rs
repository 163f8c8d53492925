//! `envoy.filters.http.header_mutation`: changes headers of requests and responses, one mutation
//! after the other.

mod config;
mod filter;

pub(crate) use config::Factory;

#[cfg(test)]
mod tests;
