//! CSV: rows, and their fields.
//!
//! A row is usually a line, quoted as S3 does it, and split in place. Rows with
//! doubled quotes, or with a line break in quotes, are parsed by the csv crate.

use std::sync::OnceLock;

use memchr::{memchr, memrchr};

use super::columns::{Column, Layout};
use super::row::{self, InventoryRow, InventoryRowOptions, RowOutcome};
use super::row_ends::{RowEnd, RowEnds, is_well_quoted};
use crate::file_format::{self, FileFormat};
use crate::ndjson::Emitted;
use crate::record::reject::Reject;

/// The hexadecimal digits of an MD5 sum.
const MD5: usize = 32;

/// Rows that a first row which does not fit is compared with.
const COMPARED: usize = 10;

/// Complete rows, and their position in the file.
pub struct RowBlock {
    /// The rows, each with its newline.
    pub bytes: Vec<u8>,
    /// The number of the first line, from 1.
    pub first_line: u64,
    /// The last line came without its newline.
    pub unterminated: bool,
}

/// What the first row of a file says of the others.
#[derive(Debug, Clone, Copy)]
pub struct FirstRow {
    fields: usize,
    /// The length of its `ETag`.
    etag: usize,
}

/// How the rows of a file are parsed.
pub struct RowReader {
    /// The file's name for messages; empty if there is only one.
    pub place: String,
    pub layout: Layout,
    pub first: OnceLock<FirstRow>,
    /// The bucket that all rows are of, where the manifest says so.
    pub bucket: Option<String>,
    pub options: InventoryRowOptions,
    /// Only lines l with after < l ≤ through.
    pub wanted: Vec<(u64, u64)>,
}

/// The result of a block.
#[derive(Default)]
pub struct Rows {
    /// The number of records in the block.
    pub records: u64,
    pub emitted: Emitted,
    /// The number of its last line.
    pub through: u64,
    /// Whether a row was rejected.
    pub refused: bool,
    /// The line in whose middle the input ends.
    pub torn: Option<u64>,
}

impl RowReader {
    /// Checks the first row whose quotes are closed, in the blocks before any row is read. If it
    /// does not fit but those after it do, it is odd alone, and rejected when it is read.
    ///
    /// # Errors
    /// The file is not CSV, or has other columns.
    pub fn check_first_row(&self, block: &RowBlock) -> Result<(), String> {
        let is_start = block.first_line == 1;
        if let Some(found) = file_format::foreign(&block.bytes).filter(|_| is_start) {
            let then = match found {
                FileFormat::Compressed("gzip", _) => {
                    "name the file as an argument, or decompress it with zcat".to_owned()
                }
                FileFormat::Compressed(_, tool) => format!("decompress it with {tool}"),
                FileFormat::Other("ORC") => {
                    "ORC is not supported: use an inventory in CSV or Parquet".to_owned()
                }
                _ => "convert it, or download the file again".to_owned(),
            };
            return Err(format!("expected CSV, found {found}; {then}"));
        }
        let bytes = &block.bytes[..];
        let mut ends = RowEnds::default();
        let mut at = 0;
        let mut misfit = None;
        let mut fit = Vec::new();
        for number in block.first_line.. {
            let Some(newline) = memchr(b'\n', &bytes[at..]) else {
                break;
            };
            let next = at + newline + 1;
            let end = match ends.end_of_row(bytes, at) {
                RowEnd::At(end) => end,
                _ => next,
            };
            let (row, is_last) = (&bytes[at..end], end == bytes.len());
            at = next;
            if row.trim_ascii().is_empty() || is_last && self.is_cut(block) || !is_well_quoted(row)
            {
                continue;
            }
            let Ok(record) = read_record(row) else {
                continue;
            };
            let fields: Vec<&[u8]> = record.iter().collect();
            match self.parse(&fields) {
                Ok(parsed) => fit.push(FirstRow {
                    fields: fields.len(),
                    etag: parsed.etag.map_or(0, <[u8]>::len),
                }),
                Err(what) => {
                    let error = format!(
                        "line {number}: {what}; expected the columns {}; use --columns for \
                         others, and remove a header line",
                        self.layout.names()
                    );
                    if let Some(first) = misfit.replace(error) {
                        return Err(first);
                    }
                    if Layout::is_header(&fields) {
                        break;
                    }
                }
            }
            if misfit.is_none() || fit.len() == COMPARED {
                break;
            }
        }
        match (fit.first(), misfit) {
            (Some(first), _) => {
                // No other code sets it.
                let _ = self.first.set(*first);
                Ok(())
            }
            (None, Some(misfit)) => Err(misfit),
            (None, None) => Ok(()),
        }
    }

