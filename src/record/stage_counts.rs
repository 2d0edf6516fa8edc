//! What a stage made of the records of a unit, or of a run: an entry of `counts`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The counts of one stage: `in + made = out + stored + dropped + rejected`. Of a source `in` is 0.
///
/// In JSON zeros are left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct StageCounts {
    pub stage: String,
    #[serde(rename = "in", default, skip_serializing_if = "is_zero")]
    pub read: u64,
    /// Records beyond the first that one line gave.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub made: u64,
    #[serde(default, skip_serializing_if = "is_zero")]
    pub out: u64,
    /// What a sink stores in place of writing it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub stored: u64,
    /// By reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dropped: BTreeMap<String, u64>,
    /// By kind.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub rejected: BTreeMap<String, u64>,
    /// What a filter before this stage left out, as `--allow-drops` lets it.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub outside: u64,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde wants it")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl StageCounts {
    fn add(&mut self, more: &Self) {
        self.read += more.read;
        self.made += more.made;
        self.out += more.out;
        self.stored += more.stored;
        self.outside += more.outside;
        for (sums, more) in [
            (&mut self.dropped, &more.dropped),
            (&mut self.rejected, &more.rejected),
        ] {
            for (name, count) in more {
                *sums.entry(name.clone()).or_default() += count;
            }
        }
    }
}

/// Adds the counts of a unit to `sums`, stage by stage; of stages with one name the first to
/// the first, and so on.
pub fn add_up(sums: &mut Vec<StageCounts>, unit: &[StageCounts]) {
    let mut from = 0;
    for entry in unit {
        let same = |sum: &StageCounts| sum.stage == entry.stage;
        let at = sums.iter().skip(from).position(same).map(|at| from + at);
        if let Some(at) = at {
            sums[at].add(entry);
            from = at + 1;
        } else {
            sums.insert(from, entry.clone());
            from += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(stage: &str, out: u64) -> StageCounts {
        StageCounts {
            stage: stage.to_owned(),
            out,
            ..StageCounts::default()
        }
    }

    #[test]
    fn stages_of_one_name_are_kept_apart() {
        let unit = [
            counts("s3-list", 5),
            counts("bh-filter", 3),
            counts("bh-filter", 2),
        ];
        let mut sums = Vec::new();
        add_up(&mut sums, &unit);
        add_up(&mut sums, &unit[..2]);
        add_up(&mut sums, &unit);
        let out: Vec<u64> = sums.iter().map(|sum| sum.out).collect();
        assert_eq!(out, [15, 9, 4]);
    }
}
