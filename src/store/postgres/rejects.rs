//! The table of rejected objects.

use postgres::fallible_iterator::FallibleIterator;
use postgres::types::{ToSql, Type};
use postgres::{Client, GenericClient, Row};

use super::runs::storable;
use super::schema::SchemaName;
use crate::record::coverage::Interval;
use crate::retry::Failure;
use crate::store::BuildRow;
use crate::store::reject::{self, KnownReject, RejectedObject};

/// Returns whether there is such a table, and this role may read it: older databases have none,
/// and roles of older programs need no right to it.
pub fn are_readable(client: &mut Client, schema: SchemaName) -> Result<bool, postgres::Error> {
    let readable =
        "SELECT coalesce(has_table_privilege(to_regclass('bh_reject'), 'SELECT'), false)";
    client
        .query_typed_one(&schema.qualify(readable), &[])?
        .try_get(0)
}

pub fn for_each(
    client: &mut Client,
    schema: SchemaName,
    each: &mut dyn FnMut(&KnownReject<'_>),
) -> Result<(), Failure> {
    let none = std::iter::empty::<(&str, Type)>();
    let mut rows = client.query_typed_raw(&schema.qualify(reject::KNOWN), none)?;
    while let Some(row) = rows.next()? {
        each(&known(&row)?);
    }
    Ok(())
}

/// Calls `each` with those of the objects with these keys.
pub fn look_up(
    client: &mut Client,
    schema: SchemaName,
    keys: &[&str],
    each: &mut dyn FnMut(&KnownReject<'_>),
) -> Result<(), postgres::Error> {
    let query = format!("{} AND key = ANY ($1)", reject::KNOWN);
    for row in &client.query_typed(&schema.qualify(&query), &[(&keys, Type::TEXT_ARRAY)])? {
        each(&known(row)?);
    }
    Ok(())
}

fn known(row: &Row) -> Result<KnownReject<'_>, postgres::Error> {
    Ok(KnownReject {
        key: row.try_get(0)?,
        etag: row.try_get(1)?,
        kind: row.try_get(2)?,
        verdict: row.try_get(3)?,
    })
}

/// Stores what `run` has rejected; of one key the last.
pub fn record(
    client: &mut Client,
    schema: SchemaName,
    run: &str,
    rejects: &[RejectedObject],
) -> Result<(), postgres::Error> {
    let mut columns: [Vec<Option<String>>; 7] = Default::default();
    for reject in rejects {
        let RejectedObject {
            key,
            etag,
            kind,
            stage,
            message,
            line,
            verdict,
        } = reject;
        let texts = [key, etag, kind, stage, message, line].map(Some);
        let texts = texts.into_iter().chain([verdict.as_ref()]);
        for (column, text) in columns.iter_mut().zip(texts) {
            let text = text.map(|text| storable(client, text)).transpose()?;
            column.push(text);
        }
    }
    let mut values: Vec<(&(dyn ToSql + Sync), Type)> = Vec::new();
    for column in &columns {
        values.push((column, Type::TEXT_ARRAY));
    }
    values.push((&run, Type::TEXT));
    let record = "INSERT INTO bh_reject (key, etag, kind, stage, message, line, verdict, run)
         SELECT DISTINCT ON (key) key, etag, kind, stage, message, line, verdict, $8
         FROM unnest($1, $2, $3, $4, $5, $6, $7) WITH ORDINALITY
             AS r (key, etag, kind, stage, message, line, verdict, n)
         ORDER BY key, n DESC
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, kind = excluded.kind,
             stage = excluded.stage, message = excluded.message, line = excluded.line,
             verdict = excluded.verdict, run = excluded.run";
    client.query_typed(&schema.qualify(record), &values)?;
    Ok(())
}

/// Notes that `run` has met these objects again.
pub fn meet(
    client: &mut Client,
    schema: SchemaName,
    run: &str,
    keys: &[&str],
) -> Result<(), postgres::Error> {
    let meet = "UPDATE bh_reject SET run = $2 WHERE key = ANY ($1) AND run <> $2";
    client.query_typed(
        &schema.qualify(meet),
        &[(&keys, Type::TEXT_ARRAY), (&run, Type::TEXT)],
    )?;
    Ok(())
}

/// Removes the objects between these keys that other runs of the same source have met, and
/// `run` has not; returns how many.
pub fn forget(
    client: &mut Client,
    schema: SchemaName,
    run: &str,
    keys: &Interval,
) -> Result<u64, postgres::Error> {
    let forget = "DELETE FROM bh_reject r USING bh_run old, bh_run new
         WHERE new.id = $1 AND old.id = r.run AND r.run <> $1 AND old.source = new.source
         AND ($2::text IS NULL OR r.key COLLATE \"C\" > $2)
         AND ($3::text IS NULL OR r.key COLLATE \"C\" <= $3)";
    client.execute_typed(
        &schema.qualify(forget),
        &[
            (&run, Type::TEXT),
            (&keys.after, Type::TEXT),
            (&keys.through, Type::TEXT),
        ],
    )
}

/// Removes objects that are stored now.
pub fn remove<'a>(
    client: &mut impl GenericClient,
    schema: SchemaName,
    stored: impl Iterator<Item = &'a BuildRow>,
) -> Result<(), postgres::Error> {
    let keys: Vec<&str> = stored.filter_map(|row| row.key.as_deref()).collect();
    if keys.is_empty() {
        return Ok(());
    }
    let remove = "DELETE FROM bh_reject WHERE key = ANY ($1)";
    client.query_typed(&schema.qualify(remove), &[(&keys, Type::TEXT_ARRAY)])?;
    Ok(())
}
