//! From the protobuf message to the filter.

use std::sync::Arc;

use envoy_types::pb::envoy::extensions::filters::http::dynamic_forward_proxy::v3 as proto;
use prost::Message;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory, Process, RouteConfig};
use ringway_model::route::RequestField;

use proto::filter_config::ImplementationSpecifier;
use proto::per_route_config::HostRewriteSpecifier;
use proto::{FilterConfig, PerRouteConfig};

use super::filter::{Filter, HostRewrite};

const PER_ROUTE: &str = "envoy.extensions.filters.http.dynamic_forward_proxy.v3.PerRouteConfig";

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

    fn route_type_url(&self) -> Option<&'static str> {
        Some(PER_ROUTE)
    }

    fn compile_route(&self, config: &[u8]) -> Result<RouteConfig, Vec<FieldError>> {
        let config = PerRouteConfig::decode(config).map_err(|why| vec![error("", why)])?;
        let rewrite = match config.host_rewrite_specifier {
            Some(HostRewriteSpecifier::HostRewriteLiteral(host)) if !host.is_empty() => {
                HostRewrite::Literal(host.into())
            }
            Some(HostRewriteSpecifier::HostRewriteHeader(name)) if !name.is_empty() => {
                let none = || vec![error("host_rewrite_header", "not the name of a header")];
                HostRewrite::Header(RequestField::new(&name).ok_or_else(none)?)
            }
            // As in Envoy, one that is empty says nothing.
            _ => return Ok(Arc::new(())),
        };
        Ok(Arc::new(rewrite))
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[
            (
                "envoy.extensions.filters.http.dynamic_forward_proxy.v3.FilterConfig",
                &["dns_cache_config"],
            ),
            (PER_ROUTE, &["host_rewrite_literal", "host_rewrite_header"]),
        ]
    }
}

fn error(path: &str, message: impl ToString) -> FieldError {
    FieldError { path: path.to_owned(), message: message.to_string() }
}
