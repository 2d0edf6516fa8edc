//! A batch in one transaction: new rows by COPY and INSERT, then what is to
//! be remembered.

use std::collections::{HashMap, HashSet};

use bytes::{BufMut, BytesMut};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use postgres::{Client, Transaction};

use super::told;
use crate::store::plan::Plan;
use crate::store::{Outcome, Row, Stored, metadata, quoted};

/// Of this connection alone: what a batch brings in.
pub const TABLE: &str = "CREATE TEMPORARY TABLE IF NOT EXISTS bh_batch (
    build_hash text, build jsonb, s3_object_key text, s3_object_etag text
) ON COMMIT DELETE ROWS";

/// Whether the server refused the data, and not the statement.
fn refuses_data(error: &postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    // An exhausted or outdated sequence fails every row, whatever it holds.
    if *code == SqlState::UNIQUE_VIOLATION || code.code() == "2200H" {
        return false;
    }
    matches!(code.code().get(..2), Some("22" | "23" | "54"))
}

pub fn find_all(
    transaction: &mut impl postgres::GenericClient,
    hashes: &[&str],
) -> Result<HashMap<String, Stored>, postgres::Error> {
    let rows = transaction.query_typed(
        "SELECT build_hash::text, id::bigint, s3_object_key::text, s3_object_etag::text
         FROM main_build WHERE build_hash = ANY ($1)",
        &[(&hashes, Type::TEXT_ARRAY)],
    )?;
    rows.iter()
        .map(|row| {
            let stored = Stored {
                id: row.try_get(1)?,
                key: row.try_get(2)?,
                etag: row.try_get(3)?,
            };
            Ok((row.try_get(0)?, stored))
        })
        .collect()
}

