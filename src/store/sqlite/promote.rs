//! The promotion of a staging file.
//!
//! A transaction over two files is atomic in each of them alone, so everything is written to the
//! main one, that a staging was promoted as well.

use std::path::{Path, PathBuf};

use rusqlite::{Connection, Transaction, params};

use super::place::{SqlitePlace, StagingPlace};
use super::{Sqlite, outbox, runs};
use crate::error::{Error, Result};
use crate::log::Log;
use crate::store::promotion::{
    Judge, PROMOTED, Promotion, PromotionCounts, PromotionStore, StagingContents, criteria_of,
    no_staging, not_taken, promotion_in, source_of, sql,
};
use crate::store::staging::promotion_of;
use crate::store::{RunRecord, StagingName, Store};
use crate::{disk, log};

/// The rows that name none of the staging's runs.
const FOREIGN: &str = "SELECT count(*) FROM main_build AS s WHERE NOT EXISTS
    (SELECT 1 FROM bh_run AS r WHERE r.id = json_extract(s.metadata, '$.run'))";

/// A main file, and the folder in which its stagings are.
pub struct MainFile {
    place: SqlitePlace,
    store: Sqlite,
}

fn count(connection: &Connection, query: &str) -> rusqlite::Result<u64> {
    connection.query_row(query, [], |row| row.get::<_, i64>(0).map(i64::unsigned_abs))
}

/// Returns a statement about the attached staging.
fn attached(statement: &str) -> String {
    statement.replace("STAGING", "staging")
}

/// Returns a statement about the staging as the file that is open.
fn alone(statement: &str) -> String {
    statement.replace("STAGING.", "")
}

/// Returns what a staging holds, but whether it was promoted.
fn contents(staging: &Sqlite) -> Result<StagingContents> {
    staging.within(|connection| {
        let mut contents = StagingContents {
            runs: runs::all(connection)?,
            rows: count(connection, &alone(sql::ROWS))?,
            foreign_rows: count(connection, FOREIGN)?,
            objects: count(connection, &alone(sql::OBJECTS))?,
            ..StagingContents::default()
        };
        let mut rejects = connection.prepare(&alone(sql::REJECTS))?;
        let mut rows = rejects.query([])?;
        while let Some(row) = rows.next()? {
            let rejects: i64 = row.get(1)?;
            contents.rejects.insert(row.get(0)?, rejects.unsigned_abs());
        }
        Ok(contents)
    })
}

/// Moves what the attached staging holds.
fn transfer(transaction: &Transaction<'_>, now: &str) -> rusqlite::Result<(PromotionCounts, u64)> {
    let first: i64 = transaction.query_row(
        "SELECT coalesce(max(id), 0) FROM main.main_build",
        [],
        |row| row.get(0),
    )?;
    let rows = count(transaction, &attached(sql::ROWS))?;
    let insert = attached(sql::INSERT).replace("NOW", "?1");
    let inserted = transaction.execute(&insert, [now])? as u64;
    let missing = count(transaction, &attached(sql::NEW))?;
    let mut counts = PromotionCounts {
        rows,
        inserted,
        known: rows.saturating_sub(inserted),
        ..PromotionCounts::default()
    };
    if outbox::identity(transaction)?.index.is_some() {
        let queue = "INSERT OR REPLACE INTO bh_outbox (id) SELECT id FROM main_build WHERE id > ?1";
        counts.queued = transaction.execute(queue, [first])? as u64;
    }
    for renew in sql::renewals() {
        counts.etags_renewed += transaction.execute(&attached(&renew), [])? as u64;
    }
    counts.objects = transaction.execute(&attached(sql::UPSERT_OBJECTS), [])? as u64;
    transaction.execute(&attached(sql::MEND_REJECTS), [])?;
    counts.rejects = transaction.execute(&attached(sql::UPSERT_REJECTS), [])? as u64;
    let runs = attached(sql::INSERT_RUNS).replace("FIRST", "?1");
    counts.runs = transaction.execute(&runs, [first])? as u64;
    Ok((counts, missing))
}

impl MainFile {
    /// Opens the file, for writing also one that is not there yet; for reading that is an empty
    /// database.
    pub fn open(place: &SqlitePlace, writes: bool, log: &Log) -> Result<Self> {
        let store = if writes || place.path.exists() {
            Sqlite::open(place, !writes, log)?
        } else {
            Sqlite::empty(&place.path, log)?
        };
        let place = place.clone();
        Ok(Self { place, store })
    }

    fn place_of(&self, name: StagingName) -> Result<SqlitePlace> {
        self.place.staging(name)
    }

    /// Opens a staging, `None` if there is none.
    fn open_staging(&self, name: StagingName) -> Result<Option<Sqlite>> {
        let place = self.place_of(name)?;
        if !place.path.exists() {
            return Ok(None);
        }
        let store = Sqlite::open(&place, true, &self.store.log)?;
        let is_empty = store.columns("bh_database")?.is_empty();
        Ok((!is_empty).then_some(store))
    }

    /// Returns the promotions that are recorded, the oldest first.
    fn promotions(&mut self) -> Result<Vec<RunRecord>> {
        let mut runs = self.store.runs()?;
        runs.retain(|run| run.outcome == PROMOTED);
        Ok(runs)
    }

    fn contents_of(&mut self, staging: &Sqlite) -> Result<StagingContents> {
        let mut contents = contents(staging)?;
        let id = promotion_of(&staging.within(outbox::identity)?.id);
        let promotions = self.promotions()?;
        let own = promotions.iter().find(|run| run.run == id);
        contents.promotion = own.and_then(promotion_in);
        Ok(contents)
    }
}

