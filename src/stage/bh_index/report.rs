//! Prints and counts what differs.

use crate::context::Context;
use crate::error::Result;
use crate::json;
use crate::log::counted;
use crate::ndjson::{Io, StageOutput};
use crate::record::s3::unquote_etag;
use crate::remote::elastic::Index;
use crate::store::{IndexedRow, Store};

/// How a document differs from its row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    Unindexed,
    Differing,
}

#[derive(Debug, Default)]
struct Found {
    unindexed: u64,
    differing: u64,
    refused: u64,
    orphaned: u64,
    deleted: u64,
}

pub struct Report<'a> {
    output: &'a mut StageOutput,
    context: Context,
    found: Found,
}

impl<'a> Report<'a> {
    pub fn new(io: &'a mut Io) -> Self {
        Self {
            output: &mut io.output,
            context: io.context.clone(),
            found: Found::default(),
        }
    }

    pub fn check_signal(&self) -> Result<()> {
        self.context.shutdown.check()
    }

    pub fn add_rows(&mut self, rows: u64) {
        self.context.counters.note("rows compared", rows);
    }

    pub fn add_deleted(&mut self, documents: u64) {
        self.found.deleted += documents;
        self.context.counters.note("orphans deleted", documents);
    }

    pub fn differing(
        &mut self,
        row: &IndexedRow,
        difference: Difference,
        is_queued: bool,
    ) -> Result<()> {
        let name = match difference {
            Difference::Unindexed => {
                self.found.unindexed += 1;
                "unindexed"
            }
            Difference::Differing => {
                self.found.differing += 1;
                "differing"
            }
        };
        let mut line = row_line(row, name);
        if is_queued {
            line.extend_from_slice(b",\"queued\":true");
        }
        self.write(line)
    }

    pub fn refused(&mut self, row: &IndexedRow, reason: &str) -> Result<()> {
        self.found.refused += 1;
        let mut line = row_line(row, "refused");
        line.extend_from_slice(b",\"reason\":");
        json::write_str(reason, &mut line);
        self.write(line)
    }

    pub fn orphan(&mut self, id: &str) -> Result<()> {
        self.found.orphaned += 1;
        let mut line = b"{\"id\":".to_vec();
        match id.parse::<i64>() {
            Ok(number) if number.to_string() == id => line.extend_from_slice(id.as_bytes()),
            _ => json::write_str(id, &mut line),
        }
        line.extend_from_slice(b",\"index\":\"orphan\"");
        self.write(line)
    }

    fn write(&mut self, mut line: Vec<u8>) -> Result<()> {
        line.extend_from_slice(b"}\n");
        self.output.add_made(1);
        self.output.write_record(&line)
    }

    fn note(&self) -> u64 {
        let found = &self.found;
        let counts = [
            ("unindexed", found.unindexed),
            ("differing", found.differing),
            ("refused", found.refused),
            ("orphaned", found.orphaned),
        ];
        for (name, count) in counts {
            self.context.counters.note(name, count);
        }
        counts.iter().map(|(_, count)| count).sum()
    }

    /// Says what differs.
    pub fn conclude(&self, index: &Index, store: &dyn Store) {
        let all = self.note();
        self.context.counters.add_findings(all);
        if all > 0 {
            let found = &self.found;
            self.context.log.warn(format!(
                "{} differs from {}: {} unindexed, {} differing, {} refused, {} orphaned; to \
                 repair it, run bh-index without --check, with --retry-refused for what is \
                 refused, and --delete-orphans for what is orphaned",
                index.place(),
                store.address(),
                found.unindexed,
                found.differing,
                found.refused,
                found.orphaned,
            ));
        }
    }

    /// Says what still differs after mending.
    pub fn conclude_mending(&self, index: &Index) {
        self.note();
        let left = self.found.orphaned.saturating_sub(self.found.deleted);
        self.context
            .counters
            .add_findings(left + self.found.refused);
        for (count, what, flag) in [
            (
                self.found.refused,
                "that Elasticsearch refused",
                "--retry-refused to send",
            ),
            (left, "without a row", "--delete-orphans to delete"),
        ] {
            if count > 0 {
                let (place, documents) = (index.place(), counted(count, "document"));
                let them = if count == 1 { "it" } else { "them" };
                self.context
                    .log
                    .warn(format!("{place}: {documents} {what}; add {flag} {them}"));
            }
        }
    }
}

fn row_line(row: &IndexedRow, difference: &str) -> Vec<u8> {
    let mut line = format!("{{\"id\":{},\"key\":", row.id).into_bytes();
    write_text(row.key.as_deref(), &mut line);
    line.extend_from_slice(b",\"etag\":");
    write_text(row.etag.as_deref().map(unquote_etag), &mut line);
    line.extend_from_slice(b",\"index\":");
    json::write_str(difference, &mut line);
    line
}

fn write_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => json::write_str(text, out),
        None => out.extend_from_slice(b"null"),
    }
}
