//! The pages of a collection as lines, from the server or from its database.

use crate::error::{Error, Result};
use crate::record::coverage::Interval;
use crate::record::release::{Meta, write_line};
use crate::remote::kinto::database::KintoDatabase;
use crate::remote::kinto::pages::{Collection, KintoPage};

/// Changes behind the one and until the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KintoSpan {
    pub after: Option<u64>,
    pub through: u64,
}

/// What the numbers of changes count: of a server milliseconds since 1970, of
/// a database microseconds.
#[derive(Debug, Clone, Copy)]
pub struct Scale {
    digits: usize,
    /// In a millisecond.
    units: u64,
}

impl Scale {
    /// As a text whose order is that of the numbers.
    pub fn text(self, number: u64) -> String {
        format!("{number:0width$}", width = self.digits)
    }

    /// The bound of what has changed since a millisecond, to which a database
    /// may have rounded.
    pub fn since(self, milliseconds: u64) -> String {
        self.text(milliseconds * self.units + (self.units - 1) / 2)
    }

    pub fn milliseconds(self, number: u64) -> u64 {
        number / self.units
    }

    pub fn spans(self, gaps: &[Interval]) -> Result<Vec<KintoSpan>> {
        let number = |text: &str| {
            let number = text
                .parse()
                .ok()
                .filter(|number| self.text(*number) == text);
            number.ok_or_else(|| {
                Error::configuration(format!(
                    "the state is damaged: {text:?} is not a time; remove the resume file to start \
                     over"
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
                "record {:?} cannot be read: {error}; mend it in Kinto",
                meta.id
            ))
        })?;
        self.takes(changed);
        self.records += 1;
        Ok(())
    }

    fn takes(&mut self, changed: u64) {
        let first = self.ends.map_or(changed, |(first, _)| first);
        self.ends = Some((first, changed));
    }
}

/// Where pages come from; asked for a span from where it stopped, it goes on.
pub trait Pages: Send {
    fn place(&self) -> String;
    fn scale(&self) -> Scale;
    /// The latest change.
    fn latest(&mut self) -> Result<u64>;
    /// How many live records there are in the span, where that can be asked.
    ///
    /// # Errors
    /// Among others: a collection whose changes end before the span does (78).
    fn count(&mut self, span: KintoSpan) -> Result<Option<u64>>;
    /// The first page of the span.
    fn page(&mut self, span: KintoSpan) -> Result<ExportPage>;
}

/// Empty pages in a row, each of which names a next one, before it is said
/// that this does not end.
const EMPTY: u32 = 10;

pub struct Http {
    collection: Collection,
    keep_meta: bool,
    /// The query that goes on behind a change.
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

    fn scale(&self) -> Scale {
        Scale {
            digits: 13,
            units: 1,
        }
    }

    fn latest(&mut self) -> Result<u64> {
        self.collection.head(None, None).map(|head| head.timestamp)
    }

    fn count(&mut self, span: KintoSpan) -> Result<Option<u64>> {
        let head = self.collection.head(span.after, Some(span.through))?;
        if head.timestamp < span.through {
            return Err(Error::configuration(format!(
                "{}: its last change was at {} when the export began, and is at {} now: was it \
                 made anew? Export it from the start, without the resume file",
                self.collection.place(),
                span.through,
                head.timestamp
            )));
        }
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
                } else if record.deleted {
                    page.takes(changed);
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
            "{}: {EMPTY} empty pages in a row, and each names a next one; look at the server",
            self.collection.place()
        )))
    }
}

pub struct Database {
    pub records: KintoDatabase,
    pub keep_meta: bool,
}

impl Pages for Database {
    fn place(&self) -> String {
        self.records.place()
    }

    fn scale(&self) -> Scale {
        Scale {
            digits: 16,
            units: 1000,
        }
    }

    fn latest(&mut self) -> Result<u64> {
        self.records.latest()
    }

    /// A cursor sees what it was opened on: nothing can go missing.
    fn count(&mut self, _: KintoSpan) -> Result<Option<u64>> {
        Ok(None)
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
