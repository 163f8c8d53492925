//! `envoy.config.accesslog.v3` and the sinks.

use super::{Message, extension, field, message};

const FILE: &str = "envoy.extensions.access_loggers.file.v3.FileAccessLog";
const STDOUT: &str = "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog";
const STDERR: &str = "envoy.extensions.access_loggers.stream.v3.StderrAccessLog";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.accesslog.v3.AccessLog",
        &[field("name"), field("filter"), extension("typed_config", &[FILE, STDOUT, STDERR])],
    ),
    message(
        "envoy.config.accesslog.v3.AccessLogFilter",
        &[
            field("status_code_filter"),
            field("duration_filter"),
            field("and_filter"),
            field("or_filter"),
            field("response_flag_filter"),
            field("grpc_status_filter"),
        ],
    ),
    message("envoy.config.accesslog.v3.StatusCodeFilter", &[field("comparison")]),
    message("envoy.config.accesslog.v3.DurationFilter", &[field("comparison")]),
    message("envoy.config.accesslog.v3.ComparisonFilter", &[field("op"), field("value")]),
    message("envoy.config.accesslog.v3.AndFilter", &[field("filters")]),
    message("envoy.config.accesslog.v3.OrFilter", &[field("filters")]),
    message("envoy.config.accesslog.v3.ResponseFlagFilter", &[field("flags")]),
    message("envoy.config.accesslog.v3.GrpcStatusFilter", &[field("statuses"), field("exclude")]),
    message(
        FILE,
        &[
            field("path"),
            field("format"),
            field("json_format"),
            field("typed_json_format"),
            field("log_format"),
        ],
    ),
    message(STDOUT, &[field("log_format")]),
    message(STDERR, &[field("log_format")]),
];
