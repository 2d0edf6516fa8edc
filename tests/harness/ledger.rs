//! The ledger of a run: the sums over its confirmed units.

use serde_json::Value;

/// What became of the keys of a run, as the loader's file says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Ledger {
    pub listed: u64,
    pub other_keys: u64,
    /// Stored, by this run or before it.
    pub there: u64,
    pub gone: u64,
    pub rejected: u64,
    pub outside: u64,
    /// Whether the intervals of the confirmed units are disjoint.
    pub exact: bool,
}

impl Ledger {
    /// Reads the ledger of `F.loaded`.
    pub fn new(loaded: &Value) -> Self {
        let mut ledger = Self {
            exact: loaded["exact"] == true,
            ..Self::default()
        };
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let stages = loaded["counts"].as_array().into_iter().flatten();
        for (at, entry) in stages.enumerate() {
            if at == 0 {
                // The source has read nothing.
                ledger.listed = number(&entry["out"]);
            }
            // One line may give several records.
            ledger.listed += number(&entry["made"]);
            let dropped = |reason: &str| number(&entry["dropped"][reason]);
            ledger.other_keys += dropped("other keys");
            ledger.gone += dropped("gone");
            ledger.there += dropped("known") + dropped("ETag renewed");
            ledger.outside += number(&entry["outside"]);
            let rejected = entry["rejected"].as_object().into_iter().flatten();
            ledger.rejected += rejected.map(|(_, count)| number(count)).sum::<u64>();
            if entry["stage"] == "bh-load" {
                ledger.there += number(&entry["stored"]);
            }
        }
        ledger
    }

    /// Returns whether every listed key has an outcome.
    pub fn adds_up(&self) -> bool {
        let outcomes = [
            self.other_keys,
            self.there,
            self.gone,
            self.rejected,
            self.outside,
        ];
        self.listed == outcomes.iter().sum::<u64>()
    }
}
