//! The row of a program, and its text.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{FormattedDuration, HumanCount};
use serde::{Deserialize, Serialize};

use crate::counters::Counters;

/// The programs in the order of their rows; `tests/layers.rs` compares them
/// with the table of programs.
pub const PROGRAMS: [&str; 16] = [
    "s3-list",
    "s3-inventory",
    "kinto-export",
    "bh-export",
    "sqs-receive",
    "bh-filter",
    "bh-audit",
    "bh-fetch",
    "bh-derive",
    "bh-validate",
    "bh-load",
    "bh-promote",
    "bh-index",
    "kinto-load",
    "sqs-delete",
    "sqs-send",
];

/// The programs that write no records, so that their output does not disturb
/// the block on the same terminal.
pub const SINKS: [&str; 4] = ["bh-load", "kinto-load", "sqs-delete", "sqs-send"];

/// The programs whose output cannot be foretold from their input.
const SELECTING: [&str; 2] = ["bh-filter", "bh-derive"];

/// What a program shows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Row {
    pub(super) pid: u32,
    program: String,
    records: u64,
    written: u64,
    rejected: u64,
    /// How many records a source will read, by its last run.
    expected: Option<u64>,
    waiting: String,
    /// Records per second, smoothed.
    rate: f64,
    age_ms: u64,
    /// The seconds between plain lines, where they are given.
    pub(super) interval: Option<u64>,
    /// Whether other programs before it may drop records.
    allow_drops: bool,
    /// Whether its records go to the terminal, between the lines of which no row is drawn.
    pub(super) fills_terminal: bool,
    pub(super) ended: bool,
}

impl Row {
    pub(super) fn new(program: &str, allow_drops: bool, interval: Option<u64>) -> Self {
        Self {
            pid: std::process::id(),
            program: program.to_owned(),
            records: 0,
            written: 0,
            rejected: 0,
            expected: None,
            waiting: String::new(),
            rate: 0.0,
            age_ms: 0,
            interval,
            allow_drops,
            fills_terminal: std::io::stdout().is_terminal() && !SINKS.contains(&program),
            ended: false,
        }
    }

    /// Updates the row from the counts, `step` after the last update.
    pub(super) fn update(&mut self, counters: &Counters, step: Duration, age: Duration) {
        let (records, written, waiting) = counters.snapshot();
        self.count(records, step, age);
        self.written = written;
        self.rejected = counters.rejections();
        self.expected = counters.expected();
        waiting.clone_into(&mut self.waiting);
    }

    #[expect(clippy::cast_precision_loss, reason = "it is shown in whole numbers")]
    fn count(&mut self, records: u64, step: Duration, age: Duration) {
        const MEMORY: f64 = 3.0;
        let step = step.as_secs_f64().max(1e-3);
        let now = records.saturating_sub(self.records) as f64 / step;
        // The mean of all at first, later of the recent past.
        let weight = (step / age.as_secs_f64().max(step)).max(1.0 - (-step / MEMORY).exp());
        self.rate += (now - self.rate) * weight;
        self.records = records;
        self.age_ms = u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    }

    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "the cast saturates, and a rate is not negative"
    )]
    fn rate(&self) -> u64 {
        self.rate.round() as u64
    }

    /// Returns its place among the rows of a pipeline.
    pub(super) fn sort_key(&self) -> (usize, u32) {
        let known = PROGRAMS.iter().position(|name| *name == self.program);
        (known.unwrap_or(PROGRAMS.len()), self.pid)
    }

    /// Returns the row of the block; `total` is how many records it will read.
    fn block_line(&self, total: Option<u64>) -> String {
        let mut text = format!(
            "{:<12} {:>19} {:>8}/s  {}",
            self.program,
            self.count_of(total),
            HumanCount(self.rate()).to_string(),
            self.time(total),
        );
        for detail in self.details() {
            text += "  ";
            text += &detail;
        }
        text
    }

    /// Returns its part of the pipeline's line.
    fn part(&self, total: Option<u64>) -> String {
        let mut parts = vec![format!("{} {}", self.program, self.count_of(total))];
        if self.ended {
            parts.push("ended".to_owned());
        } else {
            parts.push(format!("{}/s", HumanCount(self.rate())));
            parts.extend(self.left(total).map(|left| format!("{left} left")));
        }
        parts.extend(self.details());
        parts.join(", ")
    }

    fn count_of(&self, total: Option<u64>) -> String {
        match total {
            Some(total) => format!("{} of {}", HumanCount(self.records), HumanCount(total)),
            None => format!("{} in", HumanCount(self.records)),
        }
    }

    /// Returns the time left where it is known, else the time since the start.
    fn time(&self, total: Option<u64>) -> String {
        let age = FormattedDuration(Duration::from_millis(self.age_ms));
        self.left(total)
            .map_or_else(|| age.to_string(), |left| format!("{left} left"))
    }

    fn left(&self, total: Option<u64>) -> Option<FormattedDuration> {
        let seconds = total?.checked_sub(self.records)?.checked_div(self.rate())?;
        Some(FormattedDuration(Duration::from_secs(seconds)))
    }

    fn details(&self) -> impl Iterator<Item = String> {
        let rejected = match self.rejected {
            0 => None,
            rejected => Some(format!("{} rejected", HumanCount(rejected))),
        };
        let waiting = Some(self.waiting.clone());
        let waiting = waiting.filter(|text| !text.is_empty() && !self.ended);
        rejected.into_iter().chain(waiting)
    }
}

