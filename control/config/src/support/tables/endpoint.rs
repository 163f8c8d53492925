//! `envoy.config.endpoint.v3`.

use super::{Message, field, message};

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.endpoint.v3.ClusterLoadAssignment",
        &[field("cluster_name"), field("endpoints"), field("policy")],
    ),
    message(
        "envoy.config.endpoint.v3.ClusterLoadAssignment.Policy",
        &[field("overprovisioning_factor"), field("weighted_priority_health")],
    ),
    message(
        "envoy.config.endpoint.v3.LocalityLbEndpoints",
        &[
            field("locality"),
            field("lb_endpoints"),
            field("load_balancing_weight"),
            field("priority"),
            field("metadata"),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.LbEndpoint",
        &[
            field("endpoint"),
            field("health_status"),
            field("load_balancing_weight"),
            field("metadata"),
        ],
    ),
    message(
        "envoy.config.endpoint.v3.Endpoint",
        &[field("address"), field("hostname"), field("health_check_config")],
    ),
    message(
        "envoy.config.endpoint.v3.Endpoint.HealthCheckConfig",
        &[
            field("port_value"),
            field("hostname"),
            field("address"),
            field("disable_active_health_check"),
        ],
    ),
];
