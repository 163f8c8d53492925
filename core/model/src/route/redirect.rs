//! Redirects (Envoy `RedirectAction`).

use ringway_http::{Known, RequestHead};

use super::matching::RouteMatch;
use super::rewrite::{PathRewrite, Scratch};

/// A redirect, compiled.
#[derive(Debug, Default)]
pub struct Redirect {
    /// `response_code`: 301, 302, 303, 307 or 308.
    pub status: RedirectStatus,
    /// `https_redirect` or `scheme_redirect`.
    pub scheme: Option<Box<str>>,
    /// `host_redirect`; empty is none.
    pub host: Box<str>,
    /// `port_redirect`.
    pub port: Option<u16>,
    /// `path_redirect`; empty is none. With a query of its own it replaces the request's.
    pub path: Box<str>,
    /// `prefix_rewrite` or `regex_rewrite`.
    pub path_rewrite: PathRewrite,
    /// `strip_query`.
    pub strip_query: bool,
}

/// `RedirectResponseCode`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RedirectStatus {
    /// `MOVED_PERMANENTLY`, 301
    #[default]
    MovedPermanently,
    /// `FOUND`, 302
    Found,
    /// `SEE_OTHER`, 303
    SeeOther,
    /// `TEMPORARY_REDIRECT`, 307
    TemporaryRedirect,
    /// `PERMANENT_REDIRECT`, 308
    PermanentRedirect,
}

impl RedirectStatus {
    /// The HTTP status.
    pub fn code(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::SeeOther => 303,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }
}

impl Redirect {
    /// One that changes nothing: its location is the URL of the request, which Envoy sends with
    /// direct responses of 201 and 3xx.
    pub fn unchanged() -> Self {
        Self::default()
    }

    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status.code()
    }

    /// Rewrites the path of `head` where `prefix_rewrite` or `regex_rewrite` say so, as Envoy does
    /// before it makes the location. Call it once, before [`Redirect::write_location`].
    pub fn rewrite(
        &self,
        matcher: &RouteMatch,
        head: &mut RequestHead,
        suppress_envoy_headers: bool,
        scratch: &mut Scratch,
    ) {
        self.path_rewrite.apply(matcher, head, suppress_envoy_headers, scratch);
    }

    /// Appends the value of `location`. `scheme` is that of the request's URL.
    pub fn write_location(&self, head: &RequestHead, scheme: &[u8], out: &mut Vec<u8>) {
        let new_scheme = self.scheme.as_deref().map_or(scheme, str::as_bytes);
        out.extend_from_slice(new_scheme);
        out.extend_from_slice(b"://");
        if self.host.is_empty() {
            out.extend_from_slice(self.kept_host(head, scheme, new_scheme));
        } else {
            out.extend_from_slice(self.host.as_bytes());
        }
        if let Some(port) = self.port {
            use std::io::Write as _;
            // Writing to a vector cannot fail.
            let _ = write!(out, ":{port}");
        }
        self.write_path(head, out);
    }

    /// The request's authority, without its port when another one is given, or when it is the
    /// default port of a scheme that changes.
    fn kept_host<'a>(&self, head: &'a RequestHead, scheme: &[u8], new_scheme: &[u8]) -> &'a [u8] {
        let authority = head.authority();
        let Some(at) = port_colon(authority) else { return authority };
        // The scheme of the connection counts, which may not be that of the URL.
        let protocol = head.fields.known(Known::XForwardedProto).unwrap_or(scheme);
        let default_port: &[u8] = match protocol {
            b"https" => b":443",
            b"http" => b":80",
            _ => b"",
        };
        let default_goes = new_scheme != protocol && &authority[at..] == default_port;
        if self.port.is_some() || default_goes { &authority[..at] } else { authority }
    }

    fn write_path(&self, head: &RequestHead, out: &mut Vec<u8>) {
        let path = head.path();
        let query_start = path.iter().position(|byte| *byte == b'?').unwrap_or(path.len());
        let new_path = match self.path.as_bytes() {
            b"" => &path[..query_start],
            configured => configured,
        };
        if new_path.first() != Some(&b'/') {
            out.push(b'/');
        }
        out.extend_from_slice(new_path);
        // A query in `path_redirect` stays, whatever `strip_query` says.
        if !self.strip_query && !self.path.contains('?') {
            out.extend_from_slice(&path[query_start..]);
        }
    }
}

/// Where `:port` begins; inside of brackets a colon belongs to an IPv6 address.
fn port_colon(authority: &[u8]) -> Option<usize> {
    if authority.first() == Some(&b'[') {
        return authority.windows(2).rposition(|pair| pair == b"]:").map(|at| at + 1);
    }
    authority.iter().rposition(|byte| *byte == b':')
}

/// Appends the `location` of the 301 that a virtual host with `require_tls` answers with: the
/// authority goes along with its port.
pub fn write_tls_location(head: &RequestHead, out: &mut Vec<u8>) {
    out.extend_from_slice(b"https://");
    out.extend_from_slice(head.authority());
    out.extend_from_slice(head.path());
}
