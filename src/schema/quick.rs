//! Documents in the form that the validator reads, without a copy.

use std::borrow::Cow;

use jsonschema::JsonType;
use jsonschema::json::{Array, Json, Node, NodeIdentity, Object};

use crate::json::{Text, Value};

/// The representation of the validator for [`Value`].
pub struct AsRead;

impl Json for AsRead {
    type Node<'a> = &'a Value<'a>;
    type PreparedKey = String;
    type StringBuffer = ();

    // Looking up a member scans all of them.
    const KEYS_PER_LOOKUP: usize = 8;

    fn prepare_key(key: &str) -> String {
        key.to_owned()
    }

    fn with_string_node<T>((): &mut (), string: &str, f: impl FnOnce(Self::Node<'_>) -> T) -> T {
        f(&Value::String(Text::verbatim(string)))
    }
}

type NamedValue<'a> = (Text<'a>, Value<'a>);

impl<'a> Node<'a, AsRead> for &'a Value<'a> {
    type Object = &'a [NamedValue<'a>];
    type Array = &'a [Value<'a>];
    type Number = serde_json::Number;

    fn as_object(&self) -> Option<&'a [NamedValue<'a>]> {
        match self {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    fn as_array(&self) -> Option<&'a [Value<'a>]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    fn as_string(&self) -> Option<Cow<'a, str>> {
        match self {
            Value::String(text) => Some(text.to_string_lossy()),
            _ => None,
        }
    }

    fn as_number(&self) -> Option<serde_json::Number> {
        match self {
            Value::Number(number) => Some(number.to_serde()),
            _ => None,
        }
    }

    fn as_boolean(&self) -> Option<bool> {
        match self {
            Value::Bool(boolean) => Some(*boolean),
            _ => None,
        }
    }

    fn is_null(&self) -> bool {
        matches!(self, Value::Null)
    }

    fn is_number(&self) -> bool {
        matches!(self, Value::Number(_))
    }

    fn json_type(&self) -> JsonType {
        match self {
            Value::Null => JsonType::Null,
            Value::Bool(_) => JsonType::Boolean,
            Value::Number(_) => JsonType::Number,
            Value::String(_) => JsonType::String,
            Value::Array(_) => JsonType::Array,
            Value::Object(_) => JsonType::Object,
        }
    }

    fn to_value(&self) -> Cow<'a, serde_json::Value> {
        Cow::Owned(self.to_serde())
    }

    fn identity(&self) -> Option<NodeIdentity> {
        Some(NodeIdentity::new(std::ptr::from_ref(*self) as usize))
    }
}

impl<'a> Object<'a, AsRead> for &'a [NamedValue<'a>] {
    type Node = &'a Value<'a>;
    type MemberName = Cow<'a, str>;
    type MembersIter = NamedValues<'a>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn get(&self, key: &String) -> Option<&'a Value<'a>> {
        let named = self.iter().rev().find(|(name, _)| name == key.as_str());
        named.map(|(_, value)| value)
    }

    fn members(&self) -> NamedValues<'a> {
        NamedValues(self.iter())
    }
}

pub struct NamedValues<'a>(std::slice::Iter<'a, NamedValue<'a>>);

impl<'a> Iterator for NamedValues<'a> {
    type Item = (Cow<'a, str>, &'a Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let (name, value) = self.0.next()?;
        Some((name.to_string_lossy(), value))
    }
}

impl<'a> Array<'a, AsRead> for &'a [Value<'a>] {
    type Node = &'a Value<'a>;
    type ElementsIter = std::slice::Iter<'a, Value<'a>>;

    fn len(&self) -> usize {
        <[_]>::len(self)
    }

    fn elements(&self) -> std::slice::Iter<'a, Value<'a>> {
        self.iter()
    }
}

/// Returns whether each object has at most 64 members, with distinct names of
/// printable ASCII: then the validator sees the same document as in its
/// [`to_serde`](Value::to_serde).
pub fn is_simple(value: &Value<'_>) -> bool {
    match value {
        Value::Array(items) => items.iter().all(is_simple),
        Value::Object(members) => {
            members.len() <= 64
                && members.iter().enumerate().all(|(at, (name, value))| {
                    let mut before = members[..at].iter();
                    name.is_plain()
                        && before.all(|(other, _)| other.raw() != name.raw())
                        && is_simple(value)
                })
        }
        _ => true,
    }
}
