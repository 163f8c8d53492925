//! Messages of `envoy.config.core.v3` and `envoy.type` that many others use.

use super::{Field, Message, extension, field, message};

/// `StringMatcher`, which Envoy's API and that of xDS have each with the same fields.
pub(super) const STRING_MATCHER: &[Field] = &[
    field("exact"),
    field("prefix"),
    field("suffix"),
    field("safe_regex"),
    field("contains"),
    field("ignore_case"),
];

/// What an endpoint says of PROXY headers to it.
const PER_HOST_CONFIG: &str = "envoy.config.core.v3.PerHostConfig";

pub(super) const MESSAGES: &[Message] = &[
    message(
        "envoy.config.core.v3.Address",
        &[field("socket_address"), field("pipe"), field("envoy_internal_address")],
    ),
    message(
        "envoy.config.core.v3.SocketAddress",
        &[field("protocol"), field("address"), field("port_value"), field("ipv4_compat")],
    ),
    message(
        "envoy.config.core.v3.EnvoyInternalAddress",
        &[field("server_listener_name"), field("endpoint_id")],
    ),
    message("envoy.config.core.v3.Pipe", &[field("path"), field("mode")]),
    message("envoy.config.core.v3.CidrRange", &[field("address_prefix"), field("prefix_len")]),
    message(
        "envoy.config.core.v3.TcpKeepalive",
        &[field("keepalive_probes"), field("keepalive_time"), field("keepalive_interval")],
    ),
    message(
        "envoy.config.core.v3.SocketOption",
        &[
            field("description"),
            field("level"),
            field("name"),
            field("int_value"),
            field("buf_value"),
            field("state"),
        ],
    ),
    message(
        "envoy.config.core.v3.ProxyProtocolConfig",
        &[field("version"), field("pass_through_tlvs"), field("added_tlvs")],
    ),
    message(
        "envoy.config.core.v3.ProxyProtocolPassThroughTLVs",
        &[field("match_type"), field("tlv_type")],
    ),
    message(
        "envoy.config.core.v3.TlvEntry",
        &[field("type"), field("value"), field("format_string")],
    ),
    message("envoy.config.core.v3.Locality", &[field("region"), field("zone"), field("sub_zone")]),
    message(
        "envoy.config.core.v3.Metadata",
        &[field("filter_metadata"), extension("typed_filter_metadata", &[PER_HOST_CONFIG])],
    ),
    message(PER_HOST_CONFIG, &[field("added_tlvs")]),
    message(
        "envoy.config.core.v3.HeaderValueOption",
        &[field("header"), field("append"), field("append_action"), field("keep_empty_value")],
    ),
    message("envoy.config.core.v3.HeaderValue", &[field("key"), field("value")]),
    message(
        "envoy.config.core.v3.DataSource",
        &[
            field("filename"),
            field("inline_bytes"),
            field("inline_string"),
            field("environment_variable"),
        ],
    ),
    message(
        "envoy.config.core.v3.SubstitutionFormatString",
        &[
            field("text_format"),
            field("json_format"),
            field("text_format_source"),
            field("omit_empty_values"),
            field("json_format_options"),
            field("content_type"),
        ],
    ),
    message("envoy.config.core.v3.JsonFormatOptions", &[field("sort_properties")]),
    // There is no runtime yet, so the default value is the value.
    message("envoy.config.core.v3.RuntimeUInt32", &[field("default_value"), field("runtime_key")]),
    message(
        "envoy.config.core.v3.RuntimeFeatureFlag",
        &[field("default_value"), field("runtime_key")],
    ),
    message("envoy.config.core.v3.RuntimeDouble", &[field("default_value"), field("runtime_key")]),
    message(
        "envoy.config.core.v3.RuntimeFractionalPercent",
        &[field("default_value"), field("runtime_key")],
    ),
    message("envoy.type.v3.FractionalPercent", &[field("numerator"), field("denominator")]),
    message("envoy.type.v3.Percent", &[field("value")]),
    message("envoy.type.v3.Int32Range", &[field("start"), field("end")]),
    message("envoy.type.v3.Int64Range", &[field("start"), field("end")]),
    message("envoy.type.matcher.v3.StringMatcher", STRING_MATCHER),
    message("envoy.type.matcher.v3.RegexMatcher", &[field("google_re2"), field("regex")]),
    message("envoy.type.matcher.v3.RegexMatcher.GoogleRE2", &[]),
    message(
        "envoy.type.matcher.v3.RegexMatchAndSubstitute",
        &[field("pattern"), field("substitution")],
    ),
];
