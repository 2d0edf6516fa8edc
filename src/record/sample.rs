//! A sample of a run's keys at about even distances: where to divide the next
//! run, and how far this one has come.

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

use super::coverage::Coverage;

/// Keys in order, each with how many keys it represents: those after the key
/// before it, through itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Sample(#[serde(deserialize_with = "in_order")] Vec<(String, u64)>);

/// Reads keys in order, as they are written.
fn in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<(String, u64)>, D::Error> {
    let points = Vec::<(String, u64)>::deserialize(from)?;
    if points.is_sorted_by(|one, next| one.0 < next.0) {
        Ok(points)
    } else {
        Err(D::Error::custom("the keys of the sample are not in order"))
    }
}

/// Keys that are kept.
const SIZE: usize = 256;

impl Sample {
    /// Adds a listed page by its last key and its number of keys.
    pub fn add(&mut self, last: &str, keys: u64) {
        if keys == 0 {
            return;
        }
        match self.0.binary_search_by(|(key, _)| key.as_str().cmp(last)) {
            Ok(at) => self.0[at].1 += keys,
            Err(at) => self.0.insert(at, (last.to_owned(), keys)),
        }
        if self.0.len() >= 2 * SIZE {
            self.thin_out();
        }
    }

    /// Joins neighbours until each represents about the same number of keys.
    fn thin_out(&mut self) {
        let share = self.keys() / SIZE as u64;
        let mut kept: Vec<(String, u64)> = Vec::with_capacity(2 * SIZE);
        for (key, keys) in self.0.drain(..) {
            match kept.last_mut() {
                Some(last) if last.1 + keys <= share => *last = (key, last.1 + keys),
                _ => kept.push((key, keys)),
            }
        }
        self.0 = kept;
    }

    /// Removes the keys outside `coverage`.
    pub fn keep_within(&mut self, coverage: &Coverage) {
        self.0.retain(|(key, _)| coverage.holds(key));
    }

    /// Returns how many keys there were.
    pub fn keys(&self) -> u64 {
        self.0.iter().map(|(_, keys)| keys).sum()
    }

    /// Returns about how many keys are in `coverage`.
    pub fn covered(&self, coverage: &Coverage) -> u64 {
        let covered = self.0.iter().filter(|(key, _)| coverage.holds(key));
        covered.map(|(_, keys)| keys).sum()
    }

    /// Returns the keys in order, each with how many keys it represents.
    pub fn points(&self) -> &[(String, u64)] {
        &self.0
    }
}
