//! The ledger of a run: what became of every record that its source listed.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use super::stage_counts::StageCounts;

/// `listed + made = there + dropped + rejected + outside`.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ledger {
    pub listed: u64,
    pub made: u64,
    /// In the database: known before, or stored by the run. Which of the two is uncertain
    /// apart after a kill; only the sum is exact.
    pub there: u64,
    /// By reason: other keys, gone.
    pub dropped: BTreeMap<String, u64>,
    pub rejected: u64,
    /// Left out by a filter of the user's.
    pub outside: u64,
}

/// The reasons of records that are in the database already.
pub const KNOWN: &str = "known";
pub const RENEWED: &str = "ETag renewed";
/// The reason of records that are loaded into a staging, and are in the main database already.
pub const IN_MAIN: &str = "in the main database";
/// The reason of records that were rejected before, and would be again.
pub const KNOWN_BAD: &str = "known bad";
/// The kind of their lines in a file of rejects.
pub const KNOWN_BAD_KIND: &str = "known_bad";

impl Ledger {
    /// Sums up the entries of the stages, of which the first is the source and the last the
    /// loader.
    pub fn new(counts: &[StageCounts]) -> Self {
        let mut ledger = Self {
            listed: counts.first().map_or(0, |source| source.out),
            there: counts.last().map_or(0, |loader| loader.stored),
            ..Self::default()
        };
        for (at, stage) in counts.iter().enumerate() {
            ledger.outside += stage.outside;
            // What a source left out it has not listed.
            if at == 0 {
                continue;
            }
            ledger.made += stage.made;
            ledger.rejected += stage.rejected.values().sum::<u64>();
            for (reason, count) in &stage.dropped {
                match reason.as_str() {
                    KNOWN | RENEWED => ledger.there += count,
                    _ => *ledger.dropped.entry(reason.clone()).or_default() += count,
                }
            }
        }
        ledger
    }

    /// Returns whether every record is accounted for.
    pub fn adds_up(&self) -> bool {
        let dropped: u64 = self.dropped.values().sum();
        self.listed + self.made == self.there + dropped + self.rejected + self.outside
    }
}

impl fmt::Display for Ledger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} listed", self.listed)?;
        if self.made > 0 {
            write!(f, " + {} made", self.made)?;
        }
        write!(f, " = {} there", self.there)?;
        for (reason, count) in &self.dropped {
            write!(f, " + {count} {reason}")?;
        }
        write!(f, " + {} rejected", self.rejected)?;
        if self.outside > 0 {
            write!(f, " + {} outside", self.outside)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_listed_record_is_accounted_for_once() {
        let counts = r#"[
            {"stage":"s3-list","out":100},
            {"stage":"bh-filter","in":100,"out":18,"dropped":{"other keys":80,"known":2}},
            {"stage":"bh-fetch","in":17,"out":15,"dropped":{"gone":1},"rejected":{"failed":1},"outside":1},
            {"stage":"bh-load","in":15,"stored":9,"dropped":{"known":5,"ETag renewed":1}}]"#;
        let counts: Vec<StageCounts> = serde_json::from_str(counts).unwrap();
        let ledger = Ledger::new(&counts);
        assert!(ledger.adds_up());
        assert_eq!(
            ledger.to_string(),
            "100 listed = 17 there + 1 gone + 80 other keys + 1 rejected + 1 outside"
        );
    }
}
