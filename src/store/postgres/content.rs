//! What the tables hold of a batch.

use std::time::SystemTime;

use postgres::types::Type;
use postgres::{GenericClient, Transaction};

use super::schema::SchemaName;
use super::tables::Tables;
use crate::store::plan::ContentStatus;
use crate::store::{BuildRow, StoredRow};

/// The row that has the content of `b`.
pub const CONTENT: &str =
    "SELECT id::bigint, s3_object_key::text AS key, s3_object_etag::text AS etag
    FROM main_build WHERE build_hash = b.hash LIMIT 1";

pub fn find_all(
    client: &mut impl GenericClient,
    schema: SchemaName,
    hashes: &[&str],
) -> Result<Vec<ContentStatus>, postgres::Error> {
    let query = format!(
        "SELECT m.id, m.key, m.etag
         FROM unnest($1) WITH ORDINALITY AS b (hash, n) LEFT JOIN LATERAL ({CONTENT}) m ON true
         ORDER BY n"
    );
    let rows = client.query_typed(&schema.qualify(&query), &[(&hashes, Type::TEXT_ARRAY)])?;
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
pub struct BatchContent {
    pub found: Vec<ContentStatus>,
    /// Per row, whether an object with its key is stored.
    pub remembered: Vec<bool>,
    /// The transaction's time.
    pub now: SystemTime,
}

/// Returns what is stored of `rows`. A first query uses indexes alone and finds
/// rows that are up to date, mostly all; only the others are read.
pub fn query_content(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    schema: SchemaName,
    tables: Tables,
) -> Result<BatchContent, postgres::Error> {
    let object = if tables.has("bh_object") {
        "SELECT etag = b.etag AND build_hash = b.hash AS same
             FROM bh_object WHERE key = b.key LIMIT 1"
    } else {
        "SELECT false AS same"
    };
    // LIMIT makes the planner use the indexes, even without statistics.
    let query = format!(
        "SELECT b.n, m.stored IS NOT NULL, o.same IS NOT NULL, now()
         FROM unnest($1, $2, $3) WITH ORDINALITY AS b (hash, key, etag, n)
         LEFT JOIN LATERAL (SELECT true AS stored
             FROM main_build WHERE build_hash = b.hash LIMIT 1) m ON true
         LEFT JOIN LATERAL ({object}) o ON true
         WHERE m.stored IS NULL OR b.key IS NOT NULL AND b.etag IS NOT NULL AND o.same IS NOT TRUE"
    );
    let hashes: Vec<&str> = rows.iter().map(|row| row.hash.as_str()).collect();
    let keys: Vec<_> = rows.iter().map(|row| row.key.as_deref()).collect();
    let etags: Vec<_> = rows.iter().map(|row| row.etag.as_deref()).collect();
    let answers = transaction.query_typed(
        &schema.qualify(&query),
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
        for (at, found) in stored
            .into_iter()
            .zip(find_all(transaction, schema, &hashes)?)
        {
            content.found[at] = found;
        }
    }
    Ok(content)
}

/// Returns the index of an ordinality, which counts from 1.
pub fn position(ordinality: i64) -> usize {
    usize::try_from(ordinality - 1).unwrap_or_default()
}
