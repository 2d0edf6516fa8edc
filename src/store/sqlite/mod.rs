//! The store in an SQLite file.

mod audit;
mod batch;
mod export;
mod indexed;
mod outbox;
mod place;
mod prepare;
mod promote;
mod rebuild;
mod rejects;
mod runs;
mod shape;
mod staged;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction};

use self::place::OpenFiles;
pub use self::place::{SqlitePlace, parse_path};
pub use self::promote::MainFile;
use self::staged::Staged;
use super::plan::ContentStatus;
use super::{
    ALL_QUEUED, BuildRow, DatabaseIdentity, KnownReject, LoadOutcome, NewRun, ORPHANS, RefusedRow,
    RejectedObject, RunEnd, RunFence, RunRecord, RunRows, Store, StoredBuild, StoredRun,
    fenced_off, known_queries, orphans_of,
};
use crate::error::{Error, Kind, Result};
use crate::log::{Log, SlowNotice};
use crate::record::coverage::Interval;
use crate::store::staging::MARK;

/// How long to wait for another loader that holds the file.
const BUSY: Duration = Duration::from_mins(1);

/// The time after which a message says that the file is locked.
const LOCKED: Duration = Duration::from_secs(2);

/// Returns the URL of a file with its absolute path.
pub fn address(path: &Path) -> String {
    let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    format!("sqlite:{}", whole.display())
}

/// A connection that clones share.
#[derive(Clone)]
pub struct Sqlite {
    connection: Arc<Mutex<Connection>>,
    address: String,
    log: Log,
    /// Those that are written to.
    files: Option<Arc<OpenFiles>>,
    /// Set for a staging.
    staged: Option<Arc<Staged>>,
}

impl Sqlite {
    /// Opens the file; for loading, tables that are missing are created.
    ///
    /// # Errors
    /// Not a database, that of another application, a table of another shape
    /// (78), or not writable (74).
    pub fn open(place: &SqlitePlace, read_only: bool, log: &Log) -> Result<Self> {
        let SqlitePlace { path, staging } = place;
        let address = address(path);
        // By a whole path no name has a meaning of SQLite's own.
        let path = std::path::absolute(path).map_err(Error::local(&address))?;
        place::check_free(&path, &address)?;
        let flags = if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connect = || {
            let connection = if read_only && place::is_frozen(&path) {
                let flags = flags | OpenFlags::SQLITE_OPEN_URI;
                Connection::open_with_flags(place::frozen_url(&path), flags)?
            } else {
                Connection::open_with_flags(&path, flags)?
            };
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(32);
            Ok(connection)
        };
        let connection = connect().map_err(|error| failed(&address, &error))?;
        let mut store = Self {
            connection: Arc::new(Mutex::new(connection)),
            address,
            log: log.clone(),
            files: None,
            staged: None,
        };
        let notice = store.notice();
        shape::check_owner(&store)?;
        shape::check_columns(&store)?;
        staged::check(&store, staging.as_ref(), read_only)?;
        if !read_only {
            let mark = staging.as_ref().map_or("", |_| MARK);
            store.within(|connection| prepare::prepare_when_free(connection, mark))?;
            store.files = Some(Arc::new(OpenFiles::new(&path)));
        }
        drop(notice);
        if let Some(staging) = staging.clone().filter(|_| !read_only) {
            let staged = Staged::new(staging, store.identity()?.id, log);
            staged.check_open()?;
            store.staged = Some(Arc::new(staged));
        }
        Ok(store)
    }

    /// Stands for a file that is not there.
    fn empty(path: &Path, log: &Log) -> Result<Self> {
        let address = address(path);
        let connection = Connection::open_in_memory().map_err(|error| failed(&address, &error))?;
        Ok(Self {
            connection: Arc::new(Mutex::new(connection)),
            address,
            log: log.clone(),
            files: None,
            staged: None,
        })
    }

    /// Says what is waited for, unless that is over soon.
    fn notice(&self) -> SlowNotice {
        let waiting = format!("waiting for another program to release {}", self.address);
        self.log.notify_after(LOCKED, waiting)
    }

