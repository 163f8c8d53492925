//! When a route matches (Envoy `RouteMatch`).

use ringway_http::{Known, Method, RequestHead};
use ringway_tls::Handshake;

use super::pattern::Pattern;
use super::value::{CookieMatch, Fraction, HeaderMatch, QueryMatch};
use crate::grpc;

/// The conditions of a route; all of them must hold.
#[derive(Debug)]
pub struct RouteMatch {
    /// Which paths.
    pub path: PathMatch,
    /// `case_sensitive`, true; of no effect on regular expressions.
    pub case_sensitive: bool,
    /// `headers`.
    pub headers: Vec<HeaderMatch>,
    /// `query_parameters`.
    pub query: Vec<QueryMatch>,
    /// `cookies`.
    pub cookies: Vec<CookieMatch>,
    /// `runtime_fraction.default_value`.
    pub runtime_fraction: Option<Fraction>,
    /// `grpc`: only gRPC requests.
    pub grpc: bool,
    /// `tls_context.presented`: whether the client showed a certificate.
    pub cert_presented: Option<bool>,
    /// `tls_context.validated`: whether that certificate was verified and found good.
    pub cert_validated: Option<bool>,
}

/// What routes ask of the client's connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct ClientTls {
    /// It speaks TLS.
    pub secured: bool,
    /// The client showed a certificate.
    pub presented: bool,
    /// That was verified and found good.
    pub validated: bool,
}

/// With or without TLS, and no certificate of the client.
impl From<bool> for ClientTls {
    fn from(secured: bool) -> Self {
        Self { secured, ..Self::default() }
    }
}

impl From<Option<&Handshake>> for ClientTls {
    fn from(handshake: Option<&Handshake>) -> Self {
        let Some(handshake) = handshake else { return Self::default() };
        let (presented, validated) = (handshake.peer.presented(), handshake.peer.validated);
        Self { secured: true, presented, validated }
    }
}

/// Which paths match. The query is never a part of it.
#[derive(Debug)]
pub enum PathMatch {
    /// `prefix`
    Prefix(Box<[u8]>),
    /// `path`
    Exact(Box<[u8]>),
    /// `path_separated_prefix`: the path is the prefix, or goes on with `/`.
    SeparatedPrefix(Box<[u8]>),
    /// `safe_regex`: the whole path.
    Regex(Pattern),
    /// `connect_matcher`: any path or none, of CONNECT and of `upgrade: connect-udp`.
    Connect,
}

impl RouteMatch {
    /// A match of paths and nothing else.
    pub fn new(path: PathMatch) -> Self {
        Self {
            path,
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
            cookies: Vec::new(),
            runtime_fraction: None,
            grpc: false,
            cert_presented: None,
            cert_validated: None,
        }
    }

    /// Whether a request matches; `path` is its path without the query.
    pub(super) fn matches(
        &self,
        head: &RequestHead,
        path: &[u8],
        tls: ClientTls,
        random: u64,
    ) -> bool {
        // The path decides mostly, and is the cheapest to ask.
        self.path.matches(head, path, self.case_sensitive)
            && self.runtime_fraction.is_none_or(|fraction| fraction.holds(random))
            && self.cert_presented.is_none_or(|wanted| wanted == tls.presented)
            && self.cert_validated.is_none_or(|wanted| wanted == tls.validated)
            && (!self.grpc || grpc::is_grpc(&head.fields))
            && self.headers.iter().all(|matcher| matcher.matches(head))
            && self.query.iter().all(|matcher| matcher.matches(head))
            && self.cookies.iter().all(|matcher| matcher.matches(head))
    }

    /// The part of the path that `prefix_rewrite` replaces: the prefix, or the whole of an exact
    /// path, of one that a regular expression matched, and of a CONNECT.
    pub(super) fn matched_len(&self, path_without_query: &[u8]) -> usize {
        let length = match &self.path {
            PathMatch::Prefix(text) | PathMatch::SeparatedPrefix(text) => text.len(),
            PathMatch::Exact(text) => text.len(),
            PathMatch::Regex(_) | PathMatch::Connect => path_without_query.len(),
        };
        length.min(path_without_query.len())
    }
}

impl PathMatch {
    /// `prefix`
    pub fn prefix(text: &str) -> Self {
        Self::Prefix(text.as_bytes().into())
    }

    /// `path`
    pub fn exact(text: &str) -> Self {
        Self::Exact(text.as_bytes().into())
    }

    /// `path_separated_prefix`
    pub fn separated_prefix(text: &str) -> Self {
        Self::SeparatedPrefix(text.as_bytes().into())
    }

    fn matches(&self, head: &RequestHead, path: &[u8], case_sensitive: bool) -> bool {
        match self {
            Self::Exact(text) => path.len() == text.len() && same(path, text, case_sensitive),
            Self::Prefix(text) => starts_with(path, text, case_sensitive),
            Self::SeparatedPrefix(text) => {
                starts_with(path, text, case_sensitive)
                    && matches!(path.get(text.len()), None | Some(b'/'))
            }
            Self::Regex(pattern) => pattern.is_full_match(path),
            Self::Connect => is_connect(head),
        }
    }
}

fn starts_with(path: &[u8], prefix: &[u8], case_sensitive: bool) -> bool {
    path.get(..prefix.len()).is_some_and(|start| same(start, prefix, case_sensitive))
}

fn same(a: &[u8], b: &[u8], case_sensitive: bool) -> bool {
    if case_sensitive { a == b } else { a.eq_ignore_ascii_case(b) }
}

/// CONNECT that is no other protocol's (those have become upgrades), and CONNECT-UDP (RFC 9298).
fn is_connect(head: &RequestHead) -> bool {
    let upgrade = || head.fields.known(Known::Upgrade);
    head.method_kind() == Method::Connect
        || upgrade().is_some_and(|kind| kind.eq_ignore_ascii_case(b"connect-udp"))
}
