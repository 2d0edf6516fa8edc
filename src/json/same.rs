//! Equality of values.

use std::cmp::Ordering;

use super::{Number, Value};

impl Value<'_> {
    /// Returns whether both mean the same: members in any order, of duplicates the last, and
    /// numbers by their value, as `1e16` and `10000000000000000`.
    pub fn is_same(&self, other: &Value<'_>) -> bool {
        match (self, other) {
            (Value::Null, Value::Null) => true,
            (Value::Bool(one), Value::Bool(other)) => one == other,
            (Value::Number(one), Value::Number(other)) => is_same_number(*one, *other),
            (Value::String(one), Value::String(other)) => {
                one.to_string_lossy() == other.to_string_lossy()
            }
            (Value::Array(one), Value::Array(other)) => {
                one.len() == other.len() && one.iter().zip(other).all(|(a, b)| a.is_same(b))
            }
            (Value::Object(_), Value::Object(_)) => self.holds(other) && other.holds(self),
            _ => false,
        }
    }

    /// Returns whether this object has all members of `other`, with the same values.
    fn holds(&self, other: &Value<'_>) -> bool {
        let Value::Object(members) = other else {
            return false;
        };
        members.iter().all(|(name, _)| {
            let name = name.to_string_lossy();
            let pair = self.get(&name).zip(other.get(&name));
            pair.is_some_and(|(own, other)| own.is_same(other))
        })
    }
}

fn is_same_number(one: Number<'_>, other: Number<'_>) -> bool {
    if one.is_integer() && other.is_integer() {
        let digits = |number: Number<'_>| match number.token() {
            "-0" => "0".to_owned(),
            token => token.to_owned(),
        };
        return digits(one) == digits(other);
    }
    one.to_f64().partial_cmp(&other.to_f64()) == Some(Ordering::Equal)
}

#[cfg(test)]
mod tests {
    use crate::json::parse;

    #[test]
    fn values_are_compared_by_what_they_mean() {
        let same = |one: &str, other: &str| {
            let [one, other] = [one, other].map(|text| parse(text.as_bytes()).ok());
            one.zip(other)
                .is_some_and(|(one, other)| one.is_same(&other))
        };
        for (one, other) in [
            (
                r#"{"a":1,"b":[null,true]}"#,
                r#"{"b": [null, true], "a": 1}"#,
            ),
            ("1e16", "10000000000000000"),
            ("-0.0", "0.0"),
            ("-0", "0"),
            ("1.50", "1.5"),
            (r#""\u00e9""#, "\"\u{e9}\""),
            (r#"{"a":1,"a":2}"#, r#"{"a":2}"#),
            ("123456789012345678901", "123456789012345678901"),
        ] {
            assert!(same(one, other), "{one} {other}");
        }
        for (one, other) in [
            (r#"{"a":1}"#, r#"{"a":1,"b":null}"#),
            (r#"{"a":1,"b":null}"#, r#"{"a":1}"#),
            ("123456789012345678901", "123456789012345678902"),
            ("[1,2]", "[2,1]"),
            ("1", "\"1\""),
            ("false", "null"),
        ] {
            assert!(!same(one, other), "{one} {other}");
        }
    }
}