    fn columns(&self, table: &str) -> Result<Vec<String>> {
        self.within(|connection| {
            let mut statement =
                connection.prepare_cached("SELECT name FROM pragma_table_info(?1)")?;
            let names = statement.query_map([table], |row| row.get(0))?;
            names.collect()
        })
    }

    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    fn within<T>(&self, work: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        work(&self.connection()).map_err(|error| failed(&self.address, &error))
    }

    fn transact<T>(&self, work: impl FnOnce(&Transaction<'_>) -> rusqlite::Result<T>) -> Result<T> {
        let mut connection = self.connection();
        let run = || {
            let behavior = rusqlite::TransactionBehavior::Immediate;
            let notice = self.notice();
            let transaction = connection.transaction_with_behavior(behavior)?;
            drop(notice);
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        let done = run().map_err(|error| failed(&self.address, &error))?;
        drop(connection);
        self.verify_files()?;
        Ok(done)
    }

    fn verify_files(&self) -> Result<()> {
        self.files.as_ref().map_or(Ok(()), |files| files.verify())
    }
}

/// Returns whether another program holds the file.
fn is_busy(error: &rusqlite::Error) -> bool {
    let code = error.sqlite_error_code();
    matches!(
        code,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
    )
}

fn failed(address: &str, error: &rusqlite::Error) -> Error {
    let (kind, next) = match error.sqlite_error_code() {
        _ if is_busy(error) => (
            Kind::EndedEarly,
            "; another program has locked it; run again later",
        ),
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (Kind::Configuration, "; name another file with --database")
        }
        Some(ErrorCode::ReadOnly) => (Kind::LocalIo, "; the file or its folder is read-only"),
        Some(ErrorCode::CannotOpen) => (
            Kind::LocalIo,
            "; does its folder exist, and may you write there?",
        ),
        Some(ErrorCode::DiskFull) => (Kind::LocalIo, "; free some space and run again"),
        _ => (Kind::LocalIo, ""),
    };
    Error::message(kind, format!("{address}: {error}{next}"))
}

impl Store for Sqlite {
    fn address(&self) -> &str {
        &self.address
    }

    fn has_tables(&mut self) -> Result<bool> {
        Ok(!self.columns("bh_object")?.is_empty())
    }

