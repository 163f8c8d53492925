//! From the protobuf message to the filter.

use std::sync::Arc;

use envoy_types::pb::envoy::config::core::v3::GrpcMethodList;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::FilterConfig;
use envoy_types::pb::envoy::extensions::filters::http::grpc_stats::v3::filter_config::PerMethodStatSpecifier;
use prost::Message;
use ringway_model::filter::{FieldError, HttpFilter, HttpFilterFactory};

use super::filter::{Filter, Methods};

/// Makes gRPC statistics filters.
pub(crate) struct Factory;

impl HttpFilterFactory for Factory {
    fn type_url(&self) -> &'static str {
        "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig"
    }

    fn compile(&self, config: &[u8]) -> Result<Arc<dyn HttpFilter>, Vec<FieldError>> {
        let config = FilterConfig::decode(config).map_err(|error| {
            vec![FieldError { path: String::new(), message: error.to_string() }]
        })?;
        let methods = match config.per_method_stat_specifier {
            Some(PerMethodStatSpecifier::StatsForAllMethods(all)) if all.value => Methods::All,
            Some(PerMethodStatSpecifier::IndividualMethodStatsAllowlist(list)) => listed(&list),
            Some(PerMethodStatSpecifier::StatsForAllMethods(_)) | None => Methods::None,
        };
        Ok(Arc::new(Filter {
            methods,
            times: config.enable_upstream_stats,
            replace_dots: config.replace_dots_in_grpc_service_name,
        }))
    }

    fn supported(&self) -> &'static [(&'static str, &'static [&'static str])] {
        &[
            (
                "envoy.extensions.filters.http.grpc_stats.v3.FilterConfig",
                &[
                    "individual_method_stats_allowlist",
                    "stats_for_all_methods",
                    "enable_upstream_stats",
                    "replace_dots_in_grpc_service_name",
                ],
            ),
            ("envoy.config.core.v3.GrpcMethodList", &["services"]),
            ("envoy.config.core.v3.GrpcMethodList.Service", &["name", "method_names"]),
        ]
    }
}

fn listed(list: &GrpcMethodList) -> Methods {
    let services = list.services.iter();
    let services = services.map(|service| (service.name.clone(), service.method_names.clone()));
    Methods::Listed(services.collect())
}
