//! Records in the database what a run has rejected, from the files of rejects of its programs.

use std::collections::HashSet;
use std::fs::File;
use std::path::{Path, PathBuf};

use memchr::memmem::Finder;
use serde::Deserialize;

use super::checkpoint::Settlement;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::ndjson::{Input, Line};
use crate::record::coverage::Interval;
use crate::record::ledger;
use crate::record::object::Object;
use crate::store::{RejectedObject, Store};

/// Rows per transaction.
const BATCH: usize = 1000;

/// The files of rejects.
pub struct RejectFiles {
    pub paths: Vec<PathBuf>,
    pub context: Context,
}

/// What the programs have rejected in a run, and left out because it was rejected before.
pub struct Rejected<'a> {
    run: &'a str,
    again: HashSet<String>,
    batch: Vec<RejectedObject>,
}

/// The member `error` of a reject.
#[derive(Deserialize)]
struct ErrorMember {
    stage: String,
    kind: String,
    message: String,
    run: Option<String>,
    verdict: Option<String>,
}

enum Entry {
    Rejected(RejectedObject),
    /// The key of an object that was rejected before.
    Again(String),
}

impl RejectFiles {
    /// Records what the programs have rejected in `run`; lines of other runs are not looked at.
    ///
    /// # Errors
    /// There is no such file (78), or it cannot be read (74).
    pub fn record<'a>(&self, run: &'a str, store: &mut dyn Store) -> Result<Rejected<'a>> {
        let mut rejected = Rejected {
            run,
            again: HashSet::new(),
            batch: Vec::new(),
        };
        let mut name = b"\"run\":".to_vec();
        json::write_str(run, &mut name);
        let name = Finder::new(&name);
        for path in &self.paths {
            let mut input = open(path, &self.context)?;
            while let Some(block) = input.next()? {
                for line in block.lines() {
                    let Line::Record(line) = line else { continue };
                    if name.find(line.bytes).is_some()
                        && let Some(entry) = entry(line.bytes, run)
                    {
                        rejected.add(entry, store)?;
                    }
                }
            }
        }
        rejected.flush(store)?;
        let keys: Vec<&str> = rejected.again.iter().map(String::as_str).collect();
        for keys in keys.chunks(BATCH) {
            store.meet_rejects(run, keys)?;
        }
        Ok(rejected)
    }

    /// Forgets the objects that a complete run has not met any more.
    ///
    /// A program that wrote what it left out into another file would have them all forgotten:
    /// so that many must be known by their names.
    pub fn forget_others(
        &self,
        rejected: &Rejected<'_>,
        settlement: &Settlement,
        part: Option<&[Interval]>,
        store: &mut dyn Store,
    ) -> Result<()> {
        let named = rejected.again.len() as u64;
        if settlement.complete_run.is_none() || named < settlement.known_bad {
            return Ok(());
        }
        let everything = [Interval::new(None, None)];
        for keys in part.unwrap_or(&everything) {
            let forgotten = store.forget_rejects(rejected.run, keys)?;
            let counters = &self.context.counters;
            counters.note("rejects forgotten", forgotten);
        }
        Ok(())
    }
}

fn open(path: &Path, context: &Context) -> Result<Input> {
    let place = format!("--record-rejects {}", path.display());
    let file = File::open(path).map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => Error::configuration(format!(
            "cannot read {place}: no such file; name the --rejects files of this pipeline"
        )),
        _ => Error::at(Kind::LocalIo, format!("cannot read {place}"))(error),
    })?;
    Ok(Input::named(place, file, context))
}

impl Rejected<'_> {
    fn add(&mut self, entry: Entry, store: &mut dyn Store) -> Result<()> {
        match entry {
            Entry::Again(key) => drop(self.again.insert(key)),
            Entry::Rejected(object) => self.batch.push(object),
        }
        if self.batch.len() < BATCH {
            return Ok(());
        }
        self.flush(store)
    }

    fn flush(&mut self, store: &mut dyn Store) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        if batch.is_empty() {
            return Ok(());
        }
        store.record_rejects(self.run, &batch)
    }
}

/// Returns what a reject of `run` says of its object, `None` where it names none.
fn entry(line: &[u8], run: &str) -> Option<Entry> {
    let members = json::members(line).ok()?;
    let error: ErrorMember = serde_json::from_slice(members.value("error")?).ok()?;
    if error.run.as_deref() != Some(run) {
        return None;
    }
    let object = Object::parse(&members).ok()?;
    let key = object.key.into_owned();
    if error.kind == ledger::KNOWN_BAD_KIND {
        return Some(Entry::Again(key));
    }
    let kept: Vec<&[u8]> = members
        .iter()
        .filter(|member| member.name != *"build")
        .map(|member| &line[member.start..member.end])
        .collect();
    let members = kept.join(&b',');
    Some(Entry::Rejected(RejectedObject {
        key,
        etag: object.etag.unwrap_or_default().into_owned(),
        kind: error.kind,
        stage: error.stage,
        message: error.message,
        line: format!("{{{}}}", String::from_utf8_lossy(&members)),
        verdict: error.verdict,
    }))
}
