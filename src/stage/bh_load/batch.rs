//! A batch: gathered in the order of the input, committed at once, and only
//! then reported.

use super::confirm::Confirm;
use super::index::Indexer;
use super::read::{Candidate, Item};
use crate::counters::Counters;
use crate::error::Result;
use crate::json;
use crate::metrics::Metrics;
use crate::ndjson::StageOutput;
use crate::record::reject::Reject;
use crate::remote::elastic::Document;
use crate::store::{BuildRow, LoadOutcome, Store};

/// A batch is committed before it holds more than this, in bytes.
const LARGEST: usize = 4 << 20;

#[derive(Default)]
pub struct Batch {
    items: Vec<Item>,
    rows: usize,
    bytes: usize,
}

impl Batch {
    pub fn add(&mut self, item: Item) {
        match &item {
            Item::Row(candidate) => {
                self.rows += 1;
                // Held here, by the indexer, and in the body of a request.
                let document = candidate.document.as_ref().map_or(0, Vec::len);
                self.bytes += candidate.row.line.len() + 3 * document;
            }
            Item::Reject(reject) => self.bytes += reject.line.len(),
            Item::Mark(_, line) => self.bytes += line.len(),
        }
        self.items.push(item);
    }

    pub fn is_full(&self, rows: u32) -> bool {
        self.rows >= rows as usize || self.bytes >= LARGEST
    }

    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }
}

/// Where batches go.
pub struct Loader {
    pub store: Box<dyn Store>,
    pub indexer: Option<Indexer>,
    pub confirm: Confirm,
    pub dry_run: bool,
    /// Where the migration from Kinto is counted.
    pub kinto: Option<Metrics>,
}

impl Loader {
    /// Commits the batch; then its rejects are kept and its marks pass, in
    /// order.
    pub fn commit(
        &mut self,
        batch: Batch,
        output: &mut StageOutput,
        counters: &Counters,
    ) -> Result<()> {
        let Batch { mut items, .. } = batch;
        if items.is_empty() {
            return Ok(());
        }
        let rows: Vec<BuildRow> = items
            .iter_mut()
            .filter_map(|item| match item {
                Item::Row(candidate) => Some(std::mem::take(&mut candidate.row)),
                _ => None,
            })
            .collect();
        let outcomes = if rows.is_empty() {
            Vec::new()
        } else {
            self.store.load(&rows, self.indexer.is_some())?
        };
        let mut decided = rows.iter().zip(outcomes);
        let mut documents = Vec::new();
        let mut inserted = 0;
        for item in items {
            match item {
                Item::Mark(mark, line) => {
                    let accepted = output.close_unit(&mark)?;
                    if accepted && !self.dry_run {
                        let database = self.store.address();
                        self.confirm.mark(&mark, &line, output, database)?;
                    }
                }
                Item::Reject(reject) => {
                    counters.add_read(1);
                    output.reject(&reject)?;
                }
                Item::Row(candidate) => {
                    let Some((row, outcome)) = decided.next() else {
                        continue;
                    };
                    counters.add_read(1);
                    if self.dry_run {
                        say(row, &outcome, output)?;
                    }
                    match outcome {
                        LoadOutcome::Inserted(id) => {
                            counters.add_written(1);
                            inserted += 1;
                            documents.extend(id.and_then(|id| document(id, *candidate)));
                        }
                        LoadOutcome::EtagRenewed => counters.dropped("ETag renewed", 1),
                        LoadOutcome::Known => counters.dropped("known", 1),
                        LoadOutcome::Refused(reason) => {
                            let (line, number) = (row.line.as_bytes(), candidate.number);
                            output.reject(&Reject::new(line, number, "refused", reason))?;
                        }
                    }
                }
            }
        }
        self.confirm.save()?;
        if let Some(metrics) = &self.kinto {
            metrics.incr("kinto_inserted", inserted);
        }
        drop(rows);
        if let Some(indexer) = &mut self.indexer {
            indexer.send(documents);
        }
        Ok(())
    }
}

fn document(id: i64, candidate: Candidate) -> Option<Document> {
    let members = candidate.document?;
    Some(Document { id, members })
}

/// What would happen to a row, as a line of JSON.
fn say(row: &BuildRow, outcome: &LoadOutcome, output: &mut StageOutput) -> Result<()> {
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
