//! The objects of a file, in the order of their keys.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use anyhow::{Context, Result};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use hyper::body::Bytes;
use serde::Deserialize;

use crate::objects::{in_listing, push_md5};
use crate::synthetic::KeySpace;

pub struct Given(Vec<Object>);

pub struct Object {
    pub key: String,
    pub body: Bytes,
    /// What it becomes after it was listed.
    pub changed: Option<Bytes>,
    pub etag: String,
    pub modified: String,
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

impl Given {
    pub fn read(file: &Path) -> Result<Self> {
        let at = |number: usize| format!("{}, line {}", file.display(), number + 1);
        let input = File::open(file).with_context(|| file.display().to_string())?;
        let mut objects = Vec::new();
        for (number, line) in BufReader::new(input).lines().enumerate() {
            let line = line.with_context(|| at(number))?;
            objects.push(Object::parse(&line).with_context(|| at(number))?);
        }
        objects.sort_by(|one, other| one.key.cmp(&other.key));
        Ok(Self(objects))
    }

    pub fn at(&self, index: u64) -> &Object {
        &self.0[usize::try_from(index).unwrap_or(usize::MAX)]
    }
}

impl KeySpace for Given {
    fn len(&self) -> u64 {
        self.0.len() as u64
    }

    fn key(&self, index: u64, into: &mut String) {
        into.clone_from(&self.at(index).key);
    }
}

impl Object {
    fn parse(line: &str) -> Result<Self> {
        let line: Line = serde_json::from_str(line)?;
        let body = match (line.body, line.body_base64) {
            (Some(text), None) => text.into_bytes(),
            (None, Some(text)) => BASE64_STANDARD.decode(text)?,
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
