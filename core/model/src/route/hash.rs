//! What a request is hashed by, for clusters that balance by a hash (Envoy
//! `RouteAction.hash_policy`, `envoy.type.v3.HashPolicy`).

use std::borrow::Cow;
use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::time::Duration;

use ringway_http::{FieldName, Known, RequestHead};
use ringway_lb::{hash, hash_all};

use super::field::RequestField;
use super::rewrite::RegexRewrite;
use super::value::{cookie_pairs, query_pairs};
use crate::address::Address;

/// One source of a hash.
#[derive(Debug)]
pub struct HashMethod {
    /// What is hashed.
    pub key: HashKey,
    /// `terminal`: if there is a hash by now, it is the hash.
    pub terminal: bool,
}

/// What is hashed.
#[derive(Debug)]
pub enum HashKey {
    /// `header`, with its `regex_rewrite`.
    Header(RequestField, Option<RegexRewrite>),
    /// `cookie`
    Cookie(HashCookie),
    /// `connection_properties.source_ip`
    SourceIp,
    /// `query_parameter`
    QueryParameter(Box<[u8]>),
}

/// A cookie that keeps a client with its host.
#[derive(Debug)]
pub struct HashCookie {
    /// `name`.
    pub name: Box<[u8]>,
    /// `ttl`: a client without the cookie gets one of this age; zero lasts for a session. `None`
    /// makes no cookies.
    pub ttl: Option<Duration>,
    /// `path`; empty for none.
    pub path: Box<str>,
    /// `attributes`.
    pub attributes: Vec<(Box<str>, Box<str>)>,
}

/// What of a connection is hashed.
#[derive(Debug, Clone, Copy)]
pub struct HashSubject<'a> {
    /// The client's address, as far as it is trusted.
    pub remote: Option<SocketAddr>,
    /// The client's address as the connection has it, and ours: what a new cookie is made from.
    pub ends: (&'a Address, &'a Address),
}

/// The hash of a request by these methods. Calls `set_cookie` with the value of `set-cookie` where
/// a client gets a cookie.
pub fn hash_of(
    methods: &[HashMethod],
    head: &RequestHead,
    subject: &HashSubject<'_>,
    mut set_cookie: impl FnMut(String),
) -> Option<u64> {
    let mut all: Option<u64> = None;
    for method in methods {
        if let Some(new) = method.key.hash(head, subject, &mut set_cookie) {
            // What was hashed before turns, so that one value twice does not cancel itself out.
            all = Some(all.map_or(0, |hash| hash.rotate_left(1)) ^ new);
        }
        if method.terminal && all.is_some() {
            break;
        }
    }
    all
}

/// The hash of an address without its port.
pub fn hash_of_ip(address: Option<SocketAddr>) -> Option<u64> {
    // The longest text of an address has 45 bytes, so that it always fits.
    let mut text = [0; 45];
    let mut room = &mut text[..];
    write!(room, "{}", address?.ip().to_canonical()).ok()?;
    let unused = room.len();
    Some(hash(&text[..text.len() - unused]))
}

impl HashKey {
    fn hash(
        &self,
        head: &RequestHead,
        subject: &HashSubject<'_>,
        set_cookie: &mut impl FnMut(String),
    ) -> Option<u64> {
        match self {
            Self::Header(RequestField::Field(name), rewrite) => {
                header(head, name, rewrite.as_ref())
            }
            Self::Header(field, rewrite) => {
                field.first(head).map(|value| hash(&rewritten(value, rewrite.as_ref())))
            }
            Self::Cookie(cookie) => cookie.hash(head, subject, set_cookie),
            Self::SourceIp => hash_of_ip(subject.remote),
            Self::QueryParameter(name) => {
                let mut pairs = query_pairs(head.query()?);
                pairs.find(|(key, _)| *key == &**name).map(|(_, value)| hash(value))
            }
        }
    }
}

fn rewritten<'v>(value: &'v [u8], rewrite: Option<&RegexRewrite>) -> Cow<'v, [u8]> {
    let Some(rewrite) = rewrite else { return Cow::Borrowed(value) };
    let mut out = Vec::new();
    rewrite.replace_all(value, &mut out);
    Cow::Owned(out)
}

/// Several values of one name have the same hash in any order.
fn header(head: &RequestHead, name: &FieldName, rewrite: Option<&RegexRewrite>) -> Option<u64> {
    let mut values = head.fields.values(name.as_bytes());
    let first = values.next()?;
    let Some(second) = values.next() else { return Some(hash(&rewritten(first, rewrite))) };
    let each = [first, second].into_iter().chain(values);
    let mut all: Vec<_> = each.map(|value| rewritten(value, rewrite)).collect();
    all.sort();
    Some(hash_all(all.iter().map(|value| &**value)))
}

impl HashCookie {
    fn hash(
        &self,
        head: &RequestHead,
        subject: &HashSubject<'_>,
        set_cookie: &mut impl FnMut(String),
    ) -> Option<u64> {
        let mut cookies = head.fields.values_known(Known::Cookie).flat_map(cookie_pairs);
        let sent = cookies.find(|(name, _)| *name == &*self.name).map(|(_, value)| value);
        if let Some(value) = sent.filter(|value| !value.is_empty()) {
            return Some(hash(value));
        }
        let ttl = self.ttl?;
        // One connection gets one value, even if its streams ask at the same time.
        let value = hexadecimal(hash_of_ends(subject));
        set_cookie(self.set_cookie(&value, ttl));
        Some(hash(&value))
    }

