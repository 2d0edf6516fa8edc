//! What is derived from a build: its identity, and its search document.

use std::ops::Range;

use md5::{Digest, Md5};

use super::date;
use crate::hex;
use crate::json::{self, Text, Value};

/// The parts of a build that are indexed, in alphabetical order.
const INDEXED: [&str; 4] = ["build", "download", "source", "target"];

/// The fields that the index takes for dates: a part, and its member.
pub const DATES: [(&str, &str); 2] = [("build", "date"), ("download", "date")];

/// The search document of a build.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Document {
    /// Its members but for the id, each after a comma.
    pub members: Vec<u8>,
    /// What is left out of it, because it is not a date: pointer and value.
    pub left_out: Vec<String>,
}

/// The text of CPython's `json.dumps(build, sort_keys=True)`.
pub struct Canonical {
    text: Vec<u8>,
    /// The positions of the parts that are present and not empty, each with its name.
    indexed: Vec<(&'static str, Range<usize>)>,
}

/// Returns a release of Firefox as the same build in the channel beta; `None` of other builds.
/// Buildhub2's queue daemon stored both.
pub fn beta_twin<'a>(build: &Value<'a>) -> Option<Value<'a>> {
    let text = |part: &str, member: &str| build.get(part)?.get(member)?.as_str();
    if text("source", "product")? != "firefox" || text("target", "channel")? != "release" {
        return None;
    }
    let mut twin = build.clone();
    *last_member(last_member(&mut twin, "target")?, "channel")? =
        Value::String(Text::verbatim("beta"));
    Some(twin)
}

/// Returns the value of a member, of duplicates the last.
fn last_member<'v, 'a>(value: &'v mut Value<'a>, name: &str) -> Option<&'v mut Value<'a>> {
    let Value::Object(members) = value else {
        return None;
    };
    let mut latest = members.iter_mut().rev();
    latest.find(|(own, _)| own == name).map(|(_, value)| value)
}

impl Canonical {
    /// Returns the text of a build, which is an object of about `bytes`.
    pub fn new(build: &Value<'_>, bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes + bytes / 8);
        let mut indexed = Vec::new();
        build.write_canonical_members(&mut text, |name, value, place| {
            let empty = match value {
                Value::Null => true,
                Value::Object(part) => part.is_empty(),
                _ => false,
            };
            let part = INDEXED.iter().find(|part| name == ***part);
            indexed.extend(part.filter(|_| !empty).map(|part| (*part, place)));
        });
        Self { text, indexed }
    }

    /// Returns the text.
    pub fn into_text(self) -> String {
        // It is ASCII.
        String::from_utf8(self.text).unwrap_or_default()
    }

    /// Returns `v1:` and the MD5, in hexadecimal, of the text. Existing tables are
    /// keyed by it: one byte off would store every build twice.
    pub fn hash(&self) -> String {
        let mut hash = String::with_capacity(35);
        hash.push_str("v1:");
        hex::push(&mut hash, &Md5::digest(&self.text));
        hash
    }

    /// Returns the search document of `build`, which this is the text of. In
    /// canonical text, since Elasticsearch refuses duplicate members.
    pub fn document(&self, build: &Value<'_>) -> Document {
        let length = |(_, place): &(_, Range<usize>)| place.len() + 8;
        let mut document = Document::default();
        document
            .members
            .reserve(self.indexed.iter().map(length).sum());
        for (name, place) in &self.indexed {
            let date = DATES.iter().find(|(part, _)| part == name);
            match date.and_then(|(_, member)| Some((member, build.get(name)?))) {
                None => {
                    document.members.push(b',');
                    document
                        .members
                        .extend_from_slice(&self.text[place.clone()]);
                }
                Some((member, part)) => document.dated_part(name, member, part),
            }
        }
        document
    }
}

impl Document {
    /// Appends a part, its date in ISO 8601.
    fn dated_part(&mut self, name: &str, date: &str, part: &Value<'_>) {
        let mut found = None;
        let members = &mut self.members;
        let start = members.len();
        members.extend_from_slice(format!(",\"{name}\": ").as_bytes());
        part.write_canonical_members(members, |member, value, place| {
            if member == *date {
                found = Some((place, iso_8601(value)));
            }
        });
        match found {
            None => {}
            Some((place, Some(text))) => {
                let value = place.start + date.len() + "\"\": ".len();
                members.splice(value..place.end, text);
            }
            Some((place, None)) => {
                let text = String::from_utf8_lossy(&members[place.clone()]).into_owned();
                let value = text.split_once(": ").map_or("", |(_, value)| value);
                self.left_out.push(format!("/{name}/{date}: {value:.100}"));
                let comma = |at: usize| members[at..].starts_with(b", ");
                let place = match place.start.checked_sub(2) {
                    _ if comma(place.end) => place.start..place.end + 2,
                    Some(before) if comma(before) => before..place.end,
                    _ => place,
                };
                members.drain(place);
                if members.ends_with(b": {}") {
                    members.truncate(start);
                }
            }
        }
    }
}

/// Returns a date as the index takes it, as JSON. Numbers are milliseconds to
/// Elasticsearch, unless their digits are a date.
fn iso_8601(value: &Value<'_>) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Array(items) => {
            let items: Option<Vec<_>> = items.iter().map(iso_8601).collect();
            out.push(b'[');
            out.extend(items?.join(&b','));
            out.push(b']');
        }
        Value::Number(number) => {
            let text = number.token();
            let milliseconds = || date::from_milliseconds(text.parse().ok()?);
            json::write_str(&date::iso_8601(text).or_else(milliseconds)?, &mut out);
        }
        value => json::write_str(&date::iso_8601(&value.as_str()?)?, &mut out),
    }
    Some(out)
}
