//! The objects of the bucket, in the order of their keys: read from a file, or computed.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};
use serde::Deserialize;

use crate::encoding::{bytes_of_base64, push_hex};
use crate::synthetic::Synthetic;

pub enum Objects {
    Given(Vec<Object>),
    Synthetic(Synthetic),
}

pub struct Object {
    key: String,
    body: Bytes,
    changed: Option<Bytes>,
    etag: String,
    modified: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    key: String,
    body: Option<String>,
    body_base64: Option<String>,
    etag: Option<String>,
    last_modified: Option<String>,
    changed: Option<String>,
}

/// What a listing says of one object. One entry is filled again and again: no memory per key.
#[derive(Default)]
pub struct Entry {
    pub key: String,
    /// Without quotes.
    pub etag: String,
    pub size: String,
    /// As in listings, `2019-01-02T00:00:00.000Z`.
    pub modified: String,
    /// The folder that `prefix` and `modified` are of.
    pub folder: Option<u64>,
    pub prefix: String,
}

impl Objects {
    pub fn read(file: &Path) -> Result<Self> {
        let at = |number: usize| format!("{}, line {}", file.display(), number + 1);
        let input = File::open(file).with_context(|| file.display().to_string())?;
        let mut objects = Vec::new();
        for (number, line) in BufReader::new(input).lines().enumerate() {
            let line = line.with_context(|| at(number))?;
            objects.push(Object::parse(&line).with_context(|| at(number))?);
        }
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self::Given(objects))
    }

    pub fn len(&self) -> u64 {
        match self {
            Self::Given(objects) => objects.len() as u64,
            Self::Synthetic(objects) => objects.len(),
        }
    }

    pub fn fill_key(&self, index: u64, entry: &mut Entry) {
        match self {
            Self::Given(objects) => entry.key.clone_from(&at(objects, index).key),
            Self::Synthetic(objects) => objects.fill_key(index, entry),
        }
    }

    /// The rest of the entry, whose key must be that of the index.
    pub fn fill_facts(&self, index: u64, entry: &mut Entry) {
        match self {
            Self::Given(objects) => {
                let object = at(objects, index);
                entry.etag.clone_from(&object.etag);
                entry.modified.clone_from(&object.modified);
                entry.size = object.body.len().to_string();
            }
            Self::Synthetic(objects) => objects.fill_facts(index, entry),
        }
    }

    /// The first index whose key is not before some point, found by bisection.
    pub fn first(&self, before: impl Fn(&str) -> bool) -> u64 {
        self.first_between(0, self.len(), before)
    }

    /// The same from an index on whose key is before that point, which is thought to be near.
    pub fn first_from(&self, index: u64, before: impl Fn(&str) -> bool) -> u64 {
        let mut entry = Entry::default();
        let (mut low, mut step) = (index + 1, 1);
        while low + step < self.len() {
            self.fill_key(low + step, &mut entry);
            if !before(&entry.key) {
                return self.first_between(low, low + step, before);
            }
            low += step + 1;
            step *= 2;
        }
        self.first_between(low, self.len(), before)
    }

    fn first_between(&self, mut low: u64, mut high: u64, before: impl Fn(&str) -> bool) -> u64 {
        let mut entry = Entry::default();
        while low < high {
            let middle = low + (high - low) / 2;
            self.fill_key(middle, &mut entry);
            if before(&entry.key) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low
    }

    /// The object of the key: what a listing says of it, and its body.
    pub fn find(&self, key: &str) -> Option<(Entry, Bytes)> {
        let index = self.first(|other| other < key);
        if index == self.len() {
            return None;
        }
        let mut entry = Entry::default();
        self.fill_key(index, &mut entry);
        if entry.key != key {
            return None;
        }
        self.fill_facts(index, &mut entry);
        let body = match self {
            Self::Given(objects) => at(objects, index).body.clone(),
            Self::Synthetic(objects) => objects.body(index).into(),
        };
        Some((entry, body))
    }

    /// What became of the object after it was listed: its new body, else the old one and a line feed.
    pub fn changed(&self, key: &str) -> Option<(Entry, Bytes)> {
        let (mut entry, body) = self.find(key)?;
        let given = match self {
            Self::Given(objects) => objects.iter().find(|object| object.key == key),
            Self::Synthetic(_) => None,
        };
        let body = match given.and_then(|object| object.changed.clone()) {
            Some(changed) => changed,
            None => [&body, b"\n".as_slice()].concat().into(),
        };
        entry.etag.clear();
        push_md5(&mut entry.etag, &body);
        let listed: Timestamp = entry.modified.parse().unwrap_or_default();
        entry.modified = in_listing(listed + SignedDuration::from_hours(24));
        Some((entry, body))
    }
}

fn at(objects: &[Object], index: u64) -> &Object {
    &objects[usize::try_from(index).unwrap_or(usize::MAX)]
}

impl Object {
    fn parse(line: &str) -> Result<Self> {
        let line: Line = serde_json::from_str(line)?;
        let body = match (line.body, line.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => bytes_of_base64(&text)?,
            (None, None) => Vec::new(),
            (Some(_), Some(_)) => anyhow::bail!("both body and body_base64"),
        };
        let modified = line.last_modified.as_deref();
        let modified = modified.unwrap_or("2019-01-02T00:00:00Z").parse()?;
        let mut etag = String::new();
        push_md5(&mut etag, &body);
        Ok(Self {
            key: line.key,
            body: body.into(),
            changed: line.changed.map(Bytes::from),
            etag: line.etag.unwrap_or(etag),
            modified: in_listing(modified),
        })
    }
}

fn in_listing(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

pub fn push_md5(to: &mut String, bytes: &[u8]) {
    push_hex(to, Md5::digest(bytes).as_slice());
}
