//! A batch in one transaction.

use rusqlite::{Connection, ErrorCode, OptionalExtension, Transaction, params};

use super::rejects;
use crate::store::plan::{ContentStatus, Plan, Refusal};
use crate::store::{BuildRow, LoadOutcome, StoredRow, metadata, quoted};

/// Returns what is stored of a content.
pub fn find(connection: &Connection, hash: &str) -> rusqlite::Result<ContentStatus> {
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

/// Stores `rows`; returns one outcome per row, and whether anything changes.
pub fn load(
    transaction: &Transaction<'_>,
    rows: &[BuildRow],
    now: &str,
    queue: bool,
) -> rusqlite::Result<(Vec<LoadOutcome>, bool)> {
    let found: rusqlite::Result<Vec<ContentStatus>> = rows
        .iter()
        .map(|row| find(transaction, &row.hash))
        .collect();
    let found = found?;
    let mut plan = Plan::new(rows, &found);
    let changes = plan.changes();
    insert(transaction, rows, &mut plan, now, queue)?;
    renew_etags(transaction, rows, &mut plan)?;
    let mut upsert_object = transaction.prepare_cached(
        "INSERT INTO bh_object (key, etag, build_hash) VALUES (?1, ?2, ?3)
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag,
         build_hash = excluded.build_hash
         WHERE etag <> excluded.etag OR build_hash <> excluded.build_hash",
    )?;
    for row in plan.objects.iter().map(|at| &rows[*at]) {
        upsert_object.execute(params![row.key, row.etag, row.hash])?;
    }
    rejects::remove(transaction, plan.objects.iter().map(|at| &rows[*at]))?;
    Ok((plan.outcomes, changes))
}

/// Inserts new rows, and queues them for Elasticsearch if `queue` is set;
/// refuses those that are not there afterwards.
fn insert(
    transaction: &Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
    now: &str,
    queue: bool,
) -> rusqlite::Result<()> {
    let verify = has_triggers(transaction)?;
    let mut insert = transaction.prepare_cached(
        "INSERT INTO main_build
         (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
    )?;
    let mut enqueue =
        transaction.prepare_cached("INSERT OR REPLACE INTO bh_outbox (id) VALUES (?1)")?;
    for new in std::mem::take(&mut plan.inserts) {
        let (row, etag) = (&rows[new.at], new.etag.map(quoted));
        let (build, metadata) = (&row.build, metadata(row));
        let values = params![row.hash, build, metadata, now, row.key, etag];
        let id = match insert.execute(values) {
            Ok(1) if !verify => Some(transaction.last_insert_rowid()),
            Ok(_) => match find(transaction, &row.hash)? {
                ContentStatus::Stored(stored) => Some(stored.id),
                _ => None,
            },
            // A trigger may have taken the whole transaction back.
            Err(error) if refuses_row(&error) && !transaction.is_autocommit() => {
                plan.refuse(rows, new.at, &Refusal::refused(error.to_string()));
                continue;
            }
            Err(error) => return Err(error),
        };
        match id {
            None => plan.refuse(rows, new.at, &Refusal::ROW),
            Some(id) if queue => {
                let queued = enqueue.execute([id])?;
                if queued != 1 {
                    return Err(rusqlite::Error::StatementChangedRows(queued));
                }
                plan.outcomes[new.at] = LoadOutcome::Inserted(Some(id));
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// Renews ETags, and refuses those that are not in their rows afterwards.
fn renew_etags(
    transaction: &Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
) -> rusqlite::Result<()> {
    let mut renew =
        transaction.prepare_cached("UPDATE main_build SET s3_object_etag = ?2 WHERE id = ?1")?;
    for renewal in std::mem::take(&mut plan.renewals) {
        let etag = quoted(renewal.etag);
        renew.execute(params![renewal.id, etag])?;
        let stored = match find(transaction, &rows[renewal.at].hash)? {
            ContentStatus::Stored(stored) => stored.etag,
            _ => None,
        };
        if stored != Some(etag) {
            plan.refuse(rows, renewal.at, &Refusal::ETAG);
        }
    }
    Ok(())
}

/// Returns whether `main_build` has triggers, which may leave rows out that were
/// counted.
fn has_triggers(connection: &Connection) -> rusqlite::Result<bool> {
    connection
        .prepare_cached(
            "SELECT EXISTS (SELECT 1 FROM sqlite_schema
             WHERE type = 'trigger' AND tbl_name = 'main_build' COLLATE NOCASE)",
        )?
        .query_row([], |row| row.get(0))
}

/// Returns whether the row was refused, not the statement.
fn refuses_row(error: &rusqlite::Error) -> bool {
    matches!(
        error.sqlite_error_code(),
        Some(ErrorCode::ConstraintViolation | ErrorCode::TypeMismatch | ErrorCode::TooBig)
    )
}
