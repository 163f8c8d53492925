//! Access logs: sinks, formats and filters.

use std::path::Path;
use std::sync::Arc;

use ringway_model::access_log::{AccessLog, Comparison, LogFilter, Op, SinkId};
use ringway_model::format::{DEFAULT_ACCESS_LOG_FORMAT, Format};
use ringway_model::stream::ResponseFlags;

use super::at::At;
use super::proto::{accesslog, core, file_log, google, stream_log};
use super::value::{is, type_name, unpack, without_number};
use super::{Cx, format};

/// A list of access logs.
pub(super) fn logs(cx: &Cx<'_>, at: &At<'_>, logs: &[accesslog::AccessLog]) -> Vec<AccessLog> {
    let each = logs.iter().enumerate();
    each.filter_map(|(index, one)| log(cx, &at.index(index), one)).collect()
}

/// The same for requests, whose bytes on the wire nobody counts.
pub(super) fn http_logs(cx: &Cx<'_>, at: &At<'_>, list: &[accesslog::AccessLog]) -> Vec<AccessLog> {
    let compiled = logs(cx, at, list);
    if compiled.iter().any(|log| log.format.speaks_of_wire_bytes()) {
        at.unsupported("bytes on the wire (%UPSTREAM_WIRE_BYTES_SENT% and so on) of requests");
    }
    compiled
}

fn log(cx: &Cx<'_>, at: &At<'_>, log: &accesslog::AccessLog) -> Option<AccessLog> {
    let Some(accesslog::access_log::ConfigType::TypedConfig(any)) = &log.config_type else {
        at.invalid("an access log needs its typed_config");
        return None;
    };
    let filter = log.filter.as_ref().map(|one| filter(&at.field("filter"), one));
    let (sink, format) = sink(cx, &at.field("typed_config"), any)?;
    // A filter that is wrong was reported; it must not turn into none.
    let filter = match filter {
        Some(filter) => Some(filter?),
        None => None,
    };
    Some(AccessLog { sink, format: Arc::new(format), filter })
}

fn sink(cx: &Cx<'_>, at: &At<'_>, any: &google::Any) -> Option<(SinkId, Format)> {
    if is::<file_log::FileAccessLog>(any) {
        return file(cx, at, &unpack(at, any)?);
    }
    let (format, target) = if is::<stream_log::StdoutAccessLog>(any) {
        use stream_log::stdout_access_log::AccessLogFormat;
        let log: stream_log::StdoutAccessLog = unpack(at, any)?;
        (log.access_log_format.map(|AccessLogFormat::LogFormat(format)| format), Target::Stdout)
    } else if is::<stream_log::StderrAccessLog>(any) {
        use stream_log::stderr_access_log::AccessLogFormat;
        let log: stream_log::StderrAccessLog = unpack(at, any)?;
        (log.access_log_format.map(|AccessLogFormat::LogFormat(format)| format), Target::Stderr)
    } else {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    };
    let format = match format {
        Some(one) => log_format(cx, &at.field("log_format"), &one),
        None => default_format(at),
    };
    Some((open(cx, at, target)?, format?))
}

fn file(cx: &Cx<'_>, at: &At<'_>, log: &file_log::FileAccessLog) -> Option<(SinkId, Format)> {
    use file_log::file_access_log::AccessLogFormat;
    let format = match &log.access_log_format {
        None => default_format(at),
        Some(AccessLogFormat::LogFormat(one)) => log_format(cx, &at.field("log_format"), one),
        Some(AccessLogFormat::Format(source)) if source.is_empty() => default_format(at),
        Some(AccessLogFormat::Format(source)) => format::text(&at.field("format"), source, false),
        Some(AccessLogFormat::JsonFormat(tree)) => {
            format::json(&at.field("json_format"), tree, false)
        }
        Some(AccessLogFormat::TypedJsonFormat(tree)) => {
            format::json(&at.field("typed_json_format"), tree, false)
        }
    };
    let target = match log.path.as_str() {
        // As streams they can be pipes and sockets, which cannot be opened by these names.
        "/dev/stdout" => Target::Stdout,
        "/dev/stderr" => Target::Stderr,
        path => Target::File(Path::new(path)),
    };
    Some((open(cx, &at.field("path"), target)?, format?))
}

