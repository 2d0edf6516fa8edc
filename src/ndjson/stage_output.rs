//! The output to the next program: finished lines, rejects, and the marks that
//! may pass.

use std::fs::File;
use std::ops::Range;
use std::sync::Arc;

use crossbeam_channel::{Receiver, TryRecvError};

use super::{Block, Output, Rejects};
use crate::counters::Counters;
use crate::error::{Error, Kind, Result};
use crate::record::mark::Mark;
use crate::record::reject::Reject;

/// What a stage made of some lines: bytes of its own for the next program, and
/// between them lines that go on as they came, marks and rejects.
#[derive(Default)]
pub struct Emitted {
    pub out: Vec<u8>,
    parts: Vec<(usize, Part)>,
    read: u64,
    written: u64,
    dropped: Vec<(&'static str, u64)>,
}

/// Something in the stream of lines that is not in `out`.
enum Part {
    /// Where in the block of the input the lines stand.
    Lines(Range<usize>),
    Mark(Box<(Mark, Vec<u8>)>),
    Reject(Box<Reject>),
}

impl Emitted {
    /// A record that goes on as `line`, without its newline.
    pub fn line(&mut self, line: &[u8]) {
        self.out.extend_from_slice(line);
        self.out.push(b'\n');
        self.written(1);
    }

    /// A record that goes on as `line`, which stands in `block`: that of
    /// `pass`, which hands both on together.
    pub fn keep(&mut self, block: Block<'_>, line: &[u8]) {
        let Some(range) = block.place(line) else {
            return self.line(line);
        };
        self.written(1);
        let here = self.out.len();
        match self.parts.last_mut() {
            Some((at, Part::Lines(lines))) if *at == here && lines.end == range.start => {
                lines.end = range.end;
            }
            _ => self.parts.push((here, Part::Lines(range))),
        }
    }

    /// Counts records whose bytes are in `out` already.
    pub fn written(&mut self, records: u64) {
        self.read += records;
        self.written += records;
    }

    pub fn dropped(&mut self, reason: &'static str, records: u64) {
        if records == 0 {
            return;
        }
        self.read += records;
        match self.dropped.iter_mut().find(|(name, _)| *name == reason) {
            Some((_, sum)) => *sum += records,
            None => self.dropped.push((reason, records)),
        }
    }

    pub fn mark(&mut self, mark: Mark, line: &[u8]) {
        let mark = Part::Mark(Box::new((mark, line.to_vec())));
        self.parts.push((self.out.len(), mark));
    }

    pub fn reject(&mut self, reject: Reject) {
        self.read += 1;
        let reject = Part::Reject(Box::new(reject));
        self.parts.push((self.out.len(), reject));
    }
}

/// Writes in the order of the input and decides which marks may pass.
pub struct StageOutput {
    output: Output,
    rejects: Rejects,
    counters: Arc<Counters>,
    marks: Marks,
    /// A line of the unit at hand was neither finished nor put on disk.
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
    #[must_use]
    pub fn new(output: Output, rejects: Rejects, counters: Arc<Counters>) -> Self {
        Self {
            output,
            rejects,
            counters,
            marks: Marks::None,
            open: false,
        }
    }

    /// `input` is what the emitted was made of.
    pub fn pass(&mut self, emitted: Emitted, input: &[u8]) -> Result<()> {
        self.counters.add_read(emitted.read);
        self.counters.add_written(emitted.written);
        for (reason, records) in emitted.dropped {
            self.counters.dropped(reason, records);
        }
        let mut start = 0;
        for (at, part) in emitted.parts {
            self.output.write(&emitted.out[start..at])?;
            start = at;
            match part {
                Part::Lines(lines) => self.output.write(&input[lines])?,
                Part::Mark(mark) => self.mark(&mark.0, &mark.1)?,
                Part::Reject(reject) => self.reject(&reject)?,
            }
        }
        self.output.write(&emitted.out[start..])
    }

    /// Bytes of finished lines.
    pub fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.output.write(bytes)
    }

    /// Counts `reject` and keeps it; with nowhere to keep it, the unit stays
    /// open.
    pub fn reject(&mut self, reject: &Reject) -> Result<()> {
        self.counters.rejected(reject.kind, 1);
        for violation in &reject.violations {
            self.counters.note(&violation.label(), 1);
        }
        if !self.rejects.keep(reject)? {
            self.open = true;
        }
        Ok(())
    }

    /// Keeps `reject` of a record that was counted before.
    pub fn report(&mut self, reject: &Reject) -> Result<()> {
        self.rejects.keep(reject).map(drop)
    }

    /// The mark that `line` is passes if its unit is finished with.
    pub fn mark(&mut self, mark: &Mark, line: &[u8]) -> Result<()> {
        if self.close_unit(mark)? {
            self.output.write(line)?;
            self.output.write(b"\n")?;
        }
        Ok(())
    }

    /// Closes the unit before `mark`: whether the mark may pass. Rejects of
    /// the unit are on disk when this returns.
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

    /// Keeps the unit at hand open: its mark will not pass.
    pub fn hold_unit(&mut self) {
        self.open = true;
    }

    /// Whether a person reads the output, and no program.
    #[must_use]
    pub fn is_terminal(&self) -> bool {
        self.output.is_terminal()
    }

    /// What was rejected is on disk.
    pub fn settle_rejects(&mut self) -> Result<()> {
        self.rejects.sync()
    }

    /// Whether the output is a file on disk.
    #[must_use]
    pub fn is_file(&self) -> bool {
        self.output.is_file()
    }

    /// Whether the output is a file on disk that holds nothing.
    #[must_use]
    pub fn is_empty_file(&self) -> bool {
        self.output.is_empty_file()
    }

    /// The output, where it is a file on disk: to wait for the disk elsewhere.
    pub fn file(&self) -> Result<Option<File>> {
        self.output.file()
    }

    /// The next of what is sent, `None` at the end; finished lines leave before
    /// it is waited for.
    pub fn receive<T>(&mut self, from: &Receiver<T>) -> Result<Option<T>> {
        match from.try_recv() {
            Ok(item) => return Ok(Some(item)),
            Err(TryRecvError::Disconnected) => return Ok(None),
            Err(TryRecvError::Empty) => self.flush()?,
        }
        Ok(from.recv().ok())
    }

    /// Finished lines leave now: to be called before any wait.
    pub fn flush(&mut self) -> Result<()> {
        self.output.flush()
    }

    /// Everything leaves, and the end of the input is judged.
    ///
    /// # Errors
    /// Among others: an input that had marks but not the `end`.
    pub fn finish(&mut self, input_ended: bool) -> Result<()> {
        self.rejects.close()?;
        self.flush()?;
        if input_ended && self.marks == Marks::Within {
            return Err(Error::message(
                Kind::EndedEarly,
                "input ended early: a program before this one died; run the pipeline again",
            ));
        }
        Ok(())
    }
}
