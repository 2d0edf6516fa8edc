//! The line of a row.

use std::collections::HashMap;

use crate::json;
use crate::record::s3::unquote_etag;
use crate::store::ExportedRow;

/// The buckets of the runs, by their ids.
type Buckets = HashMap<String, String>;

/// Appends the line of a row.
///
/// # Errors
/// A text of the row is not JSON; nothing is appended.
pub fn write(
    row: &ExportedRow<'_>,
    buckets: &Buckets,
    out: &mut Vec<u8>,
) -> Result<(), json::ParseError> {
    let length = out.len();
    let written = write_members(row, buckets, out);
    match written {
        Ok(()) => out.extend_from_slice(b"}\n"),
        Err(_) => out.truncate(length),
    }
    written
}

fn write_members(
    row: &ExportedRow<'_>,
    buckets: &Buckets,
    out: &mut Vec<u8>,
) -> Result<(), json::ParseError> {
    match *row {
        ExportedRow::Run { .. } => Ok(()),
        ExportedRow::Build {
            id,
            key,
            etag,
            hash,
            created_at,
            metadata,
            build,
        } => {
            let run = json::members(metadata.as_bytes())?;
            let run = run.value("run").and_then(json::text_of);
            let run = run.map(json::Text::to_string_lossy);
            let bucket = run
                .and_then(|run| buckets.get(&*run))
                .filter(|_| key.is_some());
            for (name, value) in [
                ("bucket", bucket.map(String::as_str)),
                ("key", key),
                ("etag", etag.map(unquote_etag)),
                ("build_hash", Some(hash)),
                ("created_at", Some(created_at)),
            ] {
                write_text(name, value, out);
            }
            open(out);
            out.extend_from_slice(format!("\"id\":{id},\"metadata\":").as_bytes());
            json::compact(metadata.as_bytes(), out)?;
            out.extend_from_slice(b",\"build\":");
            json::compact(build.as_bytes(), out).map(drop)
        }
        ExportedRow::Object { key, etag, hash } => {
            for (name, value) in [("key", key), ("etag", etag), ("build_hash", hash)] {
                write_text(name, Some(value), out);
            }
            Ok(())
        }
        ExportedRow::Reject { run, line } => {
            let members = json::members(line.as_bytes())?;
            let bucket = buckets.get(run).filter(|_| members.get("bucket").is_none());
            write_text("bucket", bucket.map(String::as_str), out);
            let mut object = Vec::with_capacity(line.len());
            json::compact(line.as_bytes(), &mut object)?;
            let members = &object[1..object.len() - 1];
            if !members.is_empty() {
                open(out);
                out.extend_from_slice(members);
            }
            Ok(())
        }
    }
}

/// Returns the text of a row that is not JSON, and the id of the row.
pub fn source<'a>(row: &ExportedRow<'a>) -> (&'a str, u64) {
    match *row {
        ExportedRow::Build { id, build, .. } => (build, id.unsigned_abs()),
        ExportedRow::Reject { line, .. } => (line, 0),
        ExportedRow::Object { key, .. } => (key, 0),
        ExportedRow::Run { id, .. } => (id, 0),
    }
}

/// Begins a member.
fn open(out: &mut Vec<u8>) {
    let first = out.last().is_none_or(|byte| *byte == b'\n');
    out.push(if first { b'{' } else { b',' });
}

fn write_text(name: &str, value: Option<&str>, out: &mut Vec<u8>) {
    let Some(value) = value else { return };
    open(out);
    json::write_str(name, out);
    out.push(b':');
    json::write_str(value, out);
}
