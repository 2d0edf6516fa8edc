//! Tokens: strings, numbers and white space, as `CPython`'s scanner reads them.

use super::escape::parse_unit;
use super::text::{Shape, Text};
use super::{Number, ParseError};

const ONES: u64 = u64::MAX / 255;
const HIGH: u64 = ONES << 7;

/// A position in a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let bytes = text.as_bytes();
        Lexer { text, bytes, at: 0 }
    }

    /// Returns the byte at this position; at the end 0, which starts no token.
    #[inline]
    pub(super) fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    /// Returns whether the whole text is consumed.
    pub(super) fn at_end(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// Returns the error `message` at this position.
    pub(super) fn fail<T>(&self, message: &'static str) -> Result<T, ParseError> {
        fail(self.at, message)
    }

    #[inline]
    /// Consumes white space.
    pub(super) fn space(&mut self) {
        while matches!(self.peek(), b' ' | b'\n' | b'\r' | b'\t') {
            self.at += 1;
        }
    }

    /// Consumes `word` if it is next.
    #[inline]
    pub(super) fn word(&mut self, word: &str) -> bool {
        let here = self.bytes[self.at..].starts_with(word.as_bytes());
        if here {
            self.at += word.len();
        }
        here
    }

    /// Reads the string whose opening quote is next.
    #[inline]
    pub(super) fn string(&mut self) -> Result<Text<'a>, ParseError> {
        let start = self.at + 1;
        let at = find::<true>(self.bytes, start);
        if self.bytes.get(at) == Some(&b'"') {
            self.at = at + 1;
            return Ok(Text::new(&self.text[start..at], Shape::Plain));
        }
        self.odd_string(start, at)
    }

    /// Reads the rest of a string from `at`, where it is not printable ASCII.
    fn odd_string(&mut self, start: usize, mut at: usize) -> Result<Text<'a>, ParseError> {
        let mut shape = Shape::Wide;
        loop {
            at = find::<false>(self.bytes, at);
            match self.bytes.get(at) {
                Some(b'"') => {
                    self.at = at + 1;
                    return Ok(Text::new(&self.text[start..at], shape));
                }
                Some(b'\\') => {
                    shape = Shape::Escaped;
                    at = escape(self.bytes, at)?;
                }
                Some(_) => return fail(at, "a control character in a string"),
                None => return fail(start - 1, "a string without an end"),
            }
        }
    }

    /// Reads the number that starts here with a digit or a minus sign; `-Infinity` is one.
    #[inline]
    pub(super) fn number(&mut self) -> Result<Number<'a>, ParseError> {
        let start = self.at;
        if self.peek() == b'-' {
            self.at += 1;
        }
        match self.peek() {
            b'0' => self.at += 1,
            b'1'..=b'9' => self.digits(),
            b'I' if self.at > start && self.word("Infinity") => {
                return Ok(Number::new(&self.text[start..self.at], false));
            }
            _ => return self.fail("expected a digit"),
        }
        let whole = self.at;
        if self.peek() == b'.' {
            self.at += 1;
            self.some_digits("expected a digit after the point")?;
        }
        if matches!(self.peek(), b'e' | b'E') {
            self.at += 1;
            if matches!(self.peek(), b'+' | b'-') {
                self.at += 1;
            }
            self.some_digits("expected a digit in the exponent")?;
        }
        Ok(Number::new(&self.text[start..self.at], self.at == whole))
    }

    fn some_digits(&mut self, message: &'static str) -> Result<(), ParseError> {
        if !self.peek().is_ascii_digit() {
            return self.fail(message);
        }
        self.digits();
        Ok(())
    }

    #[inline]
    fn digits(&mut self) {
        while self.peek().is_ascii_digit() {
            self.at += 1;
        }
    }
}

/// Returns the position after the escape that starts at `at`.
fn escape(bytes: &[u8], at: usize) -> Result<usize, ParseError> {
    match bytes.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if parse_unit(&bytes[at + 2..]).is_some() => Ok(at + 6),
        Some(b'u') => fail(at, "expected four hexadecimal digits after \\u"),
        _ => fail(at, "an unknown escape"),
    }
}

/// Finds the first byte from `at` on that ends a run in a string: a quote, a backslash or a control
/// character; with `PLAIN` also DEL and all that is not ASCII. It reads eight bytes at a time: the
/// lowest marked byte of a word is exact, those above it may be marked by a borrow.
#[inline]
fn find<const PLAIN: bool>(bytes: &[u8], mut at: usize) -> usize {
    while let Some(word) = bytes.get(at..).and_then(<[u8]>::first_chunk) {
        let word = u64::from_le_bytes(*word);
        let quote = word ^ (ONES * 0x22);
        let slash = word ^ (ONES * 0x5c);
        let mut marks = (quote.wrapping_sub(ONES) & !quote)
            | (slash.wrapping_sub(ONES) & !slash)
            | (word.wrapping_sub(ONES * 0x20) & !word);
        if PLAIN {
            marks |= word | word.wrapping_add(ONES);
        }
        marks &= HIGH;
        if marks != 0 {
            return at + (marks.trailing_zeros() / 8) as usize;
        }
        at += 8;
    }
    let ends = |&byte: &u8| {
        matches!(byte, b'"' | b'\\' | ..0x20) || (PLAIN && !matches!(byte, b' '..=b'~'))
    };
    let rest = bytes.get(at..).unwrap_or_default();
    at + rest.iter().position(ends).unwrap_or(rest.len())
}

/// Returns the error `message` at `offset`.
pub(super) fn fail<T>(offset: usize, message: &'static str) -> Result<T, ParseError> {
    Err(ParseError { offset, message })
}
