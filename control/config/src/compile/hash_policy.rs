//! What requests are hashed by (Envoy `RouteAction.HashPolicy`).

use ringway_model::route::{HashCookie, HashKey, HashMethod, RequestField};

use super::at::At;
use super::pattern;
use super::proto::route::route_action::HashPolicy;
use super::proto::route::route_action::hash_policy::{Cookie, Header, PolicySpecifier};
use super::value::duration;

/// All of them, or none if one is wrong.
pub(super) fn methods(at: &At<'_>, policies: &[HashPolicy]) -> Option<Vec<HashMethod>> {
    let mark = at.mark();
    let each = policies.iter().enumerate();
    let methods = each.filter_map(|(index, policy)| method(&at.index(index), policy)).collect();
    at.is_clean_since(mark).then_some(methods)
}

fn method(at: &At<'_>, policy: &HashPolicy) -> Option<HashMethod> {
    let key = match policy.policy_specifier.as_ref()? {
        PolicySpecifier::Header(one) => header(&at.field("header"), one)?,
        PolicySpecifier::Cookie(one) => HashKey::Cookie(cookie(&at.field("cookie"), one)),
        // As in Envoy, one that does not say `source_ip` is none at all.
        PolicySpecifier::ConnectionProperties(one) => one.source_ip.then_some(HashKey::SourceIp)?,
        PolicySpecifier::QueryParameter(one) => HashKey::QueryParameter(one.name.as_bytes().into()),
        // The support table has refused it.
        PolicySpecifier::FilterState(_) => return None,
    };
    Some(HashMethod { key, terminal: policy.terminal })
}

fn header(at: &At<'_>, header: &Header) -> Option<HashKey> {
    let rewrite = match &header.regex_rewrite {
        Some(rewrite) => Some(pattern::rewrite(&at.field("regex_rewrite"), rewrite)?),
        None => None,
    };
    // A name that no request can have is never hashed.
    let field = RequestField::new(&header.header_name).unwrap_or(RequestField::Absent);
    Some(HashKey::Header(field, rewrite))
}

fn cookie(at: &At<'_>, cookie: &Cookie) -> HashCookie {
    let attributes = cookie.attributes.iter();
    HashCookie {
        name: cookie.name.as_bytes().into(),
        ttl: duration(&at.field("ttl"), cookie.ttl),
        path: cookie.path.as_str().into(),
        attributes: attributes
            .map(|one| (one.name.as_str().into(), one.value.as_str().into()))
            .collect(),
    }
}
