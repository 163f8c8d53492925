//! Plain YAML scalars as Envoy reads them (YAML 1.1, by way of yaml-cpp).

use super::node::Kind;

/// What a plain (unquoted) scalar means.
pub(super) fn resolve(text: &str) -> Kind {
    if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
        Kind::Null
    } else if let Some(value) = boolean(text) {
        Kind::Bool(value)
    } else if let Some(value) = integer(text) {
        number(value)
    } else {
        // Envoy keeps fractions and exponents as text; the type of the field decides later.
        Kind::String(text.to_owned())
    }
}

/// Integers beyond 32 bits travel as decimal text, as proto-JSON has it for 64-bit numbers.
fn number(value: i64) -> Kind {
    match i32::try_from(value) {
        Ok(small) => Kind::Number(f64::from(small)),
        Err(_) => Kind::String(value.to_string()),
    }
}

/// The booleans of YAML 1.1, in the three ways of writing that it allows: `yes`, `Yes`, `YES`.
fn boolean(text: &str) -> Option<bool> {
    let flexible_case = {
        let rest = text.get(1..).unwrap_or("");
        let upper_first = text.starts_with(|first: char| first.is_ascii_uppercase());
        rest.bytes().all(|b| b.is_ascii_lowercase())
            || (upper_first && rest.bytes().all(|b| b.is_ascii_uppercase()))
    };
    if !flexible_case {
        return None;
    }
    match text.to_ascii_lowercase().as_str() {
        "y" | "yes" | "true" | "on" => Some(true),
        "n" | "no" | "false" | "off" => Some(false),
        _ => None,
    }
}

/// Decimal, hexadecimal (`0x1f`) and octal (`017`) integers with an optional sign.
fn integer(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let (digits, radix) = match digits.as_bytes() {
        [b'0', b'x' | b'X', ..] => (&digits[2..], 16),
        [b'0', _, ..] => (&digits[1..], 8),
        _ => (digits, 10),
    };
    // `from_str_radix` accepts a sign of its own, which would make `--5` a number.
    if !digits.starts_with(|first: char| first.is_ascii_hexdigit()) {
        return None;
    }
    let signed = if negative { format!("-{digits}") } else { digits.to_owned() };
    i64::from_str_radix(&signed, radix).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn string(text: &str) -> Kind {
        Kind::String(text.to_owned())
    }

    #[test]
    fn booleans_of_yaml_1_1() {
        for text in ["y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"] {
            assert_eq!(resolve(text), Kind::Bool(true), "{text}");
        }
        for text in ["n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"] {
            assert_eq!(resolve(text), Kind::Bool(false), "{text}");
        }
        for text in ["tRue", "yEs", "oN", "yess", "t"] {
            assert_eq!(resolve(text), string(text));
        }
    }

    #[test]
    fn integers_in_three_bases() {
        for (text, value) in
            [("12", 12.0), ("-1", -1.0), ("+5", 5.0), ("0x10", 16.0), ("010", 8.0), ("0", 0.0)]
        {
            assert_eq!(resolve(text), Kind::Number(value), "{text}");
        }
        assert_eq!(resolve("-0x10"), Kind::Number(-16.0));
    }

    #[test]
    fn what_is_no_small_integer_stays_text() {
        for text in ["1.5", "1e3", "0o10", "1_000", "08", "0x", "0x1G", "--5", "+", "-", ".inf"] {
            assert_eq!(resolve(text), string(text));
        }
        assert_eq!(resolve("4294967296"), string("4294967296"));
        assert_eq!(resolve("0x100000000"), string("4294967296"));
    }

    #[test]
    fn nulls() {
        for text in ["", "~", "null", "Null", "NULL"] {
            assert_eq!(resolve(text), Kind::Null);
        }
        assert_eq!(resolve("nULL"), string("nULL"));
    }
}
