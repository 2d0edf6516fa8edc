//! The store in an SQLite file.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::{Connection, ErrorCode, OpenFlags, OptionalExtension, Transaction, params};

use super::plan::{ContentStatus, Plan};
use super::{
    BuildRow, LoadOutcome, QueuedRow, RefusedRow, Store, StoredRow, known_queries, metadata, quoted,
};
use crate::error::{Error, Kind, Result};

/// Times are RFC 3339 in UTC, documents the text as it came.
const TABLES: &str = include_str!("sqlite.sql");

/// What `main_build` must have: the columns that are read and written here.
const COLUMNS: &[&str] = &[
    "id",
    "build_hash",
    "build",
    "metadata",
    "created_at",
    "s3_object_key",
    "s3_object_etag",
];

/// KiB of pages in memory.
const CACHE: i64 = 16 * 1024;

/// Pages of 4 KiB in the write-ahead log before a checkpoint.
const LOG: i64 = 8192;

/// How long to wait for another loader that holds the file.
const BUSY: Duration = Duration::from_mins(1);

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
}

impl Sqlite {
    /// Opens the file; for loading, tables that are missing are created.
    ///
    /// # Errors
    /// Not a database, a table of another shape (78), or not writable (74).
    pub fn open(path: &Path, read_only: bool) -> Result<Self> {
        let address = address(path);
        let flags = if read_only {
            OpenFlags::SQLITE_OPEN_READ_ONLY
        } else {
            OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE
        } | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let prepare = || {
            let connection = Connection::open_with_flags(path, flags)?;
            connection.busy_timeout(BUSY)?;
            connection.set_prepared_statement_cache_capacity(32);
            if !read_only {
                connection.pragma_update(None, "journal_mode", "wal")?;
                connection.pragma_update(None, "synchronous", "full")?;
                // New hashes are spread over the whole index: keep its pages in
                // memory, and checkpoint rarely.
                connection.pragma_update(None, "cache_size", -CACHE)?;
                connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
                connection.execute_batch(TABLES)?;
            }
            Ok(connection)
        };
        let connection = prepare().map_err(|error| failed(&address, &error))?;
        let store = Self {
            connection: Arc::new(Mutex::new(connection)),
            address,
        };
        store.check_shape()?;
        Ok(store)
    }

    fn check_shape(&self) -> Result<()> {
        let has = self.columns("main_build")?;
        let missing: Vec<&str> = COLUMNS
            .iter()
            .copied()
            .filter(|column| !has.iter().any(|own| own == column))
            .collect();
        if missing.is_empty() || has.is_empty() {
            return Ok(());
        }
        Err(Error::configuration(format!(
            "{}: the table main_build has another shape: no column {}; use another database",
            self.address,
            missing.join(", ")
        )))
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
            let transaction = connection.transaction_with_behavior(behavior)?;
            let done = work(&transaction)?;
            transaction.commit()?;
            Ok(done)
        };
        run().map_err(|error| failed(&self.address, &error))
    }
}

fn failed(address: &str, error: &rusqlite::Error) -> Error {
    let (kind, next) = match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            (Kind::EndedEarly, "; another program holds it: run again")
        }
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            (Kind::Configuration, "; name another file with --database")
        }
        _ => (Kind::LocalIo, ""),
    };
    Error::message(kind, format!("{address}: {error}{next}"))
}

