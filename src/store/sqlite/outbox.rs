//! The queue of rows to be indexed, and the index that follows the database.

use rusqlite::{Connection, OptionalExtension, Result, Row, Transaction, params};

use crate::store::{DatabaseIdentity, INDEXED_SAMPLE, QUEUED_BYTES, RefusedRow, StoredBuild};

pub fn identity(connection: &Connection) -> Result<DatabaseIdentity> {
    connection
        .prepare_cached("SELECT id, generation, \"index\" FROM bh_database")?
        .query_row([], |row| {
            Ok(DatabaseIdentity {
                id: row.get(0)?,
                generation: row.get(1)?,
                index: row.get(2)?,
            })
        })
}

/// Returns the highest id of the queue, 0 if it is empty.
pub fn last_queued(connection: &Connection) -> Result<i64> {
    let last = "SELECT coalesce(max(id), 0) FROM bh_outbox";
    connection.query_row(last, [], |row| row.get(0))
}

/// Returns how many rows wait to be indexed.
pub fn waiting(connection: &Connection) -> Result<u64> {
    let waiting = "SELECT count(*) FROM bh_outbox WHERE error IS NULL";
    connection.query_row(waiting, [], |row| {
        row.get::<_, i64>(0).map(i64::unsigned_abs)
    })
}

pub fn follow(
    transaction: &Transaction<'_>,
    seen: &DatabaseIdentity,
    index: &str,
    requeue: bool,
) -> Result<DatabaseIdentity> {
    let follow = "UPDATE bh_database SET \"index\" = ?1, generation = generation + ?2
        WHERE generation = ?3 AND \"index\" IS ?4";
    let to = params![index, requeue, seen.generation, seen.index];
    if transaction.execute(follow, to)? == 1 && requeue {
        let all = "INSERT OR REPLACE INTO bh_outbox (id) SELECT id FROM main_build";
        transaction.execute(all, [])?;
    }
    identity(transaction)
}

fn stored_build(row: &Row<'_>) -> Result<StoredBuild> {
    Ok(StoredBuild {
        id: row.get(0)?,
        build: row.get(1)?,
    })
}

pub fn indexed_sample(connection: &Connection) -> Result<Vec<StoredBuild>> {
    let mut statement = connection.prepare(INDEXED_SAMPLE)?;
    let rows = statement.query_map([], stored_build)?;
    rows.collect()
}

/// Reads the rows of `ids` that there are.
pub fn builds(connection: &Connection, ids: &[i64]) -> Result<Vec<StoredBuild>> {
    let mut build = connection.prepare("SELECT id, build FROM main_build WHERE id = ?1")?;
    let rows = ids
        .iter()
        .map(|id| build.query_row([id], stored_build).optional());
    rows.filter_map(Result::transpose).collect()
}

pub fn queued(connection: &Connection, after: i64, limit: usize) -> Result<Vec<StoredBuild>> {
    let mut statement = connection.prepare_cached(
        // CROSS JOIN keeps the order: all of main_build would be read from its start otherwise.
        "SELECT o.id, build FROM bh_outbox o CROSS JOIN main_build m ON m.id = o.id
         WHERE o.id > ?1 AND error IS NULL ORDER BY o.id LIMIT ?2",
    )?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut rows = statement.query(params![after, limit])?;
    let (mut queued, mut bytes) = (Vec::new(), 0);
    while bytes < QUEUED_BYTES
        && let Some(row) = rows.next()?
    {
        let row = stored_build(row)?;
        bytes += i64::try_from(row.build.len()).unwrap_or(i64::MAX / 2);
        queued.push(row);
    }
    Ok(queued)
}

pub fn ack(
    transaction: &Transaction<'_>,
    generation: i64,
    confirmed: &[i64],
    refused: &[(i64, String)],
) -> Result<bool> {
    if identity(transaction)?.generation != generation {
        return Ok(false);
    }
    let mut delete = transaction.prepare_cached("DELETE FROM bh_outbox WHERE id = ?1")?;
    for id in confirmed {
        delete.execute([id])?;
    }
    let mut note = transaction
        .prepare_cached("UPDATE bh_outbox SET error = ?2, reported = false WHERE id = ?1")?;
    for (id, reason) in refused {
        note.execute(params![id, reason])?;
    }
    Ok(true)
}

pub fn unreported(connection: &Connection) -> Result<Vec<RefusedRow>> {
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
}

pub fn mark_reported(transaction: &Transaction<'_>, ids: &[i64]) -> Result<()> {
    let mut note =
        transaction.prepare_cached("UPDATE bh_outbox SET reported = true WHERE id = ?1")?;
    for id in ids {
        note.execute([id])?;
    }
    Ok(())
}
