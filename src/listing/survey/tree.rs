//! The directories of a survey: each has listings from several positions, with gaps between
//! them.

use crate::listing::alphabet::Alphabet;
use crate::listing::dir_class::{DirClass, dir_class};

/// Names per listing that an alphabet learns from.
const SAMPLES: usize = 32;
/// Runs of keys per listing.
const RUNS: usize = 64;

/// A directory, or all keys below a prefix.
#[derive(Debug)]
pub struct Dir {
    pub name: String,
    pub class: DirClass,
    /// In key order.
    pub listings: Vec<DirListing>,
    /// The estimated number of keys.
    pub keys: f64,
    /// Whether `keys` was counted.
    pub exact: bool,
    /// Whether `keys` rests on any observation.
    pub known: bool,
    /// Whether a page at its start was requested.
    pub paged: bool,
    pub alphabet: Alphabet,
}

/// A listing of a directory from a position on.
#[derive(Debug)]
pub struct DirListing {
    pub after: String,
    pub items: Vec<DirEntry>,
    /// The number of entries in the response.
    pub count: f64,
    pub first: String,
    pub last: String,
    pub truncated: bool,
}

/// An entry of a directory.
#[derive(Debug)]
pub enum DirEntry {
    Dir(Dir),
    /// Consecutive keys: the last of them, and their number.
    Keys(String, f64),
}

impl DirListing {
    pub fn new(after: &str, names: &[String], mut keys: &[String], truncated: bool) -> Self {
        let count = (names.len() + keys.len()) as f64;
        let first = names.iter().chain(keys.first()).min().cloned();
        let length = keys.len().div_ceil(RUNS).max(1);
        let mut items = Vec::new();
        let runs = |keys: &[String], items: &mut Vec<DirEntry>| {
            let run = |keys: &[String]| {
                let last = keys.last().cloned().unwrap_or_default();
                DirEntry::Keys(last, keys.len() as f64)
            };
            items.extend(keys.chunks(length).map(run));
        };
        for name in names {
            let before = keys.partition_point(|key| key < name);
            runs(&keys[..before], &mut items);
            keys = &keys[before..];
            items.push(DirEntry::Dir(Dir::new(name)));
        }
        runs(keys, &mut items);
        Self {
            after: after.to_owned(),
            count,
            first: first.unwrap_or_default(),
            last: items
                .last()
                .map_or(String::new(), |item| item.position().to_owned()),
            items,
            truncated,
        }
    }
}

impl Dir {
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            class: dir_class(name),
            listings: Vec::new(),
            keys: 0.0,
            exact: false,
            known: false,
            paged: false,
            alphabet: Alphabet::default(),
        }
    }

    /// Returns whether the directory itself was observed, rather than others of its class.
    pub fn is_seen(&self) -> bool {
        self.exact || !self.listings.is_empty()
    }

    /// Returns the directories in it.
    pub fn dirs(&self) -> impl Iterator<Item = &Self> {
        let items = self.listings.iter().flat_map(|list| &list.items);
        items.filter_map(|item| match item {
            DirEntry::Dir(dir) => Some(dir),
            DirEntry::Keys(..) => None,
        })
    }

    /// Adds a listing. Entries that two listings share count once.
    pub fn add(&mut self, mut list: DirListing) {
        let at = self.listings.partition_point(|old| old.after < list.after);
        if let Some(before) = at.checked_sub(1).map(|before| &self.listings[before])
            && (!before.truncated || before.last > list.after)
        {
            return;
        }
        if let Some(next) = self.listings.get(at) {
            let within = |item: &DirEntry| *item.position() <= *next.after;
            if list.items.iter().any(|item| !within(item)) {
                list.items.retain(within);
                list.truncated = true;
                list.count = list.items.iter().map(DirEntry::count).sum();
                list.last = list
                    .items
                    .last()
                    .map_or(String::new(), |item| item.position().to_owned());
            }
        }
        let names = list.items.iter().map(DirEntry::position);
        let step = list.items.len().div_ceil(SAMPLES).max(1);
        for name in names.step_by(step).chain([list.last.as_str()]) {
            if let Some(name) = name.strip_prefix(self.name.as_str()) {
                self.alphabet.add(name);
            }
        }
        self.alphabet.refresh();
        self.listings.insert(at, list);
    }

    /// Returns the directory `name` at any depth.
    pub fn find(&mut self, name: &str) -> Option<&mut Self> {
        if self.name == name {
            return Some(self);
        }
        for list in self.listings.iter_mut().rev() {
            // The last entry that is not after the name.
            let at = list.items.partition_point(|item| item.position() <= name);
            if let Some(DirEntry::Dir(inner)) =
                at.checked_sub(1).and_then(|at| list.items.get_mut(at))
                && name.starts_with(&inner.name)
            {
                return inner.find(name);
            }
        }
        None
    }

    /// Returns the estimated number of keys per entry near a listing.
    pub fn per_item(&self, index: usize) -> f64 {
        let list = &self.listings[index];
        let keys: f64 = list.items.iter().map(DirEntry::keys).sum();
        keys / list.count.max(1.0)
    }
}

impl DirEntry {
    /// Returns its name, or its last key.
    pub fn position(&self) -> &str {
        match self {
            Self::Dir(dir) => &dir.name,
            Self::Keys(last, _) => last,
        }
    }

    /// Returns the number of its keys, which may be an estimate.
    pub fn keys(&self) -> f64 {
        match self {
            Self::Dir(dir) => dir.keys,
            Self::Keys(_, keys) => *keys,
        }
    }

    fn count(&self) -> f64 {
        match self {
            Self::Dir(_) => 1.0,
            Self::Keys(_, keys) => *keys,
        }
    }
}
