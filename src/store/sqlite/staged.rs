//! A file that is a staging, and whether it has been promoted: its main database says that.

use super::Sqlite;
use super::place::{SqlitePlace, StagingPlace};
use crate::error::Result;
use crate::log::Log;
use crate::store::staging::{self, MARK};

/// An open staging.
pub struct Staged {
    place: StagingPlace,
    /// Its own.
    id: String,
    log: Log,
}

impl Staged {
    pub fn new(place: StagingPlace, id: String, log: &Log) -> Self {
        let log = log.clone();
        Self { place, id, log }
    }

    /// Checks that it has not been promoted.
    ///
    /// # Errors
    /// It has (78).
    pub fn check_open(&self) -> Result<()> {
        let StagingPlace { name, main } = &self.place;
        if !main.exists() {
            return Ok(());
        }
        let place = SqlitePlace {
            path: main.clone(),
            staging: None,
        };
        let main = Sqlite::open(&place, true, &self.log)?;
        if main.columns("bh_run")?.is_empty() {
            return Ok(());
        }
        let is_promoted = main.within(|connection| {
            connection
                .prepare("SELECT 1 FROM bh_run WHERE id = ?1")?
                .exists([staging::promotion_of(&self.id)])
        })?;
        if is_promoted {
            return Err(staging::is_promoted(*name));
        }
        Ok(())
    }
}

/// Checks that a file is a staging where one is named, and, for loading, only there.
pub fn check(store: &Sqlite, named: Option<&StagingPlace>, read_only: bool) -> Result<()> {
    let of = |query| store.within(|connection| connection.query_row(query, [], |row| row.get(0)));
    let mut id: Option<String> = None;
    if !store.columns("bh_database")?.is_empty() {
        id = of("SELECT max(id) FROM bh_database")?;
    } else if !store.columns("main_build")?.is_empty() {
        id = of("SELECT max(build_hash) FROM main_build")?;
    }
    let is_staging = id.as_ref().map(|id| id.starts_with(MARK));
    match (named, is_staging) {
        (Some(StagingPlace { name, .. }), Some(false)) => {
            Err(staging::not_a_staging(*name, &store.address))
        }
        (None, Some(true)) if !read_only => Err(staging::is_a_staging(&store.address)),
        _ => Ok(()),
    }
}