    fn set_cookie(&self, value: &[u8; 16], ttl: Duration) -> String {
        let attributes = self.attributes.iter().map(|(name, value)| name.len() + value.len() + 3);
        let variable = self.name.len() + self.path.len() + attributes.sum::<usize>();
        let mut text = String::with_capacity(variable + COOKIE_REST);
        text.push_str(&String::from_utf8_lossy(&self.name));
        text.push_str("=\"");
        text.extend(value.iter().map(|digit| char::from(*digit)));
        text.push('"');
        // Writing to a string cannot fail.
        if ttl.as_secs() > 0 {
            let _ = write!(text, "; Max-Age={}", ttl.as_secs());
        }
        if !self.path.is_empty() {
            let _ = write!(text, "; Path={}", self.path);
        }
        for (name, value) in &self.attributes {
            let _ = match value.is_empty() {
                true => write!(text, "; {name}"),
                false => write!(text, "; {name}={value}"),
            };
        }
        text.push_str("; HttpOnly");
        text
    }
}

/// Bytes of a cookie beside its name, path and attributes: the value, an age, `HttpOnly`.
const COOKIE_REST: usize = 80;
/// Bytes of two addresses as text, paths of Unix sockets included.
const ENDS: usize = 256;

/// The hash of both addresses as one text.
fn hash_of_ends(subject: &HashSubject<'_>) -> u64 {
    let mut text = [0; ENDS];
    let mut rest = text.as_mut_slice();
    // What does not fit is not hashed: a path is shorter than that.
    let _ = write!(rest, "{}{}", subject.ends.0, subject.ends.1);
    let left = rest.len();
    hash(&text[..ENDS - left])
}

/// Sixteen digits.
fn hexadecimal(value: u64) -> [u8; 16] {
    let digit = |place: usize| b"0123456789abcdef"[(value >> (60 - 4 * place)) as usize & 0xf];
    std::array::from_fn(digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(fields: &[(&str, &str)]) -> RequestHead {
        let mut head = RequestHead::default();
        for (name, value) in fields {
            head.fields.push(name.as_bytes(), value.as_bytes());
        }
        head
    }

    fn of(keys: Vec<HashKey>, head: &RequestHead) -> (Option<u64>, Vec<String>) {
        let methods: Vec<HashMethod> =
            keys.into_iter().map(|key| HashMethod { key, terminal: false }).collect();
        let address = Address::Ip("192.0.2.1:1234".parse().expect("an address"));
        let subject = HashSubject { remote: address.ip(), ends: (&address, &address) };
        let mut cookies = Vec::new();
        let hash = hash_of(&methods, head, &subject, |cookie| cookies.push(cookie));
        (hash, cookies)
    }

    fn header(name: &str) -> HashKey {
        HashKey::Header(RequestField::new(name).expect("a name"), None)
    }

    #[test]
    fn a_header_is_hashed_and_its_order_does_not_count() {
        assert_eq!(of(vec![header("a")], &head(&[("a", "x")])).0, Some(hash(b"x")));
        let (one, other) = (head(&[("a", "x"), ("a", "y")]), head(&[("a", "y"), ("a", "x")]));
        assert_eq!(of(vec![header("a")], &one), of(vec![header("a")], &other));
        assert_eq!(of(vec![header("b")], &one).0, None);
    }

    #[test]
    fn one_value_twice_does_not_cancel_itself_out() {
        let twice = of(vec![header("a"), header("a")], &head(&[("a", "x")])).0;
        assert_eq!(twice, Some(hash(b"x").rotate_left(1) ^ hash(b"x")));
    }

    #[test]
    fn a_client_without_the_cookie_gets_one() {
        let cookie = |ttl| {
            HashKey::Cookie(HashCookie {
                name: b"c"[..].into(),
                ttl,
                path: "/p".into(),
                attributes: vec![("SameSite".into(), "Lax".into()), ("Secure".into(), "".into())],
            })
        };
        let sent = head(&[("cookie", "b=1; c=\"v\"")]);
        assert_eq!(of(vec![cookie(None)], &sent), (Some(hash(b"v")), vec![]));
        assert_eq!(of(vec![cookie(None)], &head(&[])), (None, vec![]));
        let (hashed, set) = of(vec![cookie(Some(Duration::from_secs(9)))], &head(&[]));
        let value = format!("{:016x}", hash(b"192.0.2.1:1234192.0.2.1:1234"));
        assert_eq!(hashed, Some(hash(value.as_bytes())));
        let text = format!("c=\"{value}\"; Max-Age=9; Path=/p; SameSite=Lax; Secure; HttpOnly");
        assert_eq!(set, [text]);
    }

    #[test]
    fn an_address_counts_without_its_port() {
        assert_eq!(of(vec![HashKey::SourceIp], &head(&[])).0, Some(hash(b"192.0.2.1")));
    }
}
