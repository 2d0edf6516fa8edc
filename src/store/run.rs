//! The runs that a database has taken in: its table `bh_run`, a row each.

use serde::Serialize;
use serde_json::Value;

use crate::record::ledger::Ledger;
use crate::record::stage_counts::StageCounts;

/// A run that begins to be stored.
#[derive(Debug)]
pub struct NewRun<'a> {
    pub id: &'a str,
    pub source: &'a str,
    pub criteria: &'a Value,
    /// RFC 3339.
    pub started: &'a str,
}

/// Which loader stores a run, and how far it has come: a batch is stored only while both are
/// as the database has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFence {
    pub run: String,
    pub loader: String,
    /// How many batches that changed something were committed.
    pub step: i64,
}

/// What a database knows of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct StoredRun {
    pub step: i64,
    /// Whether no row is left of those that were there when it began.
    pub is_rootless: bool,
}

/// Rows of `main_build`.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct RunRows {
    /// Those whose metadata name the run.
    pub own: u64,
    /// All with ids above those that were there when it began.
    pub newer: u64,
}

impl RunRows {
    /// Returns whether fewer are there than the `inserted` ones of the run. Where metadata
    /// name no run at all, a trigger of the user's has replaced them.
    pub fn are_lost(&self, inserted: u64) -> bool {
        self.own < inserted && (self.own > 0 || self.newer < inserted)
    }
}

/// How a run has ended.
#[derive(Debug)]
pub struct RunEnd<'a> {
    pub outcome: Outcome,
    /// RFC 3339.
    pub as_of: Option<&'a str>,
    pub error: Option<String>,
    /// The sums of its confirmed units, stage by stage: JSON.
    pub counts: Option<Value>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All of it is stored.
    Complete,
    /// It has ended, and units of it are not confirmed.
    Open,
    /// It did not come to its end.
    Stopped,
}

impl Outcome {
    pub fn name(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Open => "open",
            Self::Stopped => "stopped",
        }
    }
}

/// A row of `bh_run`; times are RFC 3339 in UTC.
#[derive(Debug, Serialize)]
pub struct RunRecord {
    pub run: String,
    pub source: String,
    pub criteria: Option<Value>,
    pub version: String,
    pub started: Option<String>,
    pub as_of: Option<String>,
    pub finished: Option<String>,
    /// `running`, or the name of an [`Outcome`].
    pub outcome: String,
    pub error: Option<String>,
    pub counts: Option<Value>,
    pub first_id: i64,
    pub step: i64,
}

impl RunRecord {
    /// Returns the ledger of the counts that were confirmed, `None` if there are none.
    pub fn ledger(&self) -> Option<Ledger> {
        let counts: Vec<StageCounts> = serde_json::from_value(self.counts.clone()?).ok()?;
        Some(Ledger::new(&counts))
    }
}
