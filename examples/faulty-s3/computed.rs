//! Objects computed from their index, in the order of their keys: any number, in no memory.

use anyhow::{Context, Result};

use crate::build::{build, started_text};
use crate::encoding::push_hex;
use crate::objects::{Entry, push_md5};
use crate::synthetic::{KeySpace, by_name, mixed, plain};

/// Length of the content of a file that is no build.
const PLACEHOLDER: &str = "25";

pub struct Computed {
    pub keys: Box<dyn KeySpace>,
    /// So many keys on end have one build.
    of_a_build: u64,
}

impl Computed {
    pub fn new(distribution: &str, len: u64) -> Result<Self> {
        Ok(Self {
            keys: by_name(distribution, len).context("no such distribution")?,
            of_a_build: if distribution == "plain" {
                plain::FILES
            } else {
                1
            },
        })
    }

    /// Files that are no builds have the `ETag` of an upload in parts.
    pub fn fill_facts(&self, index: u64, entry: &mut Entry) {
        let group = index / plain::FILES;
        if entry.group != Some(group) {
            let [year, month, day, hour, minute, second] = started_text(group);
            entry.group = Some(group);
            entry.modified = format!("{year}-{month}-{day}T{hour}:{minute}:{second}.000Z");
        }
        entry.etag.clear();
        if is_build(&entry.walk.key) {
            let body = self.body(index, &entry.walk.key);
            push_md5(&mut entry.etag, body.as_bytes());
            entry.size = body.len().to_string();
        } else {
            push_hex(&mut entry.etag, &mixed(index).to_be_bytes());
            push_hex(&mut entry.etag, &mixed(!index).to_be_bytes());
            entry.etag.push_str("-7");
            PLACEHOLDER.clone_into(&mut entry.size);
        }
    }

    pub fn body(&self, index: u64, key: &str) -> String {
        if is_build(key) {
            build(index / self.of_a_build)
        } else {
            format!("placeholder {index:012}\n")
        }
    }
}

fn is_build(key: &str) -> bool {
    key.ends_with("buildhub.json")
}
