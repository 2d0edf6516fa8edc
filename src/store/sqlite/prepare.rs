//! Prepares a file for loading.

use std::time::{Duration, Instant};

use rusqlite::Connection;

use super::{BUSY, is_busy};

/// Times are RFC 3339 in UTC, documents the text that was hashed.
const TABLES: &str = include_str!("tables.sql");

/// Of two programs that find none, one makes it.
const NEW_IDENTITY: &str = "INSERT INTO bh_database (id) SELECT ?1 || lower(hex(randomblob(16)))
    WHERE NOT EXISTS (SELECT 1 FROM bh_database)";

/// KiB of pages in memory.
const CACHE: i64 = 16 * 1024;

/// Pages of 4 KiB in the write-ahead log before a checkpoint.
const LOG: i64 = 8192;

/// Prepares the file for loading, once other loaders have prepared it: SQLite does not wait
/// by itself for the change to a write-ahead log.
pub fn prepare_when_free(connection: &Connection, mark: &str) -> rusqlite::Result<()> {
    const PAUSE: Duration = Duration::from_millis(10);
    let began = Instant::now();
    loop {
        match prepare(connection, mark) {
            Err(error) if is_busy(&error) && began.elapsed() < BUSY => std::thread::sleep(PAUSE),
            prepared => return prepared,
        }
    }
}

/// Prepares the file for loading; the id of a new database begins with `mark`.
fn prepare(connection: &Connection, mark: &str) -> rusqlite::Result<()> {
    if connection.is_readonly(rusqlite::MAIN_DB)? {
        let code = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_READONLY);
        return Err(rusqlite::Error::SqliteFailure(code, None));
    }
    connection.pragma_update(None, "journal_mode", "wal")?;
    // As `full`, and durable where the file system allows no write-ahead log.
    connection.pragma_update(None, "synchronous", "extra")?;
    // New hashes are spread over the whole index: keep its pages in memory, and
    // checkpoint rarely.
    connection.pragma_update(None, "cache_size", -CACHE)?;
    connection.pragma_update(None, "wal_autocheckpoint", LOG)?;
    connection.execute_batch(TABLES)?;
    if !connection
        .prepare("SELECT 1 FROM bh_database")?
        .exists([])?
    {
        connection.execute(NEW_IDENTITY, [mark])?;
    }
    Ok(())
}
