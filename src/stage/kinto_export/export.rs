//! What a run exports, for its state.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::record::coverage::Interval;
use crate::resume::{Compatibility, RunSource};

/// What is exported; the state of another export is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Export {
    /// The server's URL, or that of its database.
    pub server: String,
    pub bucket: String,
    pub collection: String,
    /// Only changes after this.
    #[serde(deserialize_with = "Option::deserialize")]
    pub since: Option<String>,
    /// The latest change when the run began; later changes are for the next run.
    #[serde(deserialize_with = "Option::deserialize")]
    pub through: Option<String>,
    /// When the collection itself was created or changed last; `None` if that is not known.
    #[serde(default)]
    pub changed: Option<u64>,
}

impl Export {
    /// Returns whether the collection was created again, or its settings were changed, since.
    pub fn is_before(&self, changed: Option<u64>) -> bool {
        let times = self.changed.zip(changed);
        times.is_some_and(|(then, now)| then != now)
    }
}

impl RunSource for Export {
    const RUN: &'static str = "export";

    fn part(&self) -> Option<Vec<Interval>> {
        Some(vec![Interval::new(
            self.since.clone(),
            self.through.clone(),
        )])
    }

    fn compare(&self, now: &Self) -> Compatibility {
        let begun = Self {
            through: self.through.clone(),
            changed: self.changed,
            ..now.clone()
        };
        if *self == begun {
            Compatibility::Same
        } else {
            Compatibility::Other
        }
    }
}

impl fmt::Display for Export {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{} at {}", self.bucket, self.collection, self.server)?;
        if let Some(since) = &self.since {
            write!(f, " since {since}")?;
        }
        Ok(())
    }
}
