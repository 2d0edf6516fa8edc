//! The table of runs.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient};
use serde_json::Value;

use super::schema::SchemaName;
use crate::retry::Failure;
use crate::store::staging;
use crate::store::{NewRun, Outcome, RunEnd, RunFence, RunRecord, RunRows, StoredRun};

/// Returns a text as a column holds it: without NUL characters, and with escapes for what the
/// encoding of the database may lack.
pub fn storable(client: &mut impl GenericClient, text: &str) -> Result<String, postgres::Error> {
    let text = text.replace('\0', "\u{fffd}");
    if text.is_ascii() {
        return Ok(text);
    }
    let query = "SELECT current_setting('server_encoding') = 'UTF8'";
    if client.query_typed_one(query, &[])?.try_get(0)? {
        return Ok(text);
    }
    let units = text.encode_utf16().map(|unit| match u8::try_from(unit) {
        Ok(byte) if byte.is_ascii() => char::from(byte).to_string(),
        _ => format!("\\u{unit:04x}"),
    });
    Ok(units.collect())
}

/// Returns a time as the column stores it; `None` if the text is not a time.
pub fn time(text: &str) -> Option<SystemTime> {
    let time = text.parse::<Timestamp>().ok()?;
    let since = u64::try_from(time.as_microsecond()).ok()?;
    Some(SystemTime::UNIX_EPOCH + Duration::from_micros(since))
}

pub fn begin(
    client: &mut Client,
    schema: SchemaName,
    run: &NewRun<'_>,
    loader: &str,
) -> Result<RunFence, postgres::Error> {
    let begin = "INSERT INTO bh_run (id, source, criteria, version, started, first_id, loader)
        VALUES ($1, $2, $3::json, $4, coalesce($5, now()),
            (SELECT coalesce(max(id), 0) FROM main_build), $6)
        ON CONFLICT (id) DO UPDATE SET loader = excluded.loader,
            first_id = least(bh_run.first_id, excluded.first_id),
            outcome = CASE bh_run.outcome WHEN 'complete' THEN 'complete' ELSE 'running' END
        RETURNING step";
    let source = storable(client, run.source)?;
    let criteria = storable(client, &run.criteria.to_string())?;
    let (version, started) = (env!("CARGO_PKG_VERSION"), time(run.started));
    let values: [(&(dyn ToSql + Sync), Type); 6] = [
        (&run.id, Type::TEXT),
        (&source, Type::TEXT),
        (&criteria, Type::TEXT),
        (&version, Type::TEXT),
        (&started, Type::TIMESTAMPTZ),
        (&loader, Type::TEXT),
    ];
    Ok(RunFence {
        run: run.id.to_owned(),
        loader: loader.to_owned(),
        step: client
            .query_typed_one(&schema.qualify(begin), &values)?
            .try_get(0)?,
    })
}

/// Returns the next step of the run, `None` if it is not this loader's any more.
pub fn advance(
    client: &mut impl GenericClient,
    schema: SchemaName,
    fence: &RunFence,
) -> Result<Option<i64>, postgres::Error> {
    let advance = "UPDATE bh_run SET step = step + 1 WHERE id = $1 AND loader = $2 RETURNING step";
    one(client, &schema.qualify(advance), fence)
}

/// Returns the step of the run, `None` if it is not this loader's any more.
pub fn step(
    client: &mut impl GenericClient,
    schema: SchemaName,
    fence: &RunFence,
) -> Result<Option<i64>, postgres::Error> {
    let step = "SELECT step FROM bh_run WHERE id = $1 AND loader = $2";
    one(client, &schema.qualify(step), fence)
}

