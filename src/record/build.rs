//! What is derived from a build: its identity, and its search document.

use std::ops::Range;

use md5::{Digest, Md5};

use crate::hex;
use crate::json::Value;

/// The parts of a build that are indexed, in alphabetical order.
const INDEXED: [&str; 4] = ["build", "download", "source", "target"];

/// The text of CPython's `json.dumps(build, sort_keys=True)`.
pub struct Canonical {
    text: Vec<u8>,
    /// Where the parts stand that are there and not empty, each with its name.
    indexed: Vec<Range<usize>>,
}

impl Canonical {
    /// The text of a build, which is an object of about `bytes`.
    pub fn new(build: &Value<'_>, bytes: usize) -> Self {
        let mut text = Vec::with_capacity(bytes + bytes / 8);
        let mut indexed = Vec::new();
        build.write_canonical_members(&mut text, |name, value, place| {
            let empty = match value {
                Value::Null => true,
                Value::Object(part) => part.is_empty(),
                _ => false,
            };
            if !empty && INDEXED.iter().any(|part| name == **part) {
                indexed.push(place);
            }
        });
        Self { text, indexed }
    }

    /// `v1:` and the MD5, in hexadecimal, of the text. Existing tables are
    /// keyed by it: one byte off would store every build twice.
    pub fn hash(&self) -> String {
        let mut hash = String::with_capacity(35);
        hash.push_str("v1:");
        hex::push(&mut hash, &Md5::digest(&self.text));
        hash
    }

    /// The members of the search document but for its id, each after a comma.
    /// In canonical text, since Elasticsearch refuses duplicate members.
    pub fn document(&self) -> Vec<u8> {
        let length = |place: &Range<usize>| place.len() + 1;
        let mut members = Vec::with_capacity(self.indexed.iter().map(length).sum());
        for place in &self.indexed {
            members.push(b',');
            members.extend_from_slice(&self.text[place.clone()]);
        }
        members
    }
}
