//! `envoy.config.bootstrap.v3` and what stands in it alone.

use super::{Message, extension, field, message, only};

const FIXED_HEAP: &str = "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig";
const CGROUP_MEMORY: &str =
    "envoy.extensions.resource_monitors.cgroup_memory.v3.CgroupMemoryConfig";
const INJECTED_RESOURCE: &str =
    "envoy.extensions.resource_monitors.injected_resource.v3.InjectedResourceConfig";
const DOWNSTREAM_CONNECTIONS: &str =
    "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig";
const SCALE_TIMERS: &str = "envoy.config.overload.v3.ScaleTimersOverloadActionConfig";

pub(super) const INTERNAL_LISTENER: &str =
    "envoy.extensions.bootstrap.internal_listener.v3.InternalListener";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.bootstrap.v3.Bootstrap",
        &[
            field("node"),
            field("static_resources"),
            field("layered_runtime"),
            field("admin"),
            field("overload_manager"),
            field("bootstrap_extensions"),
        ],
    ),
    message(
        "envoy.config.bootstrap.v3.Bootstrap.StaticResources",
        &[field("listeners"), field("clusters"), field("secrets")],
    ),
    message(
        "envoy.config.bootstrap.v3.Admin",
        &[
            field("address"),
            field("access_log"),
            field("access_log_path"),
            field("ignore_global_conn_limit"),
            field("allow_paths"),
            field("profile_path"),
        ],
    ),
    message(
        "envoy.config.overload.v3.OverloadManager",
        &[field("refresh_interval"), field("resource_monitors"), field("actions")],
    ),
    message(
        "envoy.config.overload.v3.ResourceMonitor",
        &[
            field("name"),
            extension(
                "typed_config",
                &[FIXED_HEAP, CGROUP_MEMORY, INJECTED_RESOURCE, DOWNSTREAM_CONNECTIONS],
            ),
        ],
    ),
    message(FIXED_HEAP, &[field("max_heap_size_bytes")]),
    message(CGROUP_MEMORY, &[field("max_memory_bytes")]),
    message(INJECTED_RESOURCE, &[field("filename")]),
    message(DOWNSTREAM_CONNECTIONS, &[field("max_active_downstream_connections")]),
    message(
        "envoy.config.overload.v3.OverloadAction",
        &[field("name"), field("triggers"), extension("typed_config", &[SCALE_TIMERS])],
    ),
    message(
        "envoy.config.overload.v3.Trigger",
        &[field("name"), field("threshold"), field("scaled")],
    ),
    message("envoy.config.overload.v3.ThresholdTrigger", &[field("value")]),
    message(
        "envoy.config.overload.v3.ScaledTrigger",
        &[field("scaling_threshold"), field("saturation_threshold")],
    ),
    message(SCALE_TIMERS, &[field("timer_scale_factors")]),
    message(
        "envoy.config.overload.v3.ScaleTimersOverloadActionConfig.ScaleTimer",
        &[
            only(
                "timer",
                &[
                    "HTTP_DOWNSTREAM_CONNECTION_IDLE",
                    "HTTP_DOWNSTREAM_STREAM_IDLE",
                    "TRANSPORT_SOCKET_CONNECT",
                    "HTTP_DOWNSTREAM_CONNECTION_MAX",
                ],
            ),
            field("min_timeout"),
            field("min_scale"),
        ],
    ),
    message(INTERNAL_LISTENER, &[field("buffer_size_kb")]),
    message("envoy.config.bootstrap.v3.LayeredRuntime", &[field("layers")]),
    message(
        "envoy.config.bootstrap.v3.RuntimeLayer",
        &[field("name"), field("static_layer"), field("admin_layer")],
    ),
    message("envoy.config.bootstrap.v3.RuntimeLayer.AdminLayer", &[]),
    message(
        "envoy.config.core.v3.Node",
        &[field("id"), field("cluster"), field("metadata"), field("locality")],
    ),
];
