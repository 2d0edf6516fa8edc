//! The line protocol, declared independently: programs must write exactly this
//! and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

use super::Run;

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    pub bucket: String,
    pub key: String,
    pub etag: Option<String>,
    pub size: Option<u64>,
    pub last_modified: Option<String>,
    pub version_id: Option<String>,
    pub is_latest: Option<bool>,
    pub is_delete_marker: Option<bool>,
    pub build: Option<Value>,
    pub data: Option<Value>,
}

/// What a mark holds: one of its kinds, and the counts of a unit.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mark {
    pub begin: Option<Begin>,
    pub listed: Option<Part>,
    pub held: Option<Held>,
    pub end: Option<End>,
    pub counts: Option<Vec<Counts>>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    pub run: String,
    pub source: String,
    #[serde(deserialize_with = "present")]
    pub part: Option<Vec<Value>>,
    pub started: String,
    pub criteria: Value,
    #[serde(default)]
    pub resumable: bool,
    #[serde(default)]
    pub trusted: bool,
    /// For a resumed run whose earlier records nobody confirmed.
    pub unconfirmed: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    pub listed: Part,
    pub by: String,
    pub why: String,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct End {
    pub run: String,
    pub units: u64,
    pub as_of: String,
    pub records: u64,
    /// Of a listing.
    pub pages: Option<u64>,
    /// Of an inventory.
    pub files: Option<u64>,
}

/// An entry of `counts`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Counts {
    pub stage: String,
    #[serde(rename = "in")]
    pub read: u64,
    pub made: u64,
    pub out: u64,
    pub stored: u64,
    pub dropped: BTreeMap<String, u64>,
    pub rejected: BTreeMap<String, u64>,
    pub outside: u64,
}

/// The keys k of a run with `after` < k ≤ `through`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Part {
    pub run: String,
    #[serde(deserialize_with = "present")]
    pub after: Option<String>,
    #[serde(deserialize_with = "present")]
    pub through: Option<String>,
}

/// A value or `null`, but never missing.
fn present<'de, T: Deserialize<'de>, D: Deserializer<'de>>(from: D) -> Result<Option<T>, D::Error> {
    Option::deserialize(from)
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Mark(Box<Receipt>),
    Record(Record),
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    pub mark: Mark,
}

/// A rejected line: its own members, or `raw` if it was not a JSON object.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reject {
    pub raw: Option<String>,
    pub bucket: Option<String>,
    pub key: Option<String>,
    pub etag: Option<String>,
    pub size: Option<u64>,
    pub last_modified: Option<String>,
    pub build: Option<Value>,
    pub data: Option<Value>,
    pub error: Fault,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Fault {
    pub stage: String,
    pub kind: String,
    pub message: String,
    pub pointer: Option<String>,
    pub line: u64,
    /// Of a line between the marks of a run.
    pub run: Option<String>,
    pub verdict: Option<String>,
    #[serde(default)]
    pub violations: Vec<Violation>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Violation {
    pub pointer: String,
    pub schema_path: String,
    pub keyword: String,
    pub message: String,
}

/// A line of standard error under `--log-format json`.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Said {
    pub time: String,
    pub level: String,
    pub program: String,
    pub message: Option<String>,
    pub summary: Option<Summary>,
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Summary {
    pub program: String,
    #[serde(rename = "in")]
    pub read: u64,
    pub made: u64,
    pub out: u64,
    pub dropped: Value,
    pub rejected: Value,
    pub refused_later: Value,
    pub notes: Value,
    /// Of a loader.
    #[serde(default)]
    pub runs: Vec<Value>,
    pub in_flight: u64,
    pub adds_up: bool,
    pub seconds: f64,
}

/// The parsed output of a listing.
#[derive(Debug, Default)]
pub struct Listing {
    pub records: Vec<Record>,
    /// Each mark with the records since the mark before it.
    pub parts: Vec<(Part, Vec<String>)>,
    pub begin: Option<Begin>,
    /// How many units were closed since then.
    pub units: u64,
    /// Units that were not accepted.
    pub held: Vec<Held>,
    /// Run, records, pages or files.
    pub end: Option<(String, u64, u64)>,
}

impl Listing {
    #[track_caller]
    fn take(&mut self, mark: Mark, unit: &mut Vec<String>) {
        if let Some(begin) = mark.begin {
            self.begin = Some(begin);
            self.units = 0;
        }
        self.units += u64::from(mark.listed.is_some() || mark.held.is_some());
        if let Some(part) = mark.listed {
            let counts = mark.counts.unwrap_or_default();
            let sent = counts.last().map(|last| last.out);
            assert_eq!(sent, Some(unit.len() as u64), "counts of {part:?}");
            self.parts.push((part, std::mem::take(unit)));
        }
        if let Some(held) = mark.held {
            self.held.push(held);
            unit.clear();
        }
        if let Some(end) = mark.end {
            assert!(end.pages.is_some() != end.files.is_some());
            assert_eq!(self.end, None, "a second end");
            assert_eq!(end.units, self.units, "units of {}", end.run);
            let pages = end.pages.or(end.files);
            self.end = pages.map(|pages| (end.run, end.records, pages));
        }
    }

    pub fn keys(&self) -> Vec<&str> {
        self.records.iter().map(|record| &*record.key).collect()
    }

    /// Returns the sorted keys.
    pub fn sorted(&self) -> Vec<&str> {
        let mut keys = self.keys();
        keys.sort_unstable();
        keys
    }
}

/// Parses lines as `T`, without unknown members.
#[track_caller]
pub fn read<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Vec<T> {
    let lines = bytes.split(|byte| *byte == b'\n');
    let filled = lines.filter(|line| !line.is_empty());
    filled
        .map(|line| {
            serde_json::from_slice(line)
                .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(line)))
        })
        .collect()
}

/// Parses the bytes of a listing; a record after the last mark belongs
/// to no part.
#[track_caller]
pub fn listing(bytes: &[u8]) -> Listing {
    let mut listing = Listing::default();
    let mut unit = Vec::new();
    for line in read::<Line>(bytes) {
        match line {
            Line::Record(record) => {
                unit.push(record.key.clone());
                listing.records.push(record);
            }
            Line::Mark(receipt) => listing.take(receipt.mark, &mut unit),
        }
    }
    listing
}

/// Returns the line of `mark` as the stage `by` writes it that does not accept its unit.
pub fn held(mark: &str, by: &str, why: &str) -> String {
    let kind = mark.strip_prefix("{\"mark\":{").unwrap();
    let kind = kind.strip_suffix("}}").unwrap();
    format!("{{\"mark\":{{\"held\":{{{kind},\"by\":\"{by}\",\"why\":\"{why}\"}}}}}}")
}

impl Run {
    #[track_caller]
    pub fn listing(&self) -> Listing {
        listing(&self.stdout)
    }
}
