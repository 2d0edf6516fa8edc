//! What a survey knows of a directory: listings of what stands in it, from
//! several places on, and how much is thought to lie between them.

use crate::listing::alphabet::Alphabet;
use crate::listing::dir_class::{DirClass, dir_class};

/// Names that tell how names are made, of each list.
const SAMPLES: usize = 32;
/// Runs of keys listing apart, of each list.
const RUNS: usize = 64;

/// A directory, or all below a prefix.
#[derive(Debug)]
pub struct Dir {
    pub name: String,
    pub class: DirClass,
    /// In key order.
    pub listings: Vec<DirListing>,
    /// How many keys it is thought to hold.
    pub keys: f64,
    /// Whether that was counted.
    pub exact: bool,
    /// Whether there was anything to think so.
    pub known: bool,
    /// Whether a page at its start was in_flight for.
    pub paged: bool,
    pub alphabet: Alphabet,
}

/// What stands in a directory behind a place.
#[derive(Debug)]
pub struct DirListing {
    pub after: String,
    pub items: Vec<DirEntry>,
    /// How many items an answer listing of.
    pub count: f64,
    pub first: String,
    pub last: String,
    pub truncated: bool,
}

#[derive(Debug)]
pub enum DirEntry {
    Dir(Dir),
    /// So many keys in a row, through the last of them.
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
                .map_or(String::new(), |item| item.place().to_owned()),
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

    /// Whether it is known from more than those like it.
    pub fn is_seen(&self) -> bool {
        self.exact || !self.listings.is_empty()
    }

    /// The directories in it.
    pub fn dirs(&self) -> impl Iterator<Item = &Self> {
        let items = self.listings.iter().flat_map(|list| &list.items);
        items.filter_map(|item| match item {
            DirEntry::Dir(dir) => Some(dir),
            DirEntry::Keys(..) => None,
        })
    }

    /// Adds a list. What listings have in common counts once.
    pub fn add(&mut self, mut list: DirListing) {
        let at = self.listings.partition_point(|old| old.after < list.after);
        if let Some(before) = at.checked_sub(1).map(|before| &self.listings[before])
            && (!before.truncated || before.last > list.after)
        {
            return;
        }
        if let Some(next) = self.listings.get(at) {
            let within = |item: &DirEntry| *item.place() <= *next.after;
            if list.items.iter().any(|item| !within(item)) {
                list.items.retain(within);
                list.truncated = true;
                list.count = list.items.iter().map(DirEntry::count).sum();
                list.last = list
                    .items
                    .last()
                    .map_or(String::new(), |item| item.place().to_owned());
            }
        }
        let names = list.items.iter().map(DirEntry::place);
        let step = list.items.len().div_ceil(SAMPLES).max(1);
        for name in names.step_by(step).chain([list.last.as_str()]) {
            if let Some(name) = name.strip_prefix(self.name.as_str()) {
                self.alphabet.learn(name);
            }
        }
        self.alphabet.refresh();
        self.listings.insert(at, list);
    }

    /// The directory `name`, somewhere below this one.
    pub fn find(&mut self, name: &str) -> Option<&mut Self> {
        if self.name == name {
            return Some(self);
        }
        for list in self.listings.iter_mut().rev() {
            // The last item that does not stand behind the name.
            let at = list.items.partition_point(|item| item.place() <= name);
            if let Some(DirEntry::Dir(inner)) =
                at.checked_sub(1).and_then(|at| list.items.get_mut(at))
                && name.starts_with(&inner.name)
            {
                return inner.find(name);
            }
        }
        None
    }

    /// How many keys an item stands for, near a list.
    pub fn per_item(&self, index: usize) -> f64 {
        let list = &self.listings[index];
        let keys: f64 = list.items.iter().map(DirEntry::keys).sum();
        keys / list.count.max(1.0)
    }
}

impl DirEntry {
    /// Where it ends, or what it is called.
    pub fn place(&self) -> &str {
        match self {
            Self::Dir(dir) => &dir.name,
            Self::Keys(last, _) => last,
        }
    }

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
