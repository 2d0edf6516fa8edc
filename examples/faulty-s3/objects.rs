//! The objects of the bucket, in the order of their keys: read from a file, or computed.

use hyper::body::Bytes;
use jiff::{SignedDuration, Timestamp};
use md5::{Digest, Md5};

use crate::computed::Computed;
use crate::encoding::push_hex;
use crate::given::Given;
use crate::synthetic::{KeySpace, Walk};

pub enum Objects {
    Given(Given),
    Computed(Computed),
}

/// What a listing says of one object. One entry is filled again and again: no memory per key.
#[derive(Default)]
pub struct Entry {
    pub walk: Walk,
    /// Without quotes.
    pub etag: String,
    pub size: String,
    /// As in listings, `2019-01-02T00:00:00.000Z`.
    pub modified: String,
    /// Computed objects that `modified` is of.
    pub group: Option<u64>,
}

impl Objects {
    pub fn keys(&self) -> &dyn KeySpace {
        match self {
            Self::Given(objects) => objects,
            Self::Computed(objects) => &*objects.keys,
        }
    }

    /// The rest of the entry, whose key must be that of the index.
    pub fn fill_facts(&self, index: u64, entry: &mut Entry) {
        match self {
            Self::Given(objects) => {
                let object = objects.at(index);
                entry.etag.clone_from(&object.etag);
                entry.modified.clone_from(&object.modified);
                entry.size = object.body.len().to_string();
            }
            Self::Computed(objects) => objects.fill_facts(index, entry),
        }
    }

    /// The object of the key: what a listing says of it, and its body.
    pub fn find(&self, key: &str) -> Option<(Entry, Bytes)> {
        let index = self.index(key)?;
        let mut entry = Entry {
            walk: Walk::at(key),
            ..Entry::default()
        };
        self.fill_facts(index, &mut entry);
        let body = match self {
            Self::Given(objects) => objects.at(index).body.clone(),
            Self::Computed(objects) => objects.body(index, key).into(),
        };
        Some((entry, body))
    }

    fn index(&self, key: &str) -> Option<u64> {
        let keys = self.keys();
        let index = keys.first(&|other| other >= key);
        let mut found = String::new();
        (index < keys.len()).then(|| keys.key(index, &mut found))?;
        (found == key).then_some(index)
    }

    /// What became of the object after it was listed: its new body, else the old one and a line feed.
    pub fn changed(&self, key: &str) -> Option<(Entry, Bytes)> {
        let (mut entry, body) = self.find(key)?;
        let given = match self {
            Self::Given(objects) => objects.at(self.index(key)?).changed.clone(),
            Self::Computed(_) => None,
        };
        let body = given.unwrap_or_else(|| [&body, b"\n".as_slice()].concat().into());
        entry.etag.clear();
        push_md5(&mut entry.etag, &body);
        let listed: Timestamp = entry.modified.parse().unwrap_or_default();
        entry.modified = in_listing(listed + SignedDuration::from_hours(24));
        Some((entry, body))
    }
}

pub fn in_listing(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

pub fn push_md5(to: &mut String, bytes: &[u8]) {
    push_hex(to, Md5::digest(bytes).as_slice());
}
