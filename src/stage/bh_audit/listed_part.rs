//! Which part of the bucket was listed, so that objects that are not there are known to be gone.

use serde_json::Value;

use crate::record::coverage::{Coverage, Interval};
use crate::record::mark::Begin;

/// The part of a bucket that the units of a run have listed.
#[derive(Default)]
pub struct ListedPart {
    begin: Option<Begin>,
    coverage: Coverage,
}

impl ListedPart {
    /// Begins a run; one that is resumed keeps what it has listed so far.
    pub fn begin(&mut self, begin: &Begin) {
        if self.run() != Some(&begin.run) {
            self.coverage = Coverage::default();
        }
        self.begin = Some(begin.clone());
    }

    /// Returns the id of the run; `None` before its begin mark.
    pub fn run(&self) -> Option<&str> {
        self.begin.as_ref().map(|begin| &*begin.run)
    }

    /// Returns when the run began, in RFC 3339.
    pub fn since(&self) -> Option<&str> {
        self.begin.as_ref().map(|begin| &*begin.started)
    }

    /// Adds a unit that came whole.
    pub fn add(&mut self, keys: Interval) {
        self.coverage.insert(keys);
    }

    /// Returns whether an object with this key would have been listed. The coverage of an
    /// inventory has positions in its files instead of keys, so only a whole one counts.
    pub fn holds(&self, key: &str) -> bool {
        let criteria = self.begin.as_ref().map(|begin| &begin.criteria);
        match criteria.map(|criteria| (&criteria["prefix"], &criteria["inputs"])) {
            Some((Value::String(prefix), _)) => {
                key.starts_with(prefix.as_str()) && self.coverage.holds(key)
            }
            Some((_, Value::Array(_))) => self.coverage.gaps_of(None).is_empty(),
            _ => false,
        }
    }
}
