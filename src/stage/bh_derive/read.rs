//! Lines in: what they wish for.

use crossbeam_channel::Sender;
use jiff::Timestamp;

use crate::archive::build::Build;
use crate::archive::event::{self, Row};
use crate::archive::merge::File;
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

/// What a line of a listing comes to.
enum Line {
    Dropped(&'static str),
    Refused(&'static str, String),
    Build(Build, File),
}

fn bad_line(message: impl std::fmt::Display) -> Line {
    Line::Refused("bad_line", message.to_string())
}

impl Wish<'_> {
    /// Asked of most lines of the archive: the cheapest questions come first.
    fn judge(&self, line: &[u8]) -> Line {
        let row = json::members(line).map_err(|error| error.to_string());
        let row = match row.and_then(|members| Row::of(&members)) {
            Ok(row) => row,
            Err(message) => return bad_line(message),
        };
        if !url::is_archive(&row.key) {
            return Line::Dropped("no archive");
        }
        let date = match row.date() {
            Ok(date) => date,
            Err(message) => return bad_line(message),
        };
        if self
            .oldest
            .is_some_and(|oldest| date.timestamp().is_some_and(|at| at < oldest))
        {
            return Line::Dropped("too old");
        }
        let folder = url::product_folder(&row.key);
        let Some(folder) = folder.filter(|folder| self.products.contains(folder)) else {
            return Line::Dropped("other product");
        };
        let address = url::of_key(self.base, &row.key);
        if !url::is_build(folder, &address) {
            return Line::Dropped("no build");
        }
        let build = match Build::of(&address) {
            Ok(build) => build,
            Err(reason) => return Line::Refused("no_record", format!("{address}: {reason}")),
        };
        match row.size() {
            Ok(size) => Line::Build(build, File { size, date }),
            Err(message) => bad_line(message),
        }
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
            Line::Dropped(reason) => {
                match dropped.iter_mut().find(|(own, _)| *own == reason) {
                    Some((_, count)) => *count += 1,
                    None => dropped.push((reason, 1)),
                }
                return;
            }
            Line::Refused(kind, message) => {
                Pending::Reject(Reject::new(line, number, kind, message))
            }
            Line::Build(build, file) => Pending::Build {
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
        let news = match event::read(line) {
            Ok(news) if news.is_empty() => {
                self.send(Pending::Dropped("empty event", 1));
                return;
            }
            Ok(news) => news,
            Err(message) => {
                self.send(reject(line, &message));
                return;
            }
        };
        for event::News { line, object } in news {
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
