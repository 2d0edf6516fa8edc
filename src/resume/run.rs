//! The state of a run, and what a loader has confirmed of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::coverage::{Coverage, Interval};
use crate::record::sample::Sample;

/// The version of the files' format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Format;

/// The version that this program reads and writes.
pub const FORMAT: u32 = 1;

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        FORMAT
    }
}

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            FORMAT => Ok(Self),
            other => Err(format!(
                "format {other}, and this program knows format {FORMAT}"
            )),
        }
    }
}

/// The part of a bucket that a listing covers; a state of another one is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListingSource {
    #[serde(deserialize_with = "Option::deserialize")]
    pub endpoint: Option<String>,
    pub bucket: String,
    pub prefix: String,
    #[serde(deserialize_with = "Option::deserialize")]
    pub after: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub through: Option<String>,
    /// The ranges to list; `None` lists everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Coverage>,
    /// The shard that `ranges` are, of a plan made when the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

impl ListingSource {
    /// Returns the ranges that `done` does not cover, in order.
    pub fn gaps(&self, done: &Coverage) -> Vec<Interval> {
        let whole = Interval::new(self.after.clone(), self.through.clone());
        match &self.ranges {
            None => done.gaps(&whole),
            Some(ranges) => {
                let ranges = ranges.intervals().iter();
                ranges.flat_map(|range| done.gaps(range)).collect()
            }
        }
    }
}

impl fmt::Display for ListingSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endpoint = self.endpoint.as_deref().unwrap_or("AWS");
        write!(f, "s3://{}/{} at {endpoint}", self.bucket, self.prefix)?;
        for (name, key) in [("after", &self.after), ("through", &self.through)] {
            if let Some(key) = key {
                write!(f, " {name} {key:?}")?;
            }
        }
        match (&self.shard, &self.ranges) {
            (Some(shard), _) => write!(f, ", shard {shard}"),
            (None, Some(ranges)) => write!(f, " in {} ranges", ranges.intervals().len()),
            (None, None) => Ok(()),
        }
    }
}

/// What the resume file of a run holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunState<S = ListingSource> {
    format: Format,
    pub run: String,
    pub source: S,
    /// RFC 3339, UTC.
    pub started: String,
    pub records: u64,
    pub pages: u64,
    pub finished: bool,
    /// The run ended while its reader still held records: they may be lost,
    /// unless a loader confirms them.
    #[serde(rename = "broken_pipe")]
    pub delivery_unknown: bool,
    pub coverage: Coverage,
    #[serde(default)]
    pub sample: Sample,
    /// The last run of this source that finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Finished>,
    /// The number of records that are taken as done because they went into a
    /// pipe, though no loader has confirmed them.
    #[serde(skip)]
    pub unconfirmed: u64,
}

/// What a finished run leaves to the next one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    pub run: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub sample: Sample,
}

impl<S: Clone> RunState<S> {
    pub fn new(source: S) -> Self {
        Self {
            format: Format,
            run: uuid::Uuid::new_v4().to_string(),
            source,
            started: crate::log::now(),
            records: 0,
            pages: 0,
            finished: false,
            delivery_unknown: false,
            coverage: Coverage::default(),
            sample: Sample::default(),
            last: None,
            unconfirmed: 0,
        }
    }

    /// Resumes this run, taking `coverage` as done.
    pub fn resume_from(&mut self, coverage: Coverage) {
        self.sample.keep_within(&coverage);
        self.coverage = coverage;
        self.delivery_unknown = false;
    }

    /// Returns a new run of `source` that follows this one.
    pub fn next_run(&self, source: S) -> Self {
        let last = self.finished.then(|| Finished {
            run: self.run.clone(),
            started: self.started.clone(),
            sample: self.sample.clone(),
        });
        Self {
            last: last.or_else(|| self.last.clone()),
            ..Self::new(source)
        }
    }
}

/// What a loader has committed of a run: the file beside the resume file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    format: Format,
    /// `None` until the first mark arrives.
    #[serde(deserialize_with = "Option::deserialize")]
    pub run: Option<String>,
    /// The database that holds the records, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub coverage: Coverage,
}

impl Default for Confirmed {
    fn default() -> Self {
        Self {
            format: Format,
            run: None,
            database: None,
            coverage: Coverage::default(),
        }
    }
}

impl Confirmed {
    /// Adds `part` of `run`, which is stored in `database`; a part of another
    /// run replaces everything.
    ///
    /// # Errors
    /// The name of the other database that holds the run so far.
    pub fn fold(&mut self, run: &str, part: Interval, database: &str) -> Result<(), String> {
        if self.run.as_deref() != Some(run) {
            *self = Self {
                run: Some(run.to_owned()),
                ..Self::default()
            };
        }
        match self.database.as_deref() {
            Some(other) if other != database => return Err(other.to_owned()),
            Some(_) => {}
            None => self.database = Some(database.to_owned()),
        }
        self.coverage.insert(part);
        Ok(())
    }
}
