//! Exports a table, and tells later which rows were added since: only one loader writes at a
//! time, and no id is given twice.

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::{Sqlite, failed};
use crate::error::{Error, Result};
use crate::store::export::{
    ExportStore, ExportTable, ExportedRow, OTHER_DATABASE, Selection, no_snapshot, no_table,
};

/// The last row that an export has seen.
struct Snapshot {
    database: String,
    id: i64,
    hash: String,
}

impl Snapshot {
    fn parse(text: &str) -> Option<Self> {
        let mut parts = text.strip_prefix("sqlite:")?.splitn(3, ':');
        Some(Self {
            database: parts.next()?.to_owned(),
            id: parts.next()?.parse().ok()?,
            hash: parts.next()?.to_owned(),
        })
    }

    /// Reads that of now; `None` if the file has no id.
    fn read(connection: &Connection) -> rusqlite::Result<Option<Self>> {
        let query = "SELECT id, coalesce((SELECT max(id) FROM main_build), 0) FROM bh_database";
        let now = connection.query_row(query, [], |row| {
            let (database, id) = (row.get(0)?, row.get(1)?);
            let hash = hash(connection, id)?.unwrap_or_default();
            Ok(Self { database, id, hash })
        });
        now.optional()
    }

    fn format(&self) -> String {
        format!("sqlite:{}:{}:{}", self.database, self.id, self.hash)
    }
}

fn hash(connection: &Connection, id: i64) -> rusqlite::Result<Option<String>> {
    let query = "SELECT build_hash FROM main_build WHERE id = ?1";
    connection
        .query_row(query, [id], |row| row.get(0))
        .optional()
}

fn query(table: ExportTable) -> &'static str {
    match table {
        ExportTable::Rows => {
            "SELECT id, s3_object_key, s3_object_etag, build_hash, created_at, metadata, build
             FROM main_build WHERE id > ?1 ORDER BY id"
        }
        ExportTable::Objects => {
            "SELECT key, etag, build_hash FROM bh_object WHERE ?1 = 0 ORDER BY key"
        }
        ExportTable::Rejects => "SELECT run, line FROM bh_reject WHERE ?1 = 0 ORDER BY key",
    }
}

fn exported<'a>(row: &'a Row<'_>, table: ExportTable) -> rusqlite::Result<ExportedRow<'a>> {
    let text = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?);
    let optional = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str_or_null()?);
    Ok(match table {
        ExportTable::Rows => ExportedRow::Build {
            id: row.get(0)?,
            key: optional(1)?,
            etag: optional(2)?,
            hash: text(3)?,
            created_at: text(4)?,
            metadata: text(5)?,
            build: text(6)?,
        },
        ExportTable::Objects => ExportedRow::Object {
            key: text(0)?,
            etag: text(1)?,
            hash: text(2)?,
        },
        ExportTable::Rejects => ExportedRow::Reject {
            run: text(0)?,
            line: text(1)?,
        },
    })
}

type Each<'a> = &'a mut dyn FnMut(&ExportedRow<'_>) -> Result<()>;

/// Why an export ends: SQLite, or the reader.
enum Stop {
    Sqlite(rusqlite::Error),
    Reader(Error),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Sqlite {
    /// Returns the last row that an earlier export has seen, if this file still has it.
    fn check(&self, text: &str) -> Result<i64> {
        let unknown = || no_snapshot(&self.address, OTHER_DATABASE);
        let since = Snapshot::parse(text).ok_or_else(unknown)?;
        let is_ours = self.within(|connection| {
            let now = Snapshot::read(connection)?;
            let is_same = now.is_some_and(|now| now.database == since.database);
            Ok(is_same && (since.id == 0 || hash(connection, since.id)? == Some(since.hash)))
        })?;
        is_ours.then_some(since.id).ok_or_else(unknown)
    }
}

/// Gives the rows after the id `after`; returns the snapshot of now, where one is asked for.
fn give(
    connection: &Connection,
    (table, after): (ExportTable, i64),
    (has_runs, has_id): (bool, bool),
    each: Each<'_>,
) -> Result<Option<String>, Stop> {
    // All queries see what the first one sees.
    let transaction = connection.unchecked_transaction()?;
    let now = if has_id {
        Snapshot::read(&transaction)?
    } else {
        None
    };
    if has_runs {
        let mut runs = transaction.prepare("SELECT id, source FROM bh_run")?;
        let mut runs = runs.query([])?;
        while let Some(row) = runs.next()? {
            let text = |at| Ok::<_, rusqlite::Error>(row.get_ref(at)?.as_str()?);
            let (id, source) = (text(0)?, text(1)?);
            each(&ExportedRow::Run { id, source }).map_err(Stop::Reader)?;
        }
    }
    let mut rows = transaction.prepare(query(table))?;
    let mut rows = rows.query(params![after])?;
    while let Some(row) = rows.next()? {
        each(&exported(row, table)?).map_err(Stop::Reader)?;
    }
    Ok(now.map(|now| now.format()))
}

impl ExportStore for Sqlite {
    fn export(
        &mut self,
        selection: Selection<'_>,
        each: &mut dyn FnMut(&ExportedRow<'_>) -> Result<()>,
    ) -> Result<Option<String>> {
        let Selection { table, since } = selection;
        if !self.has(table.name())? {
            return Err(no_table(&self.address, table));
        }
        let is_rows = table == ExportTable::Rows;
        let after = match since {
            None => 0,
            Some(text) if is_rows => self.check(text)?,
            Some(_) => {
                let why =
                    "an SQLite file says when a build was added, but not an object or a reject";
                return Err(no_snapshot(&self.address, why));
            }
        };
        let has_id = is_rows && self.has("bh_database")?;
        let has = (self.has("bh_run")?, has_id);
        let done = give(&self.connection(), (table, after), has, each);
        done.map_err(|stop| match stop {
            Stop::Sqlite(error) => failed(&self.address, &error),
            Stop::Reader(error) => error,
        })
    }
}
