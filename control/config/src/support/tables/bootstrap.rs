//! `envoy.config.bootstrap.v3` and what stands in it alone.

use super::{Message, field, message};

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.bootstrap.v3.Bootstrap",
        &[field("node"), field("static_resources"), field("layered_runtime"), field("admin")],
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
            field("ignore_global_conn_limit"),
            field("allow_paths"),
            field("profile_path"),
        ],
    ),
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
