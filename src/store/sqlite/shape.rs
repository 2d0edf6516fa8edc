//! Whether a file holds the tables of builds, and in the shape that is used here.

use super::Sqlite;
use crate::error::{Error, Result};

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

/// Their names, as SQL lists them.
const TABLES: &str = "'main_build', 'bh_object', 'bh_reject', 'bh_outbox', 'bh_database', 'bh_run'";

/// Checks that the file is empty or holds tables of builds.
pub fn check_owner(store: &Sqlite) -> Result<()> {
    let (application, other) = store.within(|connection| {
        let application: i64 =
            connection.query_row("PRAGMA application_id", [], |row| row.get(0))?;
        let query = format!(
            "SELECT min(name) FROM sqlite_schema WHERE type IN ('table', 'view')
             AND name NOT LIKE 'sqlite_%' AND NOT EXISTS
                 (SELECT 1 FROM sqlite_schema WHERE name IN ({TABLES}))"
        );
        let other: Option<String> = connection.query_row(&query, [], |row| row.get(0))?;
        Ok((application, other))
    })?;
    let sign = match other {
        _ if application != 0 => format!("its application_id is {application}"),
        Some(table) => format!("it has a table {table} and no main_build"),
        None => return Ok(()),
    };
    Err(Error::configuration(format!(
        "{}: it is the database of another application: {sign}; name another file with \
         --database",
        store.address
    )))
}

/// Checks that no table is a view, and that `main_build`, if it is there, has its columns.
pub fn check_columns(store: &Sqlite) -> Result<()> {
    let has = store.columns("main_build")?;
    let view = store.within(|connection| {
        let query = format!(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema WHERE type = 'view' AND name IN ({TABLES}))"
        );
        connection.query_row(&query, [], |row| row.get(0))
    })?;
    if view {
        return Err(Error::configuration(format!(
            "{}: main_build, bh_object, bh_reject, bh_outbox, bh_database or bh_run is a view, \
             not a table; use another database",
            store.address
        )));
    }
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
        store.address,
        missing.join(", ")
    )))
}
