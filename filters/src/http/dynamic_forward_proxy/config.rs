//! From the protobuf message to the filter.

use std::sync::Arc;

use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3::filter_config::ImplementationSpecifier;
use prost::Message;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory, Process};

use super::filter::Filter;

/// Makes the filters.
pub(crate) struct Factory;

impl HttpFilterFactory for Factory {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig"
    }

    fn compile(&self, _: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        Err(vec![error("dns_cache_config", "there is no cache of names here")])
    }

    fn compile_within(
        &self,
        config: &[u8],
        process: &dyn Process,
    ) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        let config = FilterConfig::decode(config).map_err(|why| vec![error("", why)])?;
        let Some(ImplementationSpecifier::DnsCacheConfig(cache)) = config.implementation_specifier
        else {
            return Err(vec![error("", "not supported yet: without dns_cache_config")]);
        };
        // What is wrong with it was reported already.
        let cache = process.name_cache("dns_cache_config", &cache.encode_to_vec());
        Ok(Arc::new(Filter::new(cache.ok_or_else(Vec::new)?)))
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[(
            "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
            &["dns_cache_config"],
        )]
    }
}

fn error(path: &str, message: impl ToString) -> FieldError {
    FieldError { path: path.to_owned(), message: message.to_string() }
}
