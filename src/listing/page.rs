//! Parses a page of a listing from S3's XML straight into record lines.
//!
//! The document is scanned once, as it arrives. Only the lines and the decoded keys are
//! kept: a key costs a fraction of a microsecond, and a page little more memory than its
//! lines.

mod parser;
mod text;
mod xml;

use std::borrow::Cow;
use std::ops::Range;

use self::text::XmlText;
use self::xml::{Scanner, Tag};
use super::{Continuation, ResponseKeys};
use crate::record::line::{ListedRecord, RecordPrefix};

pub use self::parser::PageParser;
pub use self::text::Encoding;

/// Why a document is not a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PageError {
    /// Another document, such as an error.
    NotAListing,
    /// It ends, or contradicts itself, before it is complete.
    Incomplete,
    /// It says that it has so many keys and prefixes, and has so many.
    Count(u64, u64),
    /// Its keys are encoded in another way than expected; this one.
    Encoding(Encoding),
    /// An invalid element, with the message for the user.
    Invalid(String),
}

/// One complete response.
#[derive(Debug, Default)]
pub struct Page {
    /// The decoded keys, concatenated.
    keys: Vec<u8>,
    /// The lines of the records, each with its newline.
    lines: Vec<u8>,
    /// The ends of each key in `keys` and of its line in `lines`.
    ends: Vec<(u32, u32)>,
    /// The index of the first key that is not after the one before it.
    unordered: Option<usize>,
    /// Common prefixes, decoded.
    pub prefixes: Vec<String>,
    /// Values that could not be read: every such key, and one example per member.
    pub oddities: Vec<Oddity>,
    /// The number of keys that could not be read.
    skipped: u64,
    truncated: bool,
    token: Option<String>,
}

/// A listed value that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// The key of an object, as it came; the object is left out.
    Key(String),
    /// A member that records lack, and an example of its value.
    Member(&'static str, String),
}

