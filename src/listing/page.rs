//! Parses a page of a listing from S3's XML straight into record lines.
//!
//! The document is scanned once, as it arrives. Only the lines and the decoded keys are
//! kept: a key costs a fraction of a microsecond, and a page little more memory than its
//! lines.

mod text;
mod xml;

use std::borrow::Cow;
use std::ops::Range;

use self::text::XmlText;
use self::xml::{Scanner, Tag};
use super::{Continuation, ResponseKeys};
use crate::record::line::{ListedRecord, RecordPrefix};

pub use self::text::Encoding;

/// Why a document is not a page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParseError {
    /// Another document, such as an error.
    NotAListing,
    /// It ends, or contradicts itself, before it is complete.
    Incomplete,
    /// Its keys are encoded in another way than expected; this one.
    Encoding(Encoding),
    /// An invalid element, with the message for the user.
    Invalid(String),
}

/// One complete response.
#[derive(Debug, Default)]
pub struct Page {
    /// Decoded UTF-8, concatenated.
    keys: Vec<u8>,
    lines: Vec<u8>,
    /// The ends of each key and each line.
    ends: Vec<(u32, u32)>,
    /// The first key that is not after the one before it.
    unordered: Option<usize>,
    /// Common prefixes, decoded.
    pub prefixes: Vec<String>,
    /// What could not be read and was left out, one of each kind, and every key.
    pub oddities: Vec<Oddity>,
    /// Keys that were left out.
    skipped: u64,
    truncated: bool,
    token: Option<String>,
}

/// A value that a server lists, and that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Oddity {
    /// The object has no record; this is its key as it came.
    Key(String),
    /// The record lacks this member; an example of its value.
    Member(&'static str, String),
}

/// The usual size of an object's element, in bytes.
const OBJECT_BYTES: usize = 512;
/// The maximum lengths of an element and of a page in bytes: a key has at most 1024, and a
/// page at most 1000 of them.
const LONGEST_ELEMENT: usize = 1 << 20;
const LONGEST_PAGE: usize = 16 << 20;

/// Parses a page from pieces of a document.
#[derive(Debug)]
pub struct PageParser {
    prefix: RecordPrefix,
    encoding: Encoding,
    page: Page,
    /// Bytes received so far.
    length: usize,
    /// Received bytes that are not scanned yet.
    buffer: Vec<u8>,
    state: ParserState,
    declared: Encoding,
    truncated: Option<bool>,
    key_count: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ParserState {
    Start,
    Inside,
    End,
}

impl PageParser {
    /// Starts a document of about `expected` bytes. `encoding` is assumed until the
    /// document declares one: some servers do so after the keys.
    pub fn new(prefix: &RecordPrefix, encoding: Encoding, expected: usize) -> Self {
        Self {
            prefix: prefix.clone(),
            encoding,
            page: Page {
                keys: Vec::with_capacity(expected / 3),
                lines: Vec::with_capacity(expected / 4 * 3),
                ..Page::default()
            },
            length: 0,
            buffer: Vec::new(),
            state: ParserState::Start,
            declared: Encoding::Plain,
            truncated: None,
            key_count: None,
        }
    }

    /// Scans the next piece of the document.
    ///
    /// # Errors
    /// The document is not a page.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), ParseError> {
        self.length += bytes.len();
        if self.length > LONGEST_PAGE {
            return Err(too_long("a page", LONGEST_PAGE));
        }
        // An element that spans two pieces is put together in `buffer`; all others are
        // scanned in place.
        while !self.buffer.is_empty() && !bytes.is_empty() {
            let mut buffer = std::mem::take(&mut self.buffer);
            // Each scan begins anew, so a long element is scanned at twice the length.
            let most = OBJECT_BYTES.max(buffer.len());
            let (more, after) = bytes.split_at(bytes.len().min(most));
            buffer.extend_from_slice(more);
            let left = self.scan_elements(&buffer)?;
            if left <= more.len() {
                bytes = &bytes[more.len() - left..];
            } else {
                buffer.drain(..buffer.len() - left);
                self.buffer = buffer;
                bytes = after;
            }
            if self.buffer.len() > LONGEST_ELEMENT {
                return Err(too_long("an element", LONGEST_ELEMENT));
            }
        }
        let left = self.scan_elements(bytes)?;
        self.buffer.extend_from_slice(&bytes[bytes.len() - left..]);
        Ok(())
    }