fn attach(connection: &Connection, path: &Path) -> rusqlite::Result<()> {
    connection.execute("ATTACH ?1 AS staging", [path.to_string_lossy()])?;
    Ok(())
}

impl PromotionStore for MainFile {
    fn address(&self) -> &str {
        self.store.address()
    }

    fn stagings(&mut self) -> Result<Vec<StagingName>> {
        let path = std::path::absolute(&self.place.path).map_err(Error::local("the database"))?;
        let folder = path.parent().map(Path::to_owned).unwrap_or_default();
        let entries = folder
            .read_dir()
            .map_err(Error::local(folder.display()))?
            .flatten();
        let files = entries.map(|entry| PathBuf::from(entry.file_name()));
        let names = files.filter_map(|file| {
            let name = file.file_stem()?.to_str()?.parse().ok()?;
            (file.extension()? == "db").then_some(name)
        });
        let mut names: Vec<StagingName> = names.collect();
        names.retain(|name| matches!(self.open_staging(*name), Ok(Some(_))));
        names.sort_unstable();
        Ok(names)
    }

    fn contents(&mut self, name: StagingName) -> Result<Option<StagingContents>> {
        let staging = self.open_staging(name)?;
        staging
            .map(|staging| self.contents_of(&staging))
            .transpose()
    }

    fn last_promotion(&mut self, name: StagingName) -> Result<Option<Promotion>> {
        let promotions = self.promotions()?;
        let of_name = |run: &&RunRecord| run.source == source_of(name);
        let last = promotions
            .iter()
            .filter(of_name)
            .max_by_key(|run| &run.finished);
        Ok(last.and_then(promotion_in))
    }

    fn forecast(&mut self, name: StagingName) -> Result<PromotionCounts> {
        let place = self.place_of(name)?;
        let has_rows = !self.store.columns("main_build")?.is_empty();
        let follows = has_rows && self.store.identity()?.index.is_some();
        self.store.within(|connection| {
            attach(connection, &place.path)?;
            let rows = count(connection, &attached(sql::ROWS))?;
            let (inserted, etags_renewed) = if has_rows {
                let new = count(connection, &attached(sql::NEW))?;
                (new, count(connection, &attached(&sql::renewed()))?)
            } else {
                (rows, 0)
            };
            let rejects = "SELECT count(*) FROM staging.bh_reject";
            let counts = PromotionCounts {
                rows,
                inserted,
                known: rows - inserted,
                etags_renewed,
                objects: count(connection, &attached(sql::OBJECTS))?,
                rejects: count(connection, rejects)?,
                queued: if follows { inserted } else { 0 },
                runs: count(connection, &attached(sql::RUNS))?,
            };
            connection.execute("DETACH staging", [])?;
            Ok(counts)
        })
    }

    fn promote(
        &mut self,
        name: StagingName,
        note: Option<&str>,
        judge: Judge<'_>,
    ) -> Result<Promotion> {
        let missing = || no_staging(name, self.store.address());
        let staging = self.open_staging(name)?.ok_or_else(missing)?;
        let place = self.place_of(name)?;
        self.store
            .within(|connection| attach(connection, &place.path))?;
        let id = promotion_of(&staging.within(outbox::identity)?.id);
        let now = log::now();
        let (store, address) = (self.store.clone(), self.store.address.clone());
        let mut refused = None;
        // The transaction locks both files: no loader writes to either.
        let done = store.transact(|transaction| {
            let is_promoted = transaction
                .prepare("SELECT 1 FROM main.bh_run WHERE id = ?1")?
                .exists([&id])?;
            if is_promoted {
                return Ok(());
            }
            let judged = contents(&staging).and_then(|contents| judge(&contents));
            if let Err(error) = judged {
                refused = Some(error);
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            let (counts, missing) = transfer(transaction, &now)?;
            if missing > 0 {
                refused = Some(not_taken(missing, &address));
                return Err(rusqlite::Error::QueryReturnedNoRows);
            }
            transaction.execute(
                "INSERT INTO main.bh_run (id, source, criteria, version, started, finished,
                     outcome, counts, first_id, loader)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?5, ?6, ?7, 0, 'bh-promote')",
                params![
                    id,
                    source_of(name),
                    criteria_of(name, note).to_string(),
                    env!("CARGO_PKG_VERSION"),
                    now,
                    PROMOTED,
                    serde_json::to_string(&counts).unwrap_or_default(),
                ],
            )?;
            Ok(())
        });
        refused.map_or(done, Err)?;
        let promotions = self.promotions()?;
        let own = promotions.iter().find(|run| run.run == id);
        own.and_then(promotion_in)
            .ok_or_else(|| Error::internal("a promotion is not recorded"))
    }

    fn drop_staging(&mut self, name: StagingName, judge: Judge<'_>) -> Result<bool> {
        let missing = || no_staging(name, self.store.address());
        let staging = self.open_staging(name)?.ok_or_else(missing)?;
        judge(&self.contents_of(&staging)?)?;
        drop(staging);
        let SqlitePlace {
            path,
            staging: Some(StagingPlace { .. }),
        } = self.place_of(name)?
        else {
            return Err(Error::internal("a staging has no file"));
        };
        for ending in ["", "-wal", "-shm"] {
            let file = disk::beside(&path, ending);
            match std::fs::remove_file(&file) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Error::local(file.display())(error));
                }
                _ => {}
            }
        }
        Ok(true)
    }
}
