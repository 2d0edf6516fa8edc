//! Reads lines, and starts the work on the builds that they name.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::runtime::Runtime;

use super::derive::{DeriveOutcome, Deriver};
use crate::archive::build::Build;
use crate::archive::event::{self, CreatedObject, ListingRow, ObjectEvent};
use crate::archive::merge::ArchiveFile;
use crate::archive::{PRODUCTS, url};
use crate::json;
use crate::ndjson::{PendingQueue, RecordLine};
use crate::record::reject::Reject;
use crate::remote::reply::Reply;

/// The promise of the outcomes of a line's builds.
pub type DeriveTicket = Reply<Vec<DeriveOutcome>>;

/// Starts the work on builds.
pub struct DeriveQueue {
    pub runtime: Runtime,
    pub deriver: Arc<Deriver>,
}

impl DeriveQueue {
    fn start_build(&self, build: Build, file: ArchiveFile) -> DeriveTicket {
        let deriver = Arc::clone(&self.deriver);
        Reply::spawn(&self.runtime, async move {
            deriver.build(&build, &file).await.map(|one| vec![one])
        })
    }

    fn start_event(&self, folder: String, object: CreatedObject) -> DeriveTicket {
        let deriver = Arc::clone(&self.deriver);
        Reply::spawn(&self.runtime, async move {
            deriver.event(&folder, &object).await
        })
    }
}

/// Which builds of a listing get records.
pub struct BuildSelection<'a> {
    pub base: &'a str,
    pub products: Vec<&'a str>,
    /// Older builds are dropped.
    pub oldest: Option<Timestamp>,
}

/// Why a line of a listing gives no record.
enum Unwanted {
    Dropped(&'static str),
    Refused(&'static str, String),
}

fn bad_line(message: String) -> Unwanted {
    Unwanted::Refused("bad_line", message)
}

impl BuildSelection<'_> {
    /// Returns the build of a line. Most lines of the archive have none: the cheapest
    /// checks come first.
    fn select(&self, line: &[u8]) -> Result<(Build, ArchiveFile), Unwanted> {
        let dropped = |reason| Err(Unwanted::Dropped(reason));
        let members = json::members(line).map_err(|error| bad_line(error.to_string()))?;
        let row = ListingRow::parse(&members).map_err(bad_line)?;
        if !url::is_archive(&row.key) {
            return dropped("no archive");
        }
        let date = row.date().map_err(bad_line)?;
        let old = |oldest| date.timestamp().is_some_and(|at| at < oldest);
        if self.oldest.is_some_and(old) {
            return dropped("too old");
        }
        let folder = url::product_folder(&row.key);
        let Some(folder) = folder.filter(|folder| self.products.contains(folder)) else {
            return dropped("other product");
        };
        let address = url::from_key(self.base, &row.key);
        if !url::is_build(folder, &address) {
            return dropped("no build");
        }
        let build = Build::parse(&address)
            .map_err(|reason| Unwanted::Refused("no_record", format!("{address}: {reason}")))?;
        let size = row.size().map_err(bad_line)?;
        Ok((build, ArchiveFile { size, date }))
    }

    /// Starts the build of a line of a listing.
    pub fn ask(
        &self,
        record: RecordLine<'_>,
        derive_queue: &DeriveQueue,
        queue: &mut PendingQueue<DeriveTicket>,
    ) {
        match self.select(record.bytes) {
            Err(Unwanted::Dropped(reason)) => queue.drop(reason),
            Err(Unwanted::Refused(kind, message)) => {
                queue.reject(Reject::new(record.bytes, record.number, kind, message));
            }
            Ok((build, file)) => queue.ask(record, derive_queue.start_build(build, file)),
        }
    }
}

/// Starts the builds of the objects that an event names.
pub fn ask_event(
    record: RecordLine<'_>,
    derive_queue: &DeriveQueue,
    queue: &mut PendingQueue<DeriveTicket>,
) {
    let reject =
        |line: &[u8], message: &str| Reject::new(line, record.number, "bad_event", message);
    let events = match event::read(record.bytes) {
        Ok(events) if events.is_empty() => return queue.drop("empty event"),
        Ok(events) => events,
        Err(message) => return queue.reject(reject(record.bytes, &message)),
    };
    for ObjectEvent { line, object } in events {
        match object {
            Err(message) => queue.reject(reject(&line, &message)),
            Ok(None) => queue.drop("deletion"),
            Ok(Some(object)) => match url::product_folder(&object.key) {
                Some(folder) if PRODUCTS.contains(&folder) => {
                    let folder = folder.to_owned();
                    let ticket = derive_queue.start_event(folder, object);
                    let own = RecordLine {
                        number: record.number,
                        bytes: &line,
                    };
                    queue.ask(own, ticket);
                }
                _ => queue.drop("other product"),
            },
        }
    }
}
