//! Which keys are known, and with which ETag, in 24 bytes a key.
//!
//! A key is kept as a 128-bit hash, its ETag as a 64-bit hash, in 256
//! partitions by the key's first byte. A partition that is full is sorted and
//! freed of outdated entries before it grows, so memory follows the number of
//! keys, whatever their length and however often each was seen.

use siphasher::sip128::{Hasher128, SipHasher13 as Sip128};
use std::hash::Hasher;

const PARTITIONS: usize = 256;

#[derive(Clone, Copy)]
struct Entry {
    key: [u64; 2],
    etag: u64,
}

#[derive(Default)]
struct Partition {
    entries: Vec<Entry>,
    /// How many of `entries`, from the start, are sorted by key.
    sorted: usize,
}

/// A set of (key, ETag) pairs, one ETag a key: the one inserted last.
pub struct Known(Vec<Partition>);

impl Default for Known {
    fn default() -> Self {
        Self((0..PARTITIONS).map(|_| Partition::default()).collect())
    }
}

impl Known {
    /// Quotes around `etag` do not count.
    pub fn insert(&mut self, key: &str, etag: &str) {
        let entry = Entry {
            key: hash(key),
            etag: hash(bare(etag))[0],
        };
        self.0[partition(entry.key)].push(entry);
    }

    /// To be called between the last [`insert`](Self::insert) and the first
    /// [`has`](Self::has).
    pub fn seal(&mut self) {
        self.0.iter_mut().for_each(Partition::tidy);
    }

    #[must_use]
    pub fn has(&self, key: &str, etag: &str) -> bool {
        let key = hash(key);
        let partition = &self.0[partition(key)];
        let found = partition
            .entries
            .binary_search_by_key(&key, |entry| entry.key);
        found.is_ok_and(|at| partition.entries[at].etag == hash(bare(etag))[0])
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(|partition| partition.entries.len()).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Partition {
    fn push(&mut self, entry: Entry) {
        if self.entries.len() == self.entries.capacity() {
            self.tidy();
            if self.entries.len() >= self.entries.capacity() / 8 * 7 {
                self.entries.reserve_exact(self.entries.len() / 8 + 64);
            }
        }
        self.entries.push(entry);
    }

    /// Sorts by key and keeps the last entry of each.
    fn tidy(&mut self) {
        if self.sorted == self.entries.len() {
            return;
        }
        self.entries.sort_by_key(|entry| entry.key);
        // Equal keys stand in the order they came: the kept one takes the
        // ETag of each that follows.
        self.entries.dedup_by(|later, kept| {
            let same = later.key == kept.key;
            if same {
                kept.etag = later.etag;
            }
            same
        });
        self.sorted = self.entries.len();
    }
}

fn hash(text: &str) -> [u64; 2] {
    let mut hasher = Sip128::new();
    hasher.write(text.as_bytes());
    let hash = hasher.finish128();
    [hash.h1, hash.h2]
}

fn partition(key: [u64; 2]) -> usize {
    (key[0] >> 56) as usize
}

fn bare(etag: &str) -> &str {
    etag.strip_prefix('"')
        .and_then(|etag| etag.strip_suffix('"'))
        .unwrap_or(etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_etag_of_a_key_counts_and_quotes_do_not() {
        let mut known = Known::default();
        for i in 0..100_000 {
            known.insert(&format!("k{}", i % 10_000), &format!("e{i}"));
        }
        known.insert("k1", "\"new\"");
        known.seal();
        assert_eq!(known.len(), 10_000);
        assert!(known.has("k1", "new") && known.has("k1", "\"new\""));
        assert!(known.has("k2", "e90002") && !known.has("k2", "e2"));
        assert!(!known.has("k10000", "e10000"));
    }

    #[test]
    fn a_key_takes_at_most_forty_bytes() {
        let mut known = Known::default();
        let long = "x".repeat(1000);
        for i in 0..300_000 {
            known.insert(&format!("{long}{i}"), "e");
        }
        known.seal();
        let bytes: usize = known
            .0
            .iter()
            .map(|partition| partition.entries.capacity() * size_of::<Entry>())
            .sum();
        assert!(
            bytes <= 40 * known.len(),
            "{bytes} bytes for {} keys",
            known.len()
        );
    }
}
