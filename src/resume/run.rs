//! How far a run has come, and what of it is stored.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::coverage::{Coverage, Interval};
use crate::record::sample::Sample;

/// The version of the files' format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "u32", into = "u32")]
struct Format;

impl From<Format> for u32 {
    fn from(_: Format) -> Self {
        1
    }
}

impl TryFrom<u32> for Format {
    type Error = String;

    fn try_from(version: u32) -> Result<Self, String> {
        match version {
            1 => Ok(Self),
            other => Err(format!("format {other}, and this program knows format 1")),
        }
    }
}

/// What is listed: a state of another source is refused.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    pub endpoint: Option<String>,
    pub bucket: String,
    pub prefix: String,
    pub after: Option<String>,
    pub through: Option<String>,
    /// The parts of it that are listed, where not all of it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ranges: Option<Coverage>,
    /// Which shard these are, of a plan made when the run began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shard: Option<String>,
}

impl Source {
    /// What of it `done` does not cover, in order.
    #[must_use]
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

impl fmt::Display for Source {
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

/// How far a listing has come.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Listed<S = Source> {
    format: Format,
    pub run: String,
    pub source: S,
    /// RFC 3339, UTC.
    pub started: String,
    pub records: u64,
    pub pages: u64,
    pub finished: bool,
    /// The reader left: what it had not read yet is lost unless a loader
    /// confirms it.
    pub broken_pipe: bool,
    pub coverage: Coverage,
    #[serde(default)]
    pub sample: Sample,
    /// The last run of this listing that came to its end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Finished>,
    /// Records that are taken as done since they went into a pipe, and that no
    /// loader has confirmed.
    #[serde(skip)]
    pub unconfirmed: u64,
}

/// What a finished run leaves for the next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Finished {
    pub run: String,
    /// RFC 3339, UTC.
    pub started: String,
    pub sample: Sample,
}

impl<S: Clone> Listed<S> {
    #[must_use]
    pub fn new(source: S) -> Self {
        Self {
            format: Format,
            run: uuid::Uuid::new_v4().to_string(),
            source,
            started: crate::log::now(),
            records: 0,
            pages: 0,
            finished: false,
            broken_pipe: false,
            coverage: Coverage::default(),
            sample: Sample::default(),
            last: None,
            unconfirmed: 0,
        }
    }

    /// Goes on with this run, of which `coverage` is taken as done.
    pub fn go_on(&mut self, coverage: Coverage) {
        self.sample.keep_within(&coverage);
        self.coverage = coverage;
        self.broken_pipe = false;
    }

    /// A new run behind this one, of `source`.
    #[must_use]
    pub fn again(&self, source: S) -> Self {
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

/// What a loader has committed of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loaded {
    format: Format,
    /// `None` until the first mark comes.
    pub run: Option<String>,
    /// Where it is stored, without passwords.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    pub coverage: Coverage,
}

impl Default for Loaded {
    fn default() -> Self {
        Self {
            format: Format,
            run: None,
            database: None,
            coverage: Coverage::default(),
        }
    }
}

impl Loaded {
    /// Adds a part of `run` that is stored in `database`; one of another run
    /// starts anew.
    ///
    /// # Errors
    /// The other database that holds the run so far.
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
