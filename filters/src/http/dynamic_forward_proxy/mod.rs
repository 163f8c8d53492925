//! `envoy.filters.http.dynamic_forward_proxy`: holds a request until the address of the host that
//! it names is known, where its cluster finds hosts by the names of requests.

mod config;
mod filter;

pub(crate) use config::Factory;

#[cfg(test)]
mod tests;
