//! The table of rejected objects.

use rusqlite::{Connection, Result, Rows, Transaction, params};

use crate::record::coverage::Interval;
use crate::store::BuildRow;
use crate::store::reject::{self, KnownReject, RejectedObject};

pub fn for_each(connection: &Connection, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
    let mut statement = connection.prepare(reject::KNOWN)?;
    give(statement.query([])?, each)
}

/// Calls `each` with those of the objects with these keys.
pub fn look_up(
    connection: &Connection,
    keys: &[&str],
    each: &mut dyn FnMut(&KnownReject<'_>),
) -> Result<()> {
    let query = format!("{} AND key = ?1", reject::KNOWN);
    let mut statement = connection.prepare_cached(&query)?;
    keys.iter()
        .try_for_each(|key| give(statement.query([key])?, each))
}

fn give(mut rows: Rows<'_>, each: &mut dyn FnMut(&KnownReject<'_>)) -> Result<()> {
    while let Some(row) = rows.next()? {
        each(&KnownReject {
            key: row.get_ref(0)?.as_str()?,
            etag: row.get_ref(1)?.as_str()?,
            kind: row.get_ref(2)?.as_str()?,
            verdict: row.get_ref(3)?.as_str()?,
        });
    }
    Ok(())
}

/// Stores what `run` has rejected; of one key the last.
pub fn record(transaction: &Transaction<'_>, run: &str, rejects: &[RejectedObject]) -> Result<()> {
    let mut record = transaction.prepare_cached(
        "INSERT OR REPLACE INTO bh_reject (key, etag, kind, stage, message, line, verdict, run)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
    )?;
    for reject in rejects {
        record.execute(params![
            reject.key,
            reject.etag,
            reject.kind,
            reject.stage,
            reject.message,
            reject.line,
            reject.verdict,
            run
        ])?;
    }
    Ok(())
}

/// Notes that `run` has met these objects again.
pub fn meet(transaction: &Transaction<'_>, run: &str, keys: &[&str]) -> Result<()> {
    let mut meet = transaction.prepare_cached("UPDATE bh_reject SET run = ?2 WHERE key = ?1")?;
    for key in keys {
        meet.execute(params![key, run])?;
    }
    Ok(())
}

/// Removes the objects between these keys that other runs of the same source have met, and
/// `run` has not; returns how many.
pub fn forget(transaction: &Transaction<'_>, run: &str, keys: &Interval) -> Result<u64> {
    let forget = "DELETE FROM bh_reject WHERE run <> ?1
        AND (SELECT source FROM bh_run WHERE id = bh_reject.run)
            = (SELECT source FROM bh_run WHERE id = ?1)
        AND (?2 IS NULL OR key > ?2) AND (?3 IS NULL OR key <= ?3)";
    let forgotten = transaction.execute(forget, params![run, keys.after, keys.through])?;
    Ok(forgotten as u64)
}

/// Removes objects that are stored now.
pub fn remove<'a>(
    transaction: &Transaction<'_>,
    mut stored: impl Iterator<Item = &'a BuildRow>,
) -> Result<()> {
    if !transaction
        .prepare_cached("SELECT 1 FROM bh_reject")?
        .exists([])?
    {
        return Ok(());
    }
    let mut remove = transaction.prepare_cached("DELETE FROM bh_reject WHERE key = ?1")?;
    stored.try_for_each(|row| remove.execute([&row.key]).map(drop))
}
