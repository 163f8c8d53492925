use super::*;

fn list(fields: &Fields) -> Vec<(String, String)> {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    fields.iter().map(|(name, value)| (text(name), text(value))).collect()
}

fn of(pairs: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in pairs {
        fields.push(name.as_bytes(), value.as_bytes());
    }
    fields
}

/// The map holds these, and its counts and its bitmap agree with them.
fn check(fields: &Fields, expected: &[(&str, &str)]) {
    let pairs: Vec<_> = expected.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
    assert_eq!(list(fields), pairs);
    assert_eq!(fields.len(), expected.len());
    let bytes: usize = expected.iter().map(|(name, value)| name.len() + value.len()).sum();
    assert_eq!(fields.byte_size(), bytes);
    for known in Known::ALL {
        let present = expected.iter().any(|(name, _)| name.as_bytes() == known.as_bytes());
        assert_eq!(fields.has(*known), present, "{known:?}");
    }
}

#[test]
fn order_and_duplicates_are_kept() {
    let fields = of(&[("a", "1"), ("server", "s"), ("a", "2"), ("server", "t"), ("b", "")]);
    check(&fields, &[("a", "1"), ("server", "s"), ("a", "2"), ("server", "t"), ("b", "")]);
    assert_eq!(fields.get("a"), Some(&b"1"[..]));
    assert_eq!(fields.get("b"), Some(&b""[..]));
    assert_eq!(fields.get("c"), None);
    assert_eq!(fields.known(Known::Server), Some(&b"s"[..]));
    assert_eq!(fields.known(Known::Date), None);
    assert_eq!(fields.values("a").collect::<Vec<_>>(), [b"1", b"2"]);
    assert_eq!(fields.values_known(Known::Server).collect::<Vec<_>>(), [b"s", b"t"]);
}

#[test]
fn names_of_one_length_are_told_apart() {
    let fields = of(&[("abc", "1"), ("abd", "2")]);
    assert_eq!(fields.get("abd"), Some(&b"2"[..]));
    assert_eq!(fields.values("abd").count(), 1);
}

#[test]
fn set_replaces_the_first_and_drops_the_others() {
    for name in ["x", "server"] {
        let mut fields = of(&[("a", "1"), (name, "2"), ("b", "3"), (name, "4"), (name, "5")]);
        fields.set(name.as_bytes(), b"longer than before");
        check(&fields, &[("a", "1"), (name, "longer than before"), ("b", "3")]);
        fields.set(name.as_bytes(), b"");
        check(&fields, &[("a", "1"), (name, ""), ("b", "3")]);
        fields.remove(name);
        fields.set(name.as_bytes(), b"new");
        check(&fields, &[("a", "1"), ("b", "3"), (name, "new")]);
    }
}

#[test]
fn remove_counts() {
    let mut fields = of(&[("a", "1"), ("date", "2"), ("a", "3"), ("date", "4"), ("b", "5")]);
    assert_eq!(fields.remove("c"), 0);
    assert_eq!(fields.remove_known(Known::Via), 0);
    assert_eq!(fields.remove("a"), 2);
    check(&fields, &[("date", "2"), ("date", "4"), ("b", "5")]);
    assert_eq!(fields.remove("date"), 2);
    check(&fields, &[("b", "5")]);
}

#[test]
fn retain_sees_names_values_and_numbers() {
    let mut fields = of(&[("a", "1"), ("date", "2"), ("b", "1")]);
    let gone = fields.retain(|known, name, value| {
        assert_eq!(known.is_some(), name == b"date");
        value != b"1"
    });
    assert_eq!(gone, 2);
    check(&fields, &[("date", "2")]);
}

#[test]
fn values_are_composed_in_place() {
    let mut fields = Fields::new();
    fields.push_with(b"x", |value| value.extend_from_slice(b"one"));
    fields.push_known_with(Known::Via, |value| {
        value.extend_from_slice(b"1.1 ");
        value.extend_from_slice(b"ringway");
    });
    fields.set_with(b"x", |value| value.push(b'2'));
    fields.set_known_with(Known::Date, |value| value.push(b'd'));
    check(&fields, &[("x", "2"), ("via", "1.1 ringway"), ("date", "d")]);
}

#[test]
fn append_known_makes_a_list() {
    let mut fields = Fields::new();
    fields.append_known(Known::XForwardedFor, b",", b"1.2.3.4");
    fields.append_known(Known::XForwardedFor, b",", b"5.6.7.8");
    fields.append_known(Known::XForwardedFor, b",", b"");
    check(&fields, &[("x-forwarded-for", "1.2.3.4,5.6.7.8")]);
    fields.set_known(Known::XForwardedFor, b"");
    fields.append_known(Known::XForwardedFor, b",", b"9");
    check(&fields, &[("x-forwarded-for", "9")]);
}

#[test]
fn clear_keeps_the_storage() {
    let mut fields = of(&[("a", "1"), ("date", "2")]);
    let capacity = fields.capacity_bytes();
    fields.clear();
    check(&fields, &[]);
    assert_eq!(fields.get("a"), None);
    fields.push(b"b", b"3");
    check(&fields, &[("b", "3")]);
    assert_eq!(fields.capacity_bytes(), capacity);
}

#[test]
fn rewriting_for_ever_stays_small() {
    let mut fields = of(&[("a", "first"), ("date", "x")]);
    for round in 0..10_000 {
        let value = vec![b'v'; 100 + round % 2];
        fields.set(b"a", &value);
        fields.set_known(Known::Date, if round % 2 == 0 { b"short" } else { b"longer" });
    }
    check(&fields, &[("a", &"v".repeat(101)), ("date", "longer")]);
    assert!(fields.capacity_bytes() < 64 * 1024, "{}", fields.capacity_bytes());
}

#[test]
fn long_names_do_not_wrap() {
    let name = vec![b'a'; 70_000];
    let mut fields = Fields::new();
    fields.push(&name, b"v");
    fields.push(b"a", b"w");
    assert_eq!(fields.get(&name), Some(&b"v"[..]));
    assert_eq!(fields.get("a"), Some(&b"w"[..]));
}

#[test]
fn named_lookups() {
    let fields = of(&[("x-foo", "1"), ("date", "2")]);
    let foo = FieldName::new("X-Foo").unwrap();
    assert_eq!(foo.as_bytes(), b"x-foo");
    assert_eq!(fields.get_named(&foo), Some(&b"1"[..]));
    assert_eq!(FieldName::new("DATE"), Some(FieldName::Known(Known::Date)));
    assert_eq!(fields.get_named(&FieldName::Known(Known::Date)), Some(&b"2"[..]));
    for invalid in ["", "a b", "a:", "a\r", "\u{e9}"] {
        assert_eq!(FieldName::new(invalid), None, "{invalid:?}");
    }
    let mut fields = fields;
    assert_eq!(fields.remove_named(&foo) + fields.remove_named(&foo), 1);
}

#[test]
fn lowering_is_that_of_ascii() {
    let all: Vec<u8> = (0..=255).collect();
    for start in 0..9 {
        for len in 0..all.len() - start {
            let mut name = all[start..start + len].to_vec();
            lower(&mut name);
            assert_eq!(name, all[start..start + len].to_ascii_lowercase());
        }
    }
}
