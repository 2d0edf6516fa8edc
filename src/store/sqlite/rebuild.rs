//! Filling another index beside loaders.

use rusqlite::{Connection, OptionalExtension, Transaction, TransactionBehavior, params};

use super::{Sqlite, failed, outbox};
use crate::error::Result;
use crate::store::rebuild::{ChangedRows, Horizon, Locked, LockedRows, Rebuild, RebuildStore};
use crate::store::{DatabaseIdentity, StoredBuild};

/// Times are seconds since 1970.
const TABLE: &str = "CREATE TABLE IF NOT EXISTS bh_reindex (
    id integer PRIMARY KEY DEFAULT 1 CHECK (id = 1),
    \"index\" text NOT NULL,
    previous text,
    owner text NOT NULL,
    heartbeat integer NOT NULL DEFAULT (strftime('%s', 'now'))
)";

/// One program writes at a time, so rows are committed in the order of their ids.
fn changed_since(connection: &Connection, horizon: Horizon) -> rusqlite::Result<ChangedRows> {
    let count = "SELECT count(*) FROM main_build";
    let rows: i64 = connection.query_row(count, [], |row| row.get(0))?;
    let mut statement = connection.prepare("SELECT id, 0 FROM main_build WHERE id > ?1")?;
    let versions = statement.query_map([horizon.0], |row| Ok((row.get(0)?, row.get(1)?)))?;
    Ok(ChangedRows {
        rows: rows.unsigned_abs(),
        versions: versions.collect::<rusqlite::Result<_>>()?,
    })
}

impl RebuildStore for Sqlite {
    fn rebuild(&mut self) -> Result<Option<Rebuild>> {
        self.within(|connection| {
            connection.execute_batch(TABLE)?;
            let query = "SELECT \"index\", previous, owner,
                    heartbeat < cast(strftime('%s', 'now') AS integer) - 600 FROM bh_reindex";
            let rebuild = connection.query_row(query, [], |row| {
                Ok(Rebuild {
                    index: row.get(0)?,
                    previous: row.get(1)?,
                    owner: row.get(2)?,
                    is_stale: row.get(3)?,
                })
            });
            rebuild.optional()
        })
    }

    fn begin_rebuild(&mut self, rebuild: &Rebuild, dead: Option<&str>) -> Result<bool> {
        self.transact(|transaction| {
            let dead = dead.unwrap_or(&rebuild.owner);
            let clear = "DELETE FROM bh_reindex WHERE owner IN (?1, ?2)";
            transaction.execute(clear, params![rebuild.owner, dead])?;
            let note = "INSERT OR IGNORE INTO bh_reindex (id, \"index\", previous, owner)
                VALUES (1, ?1, ?2, ?3)";
            let values = params![rebuild.index, rebuild.previous, rebuild.owner];
            Ok(transaction.execute(note, values)? == 1)
        })
    }

    fn continue_rebuild(&mut self, owner: &str) -> Result<bool> {
        self.transact(|transaction| {
            let alive = "UPDATE bh_reindex SET heartbeat = cast(strftime('%s', 'now') AS integer)
                WHERE owner = ?1";
            Ok(transaction.execute(alive, [owner])? == 1)
        })
    }

    fn end_rebuild(&mut self, owner: &str) -> Result<()> {
        self.transact(|transaction| {
            let end = "DELETE FROM bh_reindex WHERE owner = ?1";
            transaction.execute(end, [owner]).map(drop)
        })
    }

    fn horizon(&mut self) -> Result<Horizon> {
        self.within(|connection| {
            let last = "SELECT coalesce(max(id), 0) FROM main_build";
            connection.query_row(last, [], |row| row.get(0).map(Horizon))
        })
    }

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows> {
        self.within(|connection| changed_since(connection, horizon))
    }

    fn with_rows_locked(
        &mut self,
        owner: &str,
        work: &mut dyn FnMut(&mut dyn LockedRows) -> Result<()>,
    ) -> Result<Locked> {
        let failed = |error: rusqlite::Error| failed(&self.address, &error);
        let mut connection = self.connection();
        let notice = self.notice();
        let transaction = connection
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed)?;
        drop(notice);
        let mine = "SELECT 1 FROM bh_reindex WHERE owner = ?1";
        let is_mine = transaction
            .prepare(mine)
            .and_then(|mut mine| mine.exists([owner]));
        if !is_mine.map_err(failed)? {
            return Ok(Locked::TakenOver);
        }
        work(&mut Rows(&transaction, &self.address))?;
        transaction.commit().map_err(failed)?;
        drop(connection);
        self.verify_files()?;
        Ok(Locked::Done)
    }
}

struct Rows<'a>(&'a Transaction<'a>, &'a str);

impl Rows<'_> {
    fn ask<T>(&self, ask: impl FnOnce(&Connection) -> rusqlite::Result<T>) -> Result<T> {
        ask(self.0).map_err(|error| failed(self.1, &error))
    }
}

impl LockedRows for Rows<'_> {
    fn identity(&mut self) -> Result<DatabaseIdentity> {
        self.ask(outbox::identity)
    }

    fn changed_since(&mut self, horizon: Horizon) -> Result<ChangedRows> {
        self.ask(|connection| changed_since(connection, horizon))
    }

    fn builds(&mut self, ids: &[i64]) -> Result<Vec<StoredBuild>> {
        self.ask(|connection| outbox::builds(connection, ids))
    }

    fn conclude(&mut self, refused: &[(i64, String)]) -> Result<()> {
        self.ask(|connection| {
            let mut earlier: Vec<i64> = Vec::new();
            let mut query = connection.prepare("SELECT id FROM bh_outbox WHERE error NOT NULL")?;
            for id in query.query_map([], |row| row.get(0))? {
                earlier.push(id?);
            }
            for id in earlier {
                if refused.iter().all(|(refused, _)| *refused != id) {
                    connection.execute("DELETE FROM bh_outbox WHERE id = ?1", [id])?;
                }
            }
            let mut note = connection.prepare(
                "INSERT INTO bh_outbox (id, error) VALUES (?1, ?2)
                 ON CONFLICT (id) DO UPDATE SET error = excluded.error",
            )?;
            for (id, reason) in refused {
                note.execute(params![id, reason])?;
            }
            connection.execute("DELETE FROM bh_reindex", []).map(drop)
        })
    }
}
