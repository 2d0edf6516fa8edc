//! The lines between two programs, cut at their marks.

use serde_json::Value;

/// The records before a mark, and the mark.
#[derive(Debug, Clone)]
pub struct Unit {
    pub records: Vec<String>,
    pub mark: String,
}

const MARK: &str = "{\"mark\":";

/// Cuts lines at their marks: the first unit is the begin mark's, the last that
/// of the end mark. No record may come after the last mark.
#[track_caller]
pub fn units(lines: &[u8]) -> Vec<Unit> {
    let mut units = Vec::new();
    let mut records = Vec::new();
    for line in std::str::from_utf8(lines).unwrap().lines() {
        if line.starts_with(MARK) {
            let (records, mark) = (std::mem::take(&mut records), line.to_owned());
            units.push(Unit { records, mark });
        } else {
            records.push(line.to_owned());
        }
    }
    assert_eq!(records, [""; 0], "records after the last mark");
    units
}

/// Returns the lines of these units.
pub fn joined(units: &[Unit]) -> Vec<u8> {
    let lines = units
        .iter()
        .flat_map(|unit| unit.records.iter().chain([&unit.mark]));
    let bytes = lines.flat_map(|line| line.bytes().chain([b'\n']));
    bytes.collect()
}

/// Returns the content of each mark in these lines.
pub fn marks(lines: &[u8]) -> Vec<Value> {
    let lines = super::lines(lines).into_iter();
    lines
        .filter_map(|mut line| Some(line.get_mut("mark")?.take()))
        .collect()
}

/// Returns the parts of the run that the marks of one kind are of, such as
/// `listed` or `held`.
pub fn marked(lines: &[u8], kind: &str) -> Vec<Value> {
    let marks = marks(lines).into_iter();
    marks
        .filter_map(|mut mark| Some(mark.get_mut(kind)?.take()))
        .collect()
}
