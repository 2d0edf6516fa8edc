//! The output of a stage: finished records, rejects, and the marks that may pass. Only here
//! outcomes of records are counted.

use crossbeam_channel::{Receiver, TryRecvError};

use super::emitted::{Emitted, Part, UnitPart};
use super::first_records::FirstRecords;
use super::parsed::Parsed;
use super::runs::Runs;
use super::unit::Unit;
use super::unit_metrics::UnitMetrics;
use super::{MarkOptions, Output, Place, Rejects, WriteMarks};
use crate::context::Context;
use crate::counters::VIOLATIONS;
use crate::error::Result;
use crate::record::coverage::Interval;
use crate::record::ledger;
use crate::record::mark::Mark;
use crate::record::reject::Reject;
use crate::record::unit_mark::{self, Held, PartKind, UnitMark};

/// A unit that is closed: its rejects are on disk.
pub struct ClosedUnit {
    /// Nothing of it may be confirmed.
    pub is_held: bool,
    /// Its mark as it is passed on.
    pub line: Vec<u8>,
}

/// How many units with lost lines are logged; the others are counted.
const NAMED: u64 = 10;

/// Writes in the order of the input, and decides which units are accepted.
pub struct StageOutput {
    output: Output,
    rejects: Rejects,
    context: Context,
    options: MarkOptions,
    writes_marks: bool,
    runs: Runs,
    unit: Unit,
    first_records: FirstRecords,
    metrics: UnitMetrics,
    /// A unit of the current queue message was held.
    message_held: bool,
}

impl StageOutput {
    pub fn new(output: Output, rejects: Rejects, options: MarkOptions, context: Context) -> Self {
        let writes_marks = match options.write {
            WriteMarks::Always => true,
            WriteMarks::OffTerminal => !output.is_terminal(),
            WriteMarks::Never => false,
        };
        Self {
            output,
            rejects,
            metrics: UnitMetrics::new(context.metrics.clone()),
            context,
            options,
            writes_marks,
            runs: Runs::default(),
            unit: Unit::default(),
            first_records: FirstRecords::default(),
            message_held: false,
        }
    }

    /// Writes the results of the lines `input`.
    pub fn emit(&mut self, emitted: Emitted, input: &[u8]) -> Result<()> {
        let mut start = 0;
        for (at, part) in emitted.parts {
            self.output.write(&emitted.out[start..at])?;
            start = at;
            match part {
                Part::Lines(lines) => self.output.write(&input[lines])?,
                Part::Counted(unit) => self.count(unit),
                Part::Reject(reject) => self.reject(&reject)?,
                Part::KnownBad(reject) => self.known_bad(&reject)?,
                Part::Mark(mark, line) => self.mark(&mark, &line)?,
            }
        }
        self.count(emitted.unit);
        self.output.write(&emitted.out[start..])
    }

    fn count(&mut self, unit: UnitPart) {
        self.add_written(unit.written);
        for (reason, records) in unit.dropped {
            self.drop(reason, records);
        }
    }

    /// Finishes a result that is not a record; returns a record, which the caller has to finish.
    pub fn take_record<T>(&mut self, parsed: Parsed<T>) -> Result<Option<T>> {
        match parsed {
            Parsed::Record(record) => return Ok(Some(record)),
            Parsed::Dropped(reason, records) => self.drop(reason, records),
            Parsed::Made(records) => self.add_made(records),
            Parsed::PutOff => self.unit.put_off(),
            Parsed::TakenUp => self.unit.take_up(),
            Parsed::Reject(reject) => self.reject(&reject)?,
            Parsed::Mark(mark) => self.mark(&mark.0, &mark.1)?,
        }
        Ok(None)
    }

    /// Writes one finished record: `line` with its newline.
    pub fn write_record(&mut self, line: &[u8]) -> Result<()> {
        self.add_written(1);
        self.output.write(line)
    }

