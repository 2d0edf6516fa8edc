//! A batch in one transaction: one query for what is stored of it, COPY for
//! what is new.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};
use postgres::{Client, GenericClient, Transaction};

use super::describe;
use crate::store::plan::{ContentStatus, Insert, Plan};
use crate::store::{BuildRow, LoadOutcome, StoredRow, metadata, quoted};

/// Returns whether the server refused the data, not the statement.
fn refuses_data(error: &postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    // An exhausted sequence fails every row, whatever it holds.
    if *code == SqlState::UNIQUE_VIOLATION || code.code() == "2200H" {
        return false;
    }
    matches!(code.code().get(..2), Some("22" | "23" | "54"))
}

/// The row that has the content of `b`.
const CONTENT: &str = "SELECT id::bigint, s3_object_key::text AS key, s3_object_etag::text AS etag
    FROM main_build WHERE build_hash = b.hash LIMIT 1";

pub fn find_all(
    client: &mut impl GenericClient,
    hashes: &[&str],
) -> Result<Vec<ContentStatus>, postgres::Error> {
    let query = format!(
        "SELECT m.id, m.key, m.etag
         FROM unnest($1) WITH ORDINALITY AS b (hash, n) LEFT JOIN LATERAL ({CONTENT}) m ON true
         ORDER BY n"
    );
    let rows = client.query_typed(&query, &[(&hashes, Type::TEXT_ARRAY)])?;
    rows.iter()
        .map(|row| stored_row(row).map(ContentStatus::from))
        .collect()
}

/// Reads a row that is NULL where nothing is stored.
fn stored_row(row: &postgres::Row) -> Result<Option<StoredRow>, postgres::Error> {
    let Some(id) = row.try_get(0)? else {
        return Ok(None);
    };
    let (key, etag) = (row.try_get(1)?, row.try_get(2)?);
    Ok(Some(StoredRow { id, key, etag }))
}

/// What the tables hold of a batch.
struct BatchContent {
    found: Vec<ContentStatus>,
    /// Per row, whether an object with its key is stored.
    remembered: Vec<bool>,
    /// The transaction's time.
    now: SystemTime,
}

