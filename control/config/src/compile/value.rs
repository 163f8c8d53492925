//! Small values that many messages hold: wrappers, durations, ranges of addresses, data sources.

use std::time::Duration;

use ipnet::IpNet;
use prost::{Message, Name};

use super::Cx;
use super::at::At;
use super::proto::{core, google};
use super::reads::From;

/// The value of a wrapper, or its default.
pub(super) fn or_u32(value: Option<google::UInt32Value>, default: u32) -> u32 {
    value.map_or(default, |wrapper| wrapper.value)
}

/// As [`or_u32`] for booleans.
pub(super) fn or_bool(value: Option<google::BoolValue>, default: bool) -> bool {
    value.map_or(default, |wrapper| wrapper.value)
}

/// A number with 0 for "no limit".
pub(super) fn limit_of(value: Option<google::UInt32Value>) -> Option<u32> {
    value.map(|wrapper| wrapper.value).filter(|value| *value > 0)
}

/// `per_connection_buffer_limit_bytes`: 1 MiB, and 0 for no limit of the configuration's own.
pub(super) fn buffer_limit(value: Option<google::UInt32Value>) -> usize {
    const DEFAULT: u32 = 1 << 20;
    match or_u32(value, DEFAULT) {
        0 => usize::MAX,
        bytes => bytes as usize,
    }
}

/// `per_connection_buffer_high_watermark_timeout` of a listener or cluster; 0 is none.
pub(super) fn backlog_timeout(at: &At<'_>, value: Option<google::Duration>) -> Option<Duration> {
    timeout(&at.field("per_connection_buffer_high_watermark_timeout"), value, None)
}

/// A duration, if it is given; a negative one is an error.
pub(super) fn duration(at: &At<'_>, value: Option<google::Duration>) -> Option<Duration> {
    let value = value?;
    let (seconds, nanos) = (u64::try_from(value.seconds), u32::try_from(value.nanos));
    match (seconds, nanos) {
        (Ok(seconds), Ok(nanos)) => Some(Duration::new(seconds, nanos)),
        _ => {
            at.invalid("Expected positive duration");
            None
        }
    }
}

/// A duration with a default, in which 0 means off.
pub(super) fn timeout(
    at: &At<'_>,
    value: Option<google::Duration>,
    default: Option<Duration>,
) -> Option<Duration> {
    match value {
        None => default,
        Some(_) => duration(at, value).filter(|value| !value.is_zero()),
    }
}

/// A range of addresses; as in Envoy, a prefix that is too long is cut, and bits behind the
/// prefix count as zero.
pub(super) fn cidr(at: &At<'_>, range: &core::CidrRange) -> Option<IpNet> {
    let Ok(address) = range.address_prefix.parse::<std::net::IpAddr>() else {
        at.field("address_prefix")
            .invalid(format_args!("malformed IP address: {}", range.address_prefix));
        return None;
    };
    let longest = if address.is_ipv4() { 32 } else { 128 };
    let length = u8::try_from(or_u32(range.prefix_len, 0)).unwrap_or(u8::MAX).min(longest);
    at.take(IpNet::new(address, length)).map(|net| net.trunc())
}

/// A list of ranges.
pub(super) fn cidrs(at: &At<'_>, ranges: &[core::CidrRange]) -> Vec<IpNet> {
    let each = ranges.iter().enumerate();
    each.filter_map(|(index, range)| cidr(&at.index(index), range)).collect()
}

/// The message inside an `Any`. The decoder has made the bytes from a message of that type, and
/// the support table knows which types may stand here.
pub(super) fn unpack<M: Message + Name + Default>(at: &At<'_>, any: &google::Any) -> Option<M> {
    if !is::<M>(any) {
        at.unsupported(format_args!("the extension {}", type_name(any)));
        return None;
    }
    at.take(M::decode(any.value.as_slice()))
}

/// Whether an `Any` holds a message of that type.
pub(super) fn is<M: Name>(any: &google::Any) -> bool {
    type_name(any) == M::full_name()
}

/// The type in an `Any`, without the host of its URL.
pub(super) fn type_name(any: &google::Any) -> &str {
    any.type_url.rsplit_once('/').map_or(any.type_url.as_str(), |(_, name)| name)
}

/// The bytes of a data source, at most `max` of them.
pub(super) fn data(
    cx: &Cx<'_>,
    at: &At<'_>,
    source: &core::DataSource,
    max: usize,
) -> Option<Vec<u8>> {
    use core::data_source::Specifier;
    let bytes = match source.specifier.as_ref()? {
        Specifier::InlineBytes(bytes) => bytes.clone(),
        Specifier::InlineString(text) => text.clone().into_bytes(),
        Specifier::Filename(path) => read_file(cx, &at.field("filename"), path, max)?,
        Specifier::EnvironmentVariable(name) => {
            read_variable(cx, &at.field("environment_variable"), name)?
        }
    };
    if bytes.len() > max {
        let length = bytes.len();
        at.invalid(format_args!("response body size is {length} bytes; maximum is {max}"));
        return None;
    }
    Some(bytes)
}

fn read_file(cx: &Cx<'_>, at: &At<'_>, path: &str, max: usize) -> Option<Vec<u8>> {
    match cx.read(From::File(path.into(), max, false)) {
        Ok(bytes) => Some(bytes),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            at.io(format_args!("file {path} does not exist"));
            None
        }
        Err(error) => {
            at.io(format_args!("unable to read file {path}: {}", without_number(&error)));
            None
        }
    }
}

/// `Address already in use (os error 98)` without what only programmers read.
pub(super) fn without_number(error: &std::io::Error) -> String {
    let text = error.to_string();
    text.split(" (os error").next().unwrap_or(&text).to_owned()
}

fn read_variable(cx: &Cx<'_>, at: &At<'_>, name: &str) -> Option<Vec<u8>> {
    let value = cx.read(From::Variable(name.to_owned())).ok();
    if value.is_none() {
        at.invalid(format_args!("Environment variable doesn't exist: {name}"));
    }
    value
}
