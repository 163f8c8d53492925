//! `envoy.config.bootstrap.v3` and what stands in it alone.

use super::{Message, field, message};

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.bootstrap.v3.Bootstrap",
        &[field("node"), field("static_resources"), field("admin")],
    ),
    message(
        "envoy.config.bootstrap.v3.Bootstrap.StaticResources",
        &[field("listeners"), field("clusters")],
    ),
    message("envoy.config.bootstrap.v3.Admin", &[field("address"), field("access_log")]),
    message(
        "envoy.config.core.v3.Node",
        &[field("id"), field("cluster"), field("metadata"), field("locality")],
    ),
];
