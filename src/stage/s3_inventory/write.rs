//! Writes the records in the order of the files, and a mark after each file.

use super::find::Inventory;
use super::location::FileLocation;
use super::position;
use super::proof::Check;
use super::read::Feed;
use super::send::FeedItem;
use super::state::InventorySource;
use crate::counters::Counters;
use crate::error::{Error, Kind, Result};
use crate::inventory::csv::Rows;
use crate::ndjson::StageOutput;
use crate::record::coverage::Interval;
use crate::record::unit_mark::PartKind;
use crate::resume::Recorder;
use crate::shutdown::Shutdown;

/// Lines of standard input per mark.
const UNIT: u64 = 100_000;

/// Writes the output, and records it in the state.
pub struct InventoryWriter {
    pub recorder: Recorder<InventorySource>,
    run: String,
    /// How many records this process has written.
    records: u64,
    files: u64,
    /// How many checks of the state belong to a mark.
    checks: usize,
}

/// The current unit of lines.
struct Unit {
    file: usize,
    /// The last line before the unit.
    after: u64,
    /// The last line so far.
    line: u64,
    /// The check of standard input through `line`.
    check: Option<Check>,
}

impl InventoryWriter {
    pub fn new(recorder: Recorder<InventorySource>) -> Self {
        Self {
            run: recorder.read(|listed| listed.run.clone()),
            checks: recorder.read(|listed| listed.source.checks.len()),
            recorder,
            records: 0,
            files: 0,
        }
    }

    /// Writes the results of all files, and ends the run.
    pub fn write(
        &mut self,
        inventory: &Inventory,
        feeds: Vec<Feed>,
        output: &mut StageOutput,
        counters: &Counters,
        shutdown: &Shutdown,
    ) -> Result<()> {
        let files = inventory.files.len();
        for Feed { at, after, pieces } in feeds {
            let mut unit = Unit {
                file: at,
                after,
                line: after,
                check: None,
            };
            let is_stdin = inventory.files[at].place == FileLocation::Stdin;
            let mut write = || {
                while let Some(piece) = output.receive(&pieces)? {
                    shutdown.check()?;
                    let rows = match piece {
                        FeedItem::Rows(rows, check) => {
                            unit.check = check;
                            output.receive(&rows)?.ok_or_else(lost)?
                        }
                        FeedItem::Failed(error) if is_stdin => return Err(error),
                        FeedItem::Failed(error) => return Err(self.failed(error, at, files)),
                    };
                    self.rows(rows, &mut unit, output, counters)?;
                    if is_stdin && unit.line >= unit.after + UNIT {
                        let through = position::after(at, unit.line);
                        self.close(&mut unit, through, output)?;
                    }
                }
                Ok(())
            };
            if let Err(stop) = write() {
                // A resumed run may append to the same output. The reader may have left.
                if matches!(stop.kind, Kind::Signal(_)) && !is_stdin && unit.line > unit.after {
                    let through = position::after(at, unit.line);
                    drop(self.close(&mut unit, through, output));
                }
                return Err(stop);
            }
            let end = position::end(at, files);
            self.close(&mut unit, end, output)?;
            counters.note("files", 1);
            self.files += 1;
            self.recorder.record(|listed| listed.pages += 1)?;
        }
        if files == 0 {
            // An inventory without files is whole.
            self.close_part(&Interval::new(None, None), output)?;
        }
        let counts = [("records", self.records), ("files", self.files)];
        let counts = counts.map(|(name, count)| (name, count.into()));
        self.recorder.end(&counts, output)
    }

    fn rows(
        &mut self,
        rows: Rows,
        unit: &mut Unit,
        output: &mut StageOutput,
        counters: &Counters,
    ) -> Result<()> {
        let (_, before, _) = counters.snapshot();
        unit.line = unit.line.max(rows.through);
        counters.add_read(rows.records);
        output.emit(rows.emitted, &[])?;
        let records = counters.snapshot().1 - before;
        self.records += records;
        if let Some(line) = rows.torn {
            return Err(Error::message(
                Kind::EndedEarly,
                format!(
                    "input ended early: in the middle of line {line}; run the command that writes \
                     it again"
                ),
            ));
        }
        if rows.refused {
            output.sync_rejects()?;
        }
        let done =
            (!output.is_unit_open()).then(|| unit.through(position::after(unit.file, unit.line)));
        if done.is_some() {
            output.flush()?;
        }
        let checks = self.checks;
        self.recorder.record(|listed| {
            listed.records += records;
            if let Some(check) = unit.check {
                let known = &mut listed.source.checks;
                known.truncate(checks);
                if known.last().is_none_or(|last| last.line < check.line) {
                    known.push(check);
                }
            }
            if let Some(done) = done {
                listed.coverage.insert(done);
            }
        })
    }

    /// Writes the mark that closes the unit.
    fn close_part(&self, part: &Interval, output: &mut StageOutput) -> Result<()> {
        let mut line = Vec::new();
        output.close_part(PartKind::Listed, &self.run, part, &mut line)?;
        output.write(&line)?;
        output.flush()
    }

    /// Writes the mark of a unit if it may pass, and begins the next unit.
    fn close(
        &mut self,
        unit: &mut Unit,
        through: Option<String>,
        output: &mut StageOutput,
    ) -> Result<()> {
        let done = unit.through(through);
        let open = output.is_unit_open();
        self.close_part(&done, output)?;
        unit.after = unit.line;
        self.checks += usize::from(unit.check.is_some());
        if open {
            return Ok(());
        }
        self.recorder.record(|listed| listed.coverage.insert(done))
    }

    /// Removes a damaged file from the coverage; returns the error.
    fn failed(&self, error: Error, file: usize, files: usize) -> Error {
        if error.kind != Kind::Configuration {
            return error;
        }
        let file = Interval::new(position::after(file, 0), position::end(file, files));
        let recorded = self.recorder.record(|listed| listed.coverage.remove(file));
        recorded.err().unwrap_or(error)
    }
}

impl Unit {
    fn through(&self, through: Option<String>) -> Interval {
        Interval::new(position::after(self.file, self.after), through)
    }
}

fn lost() -> Error {
    Error::internal("rows were lost")
}