    fn for_each_known(&mut self, each: &mut dyn FnMut(&str, &str)) -> Result<()> {
        let rows = !self.columns("main_build")?.is_empty();
        for query in known_queries(rows, self.has_tables()?) {
            self.within(|connection| {
                let mut statement = connection.prepare(query)?;
                let mut rows = statement.query([])?;
                while let Some(row) = rows.next()? {
                    each(row.get_ref(0)?.as_str()?, row.get_ref(1)?.as_str()?);
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    fn for_each_reject(&mut self, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
        if self.columns("bh_reject")?.is_empty() {
            return Ok(());
        }
        self.within(|connection| rejects::for_each(connection, each))
    }

    fn record_rejects(&mut self, run: &str, rejects: &[RejectedObject]) -> Result<()> {
        self.transact(|transaction| rejects::record(transaction, run, rejects))
    }

    fn meet_rejects(&mut self, run: &str, keys: &[&str]) -> Result<()> {
        self.transact(|transaction| rejects::meet(transaction, run, keys))
    }

    fn forget_rejects(&mut self, run: &str, keys: &Interval) -> Result<u64> {
        self.transact(|transaction| rejects::forget(transaction, run, keys))
    }

    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>> {
        if self.columns("main_build")?.is_empty() {
            return Ok(vec![ContentStatus::New; hashes.len()]);
        }
        self.within(|connection| {
            hashes
                .iter()
                .map(|hash| batch::find(connection, hash))
                .collect()
        })
    }

    fn load(
        &mut self,
        rows: &[BuildRow],
        fence: Option<&mut RunFence>,
    ) -> Result<Vec<LoadOutcome>> {
        let now = crate::log::now();
        let mut fenced = None;
        let done = self.transact(|transaction| {
            let queue = outbox::identity(transaction)?.index.is_some();
            let (outcomes, changes) = batch::load(transaction, rows, &now, queue)?;
            if let Some(fence) = fence.filter(|_| changes) {
                let Some(step) = runs::advance(transaction, fence)? else {
                    let loader = runs::loader(transaction, &fence.run)?;
                    fenced = Some(fenced_off(&fence.run, loader.as_deref(), &self.address));
                    return Err(rusqlite::Error::QueryReturnedNoRows);
                };
                fence.step = step;
            }
            // Now that no promotion can begin before the commit.
            if let Some(Err(error)) = self.staged.as_ref().map(|staged| staged.check_open()) {
                fenced = Some(error);
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            Ok(outcomes)
        });
        fenced.map_or(done, Err)
    }

    fn begin_run(&mut self, run: &NewRun<'_>, loader: &str) -> Result<RunFence> {
        self.staged
            .as_ref()
            .map_or(Ok(()), |staged| staged.check_open())?;
        self.transact(|transaction| runs::begin(transaction, run, loader))
    }

    fn find_run(&mut self, run: &str) -> Result<Option<StoredRun>> {
        self.within(|connection| runs::find(connection, run))
    }

    fn count_rows(&mut self, run: &str) -> Result<RunRows> {
        self.within(|connection| runs::count_rows(connection, run))
    }

    fn end_run(&mut self, fence: &RunFence, end: &RunEnd<'_>) -> Result<()> {
        let now = crate::log::now();
        self.transact(|transaction| runs::end(transaction, fence, end, &now))
    }

    fn runs(&mut self) -> Result<Vec<RunRecord>> {
        if self.columns("bh_run")?.is_empty() {
            return Ok(Vec::new());
        }
        self.within(runs::all)
    }

    fn verify(&mut self) -> Result<()> {
        self.verify_files()
    }

    fn identity(&mut self) -> Result<DatabaseIdentity> {
        self.within(outbox::identity)
    }

    fn follow(
        &mut self,
        seen: &DatabaseIdentity,
        index: &str,
        requeue: bool,
    ) -> Result<DatabaseIdentity> {
        self.transact(|transaction| outbox::follow(transaction, seen, index, requeue))
    }

    fn all_queued(&mut self) -> Result<bool> {
        self.within(|connection| connection.query_row(ALL_QUEUED, [], |row| row.get(0)))
    }

    fn indexed_sample(&mut self) -> Result<Vec<StoredBuild>> {
        self.within(outbox::indexed_sample)
    }

    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>> {
        self.within(|connection| outbox::builds(connection, ids))
    }

    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<StoredBuild>> {
        self.within(|connection| outbox::queued(connection, after, limit))
    }

    fn last_queued(&mut self) -> Result<i64> {
        self.within(outbox::last_queued)
    }

    fn waiting(&mut self) -> Result<u64> {
        self.within(outbox::waiting)
    }

    fn orphans(&mut self) -> Result<(u64, Vec<i64>)> {
        let pairs: Vec<_> = self.within(|connection| {
            let mut statement = connection.prepare(ORPHANS)?;
            let pairs = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
            pairs.collect()
        })?;
        Ok(orphans_of(&pairs))
    }

    fn ack(
        &mut self,
        generation: i64,
        confirmed: &[i64],
        refused: &[(i64, String)],
    ) -> Result<bool> {
        self.transact(|transaction| outbox::ack(transaction, generation, confirmed, refused))
    }

    fn unreported(&mut self) -> Result<Vec<RefusedRow>> {
        self.within(outbox::unreported)
    }

    fn mark_reported(&mut self, ids: &[i64]) -> Result<()> {
        self.transact(|transaction| outbox::mark_reported(transaction, ids))
    }

    fn retry_refused(&mut self) -> Result<u64> {
        self.transact(|transaction| {
            let again = "UPDATE bh_outbox SET error = NULL WHERE error IS NOT NULL";
            transaction.execute(again, []).map(|rows| rows as u64)
        })
    }
}
