//! A row of an inventory as the line of a record.

use std::borrow::Cow;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use memchr::{memchr, memchr2};

use super::columns::Column;
use crate::json;

/// What is taken from an inventory, and how.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice {
    /// Keys are taken as they stand; else they are URL-decoded.
    pub raw_keys: bool,
    /// Versions that are not the latest, too.
    pub all_versions: bool,
    /// Delete markers, too.
    pub delete_markers: bool,
}

/// A row, its columns as they stand.
#[derive(Debug, Default)]
pub struct Row<'a> {
    pub bucket: &'a [u8],
    pub key: &'a [u8],
    pub version: Option<&'a [u8]>,
    pub is_latest: Option<bool>,
    pub is_delete_marker: bool,
    pub size: Option<u64>,
    pub modified: Option<Time<'a>>,
    pub etag: Option<&'a [u8]>,
}

/// A moment, written as records have it or to be written so.
#[derive(Debug)]
pub enum Time<'a> {
    /// RFC 3339 in UTC with milliseconds.
    Written(&'a [u8]),
    Stamp(jiff::Timestamp),
}

/// What becomes of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Written,
    /// Left out on purpose; the word to count it by.
    Dropped(&'static str),
}

impl Row<'_> {
    /// Appends the record's line to `out`, all of it or nothing.
    ///
    /// # Errors
    /// What is wrong with the row.
    pub fn write(&self, choice: Choice, out: &mut Vec<u8>) -> Result<Fate, String> {
        if self.is_latest == Some(false) && !choice.all_versions {
            return Ok(Fate::Dropped("old versions"));
        }
        if self.is_delete_marker && !choice.delete_markers {
            return Ok(Fate::Dropped("delete markers"));
        }
        let start = out.len();
        let done = self.members(choice, out);
        if done.is_err() {
            out.truncate(start);
        }
        done.map(|()| Fate::Written)
    }

    fn members(&self, choice: Choice, out: &mut Vec<u8>) -> Result<(), String> {
        out.extend_from_slice(b"{\"bucket\":");
        write_text("Bucket", self.bucket, out)?;
        out.extend_from_slice(b",\"key\":");
        let key = if choice.raw_keys {
            Cow::Borrowed(self.key)
        } else {
            decoded(self.key)?
        };
        write_text("Key", &key, out)?;
        if let Some(etag) = self.etag {
            let bare = etag
                .strip_prefix(b"\"")
                .and_then(|etag| etag.strip_suffix(b"\""));
            let etag = bare.unwrap_or(etag);
            if !etag.is_empty() {
                out.extend_from_slice(b",\"etag\":");
                write_text("ETag", etag, out)?;
            }
        }
        if let Some(size) = self.size {
            out.extend_from_slice(b",\"size\":");
            write_number(size, out);
        }
        if let Some(time) = &self.modified {
            out.extend_from_slice(b",\"last_modified\":\"");
            match time {
                Time::Written(text) => out.extend_from_slice(text),
                Time::Stamp(stamp) => out.extend_from_slice(format!("{stamp:.3}").as_bytes()),
            }
            out.push(b'"');
        }
        if choice.all_versions {
            if let Some(version) = self.version.filter(|version| !version.is_empty()) {
                out.extend_from_slice(b",\"version_id\":");
                write_text("VersionId", version, out)?;
            }
            if let Some(is_latest) = self.is_latest {
                out.extend_from_slice(b",\"is_latest\":");
                out.extend_from_slice(if is_latest { b"true" } else { b"false" });
            }
        }
        if self.is_delete_marker {
            out.extend_from_slice(b",\"is_delete_marker\":true");
        }
        out.extend_from_slice(b"}\n");
        Ok(())
    }
}

#[expect(
    clippy::needless_bitwise_bool,
    reason = "without branches it is done in wide registers"
)]
fn write_text(column: &str, text: &[u8], out: &mut Vec<u8>) -> Result<(), String> {
    if text.is_empty() {
        return Err(format!("{column} is empty"));
    }
    // The whole text is looked at, since that is one pass of wide registers.
    let plain = |plain: bool, byte: &u8| {
        plain & (*byte >= b' ') & (*byte < 0x7f) & (*byte != b'"') & (*byte != b'\\')
    };
    if text.iter().fold(true, plain) {
        out.push(b'"');
        out.extend_from_slice(text);
        out.push(b'"');
        return Ok(());
    }
    let text = std::str::from_utf8(text).map_err(|_| format!("{column} is not UTF-8"))?;
    json::write_str(text, out);
    Ok(())
}

fn write_number(mut number: u64, out: &mut Vec<u8>) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(number % 10).unwrap_or_default();
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// A key as S3 has it, from its URL-encoded form.
fn decoded(key: &[u8]) -> Result<Cow<'_, [u8]>, String> {
    if memchr2(b'%', b'+', key).is_none() {
        return Ok(Cow::Borrowed(key));
    }
    let mut rest = key;
    while let Some(at) = memchr(b'%', rest) {
        let digits = rest.get(at + 1..at + 3);
        if !digits.is_some_and(|digits| digits.iter().all(u8::is_ascii_hexdigit)) {
            return Err(
                "Key has a % that begins no escape: are keys not URL-encoded here? \
                        Then add --raw-keys"
                    .to_owned(),
            );
        }
        rest = &rest[at + 3..];
    }
    let spaced: Vec<u8> = key
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte })
        .collect();
    Ok(Cow::Owned(
        percent_encoding::percent_decode(&spaced).collect(),
    ))
}

/// Bytes, written as an integer, with a fraction, or as `2E+10`.
///
/// # Errors
/// It is no such number.
pub fn size(text: &[u8]) -> Result<u64, String> {
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

/// A flag, `None` where it is empty.
///
/// # Errors
/// It is neither true nor false.
pub fn flag(column: Column, text: &[u8]) -> Result<Option<bool>, String> {
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

/// A moment in ISO 8601; without an offset it is UTC, without a time midnight.
///
/// # Errors
/// It is none.
pub fn time(text: &[u8]) -> Result<Time<'_>, String> {
    if is_usual(text) {
        return Ok(Time::Written(text));
    }
    let wrong = || {
        let found = String::from_utf8_lossy(text);
        format!("expected a date for LastModifiedDate, found {found:?}")
    };
    let text = std::str::from_utf8(text).map_err(|_| wrong())?.trim_end();
    if let Ok(stamp) = text.parse() {
        return Ok(Time::Stamp(stamp));
    }
    let civil = match text.parse::<DateTime>() {
        Ok(civil) => civil,
        Err(_) => text.parse::<Date>().map_err(|_| wrong())?.into(),
    };
    let zoned = civil.to_zoned(TimeZone::UTC).map_err(|_| wrong())?;
    Ok(Time::Stamp(zoned.timestamp()))
}

/// Whether it is written as S3 does, and certainly a date.
fn is_usual(text: &[u8]) -> bool {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let formed = text.len() == FORM.len()
        && text.iter().zip(FORM).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        });
    formed
        && (b"01".as_slice()..=b"12".as_slice()).contains(&&text[5..7])
        && (b"01".as_slice()..=b"28".as_slice()).contains(&&text[8..10])
        && (b"00".as_slice()..=b"23".as_slice()).contains(&&text[11..13])
        && matches!(text[14], b'0'..=b'5')
        && matches!(text[17], b'0'..=b'5')
}
