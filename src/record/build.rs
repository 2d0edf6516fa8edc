//! The identity of a build: CPython's hash of its document.

use md5::{Digest, Md5};

use crate::json::Value;

/// `v1:` and the MD5, in hexadecimal, of the canonical text of a build.
///
/// The text is that of CPython's `json.dumps(build, sort_keys=True)`, which
/// [`crate::json::Value::write_canonical`] writes. Existing tables are keyed
/// by it: one byte off would store every build twice.
#[must_use]
pub fn hash(canonical: &[u8]) -> String {
    let digest = Md5::digest(canonical);
    let mut hash = String::with_capacity(35);
    hash.push_str("v1:");
    for byte in digest {
        for digit in [byte >> 4, byte & 15] {
            hash.push(char::from(b"0123456789abcdef"[usize::from(digit)]));
        }
    }
    hash
}

/// The parts of a build that are indexed.
const INDEXED: [&str; 4] = ["build", "source", "target", "download"];

/// The members of the search document of a build, but for its id: the parts
/// that are there and not empty, each in canonical text, since Elasticsearch
/// refuses duplicate members.
#[must_use]
pub fn document(build: &Value<'_>) -> Vec<u8> {
    let mut members = Vec::new();
    for name in INDEXED {
        match build.get(name) {
            None | Some(Value::Null) => {}
            Some(Value::Object(part)) if part.is_empty() => {}
            Some(part) => {
                members.extend_from_slice(b",\"");
                members.extend_from_slice(name.as_bytes());
                members.extend_from_slice(b"\":");
                part.write_canonical(&mut members);
            }
        }
    }
    members
}

/// The search document of the row `id` from its other members.
#[must_use]
pub fn with_id(id: i64, members: &[u8]) -> Vec<u8> {
    let mut document = format!("{{\"id\":{id}").into_bytes();
    document.extend_from_slice(members);
    document.push(b'}');
    document
}
