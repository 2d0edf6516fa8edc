//! Estimates the size of a directory by the mean of its class.

use std::collections::HashMap;

/// The maximum number of classes.
const MAX_CLASSES: usize = 50_000;

/// Hashes of what directories have in common, the narrowest class first: the path without
/// its digits; the name under any parent; the parent.
pub type DirClass = [u64; 3];

/// Returns the class of a directory.
pub fn dir_class(dir: &str) -> DirClass {
    let path = dir.strip_suffix('/').unwrap_or(dir);
    let own = hash(SEED, path);
    let Some((parent, name)) = path.rsplit_once('/') else {
        return [own, own, hash(SEED, "/*")];
    };
    let above = parent.rsplit_once('/').map_or("", |(above, _)| above);
    [
        own,
        hash(hash(hash(SEED, above), "/*/"), name),
        hash(hash(SEED, parent), "/*"),
    ]
}

const SEED: u64 = 0xcbf2_9ce4_8422_2325;

/// Returns the FNV-1a hash of `text`, with each run of digits as one character.
fn hash(start: u64, text: &str) -> u64 {
    let mut hash = start;
    let mut digits = false;
    for byte in text.bytes() {
        let digit = byte.is_ascii_digit();
        if digit && digits {
            continue;
        }
        digits = digit;
        hash ^= u64::from(if digit { b'#' } else { byte });
        hash = hash.wrapping_mul(0x0100_0000_01b3);
    }
    hash
}

#[derive(Debug, Default, Clone, Copy)]
struct Totals {
    ends: f64,
    keys: f64,
}

/// The mean of the next broader class weighs as much as this number of directories.
const PRIOR_WEIGHT: f64 = 0.25;

/// Keys and completed directories, by class.
#[derive(Debug, Default)]
pub struct ClassStats {
    seen: HashMap<u64, Totals>,
    /// Keys that an earlier run saw, and keys that the same intervals contain now.
    then: f64,
    now: f64,
}

impl ClassStats {
    /// Adds `keys` listed keys of a `class`, of which `ends` directories were completed.
    /// Counting keys early keeps a large directory from being overlooked.
    pub fn record(&mut self, class: DirClass, ends: f64, keys: f64) {
        for part in class {
            let full = self.seen.len() >= MAX_CLASSES;
            if full && !self.seen.contains_key(&part) {
                continue;
            }
            let seen = self.seen.entry(part).or_default();
            seen.ends += ends;
            seen.keys += keys;
        }
    }

    /// Adds an interval with `then` keys in an earlier run and `now` keys in this one.
    pub fn record_growth(&mut self, then: f64, now: f64) {
        self.then += then;
        self.now += now;
    }

    /// Returns by which factor the bucket has grown since the earlier run.
    pub fn growth(&self) -> f64 {
        if self.then > 0.0 {
            (self.now / self.then).max(0.01)
        } else {
            1.0
        }
    }

    /// Returns the estimated number of keys in a directory of the `class`.
    pub fn mean(&self, class: DirClass, unknown: f64) -> f64 {
        class.iter().rev().fold(unknown, |broader, part| {
            let seen = self.seen.get(part).copied().unwrap_or_default();
            (seen.keys + PRIOR_WEIGHT * broader) / (seen.ends + PRIOR_WEIGHT)
        })
    }

    /// Returns the mean of the narrowest part of the `class` with completed directories.
    pub fn known_mean(&self, class: DirClass) -> Option<f64> {
        let seen = class.iter().filter_map(|part| self.seen.get(part));
        let mut known = seen.filter(|seen| seen.ends > 0.0);
        known.next().map(|seen| seen.keys / seen.ends)
    }

    /// Returns how many directories of the narrowest class were completed.
    pub fn completed(&self, class: DirClass) -> f64 {
        self.seen.get(&class[0]).map_or(0.0, |seen| seen.ends)
    }

    /// Returns whether a directory of the narrowest class was completed.
    pub fn is_known(&self, class: DirClass) -> bool {
        self.completed(class) >= 1.0
    }
}
