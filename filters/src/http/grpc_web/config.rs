//! From the protobuf message, which has no fields, to the filter.

use std::sync::Arc;

use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory};

use super::filter::Filter;

/// Makes gRPC-Web filters.
pub(crate) struct Factory;

impl HttpFilterFactory for Factory {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.grpc_web.v3.GrpcWeb"
    }

    fn compile(&self, _: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        Ok(Arc::new(Filter))
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[("envoy.extensions.filters.http.grpc_web.v3.GrpcWeb", &[])]
    }
}
