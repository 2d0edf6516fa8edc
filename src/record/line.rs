//! Writes the line of a record.
//!
//! Members in this order: `bucket`, `key`, `etag`, `size` (bytes),
//! `last_modified` (RFC 3339 in UTC), `version_id`, `is_latest`,
//! `is_delete_marker`; after a download, `build`. All go straight into the
//! output: a listing writes a million lines per second.

use std::borrow::Cow;
use std::str::Utf8Error;
use std::sync::Arc;

use super::object::Object;
use super::s3;
use crate::json::{self, Members};

/// The start of the lines of all records of a bucket.
#[derive(Debug, Clone)]
pub struct RecordPrefix(Arc<[u8]>);

impl RecordPrefix {
    pub fn new(bucket: &str) -> Self {
        let mut prefix = Vec::new();
        write_bucket(&RecordText::Text(bucket.into()), &mut prefix);
        Self(prefix.into())
    }

    /// Begins a line; its [`ListedRecord`] follows.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.0);
    }
}

/// Begins a line; its [`ListedRecord`] follows.
pub fn write_bucket(bucket: &RecordText<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"bucket\":");
    bucket.write(out);
}

/// A string of a record.
#[derive(Debug)]
pub enum RecordText<'a> {
    /// Printable ASCII without quotes and backslashes: it needs no escapes.
    Plain(&'a [u8]),
    Text(Cow<'a, str>),
}

impl<'a> RecordText<'a> {
    /// Parses UTF-8.
    ///
    /// # Errors
    /// The bytes are not UTF-8.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Utf8Error> {
        // A loop over all bytes without branches compiles to vector instructions.
        let is_plain = bytes.iter().fold(true, |plain, byte| {
            let is_printable = byte.wrapping_sub(b' ') < 0x7f - b' ';
            plain & is_printable & !matches!(byte, b'"' | b'\\')
        });
        if is_plain {
            return Ok(Self::Plain(bytes));
        }
        std::str::from_utf8(bytes).map(|text| Self::Text(text.into()))
    }

    /// Returns it as an `ETag` of a record, without quotes around it.
    pub fn unquote(self) -> Self {
        match self {
            Self::Text(etag) => Self::Text(s3::unquote(etag)),
            plain @ Self::Plain(_) => plain,
        }
    }

    /// Returns it as UTF-8.
    pub fn as_bytes(&self) -> &[u8] {
        match self {
            Self::Plain(bytes) => bytes,
            Self::Text(text) => text.as_bytes(),
        }
    }

    /// Returns whether the string is empty.
    pub fn is_empty(&self) -> bool {
        self.as_bytes().is_empty()
    }

    #[inline]
    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Plain(bytes) => {
                out.push(b'"');
                out.extend_from_slice(bytes);
                out.push(b'"');
            }
            Self::Text(text) => json::write_str(text, out),
        }
    }
}

/// When an object was last modified.
#[derive(Debug, Clone, Copy)]
pub enum LastModified<'a> {
    /// In the form of records, see [`s3::is_timestamp`].
    Verbatim(&'a [u8]),
    Instant(jiff::Timestamp),
}

/// What a listing says of an object, apart from its bucket.
#[derive(Debug)]
pub struct ListedRecord<'a> {
    pub key: RecordText<'a>,
    /// Without quotes.
    pub etag: Option<RecordText<'a>>,
    /// Bytes.
    pub size: Option<u64>,
    pub last_modified: Option<LastModified<'a>>,
    pub version_id: Option<RecordText<'a>>,
    pub is_latest: Option<bool>,
    pub is_delete_marker: bool,
}