/// Returns what is stored of `rows`. A first query uses indexes alone and finds
/// rows that are up to date, mostly all; only the others are read.
fn query_content(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
) -> Result<BatchContent, postgres::Error> {
    // LIMIT makes the planner use the indexes, even without statistics.
    let query = "SELECT b.n, m.stored IS NOT NULL, o.same IS NOT NULL, now()
         FROM unnest($1, $2, $3) WITH ORDINALITY AS b (hash, key, etag, n)
         LEFT JOIN LATERAL (SELECT true AS stored
             FROM main_build WHERE build_hash = b.hash LIMIT 1) m ON true
         LEFT JOIN LATERAL (SELECT etag = b.etag AND build_hash = b.hash AS same
             FROM bh_object WHERE key = b.key LIMIT 1) o ON true
         WHERE m.stored IS NULL OR b.key IS NOT NULL AND b.etag IS NOT NULL AND o.same IS NOT TRUE";
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = rows.iter().map(|row| row.etag.as_deref()).collect();
    let answers = transaction.query_typed(
        query,
        &[
            (&hashes, Type::TEXT_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
        ],
    )?;
    let mut content = BatchContent {
        found: vec![ContentStatus::UpToDate; rows.len()],
        remembered: vec![true; rows.len()],
        now: SystemTime::UNIX_EPOCH,
    };
    let mut stored = Vec::new();
    for row in &answers {
        let at = position(row.try_get(0)?);
        if row.try_get(1)? {
            stored.push(at);
        } else {
            content.found[at] = ContentStatus::New;
        }
        content.remembered[at] = row.try_get(2)?;
        content.now = row.try_get(3)?;
    }
    if !stored.is_empty() {
        let hashes: Vec<&str> = stored.iter().map(|at| hashes[*at]).collect();
        for (at, found) in stored.into_iter().zip(find_all(transaction, &hashes)?) {
            content.found[at] = found;
        }
    }
    Ok(content)
}

/// Returns the index of an ordinality, which counts from 1.
fn position(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
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

fn copy(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    inserts: &[Insert<'_>],
    now: SystemTime,
) -> Result<(), postgres::Error> {
    let types = [
        Type::TEXT,
        Type::JSONB,
        Type::JSONB,
        Type::TIMESTAMPTZ,
        Type::TEXT,
        Type::TEXT,
    ];
    let writer = transaction.copy_in(
        "COPY main_build (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         FROM STDIN (FORMAT binary)",
    )?;
    let mut writer = BinaryCopyInWriter::new(writer, &types);
    for insert in inserts {
        let row = &rows[insert.at];
        let (build, metadata) = (Jsonb(row.build()), Jsonb(metadata(row.provenance)));
        let etag = insert.etag.map(quoted);
        writer.write(&[&row.hash, &build, &metadata, &now, &row.key, &etag])?;
    }
    writer.finish().map(drop)
}

/// Copies the rows of `inserts`. If the server refuses the data, tries each half,
/// down to single rows; adds refused ones to `refused`, with the reason.
fn copy_or_refuse(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    inserts: &[Insert<'_>],
    now: SystemTime,
    refused: &mut Vec<(usize, String)>,
) -> Result<(), postgres::Error> {
    if inserts.is_empty() {
        return Ok(());
    }
    let mut attempt = transaction.transaction()?;
    match copy(&mut attempt, rows, inserts, now) {
        Ok(()) => return attempt.commit(),
        Err(error) if refuses_data(&error) => {
            attempt.rollback()?;
            if let [insert] = inserts {
                refused.push((insert.at, describe(&error)));
                return Ok(());
            }
        }
        Err(error) => return Err(error),
    }
    let (first, second) = inserts.split_at(inserts.len() / 2);
    copy_or_refuse(transaction, rows, first, now, refused)?;
    copy_or_refuse(transaction, rows, second, now, refused)
}

/// Stores `rows` in one transaction; returns one outcome per row.
pub fn load(
    client: &mut Client,
    rows: &[BuildRow],
    queue: bool,
) -> Result<Vec<LoadOutcome>, postgres::Error> {
    let mut before = usize::MAX;
    loop {
        let mut transaction = client.transaction()?;
        let content = query_content(&mut transaction, rows)?;
        let mut plan = Plan::new(rows, &content.found);
        let new = content
            .found
            .iter()
            .filter(|found| **found == ContentStatus::New);
        let new = new.count() + content.remembered.iter().filter(|known| !**known).count();
        match write(&mut transaction, rows, &mut plan, &content, queue) {
            Ok(()) => {
                transaction.commit()?;
                return Ok(plan.outcomes);
            }
            // Another loader was faster: its rows are found now. If not, the
            // sequence of ids is behind the table.
            Err(error) if error.code() == Some(&SqlState::UNIQUE_VIOLATION) && new < before => {
                before = new;
                transaction.rollback()?;
            }
            Err(error) => return Err(error),
        }
    }
}

fn write(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
    content: &BatchContent,
    queue: bool,
) -> Result<(), postgres::Error> {
    let mut refused = Vec::new();
    copy_or_refuse(transaction, rows, &plan.inserts, content.now, &mut refused)?;
    for (at, reason) in refused {
        plan.refuse(rows, at, &reason);
    }
    if queue {
        enqueue(transaction, rows, plan)?;
    }
    refresh_etags(transaction, plan)?;
    upsert_objects(transaction, rows, plan, &content.remembered)
}

/// Queues inserted rows for Elasticsearch, and puts their ids into the outcomes.
fn enqueue(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &mut Plan<'_>,
) -> Result<(), postgres::Error> {
    let places = plan.inserts.iter().map(|insert| insert.at);
    let inserted = |at: &usize| matches!(plan.outcomes[*at], LoadOutcome::Inserted(_));
    let places: Vec<usize> = places.filter(inserted).collect();
    if places.is_empty() {
        return Ok(());
    }
    let hashes: Vec<&str> = places.iter().map(|at| rows[*at].hash.as_str()).collect();
    let query = format!(
        "WITH new AS (SELECT b.n, m.id
             FROM unnest($1) WITH ORDINALITY AS b (hash, n) JOIN LATERAL ({CONTENT}) m ON true),
         queued AS (INSERT INTO bh_outbox (id) SELECT id FROM new
             ON CONFLICT (id) DO UPDATE SET error = NULL, reported = false)
         SELECT n, id FROM new"
    );
    for row in transaction.query_typed(&query, &[(&hashes, Type::TEXT_ARRAY)])? {
        let at = places[position(row.try_get(0)?)];
        plan.outcomes[at] = LoadOutcome::Inserted(Some(row.try_get(1)?));
    }
    Ok(())
}

fn refresh_etags(
    transaction: &mut Transaction<'_>,
    plan: &Plan<'_>,
) -> Result<(), postgres::Error> {
    if plan.renewals.is_empty() {
        return Ok(());
    }
    let renewals = plan.renewals.iter();
    let (ids, etags): (Vec<i64>, Vec<String>) =
        renewals.map(|(id, etag)| (*id, quoted(etag))).unzip();
    transaction.query_typed(
        "UPDATE main_build SET s3_object_etag = new.etag
         FROM (SELECT unnest($1) AS id, unnest($2) AS etag) AS new
         WHERE main_build.id = new.id",
        &[(&ids, Type::INT8_ARRAY), (&etags, Type::TEXT_ARRAY)],
    )?;
    Ok(())
}

/// Stores the objects. New ones are copied, which costs half of an INSERT that
/// may conflict. Keys are sorted, so concurrent loaders cannot deadlock.
fn upsert_objects(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    plan: &Plan<'_>,
    remembered: &[bool],
) -> Result<(), postgres::Error> {
    let stored = |at: &&usize| !matches!(plan.outcomes[**at], LoadOutcome::Refused(_));
    let objects = plan.objects.iter().filter(stored);
    let (old, new): (Vec<usize>, Vec<usize>) = objects.partition(|at| remembered[**at]);
    if !new.is_empty() {
        let types = [Type::TEXT, Type::TEXT, Type::TEXT];
        let copy = "COPY bh_object (key, etag, build_hash) FROM STDIN (FORMAT binary)";
        let mut writer = BinaryCopyInWriter::new(transaction.copy_in(copy)?, &types);
        for row in new.iter().map(|at| &rows[*at]) {
            writer.write(&[&row.key, &row.etag, &row.hash])?;
        }
        writer.finish()?;
    }
    if old.is_empty() {
        return Ok(());
    }
    let old = || old.iter().map(|at| &rows[*at]);
    let keys: Vec<_> = old().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = old().map(|row| row.etag.as_deref()).collect();
    let hashes: Vec<_> = old().map(|row| row.hash.as_str()).collect();
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
