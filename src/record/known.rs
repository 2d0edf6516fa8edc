//! The known keys and their ETags, in 24 bytes per key.
//!
//! A key is kept as a 128-bit hash, its ETag as a 64-bit hash, in partitions
//! by the key's first byte. A partition grows by small chunks that never move,
//! so memory follows the number of keys, whatever their length.

use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

use super::s3;

const PARTITIONS: usize = 256;

/// The hash of an ETag that is not known.
const ANY: u64 = 0;

/// Entries per chunk.
const CHUNK: usize = 128;

/// A key with its ETag.
#[derive(Clone, Copy)]
pub struct Entry {
    key: [u64; 2],
    etag: u64,
}

impl Entry {
    /// Creates an entry; quotes around `etag` are ignored.
    pub fn new(key: &str, etag: &str) -> Self {
        Self {
            key: hash(key),
            etag: hash(s3::unquote_etag(etag))[0],
        }
    }

    /// Creates an entry whose ETag is not known: it matches any ETag of the key.
    pub fn with_any_etag(key: &str) -> Self {
        Self {
            key: hash(key),
            etag: ANY,
        }
    }

    fn matches(&self, etag: u64) -> bool {
        self.etag == etag || self.etag == ANY || etag == ANY
    }
}

/// Chunks of entries, each but the last full; sorted by key once sealed.
#[derive(Default)]
struct Partition(Vec<Vec<Entry>>);

/// A set of (key, ETag) pairs with one ETag per key: the one inserted last.
pub struct Known {
    partitions: Vec<Partition>,
    /// The number of entries before each partition.
    starts: Vec<usize>,
}

/// Where a key was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Located {
    /// Below [`Known::len`], another for each key.
    pub index: usize,
    pub has_same_etag: bool,
}

impl Default for Known {
    fn default() -> Self {
        Self {
            partitions: (0..PARTITIONS).map(|_| Partition::default()).collect(),
            starts: Vec::new(),
        }
    }
}

impl Known {
    /// Adds a key with its ETag; quotes around it are ignored.
    pub fn insert(&mut self, key: &str, etag: &str) {
        self.add(Entry::new(key, etag));
    }

    /// Adds an entry.
    pub fn add(&mut self, entry: Entry) {
        self.partitions[partition(entry.key)].push(entry);
    }

    /// Sorts the entries. Must be called after the last [`add`](Self::add) and before the
    /// first [`contains`](Self::contains).
    pub fn seal(&mut self) {
        let (low, high) = self.partitions.split_at_mut(PARTITIONS / 2);
        std::thread::scope(|scope| {
            for half in [low, high] {
                scope.spawn(|| {
                    let mut scratch = Vec::new();
                    for partition in half {
                        partition.seal(&mut scratch);
                    }
                });
            }
        });
        let mut start = 0;
        self.starts.clear();
        for partition in &self.partitions {
            self.starts.push(start);
            start += partition.len();
        }
    }

    /// Returns for each of `entries` whether it is known.
    pub fn contains(&self, entries: &[Entry]) -> Vec<bool> {
        let located = self.locate(entries).into_iter();
        let is_same = |located: Option<Located>| located.is_some_and(|found| found.has_same_etag);
        located.map(is_same).collect()
    }

    /// Returns where the key of each of `entries` is. The lookups are interleaved, so that the
    /// waits for memory overlap.
    pub fn locate(&self, entries: &[Entry]) -> Vec<Option<Located>> {
        let start_of = |entry: &Entry| self.starts.get(partition(entry.key));
        let partition = |entry: &Entry| &self.partitions[partition(entry.key)];
        let start = |entry: &Entry| partition(entry).expected_place(entry.key);
        let mut places: Vec<usize> = entries.iter().map(start).collect();
        for _ in 0..2 {
            for (place, entry) in places.iter_mut().zip(entries) {
                *place = partition(entry).refine_place(*place, entry.key);
            }
        }
        let found = entries.iter().zip(places);
        found
            .map(|(entry, place)| {
                let (place, etag) = partition(entry).find(place, entry.key)?;
                Some(Located {
                    index: start_of(entry)? + place,
                    has_same_etag: entry.matches(etag),
                })
            })
            .collect()
    }

    /// Returns the number of keys.
    pub fn len(&self) -> usize {
        self.partitions.iter().map(Partition::len).sum()
    }

    /// Returns whether there are no keys.
    pub fn is_empty(&self) -> bool {
        self.partitions
            .iter()
            .all(|partition| partition.0.is_empty())
    }
}

impl Partition {
    fn push(&mut self, entry: Entry) {
        match self.0.last_mut() {
            Some(chunk) if chunk.len() < CHUNK => chunk.push(entry),
            _ => {
                let mut chunk = Vec::with_capacity(CHUNK);
                chunk.push(entry);
                self.0.push(chunk);
            }
        }
    }

    fn len(&self) -> usize {
        match self.0.split_last() {
            Some((last, full)) => full.len() * CHUNK + last.len(),
            None => 0,
        }
    }