fn log_format(cx: &Cx<'_>, at: &At<'_>, format: &core::SubstitutionFormatString) -> Option<Format> {
    if !format.content_type.is_empty() {
        at.field("content_type").no_effect("an access log has no content type");
    }
    format::substitution(cx, at, format)
}

fn default_format(at: &At<'_>) -> Option<Format> {
    format::text(at, DEFAULT_ACCESS_LOG_FORMAT, false)
}

enum Target<'a> {
    File(&'a Path),
    Stdout,
    Stderr,
}

fn open(cx: &Cx<'_>, at: &At<'_>, target: Target<'_>) -> Option<SinkId> {
    let mut sinks = cx.sinks.borrow_mut();
    let (opened, name) = match target {
        Target::File(path) => (sinks.file(path), path.display().to_string()),
        Target::Stdout => (sinks.stdout(), "standard output".to_owned()),
        Target::Stderr => (sinks.stderr(), "standard error".to_owned()),
    };
    match opened {
        Ok(sink) => Some(sink),
        Err(error) => {
            let reason = without_number(&error);
            at.io(format_args!("unable to open file '{name}': {reason}"));
            None
        }
    }
}

/// Which streams get a line. The depth of `and` and `or` is bounded by that of the decoder.
pub(super) fn filter(at: &At<'_>, filter: &accesslog::AccessLogFilter) -> Option<LogFilter> {
    use accesslog::access_log_filter::FilterSpecifier as Kind;
    match filter.filter_specifier.as_ref() {
        Some(Kind::StatusCodeFilter(status)) => {
            comparison(at, status.comparison.as_ref()).map(LogFilter::Status)
        }
        Some(Kind::DurationFilter(duration)) => {
            comparison(at, duration.comparison.as_ref()).map(LogFilter::Duration)
        }
        Some(Kind::ResponseFlagFilter(flags)) => {
            response_flags(&at.field("response_flag_filter"), &flags.flags).map(LogFilter::Flags)
        }
        Some(Kind::AndFilter(and)) => {
            filters(&at.field("and_filter"), &and.filters).map(LogFilter::And)
        }
        Some(Kind::GrpcStatusFilter(grpc)) => Some(LogFilter::Grpc {
            // The API's own rule keeps them from 0 to 16.
            statuses: grpc.statuses.iter().fold(0, |all, status| all | 1 << (*status & 31)),
            exclude: grpc.exclude,
        }),
        Some(Kind::OrFilter(or)) => filters(&at.field("or_filter"), &or.filters).map(LogFilter::Or),
        _ => {
            at.unsupported("");
            None
        }
    }
}

fn filters(at: &At<'_>, list: &[accesslog::AccessLogFilter]) -> Option<Vec<LogFilter>> {
    let at = at.field("filters");
    let each = list.iter().enumerate().map(|(index, one)| filter(&at.index(index), one));
    let all: Vec<Option<LogFilter>> = each.collect();
    all.into_iter().collect()
}

fn comparison(at: &At<'_>, comparison: Option<&accesslog::ComparisonFilter>) -> Option<Comparison> {
    use accesslog::comparison_filter::Op as Kind;
    let Some(comparison) = comparison else {
        at.invalid("a comparison is necessary");
        return None;
    };
    let op = match Kind::try_from(comparison.op) {
        Ok(Kind::Eq) => Op::Eq,
        Ok(Kind::Ge) => Op::Ge,
        Ok(Kind::Le) => Op::Le,
        Ok(Kind::Ne) => Op::Ne,
        Err(_) => {
            at.invalid("unknown comparison");
            return None;
        }
    };
    let default = |value: &core::RuntimeUInt32| u64::from(value.default_value);
    Some(Comparison { op, value: comparison.value.as_ref().map_or(0, default) })
}

fn response_flags(at: &At<'_>, names: &[String]) -> Option<ResponseFlags> {
    let at = at.field("flags");
    let mut flags = ResponseFlags::default();
    let mut known = true;
    for (index, name) in names.iter().enumerate() {
        match ResponseFlags::from_short(name) {
            Some(flag) => flags.insert(flag),
            None => {
                at.index(index).invalid(format_args!("unknown response flag \"{name}\""));
                known = false;
            }
        }
    }
    known.then_some(flags)
}