    /// Returns whether the last row of a block may be the start of a row: a file is all there is.
    fn is_cut(&self, block: &RowBlock) -> bool {
        block.unterminated && self.place.is_empty()
    }

    /// Checks the bucket of a row.
    ///
    /// # Errors
    /// It is not the name of a bucket, or not the bucket of the manifest.
    pub fn check_bucket(&self, bucket: &[u8]) -> Result<(), String> {
        let found = || String::from_utf8_lossy(bucket);
        match &self.bucket {
            Some(expected) if expected.as_bytes() != bucket => Err(format!(
                "expected the Bucket {expected:?} of the manifest, found {:?}",
                found()
            )),
            None if memchr(b'/', bucket).is_some() => Err(format!(
                "expected the name of a Bucket, found {:?}",
                found()
            )),
            _ => Ok(()),
        }
    }

    /// Makes records of a block.
    pub fn rows(&self, block: &RowBlock) -> Rows {
        let bytes = &block.bytes[..];
        let mut rows = Rows::default();
        rows.emitted.out.reserve(bytes.len() + bytes.len() / 2);
        let mut fields = Vec::with_capacity(self.layout.width);
        let mut ends = RowEnds::default();
        let (mut at, mut number, mut written) = (0, block.first_line, 0);
        while let Some(length) = memchr(b'\n', &bytes[at..]) {
            let line = &bytes[at..at + length];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let mut lines = 1;
            let mut done = Ok(RowOutcome::Written);
            if line.trim_ascii().is_empty() || !self.wants(number) {
                at += length + 1;
                number += 1;
                continue;
            }
            rows.records += 1;
            let last = at + length + 1 == bytes.len();
            if last && block.unterminated && self.may_be_cut(line) {
                let what = "ends without a newline and may be cut: add the newline if it is whole";
                done = Err(what.to_owned());
            } else if memchr(b'\r', line).is_none() && split(line, &mut fields) {
                done = self.row(&fields, &mut rows.emitted.out);
            } else {
                done = done.and_then(|_| {
                    let RowEnd::At(end) = ends.end_of_row(bytes, at) else {
                        return Err("quotes are not closed".to_owned());
                    };
                    let row = &bytes[at..end];
                    let done = self.parse_unusual(row, &mut rows.emitted.out)?;
                    lines = memchr::memchr_iter(b'\n', row).count();
                    Ok(done)
                });
            }
            // If a row of several lines is bad, only its first line is
            // rejected: the other lines may be rows.
            match done {
                Ok(RowOutcome::Written) => written += 1,
                Ok(RowOutcome::Dropped(reason)) => rows.emitted.drop(reason, 1),
                Err(_) if last && self.is_cut(block) => rows.torn = Some(number),
                Err(what) => {
                    let message = if self.place.is_empty() {
                        what
                    } else {
                        format!("{}, line {number}: {what}", self.place)
                    };
                    rows.refused = true;
                    let reject = Reject::new(line, number, "bad_row", message);
                    rows.emitted.reject(reject);
                }
            }
            number += lines as u64;
            for _ in 0..lines {
                at += memchr(b'\n', &bytes[at..]).map_or(0, |newline| newline + 1);
            }
        }
        rows.emitted.add_written(written);
        rows.through = number - 1;
        rows
    }

    /// Returns whether a line is to be read.
    pub fn wants(&self, line: u64) -> bool {
        let mut wanted = self.wanted.iter();
        wanted.any(|(after, through)| *after < line && line <= *through)
    }

