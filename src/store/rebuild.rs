//! Filling another index beside loaders: what they store meanwhile, and the lock for the swap.

use super::{DatabaseIdentity, IndexedStore, StoredBuild};
use crate::error::Result;

/// The one rebuild of a database, as `bh_reindex` has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    /// The index that is filled.
    pub index: String,
    /// The index that had the name before.
    pub previous: Option<String>,
    pub owner: String,
    /// Its owner has given no sign of life for ten minutes.
    pub is_stale: bool,
}

/// A moment: rows that were committed after it are found by [`RebuildStore::changed_since`].
#[derive(Debug, Clone, Copy)]
pub struct Horizon(pub i64);

/// How many rows there are, and which of them may have been written since a moment.
#[derive(Debug)]
pub struct ChangedRows {
    pub rows: u64,
    /// Their ids, each with a number that no other version of the row has.
    pub versions: Vec<(i64, i64)>,
}

/// What came of the attempt to lock the rows.
#[derive(Debug, PartialEq, Eq)]
pub enum Locked {
    /// The work is done and committed.
    Done,
    /// Another transaction has written rows, and has not ended within two seconds.
    Busy,
    /// The rebuild belongs to another program now.
    TakenOver,
}

/// A database whose index can be replaced.
pub trait RebuildStore: IndexedStore {
    /// Creates the table of the rebuild if it is missing, and returns the rebuild that is at work
    /// or was left by a dead program.
    fn rebuild(&mut self) -> Result<Option<Rebuild>>;

    /// Notes a rebuild, instead of that of the owner `dead`; returns false if another program
    /// was faster.
    fn begin_rebuild(&mut self, rebuild: &Rebuild, dead: Option<&str>) -> Result<bool>;

    /// Gives a sign of life; returns false if another program has taken over.
    fn continue_rebuild(&mut self, owner: &str) -> Result<bool>;

    /// Removes the note.
    fn end_rebuild(&mut self, owner: &str) -> Result<()>;

    /// Returns the moment of now.
    fn horizon(&mut self) -> Result<Horizon>;

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows>;

    /// Calls `work` while no other program can write rows; others can read them. What `work`
    /// writes is committed if it succeeds.
    fn with_rows_locked(
        &mut self,
        owner: &str,
        work: &mut dyn FnMut(&mut dyn LockedRows) -> Result<()>,
    ) -> Result<Locked>;
}

/// The rows while they are locked.
pub trait LockedRows {
    fn identity(&mut self) -> Result<DatabaseIdentity>;

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows>;

    /// Returns those of the rows with these ids that there are.
    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>>;

    /// Notes which documents the new index refused, and no others, and ends the rebuild.
    fn conclude(&mut self, refused: &[(i64, String)]) -> Result<()>;
}
