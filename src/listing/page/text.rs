//! Decodes the text of a listing's elements.

use std::borrow::Cow;

use jiff::fmt::rfc2822;
use memchr::memchr;

use super::{PageError, wrong};
use crate::record::line::{LastModified, RecordText};
use crate::record::s3;

/// How a server encodes keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    /// Percent escapes, `+` for a space.
    Url,
}

/// Returns whether a text needs no decoding or escaping in XML, URLs and JSON. It reads all
/// of it, which compiles to vector instructions.
fn is_simple(text: &[u8]) -> bool {
    text.iter().fold(true, |simple, &byte| {
        let is_simple = byte.wrapping_sub(b' ') < 0x7f - b' ';
        simple & is_simple & !matches!(byte, b'"' | b'\\' | b'&' | b'%' | b'+')
    })
}

/// A name as a server encodes it.
pub struct XmlText<'a> {
    raw: &'a [u8],
    encoding: Encoding,
}

impl<'a> XmlText<'a> {
    pub fn new(raw: &'a [u8], encoding: Encoding) -> Self {
        Self { raw, encoding }
    }

    /// Returns it decoded, as a string of a record.
    pub fn parse(&self) -> Result<RecordText<'a>, PageError> {
        if is_simple(self.raw) {
            return Ok(RecordText::Plain(self.raw));
        }
        self.decoded().map(RecordText::Text)
    }

    /// Returns it decoded.
    pub fn owned(&self) -> Result<String, PageError> {
        self.decoded().map(Cow::into_owned)
    }

    fn decoded(&self) -> Result<Cow<'a, str>, PageError> {
        let plain = unescape(self.raw)?;
        let bytes = match self.encoding {
            Encoding::Plain => plain,
            Encoding::Url => Cow::Owned(s3::decode_key(&plain)),
        };
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
        };
        text.ok_or_else(|| {
            let raw = String::from_utf8_lossy(self.raw);
            PageError::Invalid(format!("the server lists a key that is not UTF-8: {raw}"))
        })
    }
}

/// Returns an `ETag` without its quotes.
pub fn parse_etag(raw: &[u8]) -> Result<RecordText<'_>, PageError> {
    const QUOTE: &[u8] = b"&quot;";
    let inner = raw
        .strip_prefix(QUOTE)
        .and_then(|raw| raw.strip_suffix(QUOTE))
        .filter(|inner| is_simple(inner));
    if let Some(inner) = inner {
        return Ok(RecordText::Plain(inner));
    }
    let etag = XmlText::new(raw, Encoding::Plain).parse()?;
    Ok(etag.unquote())
}

/// Returns a time of any offset and precision, or one as HTTP writes it.
pub fn parse_time(raw: &[u8]) -> Option<LastModified<'_>> {
    if s3::is_timestamp(raw) {
        return Some(LastModified::Verbatim(raw));
    }
    let text = std::str::from_utf8(raw).ok()?.trim();
    let time = text.parse().ok();
    let time = time.or_else(|| Some(rfc2822::parse(text).ok()?.timestamp()));
    time.map(LastModified::Instant)
}

/// Resolves XML's references.
fn unescape(raw: &[u8]) -> Result<Cow<'_, [u8]>, PageError> {
    let Some(first) = memchr(b'&', raw) else {
        return Ok(Cow::Borrowed(raw));
    };
    let mut text = raw[..first].to_vec();
    let mut rest = &raw[first..];
    while let Some(at) = memchr(b'&', rest) {
        text.extend_from_slice(&rest[..at]);
        let end = memchr(b';', &rest[at..]).ok_or_else(|| wrong("a reference", rest))? + at;
        let meant = reference(&rest[at + 1..end]).ok_or_else(|| wrong("a reference", rest))?;
        text.extend_from_slice(meant.encode_utf8(&mut [0; 4]).as_bytes());
        rest = &rest[end + 1..];
    }
    text.extend_from_slice(rest);
    Ok(Cow::Owned(text))
}

fn reference(name: &[u8]) -> Option<char> {
    match name {
        b"amp" => Some('&'),
        b"lt" => Some('<'),
        b"gt" => Some('>'),
        b"quot" => Some('"'),
        b"apos" => Some('\''),
        [b'#', b'x' | b'X', digits @ ..] => {
            let digits = std::str::from_utf8(digits).ok()?;
            char::from_u32(u32::from_str_radix(digits, 16).ok()?)
        }
        [b'#', digits @ ..] => char::from_u32(std::str::from_utf8(digits).ok()?.parse().ok()?),
        _ => None,
    }
}
