//! Short names for the messages that are compiled.

pub(super) use envoy_types::pb::envoy::config::accesslog::v3 as accesslog;
pub(super) use envoy_types::pb::envoy::config::bootstrap::v3 as bootstrap;
pub(super) use envoy_types::pb::envoy::config::cluster::v3 as cluster;
pub(super) use envoy_types::pb::envoy::config::core::v3 as core;
pub(super) use envoy_types::pb::envoy::config::endpoint::v3 as endpoint;
pub(super) use envoy_types::pb::envoy::config::listener::v3 as listener;
pub(super) use envoy_types::pb::envoy::config::route::v3 as route;
pub(super) use envoy_types::pb::envoy::extensions::access_loggers::file::v3 as file_log;
pub(super) use envoy_types::pb::envoy::extensions::access_loggers::stream::v3 as stream_log;
pub(super) use envoy_types::pb::envoy::extensions::filters::http::router::v3 as router;
use envoy_types::pb::envoy::extensions::filters::listener as listener_filters;
use envoy_types::pb::envoy::extensions::filters::network;
use envoy_types::pb::envoy::extensions::filters::network::http_connection_manager;
pub(super) use envoy_types::pb::envoy::extensions::load_balancing_policies as balancing;
pub(super) use envoy_types::pb::envoy::extensions::request_id::uuid::v3 as uuid;
pub(super) use envoy_types::pb::envoy::extensions::transport_sockets::raw_buffer::v3 as raw_buffer;
pub(super) use envoy_types::pb::envoy::extensions::transport_sockets::tls::v3 as tls;
pub(super) use envoy_types::pb::envoy::extensions::upstreams::http::v3 as upstream_http;
pub(super) use envoy_types::pb::envoy::r#type::matcher::v3 as matcher;
pub(super) use envoy_types::pb::envoy::r#type::v3 as typed;
pub(super) use envoy_types::pb::google::protobuf as google;
pub(super) use http_connection_manager::v3 as hcm;
pub(super) use listener_filters::http_inspector::v3 as http_inspector;
pub(super) use listener_filters::original_dst::v3 as original_dst;
pub(super) use listener_filters::proxy_protocol::v3 as proxy_protocol;
pub(super) use listener_filters::tls_inspector::v3 as tls_inspector;
pub(super) use network::tcp_proxy::v3 as tcp_proxy;
