//! How many keys a directory holds, judged by those of its class.

use std::collections::HashMap;

/// More classes than this are not listing apart.
const MOST: usize = 50_000;

/// Names of what a directory has in common with others, the closest first:
/// its path with digits taken out; the same below any parent; its parent.
pub type DirClass = [u64; 3];

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

/// FNV-1a over `text`, in which a run of digits counts as one.
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
struct Seen {
    ends: f64,
    keys: f64,
}

/// What the next broader class says weighs as much as so many directories.
const DOUBT: f64 = 0.25;

/// Averages over the directories that were listed to their end.
#[derive(Debug, Default)]
pub struct ClassStats {
    seen: HashMap<u64, Seen>,
    /// Keys that an earlier run saw, and what stood there now.
    then: f64,
    now: f64,
}

impl ClassStats {
    /// Of directories of a `class` so many `keys` were listed, and so many came
    /// to their end. This way a large one is not overlooked while it lasts.
    pub fn record(&mut self, class: DirClass, ends: f64, keys: f64) {
        for part in class {
            let full = self.seen.len() >= MOST;
            if full && !self.seen.contains_key(&part) {
                continue;
            }
            let seen = self.seen.entry(part).or_default();
            seen.ends += ends;
            seen.keys += keys;
        }
    }

    /// A stretch where an earlier run saw `then` keys held `now`.
    pub fn grow(&mut self, then: f64, now: f64) {
        self.then += then;
        self.now += now;
    }

    /// How much the bucket has grown since.
    pub fn growth(&self) -> f64 {
        if self.then > 0.0 {
            (self.now / self.then).max(0.01)
        } else {
            1.0
        }
    }

    /// How many keys a directory of the `class` is thought to hold.
    pub fn mean(&self, class: DirClass, unknown: f64) -> f64 {
        class.iter().rev().fold(unknown, |broader, part| {
            let seen = self.seen.get(part).copied().unwrap_or_default();
            (seen.keys + DOUBT * broader) / (seen.ends + DOUBT)
        })
    }

    /// The mean of the closest part of the `class` of which something is known.
    pub fn known(&self, class: DirClass) -> Option<f64> {
        let seen = class.iter().filter_map(|part| self.seen.get(part));
        let mut known = seen.filter(|seen| seen.ends > 0.0);
        known.next().map(|seen| seen.keys / seen.ends)
    }

    /// How many directories of the closest class were seen to their end.
    pub fn ends(&self, class: DirClass) -> f64 {
        self.seen.get(&class[0]).map_or(0.0, |seen| seen.ends)
    }

    /// Whether directories of the closest class were seen to their end.
    pub fn knows(&self, class: DirClass) -> bool {
        self.ends(class) >= 1.0
    }
}
