//! Reads the pages of a collection as lines, from the server or from its database.

use std::time::Duration;

use crate::error::{Error, Result};
use crate::record::coverage::Interval;
use crate::record::release::{Meta, write_line};
use crate::remote::kinto::database::KintoDatabase;
use crate::remote::kinto::pages::{Collection, KintoPage};

/// The changes after `after` and through `through`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KintoSpan {
    pub after: Option<u64>,
    pub through: u64,
}

/// The unit of timestamps: milliseconds since 1970 for a server, microseconds for a
/// database.
#[derive(Debug, Clone, Copy)]
pub struct TimeUnit {
    /// Digits of a timestamp.
    digits: usize,
    /// Units per millisecond.
    units: u64,
}

impl TimeUnit {
    /// Formats a timestamp, padded with zeros, so that texts sort as numbers.
    pub fn format(self, number: u64) -> String {
        format!("{number:0width$}", width = self.digits)
    }

    /// Returns the bound for changes since a millisecond, to which a database may have
    /// rounded.
    pub fn since(self, milliseconds: u64) -> String {
        self.format(milliseconds * self.units + (self.units - 1) / 2)
    }

    /// Returns a timestamp that is `margin` before the one in a text; `None` if it is none.
    pub fn before(self, text: &str, margin: Duration) -> Option<String> {
        let margin = u64::try_from(margin.as_millis()).unwrap_or(u64::MAX);
        let margin = margin.saturating_mul(self.units);
        Some(self.format(text.parse::<u64>().ok()?.saturating_sub(margin)))
    }

    /// Converts a timestamp to milliseconds, rounded down.
    pub fn milliseconds(self, number: u64) -> u64 {
        number / self.units
    }

    /// Parses gaps of the coverage.
    ///
    /// # Errors
    /// A bound is not a timestamp: the state is damaged (78).
    pub fn spans(self, gaps: &[Interval]) -> Result<Vec<KintoSpan>> {
        let number = |text: &str| {
            let number = text
                .parse()
                .ok()
                .filter(|number| self.format(*number) == text);
            number.ok_or_else(|| {
                Error::configuration(format!(
                    "the state is damaged: {text:?} is not a time; delete the resume file to \
                     start over"
                ))
            })
        };
        let span = |gap: &Interval| {
            Ok(KintoSpan {
                after: gap.after.as_deref().map(number).transpose()?,
                through: gap.through.as_deref().map_or(Ok(u64::MAX), number)?,
            })
        };
        gaps.iter().map(span).collect()
    }
}

/// A page as lines.
#[derive(Default)]
pub struct ExportPage {
    pub lines: Vec<u8>,
    pub records: u64,
    pub deleted: u64,
    /// The first and the last change in it.
    pub ends: Option<(u64, u64)>,
    pub more: bool,
}

impl ExportPage {
    fn record(&mut self, text: &str, changed: u64, meta: &Meta<'_>, keep: bool) -> Result<()> {
        let kept = keep.then_some(meta);
        write_line(text.as_bytes(), kept, &mut self.lines).map_err(|error| {
            Error::configuration(format!(
                "record {:?} cannot be read: {error}; fix it in Kinto",
                meta.id
            ))
        })?;
        self.extend_ends(changed);
        self.records += 1;
        Ok(())
    }

    fn extend_ends(&mut self, changed: u64) {
        let first = self.ends.map_or(changed, |(first, _)| first);
        self.ends = Some((first, changed));
    }
}

/// A source of pages. Asked for the rest of a span, it continues after its last page.
pub trait Pages: Send {
    /// Returns the name of the source, for messages.
    fn place(&self) -> String;
    /// Returns the unit of its timestamps.
    fn unit(&self) -> TimeUnit;
    /// Returns when the collection itself was created or changed last; `None` if that is not
    /// known.
    fn changed(&mut self) -> Result<Option<u64>>;
    /// Returns the latest change of a record.
    fn latest(&mut self) -> Result<u64>;
    /// Returns the number of records in the span; `None` if the source does not know.
    ///
    /// # Errors
    /// The latest change is before the end of the span: it is another collection (78).
    fn count(&mut self, span: KintoSpan) -> Result<Option<u64>>;
    /// Returns the first page of the span.
    fn page(&mut self, span: KintoSpan) -> Result<ExportPage>;
}

