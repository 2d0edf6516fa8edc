//! Divides a surveyed bucket into ranges of about equal size.

use super::tree::{Dir, DirEntry};
use crate::listing::position::sendable;
use crate::record::coverage::Interval;

/// An interval, and the estimated number of keys in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PlannedRange {
    pub interval: Interval,
    pub keys: u64,
}

/// Consecutive keys after `start`, up to the next run, and their estimated number.
pub struct KeyRun {
    pub start: String,
    pub keys: f64,
}

/// Maximum number of runs in a gap.
const MAX_RUNS: f64 = 256.0;

impl PlannedRange {
    fn new(interval: Interval, keys: f64) -> Self {
        let keys = keys.round() as u64;
        Self { interval, keys }
    }
}

/// Joins runs to `count` ranges.
pub fn cut(runs: &[KeyRun], count: usize) -> Vec<PlannedRange> {
    let all: f64 = runs.iter().map(|run| run.keys).sum();
    let goal = all / count as f64;
    let mut parts: Vec<PlannedRange> = Vec::new();
    let (mut after, mut keys, mut so_far) = (None, 0.0, 0.0);
    for run in runs {
        // A range ends before the run that contains its goal, or after it, whichever is
        // nearer.
        let short = goal * (parts.len() + 1) as f64 - so_far;
        let due = run.keys > 0.0 && short < run.keys - short;
        if due && keys >= 1.0 && parts.len() + 1 < count {
            let through = Some(run.start.clone());
            let interval = Interval::new(after, through.clone());
            parts.push(PlannedRange::new(interval, keys));
            (after, keys) = (through, 0.0);
        }
        keys += run.keys;
        so_far += run.keys;
    }
    parts.push(PlannedRange::new(Interval::new(after, None), keys));
    parts
}

/// Appends the runs of a directory, none above `most` keys if possible.
pub fn divide(dir: &Dir, most: f64, runs: &mut Vec<KeyRun>) {
    for (index, list) in dir.listings.iter().enumerate() {
        for item in &list.items {
            match item {
                DirEntry::Dir(inner) if inner.listings.is_empty() => {
                    start_run(&inner.name, inner.keys, runs);
                }
                DirEntry::Dir(inner) => {
                    start_run(&inner.name, 0.0, runs);
                    divide(inner, most, runs);
                }
                DirEntry::Keys(last, keys) => {
                    extend(*keys, runs);
                    start_run(last, 0.0, runs);
                }
            }
        }
        let Some(gap) = dir.gap(index) else { continue };
        let keys = dir.gap_keys(index);
        let count = (keys / most.max(1.0)).min(MAX_RUNS).floor();
        let each = keys / (count + 1.0);
        extend(each, runs);
        for name in gap.divide(count as usize) {
            start_run(&format!("{}{name}", dir.name), each, runs);
        }
    }
}

/// Starts a run at `position`, if a request can carry it.
pub fn start_run(position: &str, keys: f64, runs: &mut Vec<KeyRun>) {
    let last = runs.last().map_or("", |last| last.start.as_str());
    if position > last && sendable(position) == position {
        let start = position.to_owned();
        runs.push(KeyRun { start, keys });
    } else {
        extend(keys, runs);
    }
}

/// Adds keys to the last run.
pub fn extend(keys: f64, runs: &mut [KeyRun]) {
    if let Some(last) = runs.last_mut() {
        last.keys += keys;
    }
}
