//! New rows by COPY, which is much faster than INSERT.

use std::time::SystemTime;

use bytes::{BufMut, BytesMut};
use postgres::Transaction;
use postgres::binary_copy::BinaryCopyInWriter;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use super::describe;
use crate::store::plan::Insert;
use crate::store::{BuildRow, metadata, quoted};

/// Returns whether the server refused the data, not the statement.
fn refuses_data(error: &postgres::Error) -> bool {
    let Some(code) = error.code() else {
        return false;
    };
    // An exhausted sequence fails every row, whatever it holds.
    if *code == SqlState::UNIQUE_VIOLATION || code.code() == "2200H" {
        return false;
    }
    // P0 is what a trigger raises.
    matches!(code.code().get(..2), Some("22" | "23" | "54" | "P0"))
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

/// Copies the rows of `inserts`; returns how many the server counted.
fn copy(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    inserts: &[Insert<'_>],
    now: SystemTime,
) -> Result<u64, postgres::Error> {
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
        let metadata = metadata(row);
        let (build, metadata) = (Jsonb(row.build()), Jsonb(&metadata));
        let etag = insert.etag.map(quoted);
        writer.write(&[&row.hash, &build, &metadata, &now, &row.key, &etag])?;
    }
    let taken = writer.finish()?;
    // Run deferred triggers now, while their errors can be handled.
    transaction.batch_execute("SET CONSTRAINTS ALL IMMEDIATE")?;
    Ok(taken)
}

/// Copies the rows of `inserts`; returns how many the server counted. If it
/// refuses the data, tries each half, down to single rows; adds refused ones to
/// `refused`, with the reason.
pub fn copy_or_refuse(
    transaction: &mut Transaction<'_>,
    rows: &[BuildRow],
    inserts: &[Insert<'_>],
    now: SystemTime,
    refused: &mut Vec<(usize, String)>,
) -> Result<u64, postgres::Error> {
    if inserts.is_empty() {
        return Ok(0);
    }
    let mut attempt = transaction.transaction()?;
    match copy(&mut attempt, rows, inserts, now) {
        Ok(taken) => return attempt.commit().map(|()| taken),
        Err(error) if refuses_data(&error) => {
            attempt.rollback()?;
            if let [insert] = inserts {
                refused.push((insert.at, describe(&error)));
                return Ok(0);
            }
        }
        Err(error) => return Err(error),
    }
    let (first, second) = inserts.split_at(inserts.len() / 2);
    let taken = copy_or_refuse(transaction, rows, first, now, refused)?;
    Ok(taken + copy_or_refuse(transaction, rows, second, now, refused)?)
}