impl ListedRecord<'_> {
    /// Ends a line that begins with a bucket.
    #[inline]
    /// Begins a line; its [`ListedRecord`] follows.
    pub fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b",\"key\":");
        self.key.write(out);
        if let Some(etag) = &self.etag {
            out.extend_from_slice(b",\"etag\":");
            etag.write(out);
        }
        if let Some(size) = self.size {
            out.extend_from_slice(b",\"size\":");
            out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
        }
        if let Some(time) = &self.last_modified {
            out.extend_from_slice(b",\"last_modified\":\"");
            match time {
                LastModified::Verbatim(text) => out.extend_from_slice(text),
                LastModified::Instant(instant) => {
                    out.extend_from_slice(format!("{instant:.3}").as_bytes());
                }
            }
            out.push(b'"');
        }
        if let Some(version) = &self.version_id {
            out.extend_from_slice(b",\"version_id\":");
            version.write(out);
        }
        if let Some(is_latest) = self.is_latest {
            out.extend_from_slice(b",\"is_latest\":");
            out.extend_from_slice(if is_latest { b"true" } else { b"false" });
        }
        if self.is_delete_marker {
            out.extend_from_slice(b",\"is_delete_marker\":true");
        }
        out.extend_from_slice(b"}\n");
    }
}

/// The line of a fetched record, without the values that the download returns.
#[derive(Debug, Default)]
pub struct FetchedRecord {
    text: Vec<u8>,
    /// The positions in `text` where a value of the download is to be inserted.
    gaps: Vec<(usize, Gap)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Etag,
    Size,
}

impl FetchedRecord {
    /// Copies the members of a line, and changes the names of another tool to ours. `bucket`
    /// is for a line that names none.
    pub fn new(line: &[u8], members: &Members<'_>, object: &Object<'_>, bucket: &str) -> Self {
        let mut record = Self {
            text: b"{".to_vec(),
            gaps: Vec::with_capacity(2),
        };
        if object.foreign || object.bucket.is_none() {
            let bucket = object.bucket.as_deref().unwrap_or(bucket);
            write_member("bucket", bucket, &mut record.text);
        }
        if object.foreign {
            write_member("key", &object.key, &mut record.text);
        }
        for member in members {
            match (member.name.raw(), object.foreign) {
                (b"build" | b"error", _)
                | (
                    b"Key" | b"Bucket" | b"key" | b"Path" | b"ETag" | b"etag" | b"Size" | b"size",
                    true,
                ) => continue,
                (b"etag", false) => {
                    record.leave(Gap::Etag);
                    continue;
                }
                (b"size", false) => {
                    record.leave(Gap::Size);
                    continue;
                }
                (b"LastModified" | b"ModTime", true) => {
                    record.text.extend_from_slice(b"\"last_modified\":");
                    record.text.extend_from_slice(member.value);
                }
                (name, true) => {
                    record.text.push(b'"');
                    record.text.extend_from_slice(name);
                    record.text.extend_from_slice(b"\":");
                    record.text.extend_from_slice(member.value);
                }
                (_, false) => {
                    let member = &line[member.start..member.end];
                    record.text.extend_from_slice(member);
                }
            }
            record.text.push(b',');
        }
        for gap in [Gap::Etag, Gap::Size] {
            if !record.gaps.iter().any(|(_, left)| *left == gap) {
                record.leave(gap);
            }
        }
        record
    }

    fn leave(&mut self, gap: Gap) {
        self.gaps.push((self.text.len(), gap));
    }

    /// Appends the line. `etag` is without quotes, `size` in bytes, `build` a
    /// JSON object without line breaks.
    pub fn write(&self, etag: &str, size: u64, build: &[u8], out: &mut Vec<u8>) {
        let mut written = 0;
        for (at, gap) in &self.gaps {
            out.extend_from_slice(&self.text[written..*at]);
            written = *at;
            match gap {
                Gap::Etag => write_member("etag", etag, out),
                Gap::Size => {
                    out.extend_from_slice(b"\"size\":");
                    out.extend_from_slice(itoa::Buffer::new().format(size).as_bytes());
                    out.push(b',');
                }
            }
        }
        out.extend_from_slice(&self.text[written..]);
        out.extend_from_slice(b"\"build\":");
        out.extend_from_slice(build);
        out.extend_from_slice(b"}\n");
    }
}

fn write_member(name: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    json::write_str(text, out);
    out.push(b',');
}
