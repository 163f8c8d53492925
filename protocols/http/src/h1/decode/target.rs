//! The request target (RFC 9112 section 3.2).

use crate::{Method, RequestError, RequestHead};

/// Splits `target` into authority and path, by its form.
///
/// The authority of an absolute-form target wins over `host` (RFC 9112 section 3.2.2); its scheme
/// is kept for the connection manager to judge.
pub(super) fn read_target(
    target: &[u8],
    allow_absolute_url: bool,
    head: &mut RequestHead,
) -> Result<(), RequestError> {
    if head.method_kind() == Method::Connect {
        return read_authority_form(target, head);
    }
    if target.first() == Some(&b'/') || target == b"*" || !allow_absolute_url {
        head.set_path(target);
        return Ok(());
    }
    read_absolute_form(target, head)
}

fn read_authority_form(target: &[u8], head: &mut RequestHead) -> Result<(), RequestError> {
    head.set_authority(target);
    Ok(())
}

fn read_absolute_form(target: &[u8], head: &mut RequestHead) -> Result<(), RequestError> {
    let colon = memchr::memmem::find(target, b"://").ok_or(RequestError::InvalidTarget)?;
    let (scheme, rest) = (&target[..colon], &target[colon + 3..]);
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return Err(RequestError::InvalidTarget);
    }
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#'));
    let (authority, path) = rest.split_at(end.unwrap_or(rest.len()));
    if authority.is_empty() {
        return Err(RequestError::InvalidTarget);
    }
    head.set_scheme(scheme);
    head.set_authority(authority);
    let whole = head.path_mut();
    whole.clear();
    if path.first() != Some(&b'/') {
        whole.push(b'/');
    }
    whole.extend_from_slice(path);
    Ok(())
}
