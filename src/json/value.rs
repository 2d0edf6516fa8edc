//! JSON values.

use std::borrow::Cow;
use std::fmt;

use super::{Number, Text};

/// A JSON value; strings and numbers borrow their tokens from the text.
#[derive(Debug, Clone)]
pub enum Value<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number of any size; also `NaN`, `Infinity` and `-Infinity`.
    Number(Number<'a>),
    /// A string
    String(Text<'a>),
    /// The items of an array
    Array(Vec<Value<'a>>),
    /// The members of an object in the order of the text, with duplicates.
    Object(Vec<(Text<'a>, Value<'a>)>),
}

/// The type of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ValueKind {
    /// `null`
    Null,
    /// `true` or `false`
    Bool,
    /// A number, `NaN`, `Infinity` or `-Infinity`
    Number,
    /// A string
    String,
    /// An array
    Array,
    /// An object
    Object,
}

impl fmt::Display for ValueKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            ValueKind::Null => "null",
            ValueKind::Bool => "a boolean",
            ValueKind::Number => "a number",
            ValueKind::String => "a string",
            ValueKind::Array => "an array",
            ValueKind::Object => "an object",
        })
    }
}

impl<'a> Value<'a> {
    /// Returns its type.
    pub fn kind(&self) -> ValueKind {
        match self {
            Value::Null => ValueKind::Null,
            Value::Bool(_) => ValueKind::Bool,
            Value::Number(_) => ValueKind::Number,
            Value::String(_) => ValueKind::String,
            Value::Array(_) => ValueKind::Array,
            Value::Object(_) => ValueKind::Object,
        }
    }

    /// Returns the value of the member `name`, of duplicates the last; `None` if this is not an
    /// object.
    pub fn get(&self, name: &str) -> Option<&Value<'a>> {
        let Value::Object(members) = self else {
            return None;
        };
        let mut latest = members.iter().rev();
        latest.find(|(own, _)| own == name).map(|(_, value)| value)
    }

    /// Returns the string, if it is one and has no lone surrogate.
    pub fn as_str(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::String(text) => text.to_str().ok(),
            _ => None,
        }
    }

    /// Converts the value for a JSON Schema validator, which asks whether numbers are integers
    /// and what strings contain: an integer beyond 64 bits is the nearest double (it has no
    /// fraction either), `NaN`, the infinities and a float beyond double range are 0.5 or -0.5, a
    /// lone surrogate is U+FFFD, and of duplicate members only the last is kept.
    pub fn to_serde(&self) -> serde_json::Value {
        match self {
            Value::Null => serde_json::Value::Null,
            Value::Bool(value) => serde_json::Value::Bool(*value),
            Value::Number(number) => serde_json::Value::Number(number.to_serde()),
            Value::String(text) => serde_json::Value::String(text.to_string_lossy().into_owned()),
            Value::Array(items) => items_to_serde(items),
            Value::Object(members) => members_to_serde(members),
        }
    }
}

// Loops, not iterators: every level of nesting costs stack frames.

fn items_to_serde(items: &[Value<'_>]) -> serde_json::Value {
    let mut array = Vec::with_capacity(items.len());
    for item in items {
        array.push(item.to_serde());
    }
    serde_json::Value::Array(array)
}

fn members_to_serde(members: &[(Text<'_>, Value<'_>)]) -> serde_json::Value {
    let mut object = serde_json::Map::new();
    for (name, value) in members {
        let value = value.to_serde();
        object.insert(name.to_string_lossy().into_owned(), value);
    }
    serde_json::Value::Object(object)
}
