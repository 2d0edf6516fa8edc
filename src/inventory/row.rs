//! Rows of an inventory, and the lines of their records.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use memchr::{memchr, memchr2};

use super::columns::Column;
use crate::record::line::{self, LastModified, ListedRecord, RecordText};
use crate::record::s3;

/// Which rows are read, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct InventoryRowOptions {
    /// Whether keys are copied; otherwise they are URL-decoded.
    pub raw_keys: bool,
    /// Whether old versions are read, too.
    pub all_versions: bool,
    /// Whether delete markers are read, too.
    pub delete_markers: bool,
}

/// A row, with its columns as in the file.
#[derive(Debug, Default)]
pub struct InventoryRow<'a> {
    pub bucket: &'a [u8],
    pub key: &'a [u8],
    pub version: Option<&'a [u8]>,
    pub is_latest: Option<bool>,
    pub is_delete_marker: bool,
    pub size: Option<u64>,
    pub modified: Option<LastModified<'a>>,
    pub etag: Option<&'a [u8]>,
}

/// The result of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowOutcome {
    Written,
    /// Dropped; the name to count it by.
    Dropped(&'static str),
}

impl InventoryRow<'_> {
    /// Appends the line of the record to `out`, or nothing on an error.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn write(
        &self,
        options: InventoryRowOptions,
        out: &mut Vec<u8>,
    ) -> Result<RowOutcome, String> {
        if self.is_latest == Some(false) && !options.all_versions {
            return Ok(RowOutcome::Dropped("old versions"));
        }
        if self.is_delete_marker && !options.delete_markers {
            return Ok(RowOutcome::Dropped("delete markers"));
        }
        let bucket = filled_text("Bucket", self.bucket)?;
        let decoded;
        let key = if options.raw_keys {
            self.key
        } else {
            decoded = decode_key(self.key)?;
            &decoded
        };
        let key = filled_text("Key", key)?;
        let etag = self.etag.map(|etag| parse_text("ETag", etag)).transpose()?;
        let etag = etag.map(RecordText::unquote);
        let is_latest = self.is_latest.filter(|_| options.all_versions);
        let version = self.version.filter(|_| options.all_versions);
        let version = version.map(|version| parse_text("VersionId", version));
        let version = version.transpose()?;
        line::write_bucket(&bucket, out);
        ListedRecord {
            key,
            etag: etag.filter(|etag| !etag.is_empty()),
            size: self.size,
            last_modified: self.modified,
            version_id: version.filter(|version| !version.is_empty()),
            is_latest,
            is_delete_marker: self.is_delete_marker,
        }
        .write(out);
        Ok(RowOutcome::Written)
    }
}

fn parse_text<'a>(column: &str, text: &'a [u8]) -> Result<RecordText<'a>, String> {
    RecordText::parse(text).map_err(|_| format!("{column} is not UTF-8"))
}

fn filled_text<'a>(column: &str, text: &'a [u8]) -> Result<RecordText<'a>, String> {
    if text.is_empty() {
        return Err(format!("{column} is empty"));
    }
    parse_text(column, text)
}

/// Returns a key as it is, from its URL-encoded form.
fn decode_key(key: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if memchr2(b'%', b'+', key).is_none() {
        return Ok(Cow::Borrowed(key));
    }
    let mut rest = key;
    while let Some(at) = memchr(b'%', rest) {
        let digits = rest.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(
                "Key has a % that does not begin an escape; if keys are not URL-encoded, add \
                 --raw-keys"
                    .to_owned(),
            );
        }
        rest = &rest[at + 3..];
    }
    Ok(Cow::Owned(s3::decode_key(key)))
}

/// Parses a size in bytes: an integer, a decimal fraction, or `2E+10`.
///
/// # Errors
/// It is not such a number.
pub fn parse_size(text: &[u8]) -> Result<u64, String> {
    let wrong = || {
        let found = String::from_utf8_lossy(text);
        format!("expected a number for Size, found {found:?}")
    };
    let text = std::str::from_utf8(text).map_err(|_| wrong())?;
    if let Ok(size) = text.parse() {
        return Ok(size);
    }
    let number: f64 = text.parse().map_err(|_| wrong())?;
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "it is in range, and a fraction of a byte says nothing"
    )]
    match number {
        number if number >= 0.0 && number < u64::MAX as f64 => Ok(number as u64),
        _ => Err(wrong()),
    }
}

/// Storage classes of S3, which another column of an inventory contains.
const STORAGE_CLASSES: &[&[u8]] = &[
    b"STANDARD",
    b"STANDARD_IA",
    b"ONEZONE_IA",
    b"INTELLIGENT_TIERING",
    b"GLACIER",
    b"GLACIER_IR",
    b"DEEP_ARCHIVE",
    b"REDUCED_REDUNDANCY",
];

/// Parses an `ETag`: any text that cannot be of another column.
///
/// # Errors
/// It is a date, a flag or a storage class.
pub fn parse_etag(text: &[u8]) -> Result<&[u8], String> {
    let is_other = match text {
        b"true" | b"false" => true,
        [b'A'..=b'Z', ..] => STORAGE_CLASSES.contains(&text),
        [_, _, _, _, b'-', ..] => parse_time(text).is_ok(),
        _ => false,
    };
    if is_other {
        let found = String::from_utf8_lossy(text);
        return Err(format!("expected an ETag, found {found:?}"));
    }
    Ok(text)
}

/// Parses a flag; `None` if it is empty.
///
/// # Errors
/// It is neither true nor false.
pub fn parse_flag(column: Column, text: &[u8]) -> Result<Option<bool>, String> {
    match text {
        b"" => Ok(None),
        text if text.eq_ignore_ascii_case(b"true") => Ok(Some(true)),
        text if text.eq_ignore_ascii_case(b"false") => Ok(Some(false)),
        text => Err(format!(
            "expected true or false for {column}, found {:?}",
            String::from_utf8_lossy(text)
        )),
    }
}

/// Parses a time of ISO 8601; without an offset it is UTC, without a time
/// midnight.
///
/// # Errors
/// It is not such a time.
pub fn parse_time(text: &[u8]) -> Result<LastModified<'_>, String> {
    if is_usual(text) {
        return Ok(LastModified::Verbatim(text));
    }
    let wrong = || {
        let found = String::from_utf8_lossy(text);
        format!("expected a date for LastModifiedDate, found {found:?}")
    };
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim_end();
    // A parser would take a second 60 for 59.
    if has_leap_second(text) {
        return Err(wrong());
    }
    if let Ok(stamp) = text.parse() {
        return Ok(LastModified::Instant(stamp));
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().map_err(|_| wrong())?.into(),
    };
    let instant = TimeZone::UTC.to_timestamp(civil);
    instant.map(LastModified::Instant).map_err(|_| wrong())
}

fn has_leap_second(text: &str) -> bool {
    let time = text.split(['T', 't', ' ']).nth(1).unwrap_or_default();
    let clock = time
        .bytes()
        .take_while(|byte| byte.is_ascii_digit() || *byte == b':');
    clock.filter(u8::is_ascii_digit).skip(4).take(2).eq(*b"60")
}

/// Returns whether a time has the form of records and is certainly one.
fn is_usual(text: &[u8]) -> bool {
    s3::is_timestamp(text)
        && (b"01".as_slice()..=b"12".as_slice()).contains(&&text[5..7])
        && (b"01".as_slice()..=b"28".as_slice()).contains(&&text[8..10])
        && (b"00".as_slice()..=b"23".as_slice()).contains(&&text[11..13])
        && matches!(text[14], b'0'..=b'5')
        && matches!(text[17], b'0'..=b'5')
}