    /// Writes bytes without counting records.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write(bytes)
    }

    /// Counts records that are written, or stored.
    pub fn add_written(&mut self, records: u64) {
        if records > 0 {
            self.first_records.fit();
        }
        self.context.counters.add_written(records);
        self.unit.add_written(records);
    }

    /// Counts records beyond the first that one line gave.
    pub fn add_made(&mut self, records: u64) {
        self.context.counters.add_made(records);
        self.unit.add_made(records);
    }

    /// Counts records that are left out on purpose.
    pub fn drop(&mut self, reason: &str, records: u64) {
        if records > 0 {
            self.first_records.fit();
        }
        self.context.counters.add_dropped(reason, records);
        self.unit.add_dropped(reason, records);
    }

    /// Counts `reject` and keeps it; with nowhere to keep it, the unit is held.
    pub fn reject(&mut self, reject: &Reject) -> Result<()> {
        self.context.counters.add_rejected(reject.kind, 1);
        for violation in &reject.violations {
            let name = format!("{VIOLATIONS}{}", violation.schema_path);
            self.context.counters.note(&name, 1);
        }
        let stage = self.context.counters.program();
        self.metrics.reject(stage, reject.kind);
        let was_costly = self.first_records.is_costly();
        let message = self.first_records.reject(stage, reject).map(str::to_owned);
        let message = message.as_deref();
        if let Some(mistake) = message
            && self.rejects.has_file()
            && self.first_records.is_costly()
            && !was_costly
        {
            self.context.log.warn(mistake);
        }
        let is_kept = self.rejects.keep(reject, message)?;
        // A unit of the wrong input is held, although its rejects are on disk.
        let is_unfit = self.first_records.is_unfit();
        self.unit.add_rejected(reject.kind, is_kept && !is_unfit);
        if is_unfit {
            self.context.shutdown.end_input();
        }
        Ok(())
    }

    /// Drops a record that was rejected before, and would be again; keeps it beside the rejects.
    fn known_bad(&mut self, reject: &Reject) -> Result<()> {
        self.drop(ledger::KNOWN_BAD, 1);
        self.rejects.append(reject).map(drop)
    }

    /// Rejects a record that could not be finished now: its unit is held, so
    /// that the next run takes it up again.
    pub fn fail(&mut self, reject: &Reject) -> Result<()> {
        self.unit.fail();
        self.reject(reject)
    }

    /// Rejects a record that was counted as written, because the server `by` refused it later;
    /// returns whether there is a file of rejects.
    pub fn reject_later(&mut self, reject: &Reject, by: &str) -> Result<bool> {
        self.context.counters.add_refused_later(by, 1);
        let stage = self.context.counters.program();
        self.metrics.reject(stage, reject.kind);
        self.rejects.keep(reject, None)
    }

    /// Closes the unit before the mark that `line` is, and writes the mark.
    pub fn mark(&mut self, mark: &Mark, line: &[u8]) -> Result<()> {
        let closed = self.close_unit(mark, line)?;
        self.write_mark(&closed.line)
    }

    /// Closes a unit of a source, the part `keys` of its run, and appends the mark to `lines`.
    pub fn close_part(
        &mut self,
        kind: PartKind,
        run: &str,
        keys: &Interval,
        lines: &mut Vec<u8>,
    ) -> Result<()> {
        let (mark, line) = unit_mark::part(kind, run, keys);
        let closed = self.close_unit(&Mark::Unit(mark), &line)?;
        if self.writes_marks {
            lines.extend_from_slice(&closed.line);
            lines.push(b'\n');
        }
        Ok(())
    }

    /// Writes the line of a mark, where marks are written.
    pub fn write_mark(&mut self, line: &[u8]) -> Result<()> {
        if !self.writes_marks {
            return Ok(());
        }
        self.output.write(line)?;
        self.output.write(b"\n")
    }

    /// Closes the unit before the mark that `line` is. Rejects of the unit are
    /// on disk when this returns.
    pub fn close_unit(&mut self, mark: &Mark, line: &[u8]) -> Result<ClosedUnit> {
        self.rejects.sync()?;
        let unit = std::mem::take(&mut self.unit);
        match mark {
            Mark::Begin(begin) => {
                self.runs.begin(begin);
                self.metrics.begin(begin);
                self.rejects.set_run(Some(&begin.run));
            }
            Mark::End(end) => {
                self.runs.end(end, unit.came());
                self.metrics.end(end, self.context.counters.program());
                self.rejects.set_run(None);
            }
            Mark::Other => {
                self.runs.receipt();
                self.context.counters.note("marks", 1);
            }
            Mark::Unit(mark) => return Ok(self.check_unit(unit, mark, line)),
        }
        Ok(ClosedUnit {
            is_held: false,
            line: line.to_vec(),
        })
    }

    /// Compares `unit` with what was sent, and adds its counts to `line`, which is its mark.
    fn check_unit(&mut self, unit: Unit, mark: &UnitMark, line: &[u8]) -> ClosedUnit {
        match &mark.part {
            Some(part) => {
                let counts = unit_mark::counts(line);
                let listed = counts.first().map_or(0, |source| source.out);
                self.runs.unit(&part.run, mark.is_counted(), listed);
            }
            None => self.runs.receipt(),
        }
        let stage = self.context.counters.program();
        let (outside, mut held) = unit.check(mark.sent, self.options.allow_drops, stage);
        if let Some(held) = held.as_ref().filter(|held| held.is_loss()) {
            let has_surplus = mark.sent.is_some_and(|sent| unit.came() > sent);
            if self.runs.lose(true, has_surplus) <= NAMED {
                self.context
                    .log
                    .warn(format!("{mark}: {}; it is not confirmed", held.why));
            }
        } else if mark.held.as_ref().is_some_and(Held::is_loss) {
            self.runs.lose(false, false);
        }
        if mark.part.is_none() && std::mem::take(&mut self.message_held) {
            held = held.or_else(|| Some(Held::new(stage, unit_mark::REJECTED)));
        }
        let is_held = held.is_some() || mark.held.is_some();
        self.message_held |= is_held && mark.part.is_some();
        self.context
            .counters
            .note(if is_held { "units held" } else { "marks" }, 1);
        if outside > 0 {
            self.context.counters.note("outside", outside);
        }
        let entry = unit.counts(stage, self.options.place, outside);
        self.metrics.unit(mark, &entry);
        let held = held.filter(|_| mark.held.is_none());
        ClosedUnit {
            is_held,
            line: mark.extend(line, &entry, held.as_ref()),
        }
    }

    /// Returns whether a record of the current unit is neither finished nor rejected to disk.
    pub fn is_unit_open(&self) -> bool {
        self.unit.is_open()
    }

    /// Returns whether the unit that `mark` closes came whole, and nothing of it was rejected.
    pub fn is_whole(&self, mark: &UnitMark) -> bool {
        let came = self.unit.came();
        mark.held.is_none() && !self.unit.has_rejects() && mark.sent == Some(came)
    }

    /// Returns the runs that the marks have spoken of.
    pub fn runs(&self) -> &Runs {
        &self.runs
    }

    /// Checks the runs of an input that has ended.
    ///
    /// # Errors
    /// A run has not ended, or lines were lost (75), or the input is not what the stage
    /// reads (65).
    pub fn check_runs(&mut self) -> Result<()> {
        match self.first_records.error() {
            Some(error) => Err(error),
            None => self.runs.finish(),
        }
    }

    /// Returns whether the stage begins runs of its own.
    pub fn is_source(&self) -> bool {
        self.options.place == Place::Source
    }

    /// Blocks until all rejects are on disk.
    pub fn sync_rejects(&mut self) -> Result<()> {
        self.rejects.sync()
    }

    /// Returns the output stream.
    pub fn stream(&self) -> &Output {
        &self.output
    }

    /// Receives the next item, `None` at the end. If it has to wait, it flushes first.
    pub fn receive<T>(&mut self, from: &Receiver<T>) -> Result<Option<T>> {
        match from.try_recv() {
            Ok(item) => return Ok(Some(item)),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) => self.flush()?,
        }
        Ok(from.recv().ok())
    }

    /// Flushes finished lines. Must be called before any wait.
    pub fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// Flushes everything, and checks how the input ended.
    ///
    /// # Errors
    /// Those of [`check_runs`](Self::check_runs), and of the streams.
    pub fn finish(&mut self, input_ended: bool) -> Result<()> {
        // Without a file for it, the first reject was logged.
        if self.rejects.has_file()
            && !self.first_records.is_unfit()
            && !self.first_records.is_costly()
            && let Some(mistake) = self.first_records.mistake()
        {
            self.context
                .log
                .warn(format!("every record of the input is rejected: {mistake}"));
        }
        self.rejects.close()?;
        self.flush()?;
        if input_ended {
            self.check_runs()
        } else {
            Ok(())
        }
    }
}
