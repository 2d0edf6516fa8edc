//! Writes the records in pages, each with its mark. The interval of a mark counts rows of the
//! export.

use super::DatabaseExport;
use crate::error::Result;
use crate::ndjson::StageOutput;
use crate::record::coverage::Interval;
use crate::record::unit_mark::PartKind;
use crate::resume::{PublishedPage, Publisher, Recorder};

/// The maximum number of records of a page, and about that of its bytes.
const RECORDS: u64 = 1000;
const BYTES: usize = 1 << 20;

/// Gathers records, and publishes them page by page.
pub struct PageWriter {
    publisher: Publisher<DatabaseExport>,
    /// The lines of the page, each with its newline.
    pub lines: Vec<u8>,
    /// The number of lines.
    pub records: u64,
    /// The number of rows so far, with rejected ones.
    rows: u64,
    /// The position that the page begins after.
    after: Option<String>,
}

impl PageWriter {
    pub fn new(recorder: Recorder<DatabaseExport>) -> Self {
        Self {
            publisher: Publisher::new(recorder, PartKind::Page),
            lines: Vec::new(),
            records: 0,
            rows: 0,
            after: None,
        }
    }

    /// Writes the begin mark.
    pub fn begin(&self, output: &mut StageOutput) -> Result<()> {
        self.publisher.begin(output)
    }

    /// Publishes the page if it is full; another row follows.
    pub fn make_room(&mut self, output: &mut StageOutput) -> Result<()> {
        if self.records >= RECORDS || self.lines.len() >= BYTES {
            self.publish(Some(format!("{:012}", self.rows)), output)?;
        }
        self.rows += 1;
        Ok(())
    }

    fn publish(&mut self, through: Option<String>, output: &mut StageOutput) -> Result<()> {
        let covers = Interval::new(self.after.take(), through.clone());
        self.after = through;
        let page = PublishedPage {
            lines: std::mem::take(&mut self.lines),
            records: std::mem::take(&mut self.records),
            covers,
        };
        self.publisher.publish(page, output, |_| {})
    }

    /// Publishes the last page, and ends the run; the end mark has the `snapshot`.
    pub fn end(&mut self, snapshot: Option<String>, output: &mut StageOutput) -> Result<()> {
        self.publish(None, output)?;
        let snapshot = snapshot.map(|snapshot| ("snapshot", snapshot.into()));
        let members: Vec<_> = snapshot.into_iter().collect();
        self.publisher.end(&members, output)
    }
}
