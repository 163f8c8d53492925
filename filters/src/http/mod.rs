//! HTTP filters.

mod header_mutation;
#[cfg(test)]
mod rig;

use ringway_model::filter::HttpFilterFactory;

/// The factories of all HTTP filters of this build, beside the router.
pub fn all() -> Vec<Box<dyn HttpFilterFactory>> {
    vec![Box::new(header_mutation::Factory)]
}