/// A JSON text as it is, in jsonb's binary form: a version, then the text.
#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u8(1);
        out.put_slice(self.0.as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

/// Copies `rows` into the connection's table and inserts them from there; the
/// ids of those that were new. Rows of an earlier call stay in the table until
/// the commit, and conflict with themselves.
fn insert<'a>(
    transaction: &mut Transaction<'_>,
    rows: &[&'a Row],
    queue: bool,
) -> Result<HashMap<&'a str, i64>, postgres::Error> {
    let types = [Type::TEXT, Type::JSONB, Type::TEXT, Type::TEXT];
    let writer = transaction.copy_in("COPY bh_batch FROM STDIN (FORMAT binary)")?;
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    for row in rows {
        let etag = row.etag.as_deref().map(quoted);
        writer.write(&[&row.hash, &Jsonb(row.build()), &row.key, &etag])?;
    }
    writer.finish()?;
    let insert = "INSERT INTO main_build
            (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         SELECT build_hash, build, $1::text::jsonb, now(), s3_object_key, s3_object_etag
         FROM bh_batch ORDER BY build_hash
         ON CONFLICT (build_hash) DO NOTHING RETURNING id::bigint, build_hash::text";
    let new = transaction.query_typed(insert, &[(&metadata(), Type::TEXT)])?;
    let mut inserted = HashMap::with_capacity(new.len());
    let mut ids = Vec::with_capacity(new.len());
    for row in &new {
        let (id, hash): (i64, &str) = (row.try_get(0)?, row.try_get(1)?);
        let at = rows.binary_search_by(|row| row.hash.as_str().cmp(hash));
        if let Ok(at) = at {
            inserted.insert(rows[at].hash.as_str(), id);
        }
        ids.push(id);
    }
    if queue && !ids.is_empty() {
        transaction.query_typed(
            "INSERT INTO bh_outbox (id) SELECT unnest($1)
             ON CONFLICT (id) DO UPDATE SET error = NULL, reported = false",
            &[(&ids, Type::INT8_ARRAY)],
        )?;
    }
    Ok(inserted)
}

/// Inserts `rows`; when the server refuses the data of one, the halves of the
/// batch are tried each for itself, until the bad ones stand alone.
fn insert_or_refuse<'a>(
    transaction: &mut Transaction<'_>,
    rows: &[&'a Row],
    queue: bool,
    inserted: &mut HashMap<&'a str, i64>,
    refused: &mut HashMap<String, String>,
) -> Result<(), postgres::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    let mut attempt = transaction.transaction()?;
    match insert(&mut attempt, rows, queue) {
        Ok(new) => {
            inserted.extend(new);
            return attempt.commit();
        }
        Err(error) if refuses_data(&error) => {
            attempt.rollback()?;
            if let [row] = rows {
                refused.insert(row.hash.clone(), told(&error));
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    let (first, second) = rows.split_at(rows.len() / 2);
    insert_or_refuse(transaction, first, queue, inserted, refused)?;
    insert_or_refuse(transaction, second, queue, inserted, refused)
}

/// Stores `rows` in one transaction; an outcome each.
pub fn load(
    client: &mut Client,
    rows: &[Row],
    queue: bool,
) -> Result<Vec<Outcome>, postgres::Error> {
    let mut transaction = client.transaction()?;
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let mut stored = find_all(&mut transaction, &hashes)?;
    let mut plan = Plan::new(rows, &stored);
    let new: Vec<&Row> = plan.inserts.values().map(|at| &rows[*at]).collect();
    let (mut inserted, mut refused) = (HashMap::new(), HashMap::new());
    insert_or_refuse(&mut transaction, &new, queue, &mut inserted, &mut refused)?;
    for row in &new {
        if let Some(id) = inserted.get(row.hash.as_str()) {
            let (key, etag) = (row.key.clone(), row.etag.as_deref().map(quoted));
            stored.insert(row.hash.clone(), Stored { id: *id, key, etag });
        }
    }
    // Another loader was faster with the same content.
    let lost: Vec<&str> = new
        .iter()
        .map(|row| row.hash.as_str())
        .filter(|hash| !stored.contains_key(*hash) && !refused.contains_key(*hash))
        .collect();
    if !lost.is_empty() {
        stored.extend(find_all(&mut transaction, &lost)?);
    }
    let outcomes = plan.outcomes(rows, stored, &inserted, &refused);
    renew(&mut transaction, &plan)?;
    remember(&mut transaction, &plan, &inserted, &refused)?;
    transaction.commit()?;
    Ok(outcomes)
}

fn renew(transaction: &mut Transaction<'_>, plan: &Plan<'_>) -> Result<(), postgres::Error> {
    if plan.renewals.is_empty() {
        return Ok(());
    }
    let (ids, etags): (Vec<i64>, Vec<&str>) = plan
        .renewals
        .iter()
        .map(|(id, etag)| (*id, etag.as_str()))
        .unzip();
    transaction.query_typed(
        "UPDATE main_build SET s3_object_etag = new.etag
         FROM (SELECT unnest($1) AS id, unnest($2) AS etag) AS new
         WHERE main_build.id = new.id",
        &[(&ids, Type::INT8_ARRAY), (&etags, Type::TEXT_ARRAY)],
    )?;
    Ok(())
}

fn remember(
    transaction: &mut Transaction<'_>,
    plan: &Plan<'_>,
    inserted: &HashMap<&str, i64>,
    refused: &HashMap<String, String>,
) -> Result<(), postgres::Error> {
    // Content that is new cannot be remembered yet.
    let old = plan
        .objects
        .iter()
        .filter(|(_, (_, hash))| !inserted.contains_key(hash));
    let asked: Vec<&str> = old.map(|(key, _)| *key).collect();
    // Looked up by an array, which the planner answers from the index however
    // little it knows of the table yet.
    let known = transaction.query_typed(
        "SELECT key, etag, build_hash::text FROM bh_object WHERE key = ANY ($1)",
        &[(&asked, Type::TEXT_ARRAY)],
    )?;
    let mut same = HashSet::with_capacity(known.len());
    for row in &known {
        let (key, etag, hash): (&str, &str, &str) =
            (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        if plan.objects.get(key) == Some(&(etag, hash)) {
            same.insert(key);
        }
    }
    let (mut keys, mut etags, mut hashes) = (Vec::new(), Vec::new(), Vec::new());
    for (key, (etag, hash)) in &plan.objects {
        if !same.contains(key) && !refused.contains_key(*hash) {
            keys.push(*key);
            etags.push(*etag);
            hashes.push(*hash);
        }
    }
    if keys.is_empty() {
        return Ok(());
    }
    // The keys come sorted, so loaders side by side never wait in a circle.
    transaction.query_typed(
        "INSERT INTO bh_object (key, etag, build_hash)
         SELECT * FROM unnest($1, $2, $3)
         ON CONFLICT (key) DO UPDATE SET etag = excluded.etag, build_hash = excluded.build_hash",
        &[
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&hashes, Type::TEXT_ARRAY),
        ],
    )?;
    Ok(())
}
