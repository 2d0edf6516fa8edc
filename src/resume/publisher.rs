//! What a source publishes: lines and their mark first, then the state that
//! says so.

use serde::Serialize;

use super::{Recorder, RunState};
use crate::error::Result;
use crate::ndjson::StageOutput;
use crate::record::coverage::Interval;
use crate::record::mark;

/// A part of a run: its lines, and what they complete.
pub struct PublishedPage {
    /// Each with its newline.
    pub lines: Vec<u8>,
    pub records: u64,
    pub covers: Interval,
}

/// Which mark closes a page.
#[derive(Debug, Clone, Copy)]
pub enum PageMark {
    Listed,
    Page,
}

/// The pages of a run, of one process.
pub struct Publisher<S> {
    pub recorder: Recorder<S>,
    run: String,
    mark: PageMark,
    records: u64,
    pages: u64,
}

impl<S: Clone + Serialize + Send + 'static> Publisher<S> {
    pub fn new(recorder: Recorder<S>, mark: PageMark) -> Self {
        Self {
            run: recorder.read(|state| state.run.clone()),
            recorder,
            mark,
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
        let Interval { after, through } = &page.covers;
        let (after, through) = (after.as_deref(), through.as_deref());
        match self.mark {
            PageMark::Listed => mark::write_listed(&self.run, after, through, &mut page.lines),
            PageMark::Page => mark::write_page(&self.run, after, through, &mut page.lines),
        }
        output.write(&page.lines)?;
        output.add_written(page.records);
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

    /// Ends the run, with its counts and `more` in the end mark.
    ///
    /// # Errors
    /// The mark or the state could not be written.
    pub fn end(&mut self, more: &[(&str, u64)], output: &mut StageOutput) -> Result<()> {
        let mut counts = vec![("records", self.records), ("pages", self.pages)];
        counts.extend_from_slice(more);
        self.recorder.end(&counts, output)
    }
}
