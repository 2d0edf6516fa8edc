//! Reads the rows of Parquet files.

use std::fs::File;
use std::sync::Arc;

use parquet::errors::ParquetError;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row as Fields};
use parquet::schema::types::Type;

use super::parquet_pages::PagedFile;
use super::parquet_schema::{ParquetColumns, columns};
use super::send::RowSender;
use crate::error::{Error, Result};
use crate::inventory::columns::Column;
use crate::inventory::csv::{RowReader, Rows};
use crate::inventory::row::{self, InventoryRow, InventoryRowOptions, RowOutcome};
use crate::json;
use crate::limits::PARQUET_TEXT;
use crate::panics;
use crate::record::line::LastModified;
use crate::record::reject::Reject;

/// Rows per message to the writer.
const BATCH: usize = 2048;

/// Reads `file`, which messages call `name`.
///
/// # Errors
/// It is damaged, or no inventory (78).
pub fn read(name: &str, file: File, out: &RowSender<'_>) -> Result<()> {
    // The library panics on some damaged files.
    panics::contain(|| read_rows(name, file, out)).unwrap_or_else(|panic| {
        Err(Error::configuration(format!(
            "{name}: cannot be read ({panic}); get the file again"
        )))
    })
}

fn read_rows(name: &str, file: File, out: &RowSender<'_>) -> Result<()> {
    let wrong = |error: ParquetError| {
        let text = error.to_string();
        Error::configuration(
            match text.split_once("Disabled feature at compile time: ") {
                Some((_, codec)) => format!(
                    "{name}: cannot read what {codec} compresses; write the file with zstd, \
                     snappy or \
                 gzip"
                ),
                None => format!("{name}: {text}; download the file again"),
            },
        )
    };
    let reader = SerializedFileReader::new(PagedFile(file)).map_err(wrong)?;
    let schema = reader.metadata().file_metadata().schema();
    let columns = columns(schema, &out.reader.layout)
        .map_err(|what| Error::configuration(format!("{name}: {what}")))?;
    let fields = schema.get_fields().iter();
    let fields = fields.filter(|field| Column::parse(field.name()).is_some());
    let fields = fields.map(Arc::clone).collect();
    let needed = Type::group_type_builder(schema.name()).with_fields(fields);
    let rows = reader
        .get_row_iter(Some(needed.build().map_err(wrong)?))
        .map_err(wrong)?;
    let mut made = Rows::default();
    let mut batch = 0;
    for (row, line) in rows.zip(1..) {
        let row = row.map_err(wrong)?;
        made.through = line;
        if line == 1 {
            check_first_row(&row, &columns, &out.reader).map_err(|what| {
                Error::configuration(format!("{name}, row 1: {what}; is this an inventory?"))
            })?;
        }
        if out.reader.wants(line) {
            add(&row, &columns, (name, line), &out.reader, &mut made);
        }
        batch += 1;
        if batch == BATCH {
            if !out.send_rows(std::mem::take(&mut made)) {
                return Ok(());
            }
            batch = 0;
        }
    }
    if batch > 0 {
        out.send_rows(made);
    }
    Ok(())
}

/// Checks that the first row fits its columns, as that of CSV has to.
fn check_first_row(
    fields: &Fields,
    columns: &ParquetColumns,
    reader: &RowReader,
) -> Result<(), String> {
    reader.check_bucket(row(fields, columns)?.bucket)
}

/// Adds the record of a row to `made`, or its reject.
fn add(
    fields: &Fields,
    columns: &ParquetColumns,
    (name, line): (&str, u64),
    reader: &RowReader,
    made: &mut Rows,
) {
    made.records += 1;
    // Keys are URL-encoded in CSV alone.
    let options = InventoryRowOptions {
        raw_keys: true,
        ..reader.options
    };
    let row = row(fields, columns);
    let row = row.and_then(|row| reader.check_bucket(row.bucket).map(|()| row));
    match row.and_then(|row| row.write(options, &mut made.emitted.out)) {
        Ok(RowOutcome::Written) => made.emitted.add_written(1),
        Ok(RowOutcome::Dropped(reason)) => made.emitted.drop(reason, 1),
        Err(what) => {
            let message = format!("{name}, row {line}: {what}");
            made.refused = true;
            let reject = Reject::new(&write_fields(fields), line, "bad_row", message);
            made.emitted.reject(reject);
        }
    }
}

