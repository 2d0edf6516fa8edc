//! The changes that a batch makes, decided before anything is written.

use std::borrow::Cow;

use super::{BuildRow, LoadOutcome, StoredRow};
use crate::record::s3::unquote_etag;

/// What the tables hold of the content of a build.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ContentStatus {
    /// No row has it.
    New,
    Stored(StoredRow),
    /// A row has it, and its object is stored with the same ETag.
    UpToDate,
}

impl From<Option<StoredRow>> for ContentStatus {
    fn from(stored: Option<StoredRow>) -> Self {
        stored.map_or(ContentStatus::New, ContentStatus::Stored)
    }
}

/// A row to insert.
#[derive(Debug)]
pub struct Insert<'a> {
    pub at: usize,
    /// The ETag of the last row of the batch with the same content and key.
    pub etag: Option<&'a str>,
}

/// A new ETag of a stored row.
#[derive(Debug)]
pub struct Renewal<'a> {
    /// Of the stored row.
    pub id: i64,
    pub etag: &'a str,
    /// The row that it came with.
    pub at: usize,
}

/// Why a row is not stored: the kind of its reject, and the reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub kind: &'static str,
    pub reason: Cow<'static, str>,
}

impl Refusal {
    /// The database left the row out without an error.
    pub const ROW: Self = Self::not_stored(
        "main_build does not hold the row after it was inserted: a trigger or rule of the table \
         left it out",
    );
    /// The database left the change out without an error.
    pub const ETAG: Self = Self::not_stored(
        "main_build does not hold the new ETag after it was updated: a trigger or rule of the \
         table left it out",
    );

    const fn not_stored(reason: &'static str) -> Self {
        Self {
            kind: "not_stored",
            reason: Cow::Borrowed(reason),
        }
    }

    /// Returns the decision for a row that the database refused.
    pub fn refused(reason: String) -> Self {
        Self {
            kind: "refused",
            reason: Cow::Owned(reason),
        }
    }
}

/// The changes of one batch. Positions are those of the rows.
#[derive(Debug, Default)]
pub struct Plan<'a> {
    /// One per row; inserted ones have no id yet.
    pub outcomes: Vec<LoadOutcome>,
    /// One per new content, sorted by hash, so that concurrent loaders cannot
    /// deadlock.
    pub inserts: Vec<Insert<'a>>,
    /// Sorted by id.
    pub renewals: Vec<Renewal<'a>>,
    /// Rows whose objects are to be stored, sorted by key; of one key the last.
    pub objects: Vec<usize>,
}

impl<'a> Plan<'a> {
    pub fn new(rows: &'a [BuildRow], found: &'a [ContentStatus]) -> Self {
        let mut plan = Self {
            outcomes: vec![LoadOutcome::Known; rows.len()],
            ..Self::default()
        };
        if found.iter().all(|found| *found == ContentStatus::UpToDate) {
            return plan;
        }
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|a, b| rows[*a].hash.cmp(&rows[*b].hash));
        for twins in order.chunk_by(|a, b| rows[*a].hash == rows[*b].hash) {
            plan.content(rows, found, twins);
        }
        plan.renewals.sort_unstable_by_key(|renewal| renewal.id);
        // Keys mostly come in order, so this sort is cheap.
        let objects =
            (0..rows.len()).filter(|at| rows[*at].key.is_some() && rows[*at].etag.is_some());
        let mut objects: Vec<usize> = objects.collect();
        objects.sort_by(|a, b| rows[*a].key.cmp(&rows[*b].key));
        let last = objects.chunk_by(|a, b| rows[*a].key == rows[*b].key);
        plan.objects = last.filter_map(|same| same.last().copied()).collect();
        plan.objects
            .retain(|at| found[*at] != ContentStatus::UpToDate);
        plan
    }

    /// Returns whether anything is to be written.
    pub fn changes(&self) -> bool {
        !(self.inserts.is_empty() && self.renewals.is_empty() && self.objects.is_empty())
    }

    /// Plans the rows at `twins`, in input order, which have the same content.
    fn content(&mut self, rows: &'a [BuildRow], found: &'a [ContentStatus], twins: &[usize]) {
        let stored = twins.iter().find_map(|at| match &found[*at] {
            ContentStatus::Stored(stored) => Some(stored),
            _ => None,
        });
        let (key, old, met) = match (stored, twins) {
            (Some(stored), _) => (&stored.key, stored.etag.as_deref(), twins),
            (None, [first, met @ ..]) if found[*first] == ContentStatus::New => {
                self.outcomes[*first] = LoadOutcome::Inserted(None);
                (&rows[*first].key, rows[*first].etag.as_deref(), met)
            }
            _ => return,
        };
        let old = old.map(unquote_etag);
        let (mut etag, mut renewed_by) = (old, None);
        for at in met {
            let row = &rows[*at];
            let renews = row.etag.as_deref().unwrap_or_default() != etag.unwrap_or_default();
            if row.etag.is_some() && row.key.is_some() && row.key == *key && renews {
                (etag, renewed_by) = (row.etag.as_deref(), Some(*at));
                self.outcomes[*at] = LoadOutcome::EtagRenewed;
            }
        }
        match (stored, twins, etag.zip(renewed_by)) {
            (None, [at, ..], _) => self.inserts.push(Insert { at: *at, etag }),
            (Some(stored), _, Some((etag, at))) if Some(etag) != old => {
                let id = stored.id;
                self.renewals.push(Renewal { id, etag, at });
            }
            _ => {}
        }
    }

    /// Refuses the row `at` and those of its content that depend on it: all if
    /// it was to be inserted, else those that renew the ETag. Their objects are
    /// not stored.
    pub fn refuse(&mut self, rows: &[BuildRow], at: usize, refusal: &Refusal) {
        let renews = self.outcomes[at] == LoadOutcome::EtagRenewed;
        for (row, outcome) in rows.iter().zip(&mut self.outcomes) {
            if row.hash == rows[at].hash && (!renews || *outcome == LoadOutcome::EtagRenewed) {
                *outcome = LoadOutcome::Refused(refusal.clone());
            }
        }
        let outcomes = &self.outcomes;
        self.objects
            .retain(|at| !matches!(outcomes[*at], LoadOutcome::Refused(_)));
    }
}
