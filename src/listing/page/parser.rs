//! Parses a page from pieces of a document.

use super::text::XmlText;
use super::xml::{Scanner, Tag};
use super::{Encoding, Page, PageError, number, without_key, wrong};
use crate::limits::{LISTING_ELEMENT, LISTING_PAGE};
use crate::record::line::RecordPrefix;

/// The usual size of an object's element, in bytes.
const OBJECT_BYTES: usize = 512;
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
    pub fn feed(&mut self, mut bytes: &[u8]) -> Result<(), PageError> {
        self.length += bytes.len();
        if self.length > LISTING_PAGE {
            return Err(too_long("a page", LISTING_PAGE));
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
            if self.buffer.len() > LISTING_ELEMENT {
                return Err(too_long("an element", LISTING_ELEMENT));
            }
        }
        let left = self.scan_elements(bytes)?;
        self.buffer.extend_from_slice(&bytes[bytes.len() - left..]);
        Ok(())
    }

    /// Scans all complete elements and returns how many bytes are left.
    fn scan_elements(&mut self, bytes: &[u8]) -> Result<usize, PageError> {
        let mut scanner = Scanner::new(bytes);
        loop {
            let left = scanner.left();
            match self.scan_element(&mut scanner) {
                Ok(()) => {}
                // The rest of the element has not arrived yet.
                Err(PageError::Incomplete) => return Ok(left),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the page of a complete document.
    ///
    /// # Errors
    /// The document is incomplete, or uses another encoding than expected.
    pub fn finish(mut self) -> Result<Page, PageError> {
        if self.state != ParserState::End {
            return Err(PageError::Incomplete);
        }
        // A body without a length may be cut anywhere without an error.
        let keys = self.page.ends.len() as u64 + self.page.skipped;
        let got = keys + self.page.prefixes.len() as u64;
        // Some servers count only the keys.
        if let Some(said) = self.key_count
            && said != got
            && said != keys
        {
            return Err(PageError::Count(said, got));
        }
        if self.declared != self.encoding && got > 0 {
            return Err(PageError::Encoding(self.declared));
        }
        self.page.truncated = self.truncated.ok_or(PageError::Incomplete)?;
        Ok(self.page)
    }

    fn object(&mut self, scanner: &mut Scanner<'_>) -> Result<(), PageError> {
        let is_declared = self.declared == self.encoding;
        let read = self
            .page
            .parse_object(scanner, self.encoding, &self.prefix, is_declared);
        read.map_err(|error| self.or_unexpected_encoding(error))
    }

    /// Returns a failure to decode a key as an encoding that the server did not declare.
    fn or_unexpected_encoding(&self, error: PageError) -> PageError {
        match error {
            PageError::Invalid(_) if self.declared != self.encoding => {
                PageError::Encoding(self.declared)
            }
            error => error,
        }
    }

    /// Scans one complete element.
    fn scan_element(&mut self, scanner: &mut Scanner<'_>) -> Result<(), PageError> {
        if self.state == ParserState::Inside && scanner.passed(b"<Contents>") {
            return self.object(scanner);
        }
        if self.state == ParserState::Start {
            if scanner.root()? != b"ListBucketResult" {
                return Err(PageError::NotAListing);
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
                let read = self.page.parse_prefix(scanner, self.encoding);
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

fn too_long(what: &str, most: usize) -> PageError {
    let most = most >> 20;
    PageError::Invalid(format!(
        "the server lists {what} of more than {most} MiB; is it an S3 server?"
    ))
}
