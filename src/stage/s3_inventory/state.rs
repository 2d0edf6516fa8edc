//! What a run reads, and what it trusts of an earlier run.

use std::fmt;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::find::Inventory;
use super::location::LazyS3;
use super::position;
use super::proof::Check;
use crate::record::coverage::Interval;
use crate::resume::{Compatibility, RunSource, RunState};

/// What is read; the state of another inventory is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct InventorySource {
    #[serde(deserialize_with = "Option::deserialize")]
    endpoint: Option<String>,
    /// As named on the command line.
    inputs: Vec<String>,
    files: usize,
    /// How rows are read: the columns, and which become records.
    #[serde(default)]
    reading: String,
    /// A hash of their names, sizes, and checksums or times.
    digest: String,
    /// Checks of standard input, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
}

impl InventorySource {
    pub fn new(inventory: &Inventory, s3: &LazyS3, reading: String) -> Self {
        Self {
            endpoint: s3.endpoint(),
            inputs: inventory.inputs.clone(),
            files: inventory.files.len(),
            reading,
            digest: inventory.digest(),
            checks: Vec::new(),
        }
    }
}

impl RunSource for InventorySource {
    const RUN: &'static str = "inventory";

    fn part(&self) -> Option<Vec<Interval>> {
        None
    }

    /// Returns the source without the checks of standard input, which grow as it is read.
    fn criteria(&self) -> Value {
        let criteria = Self {
            checks: Vec::new(),
            ..self.clone()
        };
        serde_json::to_value(criteria).unwrap_or_default()
    }

    fn compare(&self, now: &Self) -> Compatibility {
        if (&self.endpoint, &self.inputs) != (&now.endpoint, &now.inputs) {
            Compatibility::Other
        } else if self.reading != now.reading {
            Compatibility::Changed("the columns, or the settings for rows, differ from those")
        } else if (self.files, &self.digest) == (now.files, &now.digest) {
            Compatibility::Same
        } else {
            Compatibility::Changed("the files differ from those")
        }
    }
}

impl fmt::Display for InventorySource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.inputs.join(" "))?;
        match &self.endpoint {
            Some(endpoint) => write!(f, " at {endpoint}"),
            None => Ok(()),
        }
    }
}

impl RunState<InventorySource> {
    /// Removes the part of standard input that cannot be checked from the coverage.
    pub fn trust(&mut self, stdin: Option<usize>) {
        let Some(file) = stdin else { return };
        if self.coverage.is_empty() {
            self.source.checks.clear();
        }
        let checked = self.source.checks.last().map_or(0, |check| check.line);
        let end = position::end(file, self.source.files);
        let whole = Interval::new(position::after(file, 0), end.clone());
        // A file that is done is not read again, so nothing of it has to be checked.
        if !self.coverage.gaps(&whole).is_empty() {
            let rest = Interval::new(position::after(file, checked), end);
            self.coverage.remove(rest);
        }
    }
}
