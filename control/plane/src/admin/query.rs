//! A request to the admin server, taken apart: path, query parameters.

use hyper::Method;

/// What a command sees of a request.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: Method,
    /// Without the query.
    pub(crate) path: String,
    /// Of the query.
    pub(crate) params: Params,
}

/// Parameters in their order, decoded.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(crate) struct Params(Vec<(String, String)>);

impl Params {
    /// From `a=1&b&c=%20`; what is not valid UTF-8 after decoding is replaced.
    pub(crate) fn parse(text: &str) -> Self {
        let pairs = text.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
            let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(key), decode(value))
        });
        Self(pairs.collect())
    }

    /// The first value of that name; a name without a value has an empty one.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(key, _)| *key == name).map(|(_, value)| value)
    }

    /// Whether the parameter was given, with or without a value.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(key, value)| (key.as_str(), value.as_str()))
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }
}

/// RFC 3986 section 2.1, and leaves a `%` that no two hex digits follow as it is. A `+` stays a
/// plus, as in Envoy: it is common in regular expressions.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, tail)) = rest.split_first() {
        match (byte, tail) {
            (b'%', [high, low, after @ ..]) if hex(*high).is_some() && hex(*low).is_some() => {
                bytes.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                rest = after;
            }
            _ => {
                bytes.push(byte);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    (digit as char).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_split_and_decoded() {
        let params = Params::parse("filter=a%2Eb+c&usedonly&&x=%zz%&filter=second&e=");
        let pairs: Vec<_> = params.iter().collect();
        let expected =
            [("filter", "a.b+c"), ("usedonly", ""), ("x", "%zz%"), ("filter", "second"), ("e", "")];
        assert_eq!(pairs, expected);
        assert_eq!(params.get("filter"), Some("a.b+c"));
        assert!(params.has("usedonly") && !params.has("used"));
    }

    #[test]
    fn hostile_bytes_are_replaced() {
        assert_eq!(Params::parse("a=%ff%00").get("a"), Some("\u{fffd}\0"));
    }
}
