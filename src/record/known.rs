//! Which keys are known, and with which ETag, in 24 bytes a key.
//!
//! A key is kept as a 128-bit hash, its ETag as a 64-bit hash, in partitions
//! by the key's first byte. A partition grows by small chunks that never move,
//! so memory follows the number of keys, whatever their length.

use std::cmp::Reverse;
use std::hash::Hasher;

use siphasher::sip128::{Hasher128, SipHasher13};

const PARTITIONS: usize = 256;

/// Entries of a chunk.
const CHUNK: usize = 128;

#[derive(Clone, Copy)]
struct Entry {
    key: [u64; 2],
    etag: u64,
}

/// Chunks of entries, each but the last full; sorted by key once sealed.
#[derive(Default)]
struct Partition(Vec<Vec<Entry>>);

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
        let longest = self.0.iter().map(Partition::len).max();
        let mut scratch = Vec::with_capacity(longest.unwrap_or_default());
        for partition in &mut self.0 {
            partition.seal(&mut scratch);
        }
    }

    #[must_use]
    pub fn has(&self, key: &str, etag: &str) -> bool {
        let key = hash(key);
        let known = self.0[partition(key)].find(key);
        known == Some(hash(bare(etag))[0])
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.iter().map(Partition::len).sum()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
        self.0.iter().map(Vec::len).sum()
    }

    /// Sorts by key and keeps the last entry of each, in the same chunks.
    fn seal(&mut self, scratch: &mut Vec<(Entry, usize)>) {
        scratch.clear();
        scratch.extend(self.0.iter().flatten().copied().zip(0..));
        scratch.sort_unstable_by_key(|(entry, came)| (entry.key, Reverse(*came)));
        scratch.dedup_by_key(|(entry, _)| entry.key);
        self.0.truncate(scratch.len().div_ceil(CHUNK));
        for (chunk, sorted) in self.0.iter_mut().zip(scratch.chunks(CHUNK)) {
            chunk.clear();
            chunk.extend(sorted.iter().map(|(entry, _)| *entry));
        }
    }

    /// The hash of a key's ETag.
    fn find(&self, key: [u64; 2]) -> Option<u64> {
        let behind = self.0.partition_point(|chunk| chunk[0].key <= key);
        let chunk = &self.0[behind.checked_sub(1)?];
        let at = chunk.binary_search_by_key(&key, |entry| entry.key).ok()?;
        Some(chunk[at].etag)
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
        let chunks = known.0.iter().flat_map(|partition| &partition.0);
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
