//! Lines in: what they wish for.

use crossbeam_channel::Sender;
use jiff::Timestamp;

use crate::archive::build::Build;
use crate::archive::event::{self, ListingRow};
use crate::archive::merge::ArchiveFile;
use crate::archive::{PRODUCTS, url};
use crate::error::Result;
use crate::json;
use crate::ndjson::Input;
use crate::record::mark::Mark;
use crate::record::object;
use crate::record::reject::Reject;
use crate::remote::archive::{Desk, Job, Ticket};

/// What stands for lines between their reading and their writing.
pub enum Pending {
    Build {
        line: Vec<u8>,
        number: u64,
        ticket: Ticket,
    },
    Mark(Mark, Vec<u8>),
    Reject(Reject),
    /// So many that nobody wants, and why.
    Dropped(&'static str, u64),
}

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
}

pub struct Reader<'a> {
    pub wish: Wish<'a>,
    pub event: bool,
    pub desk: &'a Desk,
    pub sender: Sender<Pending>,
}

impl Reader<'_> {
    /// Reads all lines, or as many as somebody waits for.
    pub fn read(&self, input: &mut Input) -> Result<()> {
        while let Some(block) = input.next()? {
            let mut dropped = Vec::new();
            for (number, line) in block.lines() {
                if let Some(mark) = Mark::parse(line) {
                    self.drop_all(&mut dropped);
                    self.send(Pending::Mark(mark, line.to_vec()));
                } else if self.event {
                    self.event(line, number);
                } else if let Some(line) = object::unframe(line) {
                    self.line(line, number, &mut dropped);
                }
            }
            if !self.drop_all(&mut dropped) {
                return Ok(());
            }
        }
        Ok(())
    }

    fn line(&self, line: &[u8], number: u64, dropped: &mut Vec<(&'static str, u64)>) {
        let next = match self.wish.judge(line) {
            Err(Unwanted::Dropped(reason)) => {
                match dropped.iter_mut().find(|(own, _)| *own == reason) {
                    Some((_, count)) => *count += 1,
                    None => dropped.push((reason, 1)),
                }
                return;
            }
            Err(Unwanted::Refused(kind, message)) => {
                Pending::Reject(Reject::new(line, number, kind, message))
            }
            Ok((build, file)) => Pending::Build {
                line: line.to_vec(),
                number,
                ticket: self.desk.queue(Job::Build(build, file)),
            },
        };
        self.drop_all(dropped);
        self.send(next);
    }

    fn event(&self, line: &[u8], number: u64) {
        let reject = |line: &[u8], message: &str| {
            Pending::Reject(Reject::new(line, number, "bad_event", message))
        };
        let events = match event::read(line) {
            Ok(events) if events.is_empty() => {
                self.send(Pending::Dropped("empty event", 1));
                return;
            }
            Ok(events) => events,
            Err(message) => {
                self.send(reject(line, &message));
                return;
            }
        };
        for event::ObjectEvent { line, object } in events {
            let next = match object {
                Err(message) => reject(&line, &message),
                Ok(object) => match url::product_folder(&object.key) {
                    Some(folder) if PRODUCTS.contains(&folder) => {
                        let folder = folder.to_owned();
                        let ticket = self.desk.queue(Job::Event(folder, object));
                        Pending::Build {
                            line,
                            number,
                            ticket,
                        }
                    }
                    _ => Pending::Dropped("other product", 1),
                },
            };
            self.send(next);
        }
    }

    /// Whether somebody still waits.
    fn drop_all(&self, dropped: &mut Vec<(&'static str, u64)>) -> bool {
        let mut sent = dropped
            .drain(..)
            .map(|(reason, count)| self.send(Pending::Dropped(reason, count)));
        sent.all(|sent| sent)
    }

    fn send(&self, next: Pending) -> bool {
        self.sender.send(next).is_ok()
    }
}
