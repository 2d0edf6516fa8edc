//! A mark: the receipt `{"mark":{…}}` that closes the unit of lines before it.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::coverage::Interval;
use super::unit_mark::UnitMark;
use crate::json;

/// A mark, as far as programs of this toolkit act on it.
#[derive(Debug)]
pub enum Mark {
    /// A run begins: the first line of its source.
    Begin(Box<Begin>),
    /// A unit of lines is closed.
    Unit(UnitMark),
    /// The source of the run is finished.
    End(End),
    /// Of another kind: it passes.
    Other,
}

/// A run and what it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Begin {
    pub run: String,
    /// For people, without passwords.
    pub source: String,
    /// The part of the key space that the run is of; `None` is everything.
    pub part: Option<Vec<Interval>>,
    /// RFC 3339, UTC.
    pub started: String,
    /// The settings that decide what the source writes.
    pub criteria: Value,
    /// Whether the source keeps a resume file.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub resumable: bool,
    /// What was listed before is taken as stored, as the user says.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub trusted: bool,
    /// The records that are taken as done since an earlier process had written
    /// them into a pipe, though no loader has confirmed them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unconfirmed: Option<u64>,
}

/// The end of a run.
#[derive(Debug, Clone, Default, Deserialize)]
pub struct End {
    #[serde(default)]
    pub run: Option<String>,
    /// The number of unit marks since the run's last `begin`.
    #[serde(default)]
    pub units: Option<u64>,
    /// The time of which the source says what there is: RFC 3339, UTC.
    #[serde(default)]
    pub as_of: Option<String>,
    /// What an export of a database has seen, for the next one.
    #[serde(default)]
    pub snapshot: Option<String>,
    /// As in [`Begin`]; of programs that wrote no `begin`.
    #[serde(default)]
    pub unconfirmed: u64,
}

/// The start of every mark; other lines are records.
pub const OPENING: &[u8] = b"{\"mark\":";

impl Mark {
    /// Parses a line; `None` for a record.
    pub fn parse(line: &[u8]) -> Option<Self> {
        if !line.starts_with(OPENING) {
            return None;
        }
        let outer = json::members(line).ok()?;
        let body = outer.get("mark")?;
        let inner = json::members(body.value).ok()?;
        if outer.len() != 1 {
            return None;
        }
        if let Some(begin) = inner.value("begin") {
            let begin = serde_json::from_slice(begin).map(Mark::Begin);
            return Some(begin.unwrap_or(Mark::Other));
        }
        if let Some(end) = inner.value("end") {
            return Some(Mark::End(serde_json::from_slice(end).unwrap_or_default()));
        }
        let start = body.end - body.value.len();
        Some(UnitMark::read(&inner, start).map_or(Mark::Other, Mark::Unit))
    }
}

/// Returns the line of a `begin` mark, without newline.
pub fn begin(begin: &Begin) -> Vec<u8> {
    let body = serde_json::to_string(begin).unwrap_or_default();
    format!("{{\"mark\":{{\"begin\":{body}}}}}").into_bytes()
}

/// Returns the line of the `end` mark, without newline, with `members` such as the counts.
pub fn end(run: &str, units: u64, as_of: &str, members: &[(&str, Value)]) -> Vec<u8> {
    let mut out = b"{\"mark\":{\"end\":{\"run\":".to_vec();
    json::write_str(run, &mut out);
    out.extend_from_slice(format!(",\"units\":{units},\"as_of\":").as_bytes());
    json::write_str(as_of, &mut out);
    for (name, value) in members {
        out.push(b',');
        json::write_str(name, &mut out);
        out.extend_from_slice(format!(":{value}").as_bytes());
    }
    out.extend_from_slice(b"}}}");
    out
}
