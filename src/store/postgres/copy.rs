//! New rows by COPY, which is much faster than INSERT.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use postgres::Transaction;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use super::batch::Session;
use super::schema::SchemaName;
use crate::json::unescape_wide;
use crate::store::plan::Insert;
use crate::store::{BuildRow, metadata, quoted};

/// A JSON text in jsonb's binary form: a version, then the text. A database in `SQL_ASCII` takes
/// any character, but no escape of one outside ASCII.
#[derive(Debug)]
struct Jsonb<'a>(&'a str);

impl ToSql for Jsonb<'_> {
    fn to_sql(
        &self,
        _type: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u8(1);
        out.put_slice(unescape_wide(self.0).as_bytes());
        Ok(IsNull::No)
    }

    accepts!(JSONB);
    to_sql_checked!();
}

/// Inserts the rows of `inserts`; returns how many the server counted. Through a pooler by an
/// unnamed statement, because COPY has none.
pub fn insert_rows(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    inserts: &[Insert<'_>],
    now: SystemTime,
    session: &Session,
) -> Result<u64, postgres::Error> {
    let (schema, is_pooled) = (session.schema, session.is_pooled);
    if inserts.is_empty() {
        return Ok(0);
    }
    let values = inserts.iter().map(|insert| (&rows[insert.at], insert.etag));
    if !is_pooled {
        let types = [
            Type::TEXT,
            Type::JSONB,
            Type::JSONB,
            Type::TIMESTAMPTZ,
            Type::TEXT,
            Type::TEXT,
        ];
        let copy = "COPY main_build
            (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
            FROM STDIN (FORMAT binary)";
        let mut writer =
            BinaryCopyInWriter::new(transaction.copy_in(&*schema.qualify(copy))?, &types);
        for (row, etag) in values {
            let metadata = metadata(row);
            let (build, metadata) = (Jsonb(&row.build), Jsonb(&metadata));
            let etag = etag.map(quoted);
            writer.write(&[&row.hash, &build, &metadata, &now, &row.key, &etag])?;
        }
        return writer.finish();
    }
    let hashes: Vec<_> = values.clone().map(|(row, _)| row.hash.as_str()).collect();
    let builds: Vec<_> = values.clone().map(|(row, _)| Jsonb(&row.build)).collect();
    let texts: Vec<String> = values.clone().map(|(row, _)| metadata(row)).collect();
    let metadata: Vec<_> = texts.iter().map(|text| Jsonb(text)).collect();
    let keys: Vec<_> = values.clone().map(|(row, _)| row.key.as_deref()).collect();
    let etags: Vec<_> = values.map(|(_, etag)| etag.map(quoted)).collect();
    let insert = "INSERT INTO main_build
            (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         SELECT b.hash, b.build, b.metadata, $6, b.key, b.etag
         FROM unnest($1, $2, $3, $4, $5) AS b (hash, build, metadata, key, etag)";
    transaction.execute_typed(
        &schema.qualify(insert),
        &[
            (&hashes, Type::TEXT_ARRAY),
            (&builds, Type::JSONB_ARRAY),
            (&metadata, Type::JSONB_ARRAY),
            (&keys, Type::TEXT_ARRAY),
            (&etags, Type::TEXT_ARRAY),
            (&now, Type::TIMESTAMPTZ),
        ],
    )
}

/// Copies objects; returns how many the server counted.
pub fn copy_objects<'a>(
    transaction: &mut Transaction<'_>,
    schema: SchemaName,
    rows: impl Iterator<Item = &'a BuildRow>,
) -> Result<u64, postgres::Error> {
    let types = [Type::TEXT, Type::TEXT, Type::TEXT];
    let copy = "COPY bh_object (key, etag, build_hash) FROM STDIN (FORMAT binary)";
    let mut writer = BinaryCopyInWriter::new(transaction.copy_in(&*schema.qualify(copy))?, &types);
    for row in rows {
        writer.write(&[&row.key, &row.etag, &row.hash])?;
    }
    writer.finish()
}
