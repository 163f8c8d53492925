//! HTTP filters.

mod call_stats;
mod dynamic_forward_proxy;
mod frames;
mod grpc_http1_bridge;
mod grpc_stats;
mod grpc_web;
mod header_mutation;
#[cfg(test)]
mod rig;

use ringway_model::filter::HttpFilterFactory;

/// The factories of all HTTP filters of this build, beside the router.
pub fn all() -> Vec<Box<dyn HttpFilterFactory>> {
    vec![
        Box::new(dynamic_forward_proxy::Factory),
        Box::new(grpc_http1_bridge::Factory),
        Box::new(grpc_stats::Factory),
        Box::new(grpc_web::Factory),
        Box::new(header_mutation::Factory),
    ]
}
