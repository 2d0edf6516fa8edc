//! What is exported of a database: one table, from one snapshot.

use crate::error::{Error, Result};

/// A table that can be exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ExportTable {
    Rows,
    Objects,
    Rejects,
}

impl ExportTable {
    pub fn name(self) -> &'static str {
        match self {
            Self::Rows => "main_build",
            Self::Objects => "bh_object",
            Self::Rejects => "bh_reject",
        }
    }
}

/// Which rows are exported.
#[derive(Debug, Clone, Copy)]
pub struct Selection<'a> {
    pub table: ExportTable,
    /// Only what an earlier export has not seen: the snapshot that it returned.
    pub since: Option<&'a str>,
}

/// A row as the database has it. The texts of JSON are not checked.
#[derive(Debug)]
pub enum ExportedRow<'a> {
    /// Comes before all others: a run that rows may name, and its source.
    Run { id: &'a str, source: &'a str },
    Build {
        id: i64,
        key: Option<&'a str>,
        /// With quotes.
        etag: Option<&'a str>,
        hash: &'a str,
        /// RFC 3339, UTC.
        created_at: &'a str,
        metadata: &'a str,
        build: &'a str,
    },
    Object {
        key: &'a str,
        etag: &'a str,
        hash: &'a str,
    },
    /// The line of a reject.
    Reject { run: &'a str, line: &'a str },
}

/// A database whose tables can be exported.
pub trait ExportStore {
    /// Calls `each` with every selected row, all of one snapshot, and returns that snapshot;
    /// `None` if this database cannot say later what it did not hold.
    ///
    /// # Errors
    /// No such table, or a snapshot of another database or table (78); a server that left
    /// after the first row (69); those of `each`.
    fn export(
        &mut self,
        selection: Selection<'_>,
        each: &mut dyn FnMut(&ExportedRow<'_>) -> Result<()>,
    ) -> Result<Option<String>>;
}

/// The error of a table that is not there.
pub fn no_table(address: &str, table: ExportTable) -> Error {
    Error::configuration(format!(
        "cannot export {address}: it has no table {}; name the database that bh-load fills with \
         --database or DATABASE_URL",
        table.name()
    ))
}

/// The error of a snapshot that does not tell what is new.
pub fn no_snapshot(address: &str, why: &str) -> Error {
    Error::configuration(format!(
        "cannot tell what is new in {address}: {why}; export everything, without --since"
    ))
}

/// Why, if the snapshot is of something else.
pub const OTHER_DATABASE: &str = "--since is of another database or table, or from before it was \
                                  restored";
