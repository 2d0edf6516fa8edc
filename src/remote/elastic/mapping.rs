//! The index's mapping: ours, and how another one deviates from it.

use serde_json::{Value, json};

use crate::error::{Error, Result};

/// The mapping type of Elasticsearch 6.
pub const TYPE: &str = "doc";

/// Returns the mapping that searches rely on.
pub fn wanted() -> Value {
    let keyword = json!({"type": "keyword"});
    let date = json!({"type": "date"});
    json!({"properties": {
        "id": keyword,
        "build": {"properties": {"id": keyword, "date": date}},
        "source": {"properties": {
            "product": keyword, "repository": keyword, "tree": keyword, "revision": keyword,
        }},
        "target": {"properties": {
            "platform": keyword, "os": keyword, "locale": keyword, "version": keyword,
            "channel": keyword,
        }},
        "download": {"properties": {
            "url": keyword, "mimetype": keyword, "size": {"type": "long"}, "date": date,
        }},
    }})
}

/// Returns the mapping of an index from its `mappings`.
///
/// # Errors
/// It has a mapping type of another name (78).
pub fn from_mappings(mut mappings: Value, typed: bool, place: &str) -> Result<Value> {
    if !typed {
        return Ok(mappings);
    }
    match other_type(&mappings) {
        Some(other) => Err(Error::configuration(format!(
            "{place} has mapping type {other:?} instead of {TYPE:?}; choose another --index"
        ))),
        None => Ok(mappings[TYPE].take()),
    }
}

fn other_type(mappings: &Value) -> Option<&str> {
    let types = mappings.as_object()?.keys();
    types
        .map(String::as_str)
        .find(|name| ![TYPE, "_default_"].contains(name))
}

/// How a mapping deviates from ours.
#[derive(Debug, Default, PartialEq)]
pub struct Deviation {
    /// Fields of another type: name, its type, ours.
    other: Vec<[String; 3]>,
    pub is_incomplete: bool,
}

impl Deviation {
    /// Compares the mapping of an index with ours.
    pub fn between(wanted: &Value, actual: &Value) -> Self {
        let mut found = Self::default();
        descend(wanted, actual, "", &mut found);
        found
    }

    /// Returns what is wrong with fields of another type, if there are any.
    pub fn complaint(&self, place: &str) -> Option<String> {
        (!self.other.is_empty()).then(|| complaint(place, &self.other))
    }
}

fn descend(wanted: &Value, actual: &Value, name: &str, found: &mut Deviation) {
    if actual.is_null() {
        found.is_incomplete = true;
        return;
    }
    if kind(wanted) != kind(actual) && !name.is_empty() {
        let field = [name, kind(actual), kind(wanted)];
        found.other.push(field.map(str::to_owned));
        return;
    }
    for (member, wanted) in wanted["properties"].as_object().into_iter().flatten() {
        let dot = if name.is_empty() { "" } else { "." };
        let name = format!("{name}{dot}{member}");
        descend(wanted, &actual["properties"][member], &name, found);
    }
}

fn kind(field: &Value) -> &str {
    field["type"].as_str().unwrap_or("object")
}

const SHOWN: usize = 3;

fn complaint(place: &str, other: &[[String; 3]]) -> String {
    let shown = other.iter().take(SHOWN);
    let shown: Vec<_> = shown
        .map(|[name, actual, wanted]| format!("{name} as {actual} instead of {wanted}"))
        .collect();
    let more = match other.len().checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(more) => format!(", and {more} more"),
    };
    format!(
        "{place} maps {}{more}; automatic mapping does that, and searches for exact terms will \
         not find these; delete the index and index all builds again",
        shown.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_date_of_the_mapping_is_rewritten() {
        let wanted = wanted();
        let parts = wanted["properties"].as_object().into_iter().flatten();
        let dates = parts.flat_map(|(part, fields)| {
            let fields = fields["properties"].as_object().into_iter().flatten();
            let dates = fields.filter(|(_, field)| kind(field) == "date");
            dates.map(move |(name, _)| (part.as_str(), name.as_str()))
        });
        assert_eq!(dates.collect::<Vec<_>>(), crate::record::build::DATES);
    }

    #[test]
    fn differences_from_our_mapping_are_named() {
        assert_eq!(
            Deviation::between(&wanted(), &wanted()),
            Deviation::default()
        );
        let mut more = wanted();
        more["properties"]["build"]["properties"]["cc"] = json!({"type": "text"});
        assert_eq!(Deviation::between(&wanted(), &more), Deviation::default());
        assert!(Deviation::between(&wanted(), &Value::Null).is_incomplete);
        assert!(Deviation::between(&wanted(), &json!({})).is_incomplete);

        let mut other = wanted();
        other["properties"]["target"]["properties"]["platform"] = json!({"type": "text"});
        other["properties"]["download"]["type"] = json!("nested");
        let strings = |texts: [&str; 3]| texts.map(str::to_owned);
        assert_eq!(
            Deviation::between(&wanted(), &other).other,
            [
                strings(["download", "nested", "object"]),
                strings(["target.platform", "text", "keyword"]),
            ]
        );
    }

    #[test]
    fn long_lists_of_differences_are_shortened() {
        let field = ["a", "text", "keyword"].map(str::to_owned);
        let text = complaint("p", &vec![field.clone(); 3]);
        assert!(text.starts_with("p maps a as text instead of keyword, a as"));
        assert!(!text.contains("more"));
        assert!(complaint("p", &vec![field; 5]).contains(", and 2 more;"));
    }

    #[test]
    fn fields_of_another_type_are_reported() {
        assert_eq!(other_type(&json!({})), None);
        assert_eq!(other_type(&json!({"doc": {}, "_default_": {}})), None);
        assert_eq!(other_type(&json!({"build": {}})), Some("build"));
    }
}