    /// Scans all complete elements and returns how many bytes are left.
    fn scan_elements(&mut self, bytes: &[u8]) -> Result<usize, ParseError> {
        let mut scanner = Scanner::new(bytes);
        loop {
            let left = scanner.left();
            match self.scan_element(&mut scanner) {
                Ok(()) => {}
                // The rest of the element has not arrived yet.
                Err(ParseError::Incomplete) => return Ok(left),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the page of a complete document.
    ///
    /// # Errors
    /// The document is incomplete, or uses another encoding than expected.
    pub fn finish(mut self) -> Result<Page, ParseError> {
        if self.state != ParserState::End {
            return Err(ParseError::Incomplete);
        }
        // A body without a length may be cut anywhere without an error.
        let keys = self.page.ends.len() as u64 + self.page.skipped;
        let got = keys + self.page.prefixes.len() as u64;
        // Some servers count only the keys.
        if self
            .key_count
            .is_some_and(|key_count| key_count != got && key_count != keys)
        {
            return Err(ParseError::Incomplete);
        }
        if self.declared != self.encoding && got > 0 {
            return Err(ParseError::Encoding(self.declared));
        }
        self.page.truncated = self.truncated.ok_or(ParseError::Incomplete)?;
        Ok(self.page)
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
        let is_declared = self.declared == self.encoding;
        let read = self
            .page
            .object(scanner, self.encoding, &self.prefix, is_declared);
        read.map_err(|error| self.or_unexpected_encoding(error))
    }

    /// Returns a failure to decode a key as an encoding that the server did not declare.
    fn or_unexpected_encoding(&self, error: ParseError) -> ParseError {
        match error {
            ParseError::Invalid(_) if self.declared != self.encoding => {
                ParseError::Encoding(self.declared)
            }
            error => error,
        }
    }

    /// Scans one complete element.
    fn scan_element(&mut self, scanner: &mut Scanner<'_>) -> Result<(), ParseError> {
        if self.state == ParserState::Inside && scanner.passed(b"<Contents>") {
            return self.object(scanner);
        }
        if self.state == ParserState::Start {
            if scanner.root()? != b"ListBucketResult" {
                return Err(ParseError::NotAListing);
            }
            self.state = ParserState::Inside;
            return Ok(());
        }
        let name = match scanner.tag()? {
            Tag::Open(name) => name,
            Tag::Empty(b"Contents") => return Err(without_key()),
            Tag::Empty(_) => return Ok(()),
            Tag::Close => {
                self.state = ParserState::End;
                return Ok(());
            }
        };
        match name {
            b"Contents" => self.object(scanner),
            b"CommonPrefixes" => {
                let read = self.page.prefix(scanner, self.encoding);
                read.map_err(|error| self.or_unexpected_encoding(error))
            }
            b"EncodingType" => {
                if scanner.text(name)? == b"url" {
                    self.declared = Encoding::Url;
                }
                Ok(())
            }
            b"IsTruncated" => {
                let text = scanner.text(name)?;
                // Anything else taken for `false` would lose the rest of the listing.
                self.truncated = Some(match text.trim_ascii() {
                    b"1" => true,
                    b"0" => false,
                    text if text.eq_ignore_ascii_case(b"true") => true,
                    text if text.eq_ignore_ascii_case(b"false") => false,
                    text => return Err(wrong("IsTruncated", text)),
                });
                Ok(())
            }
            b"KeyCount" => {
                self.key_count = number(scanner.text(name)?);
                Ok(())
            }
            b"NextContinuationToken" => {
                let token = XmlText::new(scanner.text(name)?, Encoding::Plain).owned()?;
                self.page.token = Some(token).filter(|token| !token.is_empty());
                Ok(())
            }
            _ => scanner.skip(),
        }
    }
}

impl Page {
    fn object(
        &mut self,
        scanner: &mut Scanner<'_>,
        encoding: Encoding,
        prefix: &RecordPrefix,
        is_declared: bool,
    ) -> Result<(), ParseError> {
        // S3's order first, which is fast; otherwise by name.
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
            Err(ParseError::Invalid(_)) if is_declared => {
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
            && self.keys[start..] <= *self.bytes(before)
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
                .map_err(|_| ParseError::Invalid("the server lists a page of 4 GiB".to_owned()))
        };
        let ends = (end(self.keys.len())?, end(self.lines.len())?);
        self.ends.push(ends);
        Ok(())
    }

    /// Returns the value of a member, and notes one that cannot be read.
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
            self.note(name, raw);
        }
        value
    }

    #[cold]
    fn note(&mut self, name: &'static str, raw: &[u8]) {
        let is_same = |other: &Oddity| matches!(other, Oddity::Member(other, _) if *other == name);
        if !self.oddities.iter().any(is_same) {
            let raw = String::from_utf8_lossy(raw).into_owned();
            self.oddities.push(Oddity::Member(name, raw));
        }
    }

    fn prefix(&mut self, scanner: &mut Scanner<'_>, encoding: Encoding) -> Result<(), ParseError> {
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
    fn bytes(&self, at: usize) -> &[u8] {
        let start = at.checked_sub(1).map_or(0, |at| self.ends[at].0 as usize);
        &self.keys[start..self.ends[at].0 as usize]
    }

    /// Returns a key or common prefix that does not begin with `prefix`.
    pub fn foreign(&self, prefix: &str) -> Option<Cow<'_, str>> {
        let last = self.ends.len().saturating_sub(1);
        // All keys between two that begin with it do so too.
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
        String::from_utf8_lossy(self.bytes(at))
    }

    fn unordered(&self) -> Option<usize> {
        self.unordered
    }
}

fn too_long(what: &str, most: usize) -> ParseError {
    let most = most >> 20;
    ParseError::Invalid(format!(
        "the server lists {what} of more than {most} MiB; is it an S3 server?"
    ))
}

fn without_key() -> ParseError {
    ParseError::Invalid("the server lists an object without a key".to_owned())
}

fn number(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

fn wrong(what: &str, text: &[u8]) -> ParseError {
    let text = String::from_utf8_lossy(text);
    ParseError::Invalid(format!(
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