fn one(
    client: &mut impl GenericClient,
    query: &str,
    fence: &RunFence,
) -> Result<Option<i64>, postgres::Error> {
    let own = [
        (&fence.run as &(dyn ToSql + Sync), Type::TEXT),
        (&fence.loader, Type::TEXT),
    ];
    let rows = client.query_typed(query, &own)?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

/// Returns the loader that stores the run.
pub fn loader(
    client: &mut impl GenericClient,
    schema: SchemaName,
    run: &str,
) -> Result<Option<String>, postgres::Error> {
    let loader = "SELECT loader FROM bh_run WHERE id = $1";
    let rows = client.query_typed(&schema.qualify(loader), &[(&run, Type::TEXT)])?;
    rows.first().map(|row| row.try_get(0)).transpose()
}

/// Checks that a staging was not promoted.
pub fn refuse_promoted(client: &mut impl GenericClient, schema: SchemaName) -> Result<(), Failure> {
    let Some(name) = schema.staging() else {
        return Ok(());
    };
    let promoted = "SELECT EXISTS (SELECT FROM bh_run WHERE outcome = 'promoted')";
    let promoted = client.query_typed_one(&schema.qualify(promoted), &[])?;
    if promoted.try_get(0)? {
        return Err(Failure::Permanent(staging::is_promoted(name)));
    }
    Ok(())
}

pub fn find(
    client: &mut Client,
    schema: SchemaName,
    run: &str,
) -> Result<Option<StoredRun>, postgres::Error> {
    let found = "SELECT step, first_id > 0
            AND NOT EXISTS (SELECT FROM main_build WHERE main_build.id <= first_id)
        FROM bh_run WHERE id = $1";
    let rows = client.query_typed(&schema.qualify(found), &[(&run, Type::TEXT)])?;
    let stored = |row: &postgres::Row| {
        Ok(StoredRun {
            step: row.try_get(0)?,
            is_rootless: row.try_get(1)?,
        })
    };
    rows.first().map(stored).transpose()
}

/// Counts rows; without `bh_run` all of them are newer than the run.
pub fn count_rows(
    client: &mut Client,
    schema: SchemaName,
    run: &str,
    is_recorded: bool,
) -> Result<RunRows, postgres::Error> {
    let first = if is_recorded {
        "(SELECT first_id FROM bh_run WHERE bh_run.id = $1)"
    } else {
        "0"
    };
    let rows = format!(
        "SELECT count(*) FILTER (WHERE metadata->>'run' = $1), count(*) FROM main_build
        WHERE id > {first}"
    );
    let row = client.query_typed_one(&schema.qualify(&rows), &[(&run, Type::TEXT)])?;
    let (own, newer): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    Ok(RunRows {
        own: own.unsigned_abs(),
        newer: newer.unsigned_abs(),
    })
}

pub fn end(
    client: &mut Client,
    schema: SchemaName,
    fence: &RunFence,
    end: &RunEnd<'_>,
) -> Result<(), postgres::Error> {
    let note = "UPDATE bh_run SET outcome = $3, error = $4, finished = now(),
            as_of = coalesce($5, as_of), counts = coalesce($6::json, counts)
        WHERE id = $1 AND loader = $2 AND (outcome <> $7 OR $3 = $7)";
    let outcome = end.outcome.name();
    let error = end.error.as_deref();
    let error = error.map(|error| storable(client, error)).transpose()?;
    let as_of = end.as_of.and_then(time);
    let counts = end.counts.as_ref().map(Value::to_string);
    client.query_typed(
        &schema.qualify(note),
        &[
            (&fence.run, Type::TEXT),
            (&fence.loader, Type::TEXT),
            (&outcome, Type::TEXT),
            (&error, Type::TEXT),
            (&as_of, Type::TIMESTAMPTZ),
            (&counts, Type::TEXT),
            (&Outcome::Complete.name(), Type::TEXT),
        ],
    )?;
    Ok(())
}

pub fn all(
    client: &mut impl GenericClient,
    schema: SchemaName,
) -> Result<Vec<RunRecord>, postgres::Error> {
    let all =
        "SELECT id, source, criteria::text, version, started, as_of, finished, outcome, error,
        counts::text, first_id, step FROM bh_run ORDER BY bh_run.started, id";
    let json = |text: Option<String>| text.and_then(|text| serde_json::from_str(&text).ok());
    let time = |time: Option<SystemTime>| {
        let since = time?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        let time = Timestamp::from_microsecond(i64::try_from(since.as_micros()).ok()?);
        Some(format!("{:.3}", time.ok()?))
    };
    let rows = client.query_typed(&schema.qualify(all), &[])?;
    let record = |row: &postgres::Row| {
        Ok(RunRecord {
            run: row.try_get(0)?,
            source: row.try_get(1)?,
            criteria: json(row.try_get(2)?),
            version: row.try_get(3)?,
            started: time(row.try_get(4)?),
            as_of: time(row.try_get(5)?),
            finished: time(row.try_get(6)?),
            outcome: row.try_get(7)?,
            error: row.try_get(8)?,
            counts: json(row.try_get(9)?),
            first_id: row.try_get(10)?,
            step: row.try_get(11)?,
        })
    };
    rows.iter().map(record).collect()
}
