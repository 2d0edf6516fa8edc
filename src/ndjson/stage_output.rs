//! What leaves a stage: finished records, rejects, and the marks that may
//! pass. The one place where a record's outcome is counted.

use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Block, Output, Rejects};
use crate::counters::Counters;
use crate::error::{Error, Result};
use crate::record::mark::Mark;
use crate::record::reject::Reject;

/// What came of a line, before its turn in the output.
pub enum Parsed<T> {
    /// A record to work on.
    Record(T),
    /// So many records that are not wanted, and why.
    Dropped(&'static str, u64),
    Reject(Box<Reject>),
    /// A mark, and the line that it was read from.
    Mark(Box<(Mark, Vec<u8>)>),
}

impl<T> Parsed<T> {
    pub fn reject(reject: Reject) -> Self {
        Self::Reject(Box::new(reject))
    }

    pub fn mark(mark: Mark, line: &[u8]) -> Self {
        Self::Mark(Box::new((mark, line.to_vec())))
    }
}

/// What a stage made of some lines: bytes of its own for the next program, and
/// between them lines that pass as they came, marks and rejects.
#[derive(Default)]
pub struct Emitted {
    pub out: Vec<u8>,
    parts: Vec<(usize, Parsed<Range<usize>>)>,
    written: u64,
    dropped: Vec<(&'static str, u64)>,
}

impl Emitted {
    /// A record that passes as `line`, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        self.out.push(b'\n');
        self.written += 1;
    }

    /// A record that passes as `line`, which is part of `block`: the block of
    /// [`par_filter`](super::par_filter), which writes both together.
    pub fn keep(&mut self, block: &Block, line: &[u8]) {
        let Some(range) = block.place(line) else {
            return self.line(line);
        };
        self.written += 1;
        let here = self.out.len();
        match self.parts.last_mut() {
            Some((at, Parsed::Record(lines))) if *at == here && lines.end == range.start => {
                lines.end = range.end;
            }
            _ => self.parts.push((here, Parsed::Record(range))),
        }
    }

    /// Counts records whose bytes are in `out` already.
    pub fn add_written(&mut self, records: u64) {
        self.written += records;
    }

    pub fn drop(&mut self, reason: &'static str, records: u64) {
        if records == 0 {
            return;
        }
        match self.dropped.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, sum)) => *sum += records,
            None => self.dropped.push((reason, records)),
        }
    }

    pub fn mark(&mut self, mark: Mark, line: &[u8]) {
        self.parts.push((self.out.len(), Parsed::mark(mark, line)));
    }

    pub fn reject(&mut self, reject: Reject) {
        self.parts.push((self.out.len(), Parsed::reject(reject)));
    }
}

/// Writes in the order of the input and decides which marks may pass.
pub struct StageOutput {
    output: Output,
    rejects: Rejects,
    counters: Arc<Counters>,
    marks: Marks,
    /// A line of the current unit was neither finished nor put on disk.
    open: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Marks {
    /// No mark yet: the input may end when it ends.
    None,
    /// Between marks: the source is at work.
    Within,
    /// The source said that it is finished.
    Ended,
}

impl StageOutput {
    pub fn new(output: Output, rejects: Rejects, counters: Arc<Counters>) -> Self {
        Self {
            output,
            rejects,
            counters,
            marks: Marks::None,
            open: false,
        }
    }

    /// Writes what was made of `input`.
    pub fn emit(&mut self, emitted: Emitted, input: &[u8]) -> Result<()> {
        self.add_written(emitted.written);
        for (reason, records) in emitted.dropped {
            self.drop(reason, records);
        }
        let mut start = 0;
        for (at, part) in emitted.parts {
            self.output.write(&emitted.out[start..at])?;
            start = at;
            if let Some(lines) = self.settle(part)? {
                self.output.write(&input[lines])?;
            }
        }
        self.output.write(&emitted.out[start..])
    }

    /// Counts, keeps or writes what came of a line; returns a record, which is
    /// the caller's to finish.
    pub fn settle<T>(&mut self, parsed: Parsed<T>) -> Result<Option<T>> {
        match parsed {
            Parsed::Record(record) => return Ok(Some(record)),
            Parsed::Dropped(reason, records) => self.drop(reason, records),
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

    /// Writes bytes of which the records are counted elsewhere, or none.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write(bytes)
    }

    /// Counts records that are written, or stored.
    pub fn add_written(&mut self, records: u64) {
        self.counters.add_written(records);
    }

    /// Counts records that are left out on purpose.
    pub fn drop(&mut self, reason: &str, records: u64) {
        self.counters.add_dropped(reason, records);
    }

    /// Counts `reject` and keeps it; with nowhere to keep it, the unit stays
    /// open.
    pub fn reject(&mut self, reject: &Reject) -> Result<()> {
        self.counters.add_rejected(reject.kind, 1);
        for violation in &reject.violations {
            self.counters.note(&violation.label(), 1);
        }
        if !self.rejects.keep(reject)? {
            self.open = true;
        }
        Ok(())
    }

    /// Rejects a record that could not be finished now: its unit stays open,
    /// so that the next run takes it up again.
    pub fn fail(&mut self, reject: &Reject) -> Result<()> {
        self.open = true;
        self.reject(reject)
    }

    /// Keeps `reject` of a record that was counted before, as refused by a
    /// program further on; returns whether it is kept, and not only shown.
    pub fn reject_later(&mut self, reject: &Reject, by: &str) -> Result<bool> {
        self.counters.add_refused_later(by, 1);
        self.rejects.keep(reject)
    }

    /// Writes the mark that `line` is if its unit is finished.
    pub fn mark(&mut self, mark: &Mark, line: &[u8]) -> Result<()> {
        if self.close_unit(mark)? {
            self.output.write(line)?;
            self.output.write(b"\n")?;
        }
        Ok(())
    }

    /// Closes the unit before `mark`; returns whether the mark may pass.
    /// Rejects of the unit are on disk when this returns.
    pub fn close_unit(&mut self, mark: &Mark) -> Result<bool> {
        self.rejects.sync()?;
        let finished = !std::mem::take(&mut self.open);
        if matches!(mark, Mark::End { .. }) {
            self.marks = Marks::Ended;
            return Ok(true);
        }
        self.marks = Marks::Within;
        self.counters
            .note(if finished { "marks" } else { "units kept open" }, 1);
        Ok(finished)
    }

    /// Returns whether a line of the current unit was neither finished nor put
    /// on disk.
    pub fn is_unit_open(&self) -> bool {
        self.open
    }

    /// Waits until what was rejected is on disk.
    pub fn sync_rejects(&mut self) -> Result<()> {
        self.rejects.sync()
    }

    /// Returns where the lines go.
    pub fn stream(&self) -> &Output {
        &self.output
    }

    /// Returns the next of what is sent, `None` at the end; finished lines
    /// leave before it is waited for.
    pub fn receive<T>(&mut self, from: &Receiver<T>) -> Result<Option<T>> {
        match from.try_recv() {
            Ok(item) => return Ok(Some(item)),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) => self.flush()?,
        }
        Ok(from.recv().ok())
    }

    /// Sends finished lines out: to be called before any wait.
    pub fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// Sends everything out, and judges the end of the input.
    ///
    /// # Errors
    /// Among others: an input that had marks but not the `end`.
    pub fn finish(&mut self, input_ended: bool) -> Result<()> {
        self.rejects.close()?;
        self.flush()?;
        if input_ended && self.marks == Marks::Within {
            return Err(Error::ended_early(
                "input ended early: a program before this one died; run the pipeline again",
            ));
        }
        Ok(())
    }
}
