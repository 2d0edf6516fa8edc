//! Lines in: what they wish for.

use jiff::Timestamp;

use crate::archive::build::Build;
use crate::archive::event::{self, ListingRow};
use crate::archive::merge::ArchiveFile;
use crate::archive::{PRODUCTS, url};
use crate::json;
use crate::ndjson::{PendingQueue, RecordLine};
use crate::record::reject::Reject;
use crate::remote::archive::{DeriveQueue, DeriveTicket, Job};

/// What is wanted of a listing.
pub struct Wish<'a> {
    pub base: &'a str,
    pub products: Vec<&'a str>,
    /// What is older is passed over.
    pub oldest: Option<Timestamp>,
}

/// Why a line of a listing comes to nothing.
enum Unwanted {
    Dropped(&'static str),
    Refused(&'static str, String),
}

fn bad_line(message: String) -> Unwanted {
    Unwanted::Refused("bad_line", message)
}

impl Wish<'_> {
    /// Asked of most lines of the archive: the cheapest questions come first.
    fn judge(&self, line: &[u8]) -> Result<(Build, ArchiveFile), Unwanted> {
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

    /// Asks for the build of a line of a listing.
    pub fn ask(
        &self,
        record: RecordLine<'_>,
        derive_queue: &DeriveQueue,
        queue: &mut PendingQueue<DeriveTicket>,
    ) {
        match self.judge(record.bytes) {
            Err(Unwanted::Dropped(reason)) => queue.drop(reason),
            Err(Unwanted::Refused(kind, message)) => {
                queue.reject(Reject::new(record.bytes, record.number, kind, message));
            }
            Ok((build, file)) => queue.ask(record, derive_queue.queue(Job::Build(build, file))),
        }
    }
}

/// Asks for the builds of what an event says has come.
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
    for event::ObjectEvent { line, object } in events {
        match object {
            Err(message) => queue.reject(reject(&line, &message)),
            Ok(object) => match url::product_folder(&object.key) {
                Some(folder) if PRODUCTS.contains(&folder) => {
                    let ticket = derive_queue.queue(Job::Event(folder.to_owned(), object));
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
