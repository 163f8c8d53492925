//! `mask=`: a protobuf FieldMask on JSON.

use serde_json::{Map, Value};

/// What the paths of `mask` (comma-separated) leave of `fields`; `None` when no path begins with
/// a field that `applies`, or when a path leads through a list, which a FieldMask cannot.
pub(super) fn apply(
    mask: &str,
    fields: &Map<String, Value>,
    applies: impl Fn(&str) -> bool,
) -> Option<Map<String, Value>> {
    let mut kept = Map::new();
    let mut applied = false;
    for path in mask.split(',') {
        let first = path.split('.').next().unwrap_or_default();
        if applies(first) {
            keep(path, fields, &mut kept)?;
            applied = true;
        }
    }
    applied.then_some(kept)
}

/// Copies what `path` names.
fn keep(path: &str, from: &Map<String, Value>, to: &mut Map<String, Value>) -> Option<()> {
    let (name, rest) = path.split_once('.').map_or((path, None), |(name, rest)| (name, Some(rest)));
    let Some(value) = from.get(name) else { return Some(()) };
    match (rest, value) {
        (None, _) => {
            to.insert(name.to_owned(), value.clone());
        }
        (Some(rest), Value::Object(inner)) => {
            let target = to.entry(name).or_insert_with(|| Value::Object(Map::new()));
            let target = target.as_object_mut()?;
            // An `Any` keeps its type, or its fields could not be read.
            if let Some(kind) = inner.get("@type") {
                target.insert("@type".to_owned(), kind.clone());
            }
            keep(rest, inner, target)?;
        }
        (Some(_), _) => return None,
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(mask: &str, expected: Option<Value>) {
        let value = json!({"a": {"b": 1, "c": {"d": 2}}, "l": [{"x": 1}], "s": 3});
        let fields = value.as_object().expect("an object");
        let kept = apply(mask, fields, |field| fields.contains_key(field));
        assert_eq!(kept.map(Value::Object), expected, "{mask}");
    }

    #[test]
    fn paths_lead_through_messages_only() {
        check("a.b", Some(json!({"a": {"b": 1}})));
        check("a.c.d,s", Some(json!({"a": {"c": {"d": 2}}, "s": 3})));
        check("a,x", Some(json!({"a": {"b": 1, "c": {"d": 2}}})));
        check("l", Some(json!({"l": [{"x": 1}]})));
        check("l.x", None);
        check("x", None);
        check("a.missing", Some(json!({"a": {}})));
    }
}
