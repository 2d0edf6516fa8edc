//! Reports the differences, each after a second look at the database.

use std::collections::HashMap;

use super::listed_part::ListedPart;
use super::table::{Compared, Suspect, Table};
use super::{Args, Difference};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::json;
use crate::log;
use crate::ndjson::{OTHER, StageOutput};
use crate::record::ledger::{KNOWN, KNOWN_BAD};
use crate::record::mark::Mark;
use crate::record::s3::unquote_etag;
use crate::record::unit_mark::UnitMark;
use crate::store::{AuditStore, StoredObject};

/// How many objects are looked up at once.
const BATCH: usize = 1000;

/// The reason of records that may be on their way into the database.
const TOO_NEW: &str = "too new";

/// The comparison so far.
pub struct AuditReport<'a> {
    args: &'a Args,
    table: &'a Table,
    store: Box<dyn AuditStore>,
    /// Rows with this id and above may be missing in the table.
    next_id: i64,
    context: Context,
    /// When this began, for a listing without a begin mark: what is stored later is newer.
    started: String,
    suspects: Vec<Suspect>,
    listed: ListedPart,
    /// The mark of a unit, if extra objects may have to be written before it.
    pending: Option<(UnitMark, Vec<u8>)>,
    has_ended: bool,
    missing: u64,
    changed: u64,
    extra: u64,
}

impl<'a> AuditReport<'a> {
    pub fn new(
        args: &'a Args,
        table: &'a Table,
        store: Box<dyn AuditStore>,
        next_id: i64,
        context: Context,
    ) -> Self {
        Self {
            args,
            table,
            store,
            next_id,
            context,
            started: log::now(),
            suspects: Vec::new(),
            listed: ListedPart::default(),
            pending: None,
            has_ended: false,
            missing: 0,
            changed: 0,
            extra: 0,
        }
    }

    fn prints(&self, difference: Difference) -> bool {
        self.args.kind.contains(&difference)
    }

    /// Handles the results of a block.
    pub fn take(&mut self, compared: Vec<Compared>, output: &mut StageOutput) -> Result<()> {
        for compared in compared {
            match compared {
                Compared::Others(0) => {}
                Compared::Mark(mark, line) => self.mark(mark, line, output)?,
                record => {
                    self.close_pending(output)?;
                    match record {
                        Compared::Others(records) => output.drop(OTHER, records),
                        Compared::Known(records) => output.drop(KNOWN, records),
                        Compared::KnownBad => output.drop(KNOWN_BAD, 1),
                        Compared::TooNew => output.drop(TOO_NEW, 1),
                        Compared::Bad(reject) => output.reject(&reject)?,
                        Compared::Suspect(suspect) => self.suspects.push(suspect),
                        Compared::Mark(..) => {}
                    }
                }
            }
            if self.suspects.len() >= BATCH {
                self.check_suspects(output)?;
            }
        }
        Ok(())
    }

    fn mark(&mut self, mark: Mark, line: Vec<u8>, output: &mut StageOutput) -> Result<()> {
        self.check_suspects(output)?;
        match mark {
            Mark::Unit(unit) => {
                self.close_pending(output)?;
                self.pending = Some((unit, line));
                if !self.prints(Difference::Extra) {
                    self.close_pending(output)?;
                }
                return Ok(());
            }
            Mark::End(end) => {
                self.end(output)?;
                return output.mark(&Mark::End(end), &line);
            }
            Mark::Begin(begin) => {
                self.close_pending(output)?;
                self.listed.begin(&begin);
                return output.mark(&Mark::Begin(begin), &line);
            }
            Mark::Other => self.close_pending(output)?,
        }
        output.mark(&Mark::Other, &line)
    }

    fn note_listed(&mut self, unit: &UnitMark, output: &StageOutput) {
        if let Some(part) = &unit.part
            && self.listed.run() == Some(&part.run)
            && output.is_whole(unit)
        {
            self.listed.add(part.keys.clone());
        }
    }

    fn close_pending(&mut self, output: &mut StageOutput) -> Result<()> {
        let Some((unit, line)) = self.pending.take() else {
            return Ok(());
        };
        self.note_listed(&unit, output);
        output.mark(&Mark::Unit(unit), &line)
    }

    /// Ends the listing: stored objects that it lacks are extra. They are written before the mark
    /// of the last unit.
    fn end(&mut self, output: &mut StageOutput) -> Result<()> {
        self.has_ended = true;
        let pending = self.pending.take();
        if let Some((unit, _)) = &pending {
            self.note_listed(unit, output);
        }
        self.find_extra(output)?;
        match pending {
            Some((unit, line)) => output.mark(&Mark::Unit(unit), &line),
            None => Ok(()),
        }
    }

