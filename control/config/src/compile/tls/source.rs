//! Bytes of certificates, keys and lists, from wherever a configuration says that they are.

use std::path::PathBuf;

use ringway_tls::Source;

use super::super::Cx;
use super::super::at::At;
use super::super::proto::core;
use super::super::reads::From;
use super::super::value::without_number;

/// No certificate, bundle or list is as long, in bytes.
const MAX: usize = 16 << 20;

/// What a data source holds, under the name that errors give it: its path, or Envoy's words for
/// the other kinds.
pub(super) fn read(cx: &Cx<'_>, at: &At<'_>, source: &core::DataSource) -> Option<Source> {
    use core::data_source::Specifier;
    let named = |name: &str, bytes| Source { name: name.to_owned(), bytes };
    let source = match source.specifier.as_ref()? {
        Specifier::InlineBytes(bytes) => named("<inline>", bytes.clone()),
        Specifier::InlineString(text) => named("<inline>", text.clone().into_bytes()),
        Specifier::Filename(path) => named(path, file(cx, &at.field("filename"), path)?),
        Specifier::EnvironmentVariable(name) => {
            let at = at.field("environment_variable");
            let Ok(bytes) = cx.read(From::Variable(name.clone())) else {
                at.invalid(format_args!("Environment variable doesn't exist: {name}"));
                return None;
            };
            named(&format!("<environment variable {name}>"), bytes)
        }
    };
    if source.bytes.len() > MAX {
        at.invalid(format_args!("{} is larger than {MAX} bytes", source.name));
        return None;
    }
    Some(source)
}

fn file(cx: &Cx<'_>, at: &At<'_>, path: &str) -> Option<Vec<u8>> {
    let bytes = cx.read(From::File(PathBuf::from(path), MAX, true));
    let report = |error| at.io(format_args!("Invalid path: {path}: {}", without_number(&error)));
    bytes.map_err(report).ok()
}
