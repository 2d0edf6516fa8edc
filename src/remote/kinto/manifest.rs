//! Initializes a server by a kinto-wizard manifest: creates the bucket and the collection,
//! or changes them where they differ.

use std::collections::BTreeSet;

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, IF_NONE_MATCH};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{KintoServer, escape};
use crate::error::{Error, Result};
use crate::yaml;

/// The manifest of the v1 jobs.
pub const BUILT_IN: &str = include_str!("../../../kinto/initialization.yml");

type Principals = std::collections::BTreeMap<String, BTreeSet<String>>;

#[derive(Debug, Clone, Deserialize)]
struct Bucket {
    #[serde(flatten)]
    object: Object,
    #[serde(default)]
    collections: std::collections::BTreeMap<String, Object>,
}

#[derive(Debug, Clone, Default, Deserialize)]
struct Object {
    #[serde(default)]
    data: Map<String, Value>,
    #[serde(default)]
    permissions: Principals,
}

/// A bucket and a collection as they should be.
#[derive(Debug)]
pub struct Manifest {
    bucket: (String, Object),
    collection: (String, Object),
}

impl Manifest {
    /// Parses the part of the manifest `text` for this bucket and collection. Buckets are at
    /// its top level, or below a key `buckets`. `place` is its name in messages.
    ///
    /// # Errors
    /// It is not a manifest, or does not contain them (78).
    pub fn parse(text: &str, place: &str, bucket: &str, collection: &str) -> Result<Self> {
        let broken = |error: &dyn std::fmt::Display| {
            Error::configuration(format!(
                "{place}: {error}; expected a kinto-wizard manifest"
            ))
        };
        let mut whole: Map<String, Value> = yaml::parse(text).map_err(|error| broken(&error))?;
        if let Some(Value::Object(buckets)) = whole.remove("buckets") {
            whole = buckets;
        }
        let missing = |what: &str, name: &str| {
            Error::configuration(format!(
                "{place} does not describe the {what} {name:?}; pass --manifest FILE with it, \
                 such as an edited kinto/initialization.yml"
            ))
        };
        let own = whole
            .remove(bucket)
            .ok_or_else(|| missing("bucket", bucket))?;
        let mut own: Bucket = serde_json::from_value(own).map_err(|error| broken(&error))?;
        let object = own
            .collections
            .remove(collection)
            .ok_or_else(|| missing("collection", collection))?;
        Ok(Self {
            bucket: (bucket.to_owned(), own.object),
            collection: (collection.to_owned(), object),
        })
    }

    /// Creates or changes them on the server; returns the paths that were written.
    ///
    /// # Errors
    /// The server is away (69) or denies access (77).
    pub fn apply(&self, server: &KintoServer) -> Result<Vec<String>> {
        let bucket = format!("/buckets/{}", escape(&self.bucket.0));
        let collection = format!("{bucket}/collections/{}", escape(&self.collection.0));
        let mut written = Vec::new();
        for (path, wanted) in [(bucket, &self.bucket.1), (collection, &self.collection.1)] {
            if ensure(server, &path, wanted)? {
                written.push(path);
            }
        }
        Ok(written)
    }
}

/// Tries if another client changes the same object at the same time.
const TRIES: u32 = 3;

fn ensure(server: &KintoServer, path: &str, wanted: &Object) -> Result<bool> {
    let what = format!("{}{path}", server.address());
    for _ in 0..TRIES {
        let found = server.ask(&Method::GET, path, |request| request)?;
        // A user without permission to read may still be allowed to create.
        let (method, body) = match found.status() {
            403 | 404 => {
                let Object { data, permissions } = wanted;
                (
                    Method::PUT,
                    json!({"data": data, "permissions": permissions}),
                )
            }
            200 => {
                let now: Object = serde_json::from_slice(&found.body).map_err(|error| {
                    Error::configuration(format!("{what}: {error}; is this Kinto?"))
                })?;
                match difference(wanted, now) {
                    Some(body) => (Method::PATCH, body),
                    None => return Ok(false),
                }
            }
            _ => return Err(server.refused(&found, &what)),
        };
        let text = body.to_string();
        let answer = server.ask(&method, path, |request| {
            let request = request.header(CONTENT_TYPE, "application/json");
            let request = match method {
                Method::PUT => request.header(IF_NONE_MATCH, "*"),
                _ => request,
            };
            request.body(text.clone())
        })?;
        match answer.status() {
            200 | 201 => return Ok(true),
            409 | 412 => {}
            _ => return Err(server.refused(&answer, &what)),
        }
    }
    Err(Error::unavailable(format!(
        "{what}: another client keeps changing it; run again"
    )))
}

/// Returns the change of `now` that makes it `wanted`, if they differ.
fn difference(wanted: &Object, now: Object) -> Option<Value> {
    let data: Map<String, Value> = (wanted.data.iter())
        .filter(|(name, value)| now.data.get(*name) != Some(value))
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect();
    let mut held = now.permissions;
    let mut permissions = Principals::new();
    for (permission, principals) in &wanted.permissions {
        let own = held.remove(permission).unwrap_or_default();
        if !principals.is_subset(&own) {
            permissions.insert(permission.clone(), own.union(principals).cloned().collect());
        }
    }
    if data.is_empty() && permissions.is_empty() {
        return None;
    }
    let mut body = json!({"data": data});
    if !permissions.is_empty() {
        body["permissions"] = json!(permissions);
    }
    Some(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: Value) -> Object {
        serde_json::from_value(value).unwrap_or_default()
    }

    #[test]
    fn only_what_differs_is_written() {
        let wanted = object(json!({"data": {"a": 1, "b": [2]}, "permissions": {"read": ["x"]}}));
        let now = json!({"data": {"a": 1, "b": [2], "id": "i", "last_modified": 7},
            "permissions": {"read": ["x", "y"], "write": ["z"]}});
        assert_eq!(difference(&wanted, object(now)), None);
        let now = json!({"data": {"a": 1}, "permissions": {"read": ["y"]}});
        assert_eq!(
            difference(&wanted, object(now)),
            Some(json!({"data": {"b": [2]}, "permissions": {"read": ["x", "y"]}}))
        );
    }

    #[test]
    fn buckets_are_read_at_the_top_level_or_under_a_key() {
        let old = "b:\n  permissions:\n    read: [system.Everyone]\n  collections:\n    c:\n      \
                   data: {x: 1}\n";
        let new = format!("buckets:\n  {}", old.replace('\n', "\n  "));
        for text in [old, &new] {
            let manifest = Manifest::parse(text, "here", "b", "c");
            let read = manifest.map(|manifest| manifest.bucket.1.permissions["read"].len());
            assert_eq!(read.ok(), Some(1), "{text}");
        }
        let other = Manifest::parse(old, "here", "b", "other").err();
        let said = other.map(|error| error.to_string()).unwrap_or_default();
        assert!(
            said.contains("does not describe the collection \"other\""),
            "{said}"
        );
        assert!(Manifest::parse(BUILT_IN, "built in", "build-hub", "releases").is_ok());
    }
}
