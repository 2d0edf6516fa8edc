//! The state of a run, and what a loader has confirmed of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::coverage::{Coverage, Interval};
use crate::record::sample::Sample;
use crate::record::stage_counts::{self, StageCounts};

/// The version of the files' format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Format;

/// The version that this program writes; it reads all before it too.
pub const FORMAT: u32 = 2;

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        FORMAT
    }
}

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1..=FORMAT => Ok(Self),
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

/// The content of the resume file: the state of a run.
#[expect(
    clippy::struct_excessive_bools,
    reason = "they are members of the file"
)]
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
    /// Everything is listed; where a loader takes part, perhaps not all of it is
    /// confirmed.
    pub finished: bool,
    /// When that was: RFC 3339, UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
    /// What was not confirmed was listed once more: the next run lists everything.
    #[serde(default)]
    pub closed: bool,
    /// The run ended while its reader had unfinished records: they may be lost, unless a
    /// loader confirms them.
    #[serde(rename = "broken_pipe")]
    pub delivery_unknown: bool,
    /// Records went into a pipe, whose reader may not have stored them.
    #[serde(default)]
    pub piped: bool,
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
    /// What was listed is taken as stored, as the user asked.
    #[serde(skip)]
    pub is_trusted: bool,
    /// The run was finished before this process began.
    #[serde(skip)]
    pub is_second_listing: bool,
}

/// What is kept of the last finished run.
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
            finished_at: None,
            closed: false,
            delivery_unknown: false,
            piped: false,
            coverage: Coverage::default(),
            sample: Sample::default(),
            last: None,
            unconfirmed: 0,
            is_trusted: false,
            is_second_listing: false,
        }
    }

    /// Resumes this run, taking `coverage` as done.
    pub fn resume_from(&mut self, coverage: Coverage) {
        self.sample.keep_within(&coverage);
        self.coverage = coverage;
        self.delivery_unknown = false;
        self.is_second_listing = self.finished;
    }

    /// Notes that everything is listed.
    pub fn finish(&mut self) {
        self.finished = true;
        self.finished_at = Some(crate::log::now());
        self.closed |= self.is_second_listing;
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

/// The content of the loader's file next to the resume file: what it has committed of a run.
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
    /// The id of that database; `None` in format 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database_id: Option<String>,
    /// How many batches with rows of the run the database had committed.
    #[serde(default)]
    pub step: i64,
    pub coverage: Coverage,
    /// The sums of the confirmed units, stage by stage.
    #[serde(default)]
    pub counts: Vec<StageCounts>,
    /// Whether the sums count each record of the coverage exactly once.
    #[serde(default)]
    pub exact: bool,
}

impl Default for Confirmed {
    fn default() -> Self {
        Self {
            format: Format,
            run: None,
            database: None,
            database_id: None,
            step: 0,
            coverage: Coverage::default(),
            counts: Vec::new(),
            exact: true,
        }
    }
}

/// A confirmed unit.
pub struct ConfirmedUnit<'a> {
    pub run: &'a str,
    pub keys: Interval,
    /// One entry per stage; empty if no program counted.
    pub counts: Vec<StageCounts>,
}

impl Confirmed {
    /// Adds `unit`, which is stored in `database`; a unit of another run replaces
    /// everything. One that is covered already counts nothing.
    ///
    /// # Errors
    /// The name of the other database that holds the run so far.
    pub fn fold(
        &mut self,
        unit: ConfirmedUnit<'_>,
        (database, id): (&str, Option<&str>),
    ) -> Result<(), String> {
        if self.run.as_deref() != Some(unit.run) {
            *self = Self {
                run: Some(unit.run.to_owned()),
                ..Self::default()
            };
        }
        match self.database.as_deref() {
            // One database may have two names.
            Some(other)
                if other != database && (id.is_none() || self.database_id.as_deref() != id) =>
            {
                return Err(other.to_owned());
            }
            Some(_) => {}
            None => self.database = Some(database.to_owned()),
        }
        self.database_id = id.map(str::to_owned);
        match self.coverage.gaps(&unit.keys).as_slice() {
            [] => return Ok(()),
            [gap] => self.exact &= *gap == unit.keys && !unit.counts.is_empty(),
            _ => self.exact = false,
        }
        stage_counts::add_up(&mut self.counts, &unit.counts);
        self.coverage.insert(unit.keys);
        Ok(())
    }
}