fn row<'a>(fields: &'a Fields, columns: &ParquetColumns) -> Result<InventoryRow<'a>, String> {
    let mut row = InventoryRow::default();
    let mut size = None;
    for ((_, field), column) in fields.get_column_iter().zip(&columns.columns) {
        match column {
            Column::Bucket => row.bucket = text(*column, field)?.unwrap_or_default(),
            Column::Key => row.key = text(*column, field)?.unwrap_or_default(),
            Column::VersionId => row.version = text(*column, field)?,
            Column::ETag => row.etag = text(*column, field)?.map(row::parse_etag).transpose()?,
            Column::IsLatest => row.is_latest = flag(*column, field)?,
            Column::IsDeleteMarker => {
                row.is_delete_marker = flag(*column, field)?.unwrap_or(false);
            }
            Column::Size => size = Some(field),
            Column::LastModifiedDate => row.modified = time(field, columns)?,
        }
    }
    row.size = match size {
        None => None,
        Some(Field::Null) if row.is_delete_marker => None,
        Some(Field::Long(size)) => {
            Some(u64::try_from(*size).map_err(|_| wrong_value(Column::Size, &size))?)
        }
        Some(Field::ULong(size)) => Some(*size),
        Some(Field::Str(size)) => Some(row::parse_size(size.as_bytes())?),
        Some(Field::Bytes(size)) => Some(row::parse_size(size.data())?),
        Some(field) => Some(row::parse_size(field.to_string().as_bytes())?),
    };
    Ok(row)
}

fn wrong_value(column: Column, found: &dyn std::fmt::Display) -> String {
    format!("{column} cannot be {found}")
}

fn text(column: Column, field: &Field) -> Result<Option<&[u8]>, String> {
    let text = match field {
        Field::Null => return Ok(None),
        Field::Str(text) => text.as_bytes(),
        Field::Bytes(bytes) => bytes.data(),
        other => return Err(wrong_value(column, other)),
    };
    if text.len() > PARQUET_TEXT {
        return Err(format!(
            "{column} has {} bytes, more than {} KiB",
            text.len(),
            PARQUET_TEXT >> 10
        ));
    }
    Ok(Some(text))
}

fn flag(column: Column, field: &Field) -> Result<Option<bool>, String> {
    match field {
        Field::Bool(flag) => Ok(Some(*flag)),
        other => row::parse_flag(column, text(column, other)?.unwrap_or_default()),
    }
}

fn time<'a>(
    field: &'a Field,
    columns: &ParquetColumns,
) -> Result<Option<LastModified<'a>>, String> {
    let stamp = match field {
        Field::Null => return Ok(None),
        Field::Long(nanos) if columns.has_nanoseconds => {
            jiff::Timestamp::from_nanosecond(i128::from(*nanos))
        }
        Field::TimestampMillis(millis) | Field::Long(millis) => {
            jiff::Timestamp::from_millisecond(*millis)
        }
        Field::TimestampMicros(micros) => jiff::Timestamp::from_microsecond(*micros),
        other => {
            let text = text(Column::LastModifiedDate, other)?;
            return text.map(row::parse_time).transpose();
        }
    };
    let stamp = stamp.map_err(|_| wrong_value(Column::LastModifiedDate, field))?;
    Ok(Some(LastModified::Instant(stamp)))
}

/// Returns a row as a JSON object, for the rejects file; texts that are too long are cut.
fn write_fields(fields: &Fields) -> Vec<u8> {
    let mut line = b"{".to_vec();
    for (name, field) in fields.get_column_iter() {
        if line.len() > 1 {
            line.push(b',');
        }
        json::write_str(name, &mut line);
        line.push(b':');
        let start = |bytes: &[u8]| {
            let kept = bytes.get(..PARQUET_TEXT).unwrap_or(bytes);
            String::from_utf8_lossy(kept).into_owned()
        };
        match field {
            Field::Null => line.extend_from_slice(b"null"),
            Field::Str(text) => json::write_str(&start(text.as_bytes()), &mut line),
            Field::Bytes(bytes) => json::write_str(&start(bytes.data()), &mut line),
            other => json::write_str(&other.to_string(), &mut line),
        }
    }
    line.push(b'}');
    line
}