    /// Sorts by key and keeps the last entry of each, in the same chunks.
    fn seal(&mut self, scratch: &mut Vec<Entry>) {
        scratch.clear();
        scratch.extend(self.0.iter().flatten());
        // Stable: of one key the entries stay as they came.
        scratch.sort_by_key(|entry| entry.key);
        scratch.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                *kept = *later;
            }
            same
        });
        self.0.truncate(scratch.len().div_ceil(CHUNK));
        for (chunk, sorted) in self.0.iter_mut().zip(scratch.chunks(CHUNK)) {
            chunk.clear();
            chunk.extend_from_slice(sorted);
        }
    }

    fn get(&self, place: usize) -> Option<&Entry> {
        self.0.get(place / CHUNK)?.get(place % CHUNK)
    }

    /// Returns the approximate place of a key: hashes are distributed evenly, so it follows
    /// from the value.
    fn expected_place(&self, key: [u64; 2]) -> usize {
        let place = (u128::from(key[0] << 8) * self.len() as u128) >> 64;
        usize::try_from(place).unwrap_or_default()
    }

    /// Returns a better place than `place`, by the entry that is there.
    fn refine_place(&self, place: usize, key: [u64; 2]) -> usize {
        let Some(there) = self.get(place) else {
            return 0;
        };
        let place = place + self.expected_place(key);
        place
            .saturating_sub(self.expected_place(there.key))
            .min(self.len() - 1)
    }

    /// Returns the place of a key and the hash of its ETag; the search starts at `place`.
    fn find(&self, mut place: usize, key: [u64; 2]) -> Option<(usize, u64)> {
        let mut there = self.get(place)?;
        while there.key > key {
            place = place.checked_sub(1)?;
            there = self.get(place)?;
        }
        while there.key < key {
            place += 1;
            there = self.get(place)?;
        }
        (there.key == key).then_some((place, there.etag))
    }
}

fn hash(text: &str) -> [u64; 2] {
    let mut hasher = SipHasher13::new();
    hasher.write(text.as_bytes());
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

fn partition(key: [u64; 2]) -> usize {
    (key[0] >> 56) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_etag_of_a_key_wins_and_quotes_are_ignored() {
        let mut known = Known::default();
        for i in 0..100_000 {
            known.insert(&format!("k{}", i % 10_000), &format!("e{i}"));
        }
        known.insert("k1", "\"new\"");
        known.seal();
        assert_eq!(known.len(), 10_000);
        let table = [
            ("k1", "new", true),
            ("k1", "\"new\"", true),
            ("k2", "e90002", true),
            ("k2", "e2", false),
            ("k10000", "e10000", false),
        ];
        let entries = table.map(|(key, etag, _)| Entry::new(key, etag));
        assert_eq!(known.contains(&entries), table.map(|(.., known)| known));
    }

    #[test]
    fn every_key_is_found_however_many_there_are() {
        for count in [0, 1, 2, 300, 40_000] {
            let mut known = Known::default();
            let entries = |from: usize| -> Vec<Entry> {
                let keys = (from..from + count).map(|i| i.to_string());
                keys.map(|key| Entry::new(&key, "e")).collect()
            };
            for entry in entries(0) {
                known.add(entry);
            }
            known.seal();
            assert_eq!(known.contains(&entries(0)), vec![true; count]);
            assert_eq!(known.contains(&entries(count)), vec![false; count]);
        }
    }

    #[test]
    fn each_key_has_an_index_of_its_own() {
        let mut known = Known::default();
        (0..5_000).for_each(|i| known.insert(&i.to_string(), "e"));
        known.add(Entry::with_any_etag("any"));
        known.seal();
        let keys = (0..5_000).map(|i| Entry::new(&i.to_string(), "other"));
        let entries: Vec<Entry> = keys.chain([Entry::new("any", "e")]).collect();
        let located = known.locate(&entries);
        let mut indexes: Vec<usize> = located.iter().map(|found| found.unwrap().index).collect();
        indexes.sort_unstable();
        assert_eq!(indexes, (0..known.len()).collect::<Vec<_>>());
        let same: Vec<bool> = located
            .iter()
            .map(|found| found.unwrap().has_same_etag)
            .collect();
        assert_eq!(same.iter().position(|same| *same), Some(5_000));
        assert_eq!(known.locate(&[Entry::new("none", "e")]), [None]);
    }

    #[test]
    fn a_key_needs_at_most_forty_bytes() {
        let mut known = Known::default();
        let long = "x".repeat(1000);
        for i in 0..300_000 {
            known.insert(&format!("{long}{i}"), "e");
        }
        known.seal();
        let chunks = known.partitions.iter().flat_map(|partition| &partition.0);
        let bytes: usize = chunks
            .map(|chunk| size_of_val(chunk) + chunk.capacity() * size_of::<Entry>())
            .sum();
        assert!(
            bytes <= 40 * known.len(),
            "{bytes} bytes for {} keys",
            known.len()
        );
    }
}
