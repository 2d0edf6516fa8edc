//! Decodes bytes as `json.loads` does before it parses them.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Bytes that are invalid in the encoding that their first four indicate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("invalid {encoding} at byte {offset}")]
pub struct InvalidEncoding {
    /// `UTF-8`, `UTF-16LE`, `UTF-16BE`, `UTF-32LE` or `UTF-32BE`
    pub encoding: &'static str,
    /// Offset of the invalid sequence in the input, BOM included.
    pub offset: usize,
}

#[derive(Clone, Copy)]
enum Encoding {
    Utf8,
    Utf16(Order),
    Utf32(Order),
}

#[derive(Clone, Copy)]
enum Order {
    Little,
    Big,
}

/// Returns the bytes as UTF-8 without BOM, borrowed if they already are.
///
/// The encoding is detected as by `json.detect_encoding`: by a BOM of UTF-8, UTF-16 or UTF-32,
/// otherwise by which of the first four bytes are NUL. One BOM is removed; a second one stays (and
/// is not JSON). Surrogates, which `json.loads` lets pass, are written as their escapes: the two
/// mean the same.
///
/// # Errors
/// Other sequences that are invalid in the encoding.
pub fn decode(bytes: &[u8]) -> Result<Cow<'_, [u8]>, InvalidEncoding> {
    let (encoding, bom) = detect(bytes);
    let body = &bytes[bom..];
    let text = match encoding {
        Encoding::Utf8 => match std::str::from_utf8(body) {
            Ok(_) => return Ok(Cow::Borrowed(body)),
            Err(_) => utf8(body),
        },
        Encoding::Utf16(order) => utf16(body, order),
        Encoding::Utf32(order) => utf32(body, order),
    };
    match text {
        Ok(text) => Ok(Cow::Owned(text.into_bytes())),
        Err(at) => Err(InvalidEncoding {
            encoding: name(encoding),
            offset: bom + at,
        }),
    }
}

/// Returns the encoding and the length of its BOM.
fn detect(bytes: &[u8]) -> (Encoding, usize) {
    use Encoding::{Utf8, Utf16, Utf32};
    use Order::{Big, Little};
    match bytes {
        [0, 0, 0xfe, 0xff, ..] => (Utf32(Big), 4),
        [0xff, 0xfe, 0, 0, ..] => (Utf32(Little), 4),
        [0xfe, 0xff, ..] => (Utf16(Big), 2),
        [0xff, 0xfe, ..] => (Utf16(Little), 2),
        [0xef, 0xbb, 0xbf, ..] => (Utf8, 3),
        [0, 0, _, _, ..] => (Utf32(Big), 0),
        [_, 0, 0, 0, ..] => (Utf32(Little), 0),
        [0, _, _, _, ..] | [0, _] => (Utf16(Big), 0),
        [_, 0, _, _, ..] | [_, 0] => (Utf16(Little), 0),
        _ => (Utf8, 0),
    }
}

/// Appends the escape of a surrogate; `None` after a backslash, which would escape that one.
fn push_surrogate(text: &mut String, unit: u32) -> Option<()> {
    let backslashes = text.bytes().rev().take_while(|byte| *byte == b'\\');
    if backslashes.count() % 2 == 1 {
        return None;
    }
    write!(text, "\\u{unit:04x}").ok()
}

/// Decodes the bytes, or returns the offset of the first invalid sequence.
fn utf8(bytes: &[u8]) -> Result<String, usize> {
    let mut text = String::with_capacity(bytes.len());
    let mut rest = bytes;
    loop {
        let valid = match std::str::from_utf8(rest) {
            Ok(valid) => valid.len(),
            Err(error) => error.valid_up_to(),
        };
        let (valid, after) = rest.split_at(valid);
        text.push_str(std::str::from_utf8(valid).unwrap_or_default());
        let at = bytes.len() - after.len();
        rest = match after {
            [] => return Ok(text),
            [0xed, second @ 0xa0..=0xbf, third @ 0x80..=0xbf, rest @ ..] => {
                let unit = 0xd000 | u32::from(second & 0x3f) << 6 | u32::from(third & 0x3f);
                push_surrogate(&mut text, unit).ok_or(at)?;
                rest
            }
            _ => return Err(at),
        };
    }
}

/// Decodes the bytes, or returns the offset of the first invalid sequence.
fn utf16(bytes: &[u8], order: Order) -> Result<String, usize> {
    let (pairs, rest) = bytes.as_chunks::<2>();
    let units = pairs.iter().map(|&pair| match order {
        Order::Little => u16::from_le_bytes(pair),
        Order::Big => u16::from_be_bytes(pair),
    });
    let mut text = String::with_capacity(bytes.len());
    let mut at = 0;
    for char in char::decode_utf16(units) {
        match char {
            Ok(char) => {
                text.push(char);
                at += 2 * char.len_utf16();
            }
            Err(lone) => {
                push_surrogate(&mut text, lone.unpaired_surrogate().into()).ok_or(at)?;
                at += 2;
            }
        }
    }
    if rest.is_empty() { Ok(text) } else { Err(at) }
}

/// Decodes the bytes, or returns the offset of the first invalid sequence.
fn utf32(bytes: &[u8], order: Order) -> Result<String, usize> {
    let (quads, rest) = bytes.as_chunks::<4>();
    let mut text = String::with_capacity(bytes.len() / 2);
    for (index, &quad) in quads.iter().enumerate() {
        let code = match order {
            Order::Little => u32::from_le_bytes(quad),
            Order::Big => u32::from_be_bytes(quad),
        };
        match char::from_u32(code) {
            Some(char) => text.push(char),
            None if (0xd800..=0xdfff).contains(&code) => {
                push_surrogate(&mut text, code).ok_or(4 * index)?;
            }
            None => return Err(4 * index),
        }
    }
    if rest.is_empty() {
        Ok(text)
    } else {
        Err(4 * quads.len())
    }
}

fn name(encoding: Encoding) -> &'static str {
    match encoding {
        Encoding::Utf8 => "UTF-8",
        Encoding::Utf16(Order::Little) => "UTF-16LE",
        Encoding::Utf16(Order::Big) => "UTF-16BE",
        Encoding::Utf32(Order::Little) => "UTF-32LE",
        Encoding::Utf32(Order::Big) => "UTF-32BE",
    }
}
