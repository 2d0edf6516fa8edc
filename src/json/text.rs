//! String tokens and their values.

use std::borrow::Cow;
use std::cmp::Ordering;

use super::escape::parse_unit;

/// What a token contains; later variants take more work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Printable ASCII.
    Plain,
    /// No escape, but DEL or characters outside ASCII.
    Wide,
    /// At least one escape.
    Escaped,
}

/// A JSON string; its token is borrowed from the text. Strings are compared by the characters
/// that they represent (by code point, including lone surrogates), not by how they are written.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a> {
    raw: &'a str,
    shape: Shape,
}

/// A string has half a surrogate pair (such as `\ud83d` alone), which is not Unicode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a lone surrogate (\\u{0:04x})")]
pub struct LoneSurrogate(
    /// The surrogate, 0xd800 to 0xdfff.
    pub u16,
);

impl<'a> Text<'a> {
    /// Wraps the bytes between quotes that the lexer has checked.
    #[inline]
    pub(super) fn new(raw: &'a str, shape: Shape) -> Self {
        Text { raw, shape }
    }

    /// Wraps a `text` without escapes.
    pub(crate) fn verbatim(text: &'a str) -> Self {
        Text::new(text, Shape::Wide)
    }

    /// Returns the bytes between the quotes, with escapes as written.
    #[inline]
    pub fn raw(&self) -> &'a [u8] {
        self.raw.as_bytes()
    }

    /// Returns whether it is printable ASCII without escapes, and so represents its own bytes.
    #[inline]
    pub fn is_plain(&self) -> bool {
        self.shape == Shape::Plain
    }

    /// Returns the string, borrowed if it has no escape.
    ///
    /// # Errors
    /// It has a lone surrogate.
    pub fn to_str(self) -> Result<Cow<'a, str>, LoneSurrogate> {
        if self.shape != Shape::Escaped {
            return Ok(Cow::Borrowed(self.raw));
        }
        let mut string = String::with_capacity(self.raw.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => string.push_str(run),
                Piece::Char(char) => string.push(char),
                Piece::Lone(unit) => return Err(LoneSurrogate(unit)),
            }
        }
        Ok(Cow::Owned(string))
    }

    /// Returns the string, with U+FFFD for every lone surrogate.
    pub fn to_string_lossy(self) -> Cow<'a, str> {
        if self.shape != Shape::Escaped {
            return Cow::Borrowed(self.raw);
        }
        let mut string = String::with_capacity(self.raw.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => string.push_str(run),
                Piece::Char(char) => string.push(char),
                Piece::Lone(_) => string.push(char::REPLACEMENT_CHARACTER),
            }
        }
        Cow::Owned(string)
    }

    /// Returns the string in WTF-8: UTF-8, with three bytes for every lone surrogate. Bytes compare
    /// as code points do.
    pub fn to_wtf8(self) -> Cow<'a, [u8]> {
        if self.shape != Shape::Escaped {
            return Cow::Borrowed(self.raw.as_bytes());
        }
        let mut bytes = Vec::with_capacity(self.raw.len());
        for piece in self.pieces() {
            match piece {
                Piece::Run(run) => bytes.extend_from_slice(run.as_bytes()),
                Piece::Char(char) => {
                    bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
                }
                Piece::Lone(unit) => {
                    let [high, low] = unit.to_be_bytes();
                    bytes.push(0xe0 | high >> 4);
                    bytes.push(0x80 | (high & 0xf) << 2 | low >> 6);
                    bytes.push(0x80 | low & 0x3f);
                }
            }
        }
        Cow::Owned(bytes)
    }

    /// Iterates over its runs and escapes; without escapes there is at most one piece.
    #[inline]
    pub(super) fn pieces(&self) -> Pieces<'a> {
        Pieces {
            rest: self.raw,
            escaped: self.shape == Shape::Escaped,
        }
    }
}

impl PartialEq for Text<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Text<'_> {}

impl PartialOrd for Text<'_> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text<'_> {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        if self.shape != Shape::Escaped && other.shape != Shape::Escaped {
            return self.raw.cmp(other.raw);
        }
        self.to_wtf8().cmp(&other.to_wtf8())
    }
}

impl PartialEq<str> for Text<'_> {
    #[inline]
    fn eq(&self, other: &str) -> bool {
        match self.shape {
            Shape::Escaped => *self.to_wtf8() == *other.as_bytes(),
            _ => self.raw == other,
        }
    }
}

/// A part of a string.
pub(super) enum Piece<'a> {
    /// Characters without escapes; never empty.
    Run(&'a str),
    /// The character of an escape, or of two that form a surrogate pair.
    Char(char),
    /// The lone surrogate of an escape.
    Lone(u16),
}

/// The pieces of a string, in order.
pub(super) struct Pieces<'a> {
    rest: &'a str,
    escaped: bool,
}

impl<'a> Iterator for Pieces<'a> {
    type Item = Piece<'a>;

    fn next(&mut self) -> Option<Piece<'a>> {
        if self.rest.is_empty() {
            return None;
        }
        let bytes = self.rest.as_bytes();
        let end = if self.escaped {
            memchr::memchr(b'\\', bytes).unwrap_or(bytes.len())
        } else {
            bytes.len()
        };
        if end > 0 {
            let (run, rest) = self.rest.split_at(end);
            self.rest = rest;
            return Some(Piece::Run(run));
        }
        let (piece, length) = match bytes.get(1)? {
            b'u' => unit(bytes)?,
            b'b' => (Piece::Char('\x08'), 2),
            b'f' => (Piece::Char('\x0c'), 2),
            b'n' => (Piece::Char('\n'), 2),
            b'r' => (Piece::Char('\r'), 2),
            b't' => (Piece::Char('\t'), 2),
            &other => (Piece::Char(char::from(other)), 2),
        };
        self.rest = &self.rest[length..];
        Some(piece)
    }
}

/// Decodes the `\u` escape that `bytes` start with, joined with the next one if they form a pair,
/// and returns its length in bytes.
fn unit(bytes: &[u8]) -> Option<(Piece<'static>, usize)> {
    let first = parse_unit(bytes.get(2..)?)?;
    if let Some(char) = char::from_u32(u32::from(first)) {
        return Some((Piece::Char(char), 6));
    }
    let second = bytes.get(6..).and_then(|next| next.strip_prefix(b"\\u"));
    if let Some(second) = second.and_then(parse_unit)
        && let Some(Ok(char)) = char::decode_utf16([first, second]).next()
    {
        return Some((Piece::Char(char), 12));
    }
    Some((Piece::Lone(first), 6))
}