/// Checks that the changes do not end before the span, to the millisecond.
fn check_latest(pages: &dyn Pages, span: KintoSpan, latest: u64) -> Result<()> {
    let [before, now] = [span.through, latest].map(|time| pages.unit().milliseconds(time));
    if before <= now {
        return Ok(());
    }
    Err(Error::configuration(format!(
        "{}: its last change was at {before} when the export began, and is at {now} now; was it \
         recreated? Export it from the start, without the resume file",
        pages.place()
    )))
}

/// The maximum number of consecutive empty pages that each name a next page.
const EMPTY: u32 = 10;

/// Reads pages from the server.
pub struct Http {
    collection: Collection,
    keep_meta: bool,
    /// The query of the page after a change.
    next: Option<(Option<u64>, String)>,
}

impl Http {
    pub fn new(collection: Collection, keep_meta: bool) -> Self {
        Self {
            collection,
            keep_meta,
            next: None,
        }
    }

    fn ask(&mut self, span: KintoSpan) -> Result<KintoPage> {
        match self.next.take() {
            Some((at, query)) if at == span.after => self.collection.page(&query),
            _ => self.collection.first(span.after, Some(span.through)),
        }
    }
}

impl Pages for Http {
    fn place(&self) -> String {
        self.collection.place()
    }

    fn unit(&self) -> TimeUnit {
        TimeUnit {
            digits: 13,
            units: 1,
        }
    }

    fn changed(&mut self) -> Result<Option<u64>> {
        self.collection.changed()
    }

    fn latest(&mut self) -> Result<u64> {
        self.collection.head(None, None).map(|head| head.timestamp)
    }

    fn count(&mut self, span: KintoSpan) -> Result<Option<u64>> {
        let head = self.collection.head(span.after, Some(span.through))?;
        check_latest(self, span, head.timestamp)?;
        Ok(head.total)
    }

    fn page(&mut self, span: KintoSpan) -> Result<ExportPage> {
        let mut page = ExportPage::default();
        for _ in 0..EMPTY {
            let answer = self.ask(span)?;
            let mut beyond = false;
            let last = answer.records(span.after, |record| {
                let changed = record.last_modified;
                if changed > span.through {
                    beyond = true;
                } else if record.is_deleted() {
                    page.extend_ends(changed);
                    page.deleted += 1;
                } else {
                    let meta = Meta {
                        id: &record.id,
                        last_modified: changed,
                    };
                    return page.record(record.text, changed, &meta, self.keep_meta);
                }
                Ok(())
            })?;
            page.more = answer.next.is_some() && !beyond;
            if page.more {
                self.next = answer.next.map(|query| (last, query));
            }
            if page.ends.is_some() || !page.more {
                return Ok(page);
            }
        }
        Err(Error::configuration(format!(
            "{}: {EMPTY} empty pages in a row, each with a next page; check the server",
            self.collection.place()
        )))
    }
}

/// Reads pages from the database.
pub struct Database {
    pub records: KintoDatabase,
    pub keep_meta: bool,
}

impl Pages for Database {
    fn place(&self) -> String {
        self.records.place()
    }

    fn unit(&self) -> TimeUnit {
        TimeUnit {
            digits: 16,
            units: 1000,
        }
    }

    fn changed(&mut self) -> Result<Option<u64>> {
        self.records.changed()
    }

    fn latest(&mut self) -> Result<u64> {
        self.records.latest()
    }

    fn count(&mut self, span: KintoSpan) -> Result<Option<u64>> {
        let (count, latest) = self.records.count(span.after, span.through)?;
        check_latest(self, span, latest)?;
        Ok(Some(count))
    }

    fn page(&mut self, span: KintoSpan) -> Result<ExportPage> {
        let records = self.records.page(span.after, span.through)?;
        let mut page = ExportPage {
            more: !records.is_empty(),
            ..ExportPage::default()
        };
        for record in records {
            if record.changed > span.through {
                page.more = false;
                break;
            }
            let meta = Meta {
                id: &record.id,
                last_modified: (record.changed + 500) / 1000,
            };
            page.record(&record.data, record.changed, &meta, self.keep_meta)?;
        }
        Ok(page)
    }
}