    /// Looks the suspects up once more, since a loader may have stored them meanwhile.
    fn check_suspects(&mut self, output: &mut StageOutput) -> Result<()> {
        let suspects = std::mem::take(&mut self.suspects);
        if suspects.is_empty() {
            return Ok(());
        }
        output.flush()?;
        let keys: Vec<&str> = suspects.iter().map(|suspect| &*suspect.key).collect();
        let since = self.listed.since().unwrap_or(&self.started).to_owned();
        let found = self.store.look_up_objects(&keys, &since, self.next_id)?;
        let is_loaded = if found.iter().any(|object| !object.has_own_row) {
            self.store.is_loaded_since(&since)?
        } else {
            false
        };
        let rejected = self.rejected(&keys)?;
        // The object replaces the rows of its key.
        let found: HashMap<&str, &StoredObject<String>> =
            found.iter().map(|object| (&*object.key, object)).collect();
        for suspect in &suspects {
            let stored = found.get(&*suspect.key).copied();
            let difference = match stored {
                Some(stored) if is_same(suspect, stored) => {
                    output.drop(KNOWN, 1);
                    continue;
                }
                _ if rejected.get(&suspect.key) == Some(&suspect.etag) => {
                    output.drop(KNOWN_BAD, 1);
                    continue;
                }
                None => suspect.difference,
                // It was stored after the listing began.
                Some(stored) if stored.is_newer || is_loaded && !stored.has_own_row => {
                    output.drop(TOO_NEW, 1);
                    continue;
                }
                Some(_) => Difference::Changed,
            };
            self.report(suspect, difference, output)?;
        }
        Ok(())
    }

    /// Returns the ETags of those objects that are known to be bad by now.
    fn rejected(&mut self, keys: &[&str]) -> Result<HashMap<String, Option<String>>> {
        let mut rejected = HashMap::new();
        let by_schema = &self.table.by_schema;
        self.store.look_up_rejects(keys, &mut |reject| {
            if reject.is_repeated(by_schema) {
                rejected.insert(reject.key.to_owned(), Some(reject.etag.to_owned()));
            }
        })?;
        Ok(rejected)
    }

    fn report(
        &mut self,
        suspect: &Suspect,
        difference: Difference,
        output: &mut StageOutput,
    ) -> Result<()> {
        match difference {
            Difference::Changed => self.changed += 1,
            _ => self.missing += 1,
        }
        if !self.prints(difference) {
            output.drop(difference.name(), 1);
            return Ok(());
        }
        let line = suspect.line.trim_ascii();
        let mut line = line.strip_suffix(b"}").unwrap_or(line).to_vec();
        line.extend_from_slice(b",\"audit\":");
        json::write_str(difference.name(), &mut line);
        line.extend_from_slice(b"}\n");
        output.write_record(&line)
    }

    /// Finds the objects that the listing does not have, by a fresh look at the database.
    fn find_extra(&mut self, output: &mut StageOutput) -> Result<()> {
        let Some(since) = self.listed.since().map(str::to_owned) else {
            return Ok(());
        };
        let is_loaded = self.store.is_loaded_since(&since)?;
        let (table, listed) = (self.table, &self.listed);
        let prints = self.args.kind.contains(&Difference::Extra);
        let (mut extra, mut too_new, mut written) = (0, 0, Ok(()));
        self.store.for_each_stored(&since, &mut |object| {
            if !table.wanted.matches(object.key) || !listed.holds(object.key) || written.is_err() {
                return;
            }
            if !table.is_unlisted(object) {
                return;
            }
            // It may have been written after its part of the bucket was listed.
            if object.is_newer || is_loaded && !object.has_own_row {
                too_new += 1;
                return;
            }
            extra += 1;
            if prints {
                output.add_made(1);
                written = output.write_record(&line(object));
            }
        })?;
        self.extra += extra;
        self.context
            .counters
            .note("objects too new to be extra", too_new);
        written
    }

    /// Finishes what is pending at the end of the input.
    pub fn finish(&mut self, output: &mut StageOutput) -> Result<()> {
        self.check_suspects(output)?;
        self.close_pending(output)
    }

    /// Reports the differences.
    ///
    /// # Errors
    /// The listing did not come to its end (75).
    pub fn conclude(&self, database: &str, output: &mut StageOutput) -> Result<()> {
        let counts = [self.missing, self.changed, self.extra];
        let names = [Difference::Missing, Difference::Changed, Difference::Extra];
        for (difference, count) in names.into_iter().zip(counts) {
            self.context.counters.note(difference.name(), count);
            self.context.counters.add_findings(count);
        }
        output.check_runs()?;
        if !self.has_ended {
            return Err(Error::ended_early(
                "the listing has no end mark, so it may be cut: what it does not have was not \
                 looked for; pipe the output of s3-list or s3-inventory in",
            ));
        }
        if counts != [0, 0, 0] {
            let [missing, changed, extra] = counts;
            self.context.log.warn(format!(
                "{database} differs from the listing: {missing} missing, {changed} changed, \
                 {extra} extra; bh-fetch | bh-validate | bh-load mends what is missing or changed"
            ));
        }
        Ok(())
    }
}

fn is_same(suspect: &Suspect, stored: &StoredObject<String>) -> bool {
    match (&suspect.etag, &stored.etag) {
        (Some(listed), Some(stored)) => listed == unquote_etag(stored),
        _ => true,
    }
}

/// Returns the line of an object that is not in the bucket.
fn line(object: &StoredObject<&str>) -> Vec<u8> {
    let mut line = b"{\"key\":".to_vec();
    json::write_str(object.key, &mut line);
    if let Some(etag) = object.etag {
        line.extend_from_slice(b",\"etag\":");
        json::write_str(unquote_etag(etag), &mut line);
    }
    line.extend_from_slice(b",\"audit\":\"extra\"}\n");
    line
}
