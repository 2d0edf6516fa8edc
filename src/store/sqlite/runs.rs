//! The table of runs.

use rusqlite::{Connection, OptionalExtension, Result, params};
use serde_json::Value;

use crate::store::{NewRun, Outcome, RunEnd, RunFence, RunRecord, RunRows, StoredRun};

pub fn begin(connection: &Connection, run: &NewRun<'_>, loader: &str) -> Result<RunFence> {
    let begin = "INSERT INTO bh_run (id, source, criteria, version, started, first_id, loader)
        VALUES (?1, ?2, ?3, ?4, ?5, (SELECT coalesce(max(id), 0) FROM main_build), ?6)
        ON CONFLICT (id) DO UPDATE SET loader = excluded.loader,
            first_id = min(first_id, excluded.first_id),
            outcome = CASE outcome WHEN 'complete' THEN outcome ELSE 'running' END
        RETURNING step";
    let version = env!("CARGO_PKG_VERSION");
    let criteria = run.criteria.to_string();
    let step = connection.query_row(
        begin,
        params![run.id, run.source, criteria, version, run.started, loader],
        |row| row.get(0),
    )?;
    Ok(RunFence {
        run: run.id.to_owned(),
        loader: loader.to_owned(),
        step,
    })
}

/// Returns the next step of the run, `None` if it is not this loader's any more.
pub fn advance(connection: &Connection, fence: &RunFence) -> Result<Option<i64>> {
    let advance = "UPDATE bh_run SET step = step + 1 WHERE id = ?1 AND loader = ?2 RETURNING step";
    connection
        .prepare_cached(advance)?
        .query_row([&fence.run, &fence.loader], |row| row.get(0))
        .optional()
}

/// Returns the loader that stores the run.
pub fn loader(connection: &Connection, run: &str) -> Result<Option<String>> {
    let loader = "SELECT loader FROM bh_run WHERE id = ?1";
    connection
        .query_row(loader, [run], |row| row.get(0))
        .optional()
}

pub fn find(connection: &Connection, run: &str) -> Result<Option<StoredRun>> {
    let found = "SELECT step, first_id > 0
            AND NOT EXISTS (SELECT 1 FROM main_build WHERE main_build.id <= first_id)
        FROM bh_run WHERE id = ?1";
    connection
        .query_row(found, [run], |row| {
            Ok(StoredRun {
                step: row.get(0)?,
                is_rootless: row.get(1)?,
            })
        })
        .optional()
}

pub fn count_rows(connection: &Connection, run: &str) -> Result<RunRows> {
    let rows = "SELECT count(CASE WHEN json_extract(metadata, '$.run') = ?1 THEN 1 END), count(*)
        FROM main_build WHERE id > (SELECT first_id FROM bh_run WHERE bh_run.id = ?1)";
    connection.query_row(rows, [run], |row| {
        let (own, newer): (i64, i64) = (row.get(0)?, row.get(1)?);
        Ok(RunRows {
            own: own.unsigned_abs(),
            newer: newer.unsigned_abs(),
        })
    })
}

pub fn end(connection: &Connection, fence: &RunFence, end: &RunEnd<'_>, now: &str) -> Result<()> {
    let note = "UPDATE bh_run SET outcome = ?3, error = ?4, finished = ?5,
            as_of = coalesce(?6, as_of), counts = coalesce(?7, counts)
        WHERE id = ?1 AND loader = ?2 AND (outcome <> 'complete' OR ?3 = ?8)";
    connection.execute(
        note,
        params![
            fence.run,
            fence.loader,
            end.outcome.name(),
            end.error,
            now,
            end.as_of,
            end.counts.as_ref().map(Value::to_string),
            Outcome::Complete.name(),
        ],
    )?;
    Ok(())
}

pub fn all(connection: &Connection) -> Result<Vec<RunRecord>> {
    let all = "SELECT id, source, criteria, version, started, as_of, finished, outcome, error,
        counts, first_id, step FROM bh_run ORDER BY started, id";
    let mut statement = connection.prepare(all)?;
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    let rows = statement.query_map([], |row| {
        Ok(RunRecord {
            run: row.get(0)?,
            source: row.get(1)?,
            criteria: json(row.get(2)?),
            version: row.get(3)?,
            started: row.get(4)?,
            as_of: row.get(5)?,
            finished: row.get(6)?,
            outcome: row.get(7)?,
            error: row.get(8)?,
            counts: json(row.get(9)?),
            first_id: row.get(10)?,
            step: row.get(11)?,
        })
    })?;
    rows.collect()
}
