//! The line protocol, declared independently: programs must write exactly this
//! and nothing else.

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

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "lowercase")]
pub enum Mark {
    Listed(Part),
    End {
        run: String,
        records: u64,
        /// Of a listing.
        pages: Option<u64>,
        /// Of an inventory.
        files: Option<u64>,
        /// For a resumed run whose earlier records nobody confirmed.
        unconfirmed: Option<u64>,
    },
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

/// A text or `null`, but never missing.
fn present<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    Option::deserialize(from)
}

#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(untagged)]
pub enum Line {
    Mark(Receipt),
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
    /// Run, records, pages or files.
    pub end: Option<(String, u64, u64)>,
}

impl Listing {
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
            Line::Mark(Receipt {
                mark: Mark::Listed(part),
            }) => {
                listing.parts.push((part, std::mem::take(&mut unit)));
            }
            Line::Mark(Receipt {
                mark:
                    Mark::End {
                        run,
                        records,
                        pages,
                        files,
                        ..
                    },
            }) => {
                assert!(pages.is_some() != files.is_some());
                assert_eq!(listing.end, None, "a second end");
                listing.end = pages.or(files).map(|units| (run, records, units));
            }
        }
    }
    listing
}

impl Run {
    #[track_caller]
    pub fn listing(&self) -> Listing {
        listing(&self.stdout)
    }
}
