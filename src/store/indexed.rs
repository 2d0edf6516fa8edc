//! The rows of a database with the state of their documents, for comparing it with its index.

use super::Store;
use crate::error::Result;

/// A row, and what became of its document.
#[derive(Debug)]
pub struct IndexedRow {
    pub id: i64,
    pub key: Option<String>,
    /// With quotes, as stored.
    pub etag: Option<String>,
    pub build: String,
    pub document: DocumentState,
}

/// What the database says of a row's document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DocumentState {
    /// The index has confirmed it.
    Confirmed,
    /// It is queued.
    Queued,
    /// The index refused it for good; why.
    Refused(String),
}

impl DocumentState {
    /// Returns what a row of the queue says, if there is one.
    pub(super) fn from_queue(is_there: bool, error: Option<String>) -> Self {
        match (is_there, error) {
            (false, _) => Self::Confirmed,
            (true, None) => Self::Queued,
            (true, Some(error)) => Self::Refused(error),
        }
    }
}

/// A database that can be compared with its index.
pub trait IndexedStore: Store {
    /// Returns up to `limit` rows with ids above `after`, by id; fewer where their builds take
    /// more than [`QUEUED_BYTES`](super::QUEUED_BYTES).
    fn rows_after(&mut self, after: i64, limit: usize) -> Result<Vec<IndexedRow>>;

    /// Returns those of the rows with these ids whose documents are not confirmed.
    fn unconfirmed(&mut self, ids: &[i64]) -> Result<Vec<(i64, DocumentState)>>;

    /// Returns those of these ids that are the ids of rows.
    fn existing(&mut self, ids: &[i64]) -> Result<Vec<i64>>;

    /// Queues rows that are not queued yet.
    fn queue(&mut self, ids: &[i64]) -> Result<()>;
}