fn find(connection: &Connection, hash: &str) -> rusqlite::Result<ContentStatus> {
    let stored = connection
        .prepare_cached(
            "SELECT id, s3_object_key, s3_object_etag FROM main_build WHERE build_hash = ?1",
        )?
        .query_row([hash], |row| {
            Ok(StoredRow {
                id: row.get(0)?,
                key: row.get(1)?,
                etag: row.get(2)?,
            })
        })
        .optional()?;
    Ok(stored.into())
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

    fn look_up(&mut self, hashes: &[&str]) -> Result<Vec<ContentStatus>> {
        if self.columns("main_build")?.is_empty() {
            return Ok(vec![ContentStatus::New; hashes.len()]);
        }
        self.within(|connection| hashes.iter().map(|hash| find(connection, hash)).collect())
    }

    fn load(&mut self, rows: &[BuildRow], queue: bool) -> Result<Vec<LoadOutcome>> {
        let now = crate::log::now();
        self.transact(|transaction| {
            let found: rusqlite::Result<Vec<ContentStatus>> = rows
                .iter()
                .map(|row| find(transaction, &row.hash))
                .collect();
            let found = found?;
            let mut plan = Plan::new(rows, &found);
            let mut insert = transaction.prepare_cached(
                "INSERT INTO main_build
                 (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
            )?;
            let mut enqueue =
                transaction.prepare_cached("INSERT OR REPLACE INTO bh_outbox (id) VALUES (?1)")?;
            for new in &plan.inserts {
                let (row, etag) = (&rows[new.at], new.etag.map(quoted));
                let (build, metadata) = (row.build(), metadata(row.provenance));
                let id = insert.insert(params![row.hash, build, metadata, now, row.key, etag])?;
                if queue {
                    enqueue.execute([id])?;
                    plan.outcomes[new.at] = LoadOutcome::Inserted(Some(id));
                }
            }
            let mut refresh_etag = transaction
                .prepare_cached("UPDATE main_build SET s3_object_etag = ?2 WHERE id = ?1")?;
            for (id, etag) in &plan.renewals {
                refresh_etag.execute(params![id, quoted(etag)])?;
            }
            let mut upsert_object = transaction.prepare_cached(
                "INSERT INTO bh_object (key, etag, build_hash) VALUES (?1, ?2, ?3)
                 ON CONFLICT (key) DO UPDATE SET etag = excluded.etag,
                 build_hash = excluded.build_hash
                 WHERE etag <> excluded.etag OR build_hash <> excluded.build_hash",
            )?;
            for row in plan.objects.iter().map(|at| &rows[*at]) {
                upsert_object.execute(params![row.key, row.etag, row.hash])?;
            }
            Ok(plan.outcomes)
        })
    }

    fn queued(&mut self, after: i64, limit: usize) -> Result<Vec<QueuedRow>> {
        self.within(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, build FROM bh_outbox JOIN main_build USING (id)
                 WHERE id > ?1 AND error IS NULL ORDER BY id LIMIT ?2",
            )?;
            let rows = statement.query_map(
                params![after, i64::try_from(limit).unwrap_or(i64::MAX)],
                |row| {
                    Ok(QueuedRow {
                        id: row.get(0)?,
                        build: row.get(1)?,
                    })
                },
            )?;
            rows.collect()
        })
    }

    fn last_queued(&mut self) -> Result<i64> {
        self.within(|connection| {
            let last = "SELECT coalesce(max(id), 0) FROM bh_outbox";
            connection.query_row(last, [], |row| row.get(0))
        })
    }

    fn ack(&mut self, confirmed: &[i64], refused: &[(i64, String)]) -> Result<()> {
        self.transact(|transaction| {
            let mut delete = transaction.prepare_cached("DELETE FROM bh_outbox WHERE id = ?1")?;
            for id in confirmed {
                delete.execute([id])?;
            }
            let mut note = transaction.prepare_cached(
                "UPDATE bh_outbox SET error = ?2, reported = false WHERE id = ?1",
            )?;
            for (id, reason) in refused {
                note.execute(params![id, reason])?;
            }
            Ok(())
        })
    }

    fn unreported(&mut self) -> Result<Vec<RefusedRow>> {
        self.within(|connection| {
            let mut statement = connection.prepare_cached(
                "SELECT id, s3_object_key, s3_object_etag, error
                 FROM bh_outbox JOIN main_build USING (id)
                 WHERE error IS NOT NULL AND NOT reported ORDER BY id",
            )?;
            let rows = statement.query_map([], |row| {
                Ok(RefusedRow {
                    id: row.get(0)?,
                    key: row.get(1)?,
                    etag: row.get(2)?,
                    reason: row.get(3)?,
                })
            })?;
            rows.collect()
        })
    }

    fn mark_reported(&mut self, ids: &[i64]) -> Result<()> {
        self.transact(|transaction| {
            let mut note =
                transaction.prepare_cached("UPDATE bh_outbox SET reported = true WHERE id = ?1")?;
            for id in ids {
                note.execute([id])?;
            }
            Ok(())
        })
    }

    fn requeue(&mut self) -> Result<u64> {
        self.transact(|transaction| {
            let again = "UPDATE bh_outbox SET error = NULL WHERE error IS NOT NULL";
            transaction.execute(again, []).map(|rows| rows as u64)
        })
    }
}
