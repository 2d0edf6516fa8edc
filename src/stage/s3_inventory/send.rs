//! Sends the rows of a file to the threads that make records of them, and the results in
//! order to the writer.

use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::proof::Check;
use crate::error::{Error, Result};
use crate::inventory::csv::{RowBlock, RowReader, Rows};

/// A part of a file, for the writer.
pub enum FeedItem {
    /// Rows to receive; with the check of all lines so far if it is standard input.
    Rows(Receiver<Rows>, Option<Check>),
    Failed(Error),
}

/// A block to make records of.
pub struct RowJob {
    pub block: RowBlock,
    pub reader: Arc<RowReader>,
    pub done: Sender<Rows>,
}

/// Sends the rows of one file.
pub struct RowSender<'a> {
    pub pool: &'a Sender<RowJob>,
    pub reader: Arc<RowReader>,
    pub outlet: Sender<FeedItem>,
    /// The number of the next line.
    pub line: u64,
}

impl RowSender<'_> {
    /// Queues a block; returns false if the writer has stopped.
    ///
    /// # Errors
    /// It has the first row, and is not CSV with these columns (78).
    pub fn send(&mut self, block: Option<RowBlock>, check: Option<Check>) -> Result<bool> {
        let Some(block) = block else {
            return Ok(true);
        };
        if self.reader.first.get().is_none() {
            let name = match &*self.reader.place {
                "" => "standard input",
                place => place,
            };
            let checked = self.reader.check_first_row(&block);
            checked.map_err(|what| Error::configuration(format!("{name}: {what}")))?;
        }
        let lines = memchr::memchr_iter(b'\n', &block.bytes).count() as u64;
        self.line += lines;
        let through = self.line - 1;
        if self
            .reader
            .wanted
            .iter()
            .all(|(after, to)| through <= *after || block.first_line > *to)
        {
            return Ok(true);
        }
        let (done, rows) = bounded(1);
        let reader = Arc::clone(&self.reader);
        let job = RowJob {
            block,
            reader,
            done,
        };
        let queued = self.outlet.send(FeedItem::Rows(rows, check)).is_ok();
        Ok(queued && self.pool.send(job).is_ok())
    }

    /// Sends finished rows; returns false if the writer has stopped.
    pub fn send_rows(&self, made: Rows) -> bool {
        let (done, rows) = bounded(1);
        drop(done.send(made));
        self.outlet.send(FeedItem::Rows(rows, None)).is_ok()
    }
}
