//! The row of a program, and its line in the shared folder.

use std::io::IsTerminal;
use std::time::Duration;

/// The programs in the order of their rows; `tests/layers.rs` compares them
/// with the table of programs.
pub const PROGRAMS: [&str; 9] = [
    "s3-list",
    "s3-inventory",
    "kinto-export",
    "bh-filter",
    "bh-fetch",
    "bh-derive",
    "bh-validate",
    "bh-load",
    "kinto-load",
];

/// The programs that write no records, so that their output does not disturb
/// the block on the same terminal.
pub const SINKS: [&str; 2] = ["bh-load", "kinto-load"];

/// What a program shows.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    pub(super) pid: u32,
    pub(super) program: String,
    pub(super) records: u64,
    pub(super) age_ms: u64,
    pub(super) waiting: String,
    /// Whether its records go to the terminal, where a block would erase them.
    pub(super) fills_terminal: bool,
    /// Records per second, smoothed.
    rate: f64,
}

impl Row {
    pub(super) fn new(program: &str) -> Self {
        Self {
            pid: std::process::id(),
            program: program.to_owned(),
            records: 0,
            age_ms: 0,
            waiting: String::new(),
            fills_terminal: std::io::stdout().is_terminal() && !SINKS.contains(&program),
            rate: 0.0,
        }
    }

    /// Updates the row with the count of records, `step` after the last update.
    #[expect(clippy::cast_precision_loss, reason = "it is shown in whole numbers")]
    pub(super) fn count(&mut self, records: u64, step: Duration, age: Duration) {
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
    pub(super) fn rate(&self) -> u64 {
        self.rate.round() as u64
    }

    /// Returns its line, of a fixed length, since it is overwritten in
    /// place.
    pub(super) fn to_line(&self) -> String {
        let Self {
            program,
            records,
            age_ms,
            waiting,
            fills_terminal,
            rate,
            ..
        } = self;
        let fills = u8::from(*fills_terminal);
        format!("{program} {records:020} {rate:020.1} {age_ms:020} {fills} {waiting:<40}\n")
    }

    pub(super) fn from_line(pid: u32, line: &str) -> Option<Self> {
        let mut fields = line.splitn(6, ' ');
        Some(Self {
            pid,
            program: fields.next()?.to_owned(),
            records: fields.next()?.parse().ok()?,
            rate: fields.next()?.parse().ok()?,
            age_ms: fields.next()?.parse().ok()?,
            fills_terminal: fields.next()? == "1",
            waiting: fields.next()?.trim_end().to_owned(),
        })
    }

    pub(super) fn sort_key(&self) -> (usize, u32) {
        let known = PROGRAMS.iter().position(|name| *name == self.program);
        (known.unwrap_or(PROGRAMS.len()), self.pid)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_read_back_from_its_line() {
        let mut row = Row::new("bh-filter");
        row.count(1200, Duration::from_secs(1), Duration::from_secs(1));
        "waits for input".clone_into(&mut row.waiting);
        assert_eq!(Row::from_line(row.pid, &row.to_line()), Some(row));
    }

    #[test]
    fn rows_are_sorted_in_pipeline_order() {
        let row = |program, pid| Row {
            pid,
            ..Row::new(program)
        };
        let mut rows = [
            row("other", 1),
            row("bh-load", 2),
            row("bh-load", 1),
            row("s3-list", 9),
        ];
        rows.sort_by_key(Row::sort_key);
        let order = rows.map(|row| (row.program, row.pid));
        let order: Vec<_> = order
            .iter()
            .map(|(name, pid)| (name.as_str(), *pid))
            .collect();
        assert_eq!(
            order,
            [("s3-list", 9), ("bh-load", 1), ("bh-load", 2), ("other", 1)]
        );
    }

    #[test]
    fn the_rate_follows_a_change() {
        let mut row = Row::new("a");
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
}
