//! The text of a listing's elements, decoded and written as JSON.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{Unreadable, wrong};
use crate::json;

/// How a listing writes keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Plain,
    /// Percent escapes, `+` for a space.
    Url,
}

/// Whether all of a text means itself in XML, in a URL and in JSON. All of it is
/// looked at, since that is one pass of wide registers.
fn is_simple(text: &[u8]) -> bool {
    text.iter().fold(true, |simple, &byte| {
        let is_simple = byte.wrapping_sub(b' ') < 0x7f - b' ';
        simple & is_simple & !matches!(byte, b'"' | b'\\' | b'&' | b'%' | b'+')
    })
}

/// A name as a listing writes it.
pub struct Text<'a> {
    raw: &'a [u8],
    encoding: Encoding,
}

impl<'a> Text<'a> {
    pub fn new(raw: &'a [u8], encoding: Encoding) -> Self {
        Self { raw, encoding }
    }

    /// Appends it to `keys` as UTF-8, and as a JSON string to `lines`.
    pub fn write(&self, keys: &mut Vec<u8>, lines: &mut Vec<u8>) -> Result<(), Unreadable> {
        if is_simple(self.raw) {
            keys.extend_from_slice(self.raw);
            lines.push(b'"');
            lines.extend_from_slice(self.raw);
            lines.push(b'"');
            return Ok(());
        }
        let text = self.decoded()?;
        keys.extend_from_slice(text.as_bytes());
        json::write_str(&text, lines);
        Ok(())
    }

    pub fn owned(&self) -> Result<String, Unreadable> {
        self.decoded().map(Cow::into_owned)
    }

    fn decoded(&self) -> Result<Cow<'a, str>, Unreadable> {
        let plain = unescape(self.raw)?;
        let bytes = match self.encoding {
            Encoding::Plain => plain,
            Encoding::Url => Cow::Owned(decode(&plain)),
        };
        let text = match bytes {
            Cow::Borrowed(bytes) => std::str::from_utf8(bytes).map(Cow::Borrowed).ok(),
            Cow::Owned(bytes) => String::from_utf8(bytes).map(Cow::Owned).ok(),
        };
        text.ok_or_else(|| {
            let raw = String::from_utf8_lossy(self.raw);
            Unreadable::Wrong(format!("the server lists a key that is not UTF-8: {raw}"))
        })
    }
}

/// Percent escapes and `+` resolved; a library's way over an iterator of bytes
/// takes most of the time of a page of other scripts.
fn decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let pair = match behind {
            [high, low, ..] if *first == b'%' => digit(*high).zip(digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = pair {
            decoded.push(high << 4 | low);
            rest = &behind[2..];
        } else if *first == b'+' {
            decoded.push(b' ');
            rest = behind;
        } else {
            let plain = 1 + memchr2(b'%', b'+', behind).unwrap_or(behind.len());
            decoded.extend_from_slice(&rest[..plain]);
            rest = &rest[plain..];
        }
    }
    decoded
}

fn digit(hexadecimal: u8) -> Option<u8> {
    match hexadecimal {
        b'0'..=b'9' => Some(hexadecimal - b'0'),
        b'A'..=b'F' => Some(hexadecimal - b'A' + 10),
        b'a'..=b'f' => Some(hexadecimal - b'a' + 10),
        _ => None,
    }
}

/// Appends an `ETag` without its quotes, as a JSON string.
pub fn write_etag(raw: &[u8], lines: &mut Vec<u8>) -> Result<(), Unreadable> {
    const QUOTE: &[u8] = b"&quot;";
    let inner = raw
        .strip_prefix(QUOTE)
        .and_then(|raw| raw.strip_suffix(QUOTE))
        .filter(|inner| is_simple(inner));
    if let Some(inner) = inner {
        lines.push(b'"');
        lines.extend_from_slice(inner);
        lines.push(b'"');
        return Ok(());
    }
    let etag = Text::new(raw, Encoding::Plain).decoded()?;
    json::write_str(etag.trim_matches('"'), lines);
    Ok(())
}

/// Appends a time as RFC 3339 in UTC with milliseconds.
pub fn write_time(raw: &[u8], lines: &mut Vec<u8>) -> Result<(), Unreadable> {
    const FORM: &[u8; 24] = b"0000-00-00T00:00:00.000Z";
    let usual = raw.len() == FORM.len()
        && raw.iter().zip(FORM).fold(true, |usual, (byte, form)| {
            usual & ((byte == form) | ((*form == b'0') & byte.is_ascii_digit()))
        });
    if usual {
        lines.extend_from_slice(raw);
        return Ok(());
    }
    let time = std::str::from_utf8(raw)
        .ok()
        .and_then(|text| text.trim().parse().ok());
    let time: jiff::Timestamp = time.ok_or_else(|| wrong("a time", raw))?;
    lines.extend_from_slice(format!("{time:.3}").as_bytes());
    Ok(())
}

/// XML's references resolved.
fn unescape(raw: &[u8]) -> Result<Cow<'_, [u8]>, Unreadable> {
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
