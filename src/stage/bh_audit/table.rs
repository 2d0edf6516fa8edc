//! The objects of the database by their hashes, and which of them were listed.

use std::borrow::Cow;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use jiff::Timestamp;

use super::{Args, Difference};
use crate::error::Result;
use crate::json;
use crate::ndjson::{Block, Io, RecordLine, Selected, Wanted};
use crate::record::known::{Entry, Known, Located};
use crate::record::mark::Mark;
use crate::record::object::{Object, last_modified};
use crate::record::reject::Reject;
use crate::schema;
use crate::store::{AuditStore, StoredObject, known_bad};

/// The objects that were stored when the audit began.
pub struct Table {
    pub wanted: Wanted,
    stored: Known,
    /// A bit per stored object.
    listed: Vec<AtomicU64>,
    known_bad: Known,
    /// The verdict of the schema that is used now.
    pub by_schema: String,
    /// An object that was written after this may be on its way.
    settled: Option<Timestamp>,
}

/// What was found in a block of the listing.
pub enum Compared {
    Mark(Mark, Vec<u8>),
    Bad(Reject),
    Others(u64),
    Known(u64),
    KnownBad,
    TooNew,
    Suspect(Suspect),
}

/// A record that differs from what the database held at first.
pub struct Suspect {
    pub line: Vec<u8>,
    pub key: String,
    /// Without quotes.
    pub etag: Option<String>,
    pub difference: Difference,
}

impl Table {
    /// Reads the objects of the database.
    pub fn read(args: &Args, wanted: Wanted, store: &mut dyn AuditStore, io: &Io) -> Result<Self> {
        let log = &io.context.log;
        let waiting = format!("reading the known keys of {}", store.address());
        let _notice = log.notify_if_slow(waiting);
        let mut stored = Known::default();
        store.for_each_stored("", &mut |object| stored.add(entry(object)))?;
        stored.seal();
        let by_schema = schema::verdict(&args.schema)?;
        let mut known_bad = known_bad(store, &by_schema)?;
        known_bad.seal();
        let bits = (0..stored.len().div_ceil(64)).map(|_| AtomicU64::new(0));
        let counters = &io.context.counters;
        counters.note("objects in the database", stored.len() as u64);
        Ok(Self {
            wanted,
            listed: bits.collect(),
            stored,
            known_bad,
            by_schema,
            settled: settled(args.settle),
        })
    }

    /// Compares the records of a block with the table, and notes which objects were listed.
    pub fn compare(&self, block: &Block) -> Vec<Compared> {
        let selected = self.wanted.select(block);
        let entries: Vec<Entry> = selected.iter().filter_map(wanted).collect();
        let mut located = self.stored.locate(&entries).into_iter();
        let mut known_bad = self.known_bad.contains(&entries).into_iter();
        let mut compared = Vec::new();
        for selected in selected {
            match selected {
                Selected::Mark(mark, line) => compared.push(Compared::Mark(mark, line.to_vec())),
                Selected::Bad(reject) => compared.push(Compared::Bad(reject)),
                Selected::Others(records) => compared.push(Compared::Others(records)),
                Selected::Wanted(line, object) => {
                    let located = located.next().flatten();
                    if let Some(located) = located {
                        self.note_listed(located.index);
                    }
                    let is_bad = known_bad.next() == Some(true);
                    let result = self.compare_record(line, object, located, is_bad);
                    match (compared.last_mut(), result) {
                        (Some(Compared::Known(sum)), Compared::Known(one)) => *sum += one,
                        (_, result) => compared.push(result),
                    }
                }
            }
        }
        compared
    }

    fn compare_record(
        &self,
        line: RecordLine<'_>,
        object: Object<'_>,
        located: Option<Located>,
        is_bad: bool,
    ) -> Compared {
        let difference = match located {
            Some(located) if located.has_same_etag => return Compared::Known(1),
            Some(_) => Difference::Changed,
            None => Difference::Missing,
        };
        if is_bad {
            return Compared::KnownBad;
        }
        if self.is_too_new(line) {
            return Compared::TooNew;
        }
        Compared::Suspect(Suspect {
            line: line.bytes.to_vec(),
            key: object.key.into_owned(),
            etag: object.etag.map(Cow::into_owned),
            difference,
        })
    }

    /// Notes that an object was listed; returns whether it was noted before.
    fn note_listed(&self, index: usize) -> bool {
        let bit = 1 << (index % 64);
        self.listed[index / 64].fetch_or(bit, Relaxed) & bit != 0
    }

    /// Returns whether an object was there at first and was not listed, but for the first time
    /// only.
    pub fn is_unlisted(&self, object: &StoredObject<&str>) -> bool {
        match self.stored.locate(&[entry(object)])[..] {
            [Some(located)] => !self.note_listed(located.index),
            _ => false,
        }
    }

    /// Returns whether an object was written so recently that it may be on its way.
    fn is_too_new(&self, line: RecordLine<'_>) -> bool {
        let Some(settled) = self.settled else {
            return false;
        };
        let written = json::members(line.bytes).ok();
        let written = written.and_then(|members| last_modified(&members));
        written.is_some_and(|written| written > settled)
    }
}

/// Returns the time before which what was written has settled; `None` where nothing has to.
fn settled(settle: Duration) -> Option<Timestamp> {
    let settle = jiff::SignedDuration::try_from(settle).ok()?;
    let settled = Timestamp::now().checked_sub(settle).ok()?;
    (!settle.is_zero()).then_some(settled)
}

fn entry(object: &StoredObject<&str>) -> Entry {
    match object.etag {
        Some(etag) => Entry::new(object.key, etag),
        None => Entry::with_any_etag(object.key),
    }
}

fn wanted(selected: &Selected<'_>) -> Option<Entry> {
    let Selected::Wanted(_, Object { key, etag, .. }) = selected else {
        return None;
    };
    Some(match etag {
        Some(etag) => Entry::new(key, etag),
        None => Entry::with_any_etag(key),
    })
}