/// Returns the lines of the block; `rows` are in pipeline order.
pub(super) fn block(rows: &[Row]) -> Vec<String> {
    let rows = rows.iter().zip(totals(rows));
    rows.filter(|(row, _)| !row.ended)
        .map(|(row, total)| row.block_line(total))
        .collect()
}

/// Returns the one line of the pipeline.
pub(super) fn line(rows: &[Row]) -> String {
    let rows = rows.iter().zip(totals(rows));
    let parts: Vec<_> = rows.map(|(row, total)| row.part(total)).collect();
    format!("progress: {}", parts.join("; "))
}

/// Returns how many records each program will read, where that is known: the program before
/// it has ended, or passes on nearly all of a known number.
fn totals(rows: &[Row]) -> Vec<Option<u64>> {
    let mut coming = None;
    let total = |row: &Row| {
        let total = coming.filter(|_| !row.allow_drops).or(row.expected);
        let total = total.filter(|total| *total >= row.records && !row.ended);
        coming = if row.ended {
            Some(row.written)
        } else if SELECTING.contains(&row.program.as_str()) {
            None
        } else {
            total.map(|total| total.saturating_sub(row.rejected))
        };
        total
    };
    rows.iter().map(total).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(program: &str, pid: u32) -> Row {
        Row {
            pid,
            ..Row::new(program, false, None)
        }
    }

    #[test]
    fn rows_are_sorted_in_pipeline_order() {
        let mut rows = [
            row("other", 1),
            row("bh-load", 2),
            row("bh-load", 1),
            row("s3-list", 9),
        ];
        rows.sort_by_key(Row::sort_key);
        let order: Vec<_> = rows
            .iter()
            .map(|row| (row.program.as_str(), row.pid))
            .collect();
        assert_eq!(
            order,
            [("s3-list", 9), ("bh-load", 1), ("bh-load", 2), ("other", 1)]
        );
    }

    #[test]
    fn the_rate_follows_a_change() {
        let mut row = row("a", 1);
        let step = Duration::from_millis(200);
        let mut age = Duration::ZERO;
        let mut run = |row: &mut Row, by, ticks| {
            for _ in 0..ticks {
                age += step;
                row.count(row.records + by, step, age);
            }
        };
        run(&mut row, 20, 5);
        assert_eq!(row.rate(), 100);
        run(&mut row, 200, 75);
        assert!((990..=1000).contains(&row.rate()));
    }

    #[test]
    fn a_total_comes_from_the_program_before_that_has_ended() {
        let ended = |program, written| Row {
            written,
            ended: true,
            ..row(program, 1)
        };
        let rejecting = Row {
            rejected: 10,
            ..row("bh-fetch", 2)
        };
        let load = row("bh-load", 3);
        let rows = [ended("bh-filter", 4000), rejecting.clone(), load.clone()];
        assert_eq!(totals(&rows), [None, Some(4000), Some(3990)]);
        // A filter that still runs decides what comes.
        let rows = [ended("s3-list", 9000), row("bh-filter", 2), load.clone()];
        assert_eq!(totals(&rows), [None, Some(9000), None]);
        let dropping = Row {
            allow_drops: true,
            ..rejecting
        };
        let rows = [ended("bh-filter", 4000), dropping, load];
        assert_eq!(totals(&rows), [None, None, None]);
    }

    #[test]
    fn a_row_fits_the_common_width() {
        let row = Row {
            records: 1140,
            rejected: 3,
            rate: 152.0,
            waiting: "waits for the server".to_owned(),
            ..row("bh-fetch", 1)
        };
        assert_eq!(
            row.block_line(Some(4000)),
            "bh-fetch          1,140 of 4,000      152/s  00:00:18 left  3 rejected  \
             waits for the server",
        );
        assert_eq!(
            line(std::slice::from_ref(&row)),
            "progress: bh-fetch 1,140 in, 152/s, 3 rejected, waits for the server",
        );
    }
}
