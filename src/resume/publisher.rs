//! Publishes the pages of a source: writes the lines with their mark, then records them.

use serde_json::Value;

use super::{Recorder, RunSource, RunState};
use crate::error::Result;
use crate::ndjson::StageOutput;
use crate::record::coverage::Interval;
use crate::record::unit_mark::PartKind;

/// A page to publish: its lines, and the interval that they complete.
pub struct PublishedPage {
    /// Each with its newline.
    pub lines: Vec<u8>,
    pub records: u64,
    pub covers: Interval,
}

/// Publishes the pages of a run, and counts those of this process.
pub struct Publisher<S> {
    pub recorder: Recorder<S>,
    run: String,
    kind: PartKind,
    records: u64,
    pages: u64,
}

impl<S: RunSource + Send + 'static> Publisher<S> {
    pub fn new(recorder: Recorder<S>, kind: PartKind) -> Self {
        Self {
            run: recorder.read(|state| state.run.clone()),
            recorder,
            kind,
            records: 0,
            pages: 0,
        }
    }

    /// Returns how many records this process has published.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Writes `page` with its mark, and records it with `change`.
    ///
    /// # Errors
    /// The output is closed, or an earlier page could not be recorded.
    pub fn publish(
        &mut self,
        mut page: PublishedPage,
        output: &mut StageOutput,
        change: impl FnOnce(&mut RunState<S>),
    ) -> Result<()> {
        output.add_written(page.records);
        output.close_part(self.kind, &self.run, &page.covers, &mut page.lines)?;
        output.write(&page.lines)?;
        output.flush()?;
        self.records += page.records;
        self.pages += 1;
        self.recorder.record(|state| {
            state.records += page.records;
            state.pages += 1;
            change(state);
            state.coverage.insert(page.covers);
        })
    }

    /// Writes the begin mark.
    ///
    /// # Errors
    /// The output is closed.
    pub fn begin(&self, output: &mut StageOutput) -> Result<()> {
        self.recorder.begin(output)
    }

    /// Ends the run, with its counts and `more` in the end mark.
    ///
    /// # Errors
    /// The mark or the state could not be written.
    pub fn end(&mut self, more: &[(&str, Value)], output: &mut StageOutput) -> Result<()> {
        let mut members = vec![
            ("records", self.records.into()),
            ("pages", self.pages.into()),
        ];
        members.extend_from_slice(more);
        self.recorder.end(&members, output)
    }
}
