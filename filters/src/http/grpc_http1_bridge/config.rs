//! From the protobuf message to the filter.

use std::sync::Arc;

use envoy_types::pb::envoy::extensions::filters::http::grpc_http1_bridge::v3::Config;
use prost::Message;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory};

use super::filter::Filter;

/// Makes bridges.
pub(crate) struct Factory;

impl HttpFilterFactory for Factory {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config"
    }

    fn compile(&self, config: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        let config = Config::decode(config).map_err(|error| {
            vec![FieldError { path: String::new(), message: error.to_string() }]
        })?;
        Ok(Arc::new(Filter { ignore_query: config.ignore_query_parameters }))
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        // The framing of plain protobuf (`upgrade_protobuf_to_grpc`) is not built.
        &[(
            "envoy.extensions.filters.http.grpc_http1_bridge.v3.Config",
            &["ignore_query_parameters"],
        )]
    }
}
