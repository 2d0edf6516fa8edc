//! Commits batches, and then reports their outcomes.

use std::sync::Arc;

use super::checkpoint::{Checkpoint, Settlement};
use super::index::Indexer;
use super::read::PendingRow;
use super::rejects::RejectFiles;
use crate::error::{Error, Result};
use crate::json;
use crate::metrics::Metrics;
use crate::ndjson::{BatchSink, Parsed, StageOutput};
use crate::record::ledger;
use crate::record::mark::{End, Mark};
use crate::record::reject::Reject;
use crate::record::unit_mark::UnitMark;
use crate::remote::elastic::SearchDocument;
use crate::store::{BuildRow, LoadOutcome, Store};

/// A batch is committed before it holds more than this, in bytes.
pub const LARGEST: usize = 4 << 20;

type Item = Parsed<Box<PendingRow>>;

/// Stores batches.
pub struct Loader {
    pub store: Box<dyn Store>,
    pub indexer: Option<Indexer>,
    pub rejects: RejectFiles,
    pub checkpoint: Checkpoint,
    pub dry_run: bool,
    /// The runs that have ended.
    pub settlements: Vec<Settlement>,
    /// Counts for statsd, with --kinto-migration, where no marks are counted.
    pub kinto: Option<Metrics>,
}

impl BatchSink<Box<PendingRow>> for Loader {
    /// Commits a batch; then writes its rejects and marks, in order.
    fn submit(&mut self, mut batch: Vec<Item>, output: &mut StageOutput) -> Result<()> {
        if let Some(Parsed::Mark(mark)) = batch.first()
            && let Mark::Begin(begin) = &mark.0
        {
            self.checkpoint.begin(begin, &mut *self.store)?;
        }
        let run = self.checkpoint.run();
        let mut rows = Vec::with_capacity(batch.len());
        for item in &mut batch {
            let Parsed::Record(pending) = item else {
                continue;
            };
            rows.extend(pending.rows().map(|row| BuildRow {
                run: run.cloned(),
                ..std::mem::take(row)
            }));
        }
        let outcomes = if rows.is_empty() {
            Vec::new()
        } else {
            self.store.load(&rows, self.checkpoint.fence())?
        };
        let mut decided = rows.iter().zip(outcomes);
        let mut documents = Vec::new();
        let mut inserted = 0;
        for item in batch {
            match item {
                Parsed::Mark(mark) => {
                    let (mark, line) = &*mark;
                    self.mark(mark, line, output)?;
                }
                item => {
                    let Some(pending) = output.take_record(item)? else {
                        continue;
                    };
                    output.add_made(u64::from(pending.twin.is_some()));
                    for pending in pending.with_twin() {
                        let (row, outcome) = decided.next().ok_or_else(|| {
                            Error::internal("a row has no outcome in the database")
                        })?;
                        inserted += u64::from(matches!(outcome, LoadOutcome::Inserted(_)));
                        documents.extend(self.report(row, outcome, pending, output)?);
                    }
                }
            }
        }
        self.checkpoint.save()?;
        if let Some(metrics) = self.kinto.as_ref().filter(|_| !output.runs().has_any()) {
            metrics.incr("kinto_inserted", inserted);
        }
        drop(rows);
        if let Some(indexer) = &mut self.indexer {
            indexer.send(documents);
        }
        Ok(())
    }

    fn wait_for_all(&mut self, _: &mut StageOutput) -> Result<()> {
        Ok(())
    }
}

impl Loader {
    /// Closes the unit before a mark: its rows are committed.
    fn mark(&mut self, mark: &Mark, line: &[u8], output: &mut StageOutput) -> Result<()> {
        let closed = output.close_unit(mark, line)?;
        if self.dry_run {
            return Ok(());
        }
        match mark {
            Mark::Unit(UnitMark {
                part: Some(part), ..
            }) => self.checkpoint.close(part, &closed, &mut *self.store)?,
            Mark::End(end) => {
                self.checkpoint.save()?;
                self.end(end)?;
            }
            _ => {}
        }
        output.write_mark(&closed.line)
    }

    /// Settles a run; what it has rejected is recorded first.
    fn end(&mut self, end: &End) -> Result<()> {
        let store = &mut *self.store;
        let run = self.checkpoint.run().map(Arc::clone);
        let run = run.filter(|run| end.run.as_deref() == Some(&**run));
        let rejected = match &run {
            Some(run) => Some(self.rejects.record(run, store)?),
            None => None,
        };
        let part = self.checkpoint.part();
        let settled = self.checkpoint.end(end, store)?;
        if let (Some(settled), Some(rejected)) = (&settled, &rejected) {
            let part = part.as_deref();
            self.rejects.forget_others(rejected, settled, part, store)?;
        }
        self.settlements.extend(settled);
        Ok(())
    }

    /// Reports what became of a row; returns the document to index.
    fn report(
        &self,
        row: &BuildRow,
        outcome: LoadOutcome,
        pending: PendingRow,
        output: &mut StageOutput,
    ) -> Result<Option<SearchDocument>> {
        if self.dry_run {
            print_plan(row, &outcome, output)?;
        }
        match outcome {
            LoadOutcome::Inserted(id) => {
                output.add_written(1);
                return Ok(id.and_then(|id| document(id, pending)));
            }
            LoadOutcome::EtagRenewed => output.drop(ledger::RENEWED, 1),
            LoadOutcome::Known => output.drop(ledger::KNOWN, 1),
            LoadOutcome::Refused(refusal) => {
                let (line, number) = (row.line.as_bytes(), pending.number);
                output.reject(&Reject::new(line, number, refusal.kind, refusal.reason))?;
            }
        }
        Ok(None)
    }
}

fn document(id: i64, pending: PendingRow) -> Option<SearchDocument> {
    let document = pending.document?;
    Some(SearchDocument { id, document })
}

/// Writes what would happen to a row, as a line of JSON.
fn print_plan(row: &BuildRow, outcome: &LoadOutcome, output: &mut StageOutput) -> Result<()> {
    let action = match outcome {
        LoadOutcome::Inserted(_) => "insert",
        LoadOutcome::EtagRenewed => "renew ETag",
        LoadOutcome::Known => "nothing",
        LoadOutcome::Refused(_) => "refuse",
    };
    let mut line = format!(
        "{{\"action\":\"{action}\",\"build_hash\":\"{}\",\"key\":",
        row.hash
    )
    .into_bytes();
    match &row.key {
        Some(key) => json::write_str(key, &mut line),
        None => line.extend_from_slice(b"null"),
    }
    line.extend_from_slice(b"}\n");
    output.write(&line)
}