impl Page {
    /// Parses the rest of a `Contents` element, and adds its key and its line.
    fn parse_object(
        &mut self,
        scanner: &mut Scanner<'_>,
        encoding: Encoding,
        prefix: &RecordPrefix,
        is_declared: bool,
    ) -> Result<(), PageError> {
        // Tries S3's order first, which is fast, and then looks at the names.
        let mut key = scanner.element(b"Key");
        let mut time = scanner.element(b"LastModified");
        let mut etag = scanner.element(b"ETag");
        let mut size = scanner.element(b"Size");
        scanner.element(b"StorageClass");
        while !scanner.passed(b"</Contents>") {
            let name = match scanner.tag()? {
                Tag::Open(name) => name,
                Tag::Empty(_) => continue,
                Tag::Close => break,
            };
            match name {
                b"Key" => key = Some(scanner.text(name)?),
                b"ETag" => etag = Some(scanner.text(name)?),
                b"Size" => size = Some(scanner.text(name)?),
                b"LastModified" => time = Some(scanner.text(name)?),
                _ => scanner.skip()?,
            }
        }
        let key = key.ok_or_else(without_key)?;
        let raw = key;
        let key = match XmlText::new(raw, encoding).parse() {
            Ok(key) => key,
            Err(PageError::Invalid(_)) if is_declared => {
                let raw = String::from_utf8_lossy(raw).into_owned();
                self.oddities.push(Oddity::Key(raw));
                self.skipped += 1;
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let start = self.keys.len();
        self.keys.extend_from_slice(key.as_bytes());
        if let Some(before) = self.ends.len().checked_sub(1)
            && self.keys[start..] <= *self.key_bytes(before)
        {
            self.unordered.get_or_insert(before + 1);
        }
        let etag = self.member("etag", etag, |etag| text::parse_etag(etag).ok());
        let size = self.member("size", size, number);
        let last_modified = self.member("last_modified", time, text::parse_time);
        prefix.write(&mut self.lines);
        ListedRecord {
            key,
            etag,
            size,
            last_modified,
            version_id: None,
            is_latest: None,
            is_delete_marker: false,
        }
        .write(&mut self.lines);
        let end = |length| {
            u32::try_from(length)
                .map_err(|_| PageError::Invalid("the server lists a page of 4 GiB".to_owned()))
        };
        let ends = (end(self.keys.len())?, end(self.lines.len())?);
        self.ends.push(ends);
        Ok(())
    }

    /// Returns the value of a member; keeps an example if it cannot be read.
    #[inline]
    fn member<'a, T>(
        &mut self,
        name: &'static str,
        raw: Option<&'a [u8]>,
        read: impl FnOnce(&'a [u8]) -> Option<T>,
    ) -> Option<T> {
        let raw = raw?;
        let value = read(raw);
        if value.is_none() {
            self.note_unreadable(name, raw);
        }
        value
    }

    #[cold]
    fn note_unreadable(&mut self, name: &'static str, raw: &[u8]) {
        let is_same = |other: &Oddity| matches!(other, Oddity::Member(other, _) if *other == name);
        if !self.oddities.iter().any(is_same) {
            let raw = String::from_utf8_lossy(raw).into_owned();
            self.oddities.push(Oddity::Member(name, raw));
        }
    }

    /// Parses the rest of a `CommonPrefixes` element.
    fn parse_prefix(
        &mut self,
        scanner: &mut Scanner<'_>,
        encoding: Encoding,
    ) -> Result<(), PageError> {
        let mut prefix = None;
        loop {
            match scanner.tag()? {
                Tag::Open(name @ b"Prefix") => {
                    prefix = Some(XmlText::new(scanner.text(name)?, encoding).owned()?);
                }
                Tag::Open(_) => scanner.skip()?,
                Tag::Empty(_) => {}
                Tag::Close => break,
            }
        }
        self.prefixes.extend(prefix);
        Ok(())
    }

    /// Returns a key as UTF-8.
    fn key_bytes(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |at| self.ends[at].0 as usize);
        &self.keys[start..self.ends[at].0 as usize]
    }

    /// Returns a key or common prefix that does not begin with `prefix`.
    pub fn foreign(&self, prefix: &str) -> Option<Cow<'_, str>> {
        let last = self.ends.len().saturating_sub(1);
        // In sorted keys, all between two that begin with the prefix do so too.
        let step = match self.unordered {
            None => last.max(1),
            Some(_) => 1,
        };
        let keys = (0..self.ends.len()).step_by(step).map(|at| self.key(at));
        let names = self
            .prefixes
            .iter()
            .map(|name| Cow::Borrowed(name.as_str()));
        keys.chain(names).find(|name| !name.starts_with(prefix))
    }

    /// Returns whether more pages follow. A page with a continuation token is not believed
    /// to be the last, unless it is empty.
    pub fn next(&self) -> Continuation {
        let is_empty = self.ends.is_empty() && self.prefixes.is_empty();
        if self.truncated || self.token.is_some() && !is_empty {
            Continuation::More(self.token.clone())
        } else {
            Continuation::End
        }
    }

    /// Returns the lines of the records in `of`.
    pub fn into_lines(mut self, of: &Range<usize>) -> Vec<u8> {
        let start = |at: usize| at.checked_sub(1).map_or(0, |at| self.ends[at].1 as usize);
        let (start, end) = (start(of.start), start(of.end));
        self.lines.truncate(end);
        self.lines.drain(..start);
        self.lines
    }
}

impl ResponseKeys for Page {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn key(&self, at: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.key_bytes(at))
    }

    fn unordered(&self) -> Option<usize> {
        self.unordered
    }
}

fn without_key() -> PageError {
    PageError::Invalid("the server lists an object without a key".to_owned())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn wrong(what: &str, text: &[u8]) -> PageError {
    let text = String::from_utf8_lossy(text);
    PageError::Invalid(format!(
        "the server lists {what} that cannot be read: {text}"
    ))
}

/// Returns the text of the first element `name` of an XML document, such as the code of an
/// error.
pub fn find_text(document: &[u8], name: &str) -> Option<String> {
    let mut scanner = Scanner::new(document);
    loop {
        if let Tag::Open(open) = scanner.tag().ok()?
            && open == name.as_bytes()
        {
            let text = scanner.text(open).ok()?;
            return XmlText::new(text, Encoding::Plain).owned().ok();
        }
    }
}

#[cfg(test)]
mod tests;