    /// Returns whether a line without its newline may be the start of a row, although no column
    /// and no quote is missing: half a key is a key.
    fn may_be_cut(&self, line: &[u8]) -> bool {
        let is_short =
            |etag: usize| etag < MD5 && self.first.get().is_some_and(|it| it.etag >= MD5);
        match self.layout.last() {
            _ if line.ends_with(b"\"") => false,
            // Its length shows whether it is whole, since most are MD5 sums.
            Some(Column::ETag) => is_short(line.len() - memrchr(b',', line).map_or(0, |at| at + 1)),
            // Half a flag is not a flag.
            Some(Column::IsLatest | Column::IsDeleteMarker) | None => false,
            Some(_) => true,
        }
    }

    /// Parses a row by the csv crate.
    fn parse_unusual(&self, row: &[u8], out: &mut Vec<u8>) -> Result<RowOutcome, String> {
        let record = read_record(row)?;
        // The closing quote may belong to another field or row.
        if record.len() >= self.layout.width && !is_well_quoted(row) {
            return Err("quotes are not closed, or close within a field".to_owned());
        }
        self.row(&record.iter().collect::<Vec<_>>(), out)
    }

    fn row(&self, fields: &[&[u8]], out: &mut Vec<u8>) -> Result<RowOutcome, String> {
        self.parse(fields)?.write(self.options, out)
    }

    fn parse<'a>(&self, fields: &[&'a [u8]]) -> Result<InventoryRow<'a>, String> {
        let width = self.layout.width;
        let found = fields.len();
        if found < width {
            return Err(format!("expected {width} columns, found {found}"));
        }
        if let Some(all) = self.layout.all
            && found != all
        {
            return Err(format!("expected {all} columns, found {found}"));
        }
        // A newline is missing, which joins two rows, or a part of the row is.
        if let Some(FirstRow { fields: first, .. }) = self.first.get()
            && found != *first
        {
            return Err(format!(
                "expected {first} columns, as in the first row, found {found}"
            ));
        }
        let field = |column| self.layout.place(column).map(|place| fields[place]);
        let flag = |column: Column| match field(column) {
            Some(text) => row::parse_flag(column, text),
            None => Ok(None),
        };
        let is_delete_marker = flag(Column::IsDeleteMarker)?.unwrap_or(false);
        let bucket = field(Column::Bucket).unwrap_or_default();
        self.check_bucket(bucket)?;
        Ok(InventoryRow {
            bucket,
            key: field(Column::Key).unwrap_or_default(),
            version: field(Column::VersionId),
            is_latest: flag(Column::IsLatest)?,
            is_delete_marker,
            size: match field(Column::Size) {
                Some(text) if !(is_delete_marker && text.is_empty()) => {
                    Some(row::parse_size(text)?)
                }
                _ => None,
            },
            modified: match field(Column::LastModifiedDate) {
                Some(text) => Some(row::parse_time(text)?),
                None => None,
            },
            etag: field(Column::ETag).map(row::parse_etag).transpose()?,
        })
    }
}

/// Reads a row by the csv crate.
fn read_record(row: &[u8]) -> Result<::csv::ByteRecord, String> {
    let mut reader = ::csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .buffer_capacity(row.len())
        .from_reader(row);
    let mut record = ::csv::ByteRecord::new();
    let read = reader.read_byte_record(&mut record);
    read.map_err(|error| error.to_string())?;
    // To the crate, a single carriage return ends a row.
    let more = reader.read_byte_record(&mut ::csv::ByteRecord::new());
    if more.map_err(|error| error.to_string())? {
        return Err("a carriage return without a newline".to_owned());
    }
    Ok(record)
}

/// Splits a line into fields; returns false if it is not quoted as S3 does.
fn split<'a>(line: &'a [u8], fields: &mut Vec<&'a [u8]>) -> bool {
    fields.clear();
    let mut at = 0;
    loop {
        let rest = &line[at..];
        let length = if let [b'"', rest @ ..] = rest {
            let Some(length) = memchr(b'"', rest) else {
                return false;
            };
            fields.push(&rest[..length]);
            length + 2
        } else {
            let length = memchr(b',', rest).unwrap_or(rest.len());
            fields.push(&rest[..length]);
            length
        };
        at += length;
        match line.get(at) {
            None => return true,
            Some(b',') => at += 1,
            Some(_) => return false,
        }
    }
}
