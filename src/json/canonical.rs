//! The text that is hashed: `json.dumps(value, sort_keys=True)`. Also, how to write a
//! string, with as few escapes as JSON allows.

use std::ops::Range;

use super::text::Piece;
use super::{Text, Value};

impl Value<'_> {
    /// Appends what `json.dumps(value, sort_keys=True)` writes: `", "` and `": "`, names sorted by
    /// code point, of duplicate members the last, everything but printable ASCII escaped, integers
    /// digit by digit, floats as `repr` writes them (`NaN` and `Infinity` too).
    pub fn write_canonical(&self, out: &mut Vec<u8>) {
        let mut order = Vec::new();
        let mut open = Vec::new();
        start(self, &mut order, &mut open, out);
        while let Some(step) = open.last_mut() {
            let next = match step {
                Step::Items { rest, first } => rest.next().inspect(|_| {
                    if !std::mem::take(first) {
                        out.extend_from_slice(b", ");
                    }
                }),
                Step::Members { from, next } => order.get(*next).map(|(name, value)| {
                    if next > from {
                        out.extend_from_slice(b", ");
                    }
                    *next += 1;
                    write_text(*name, out);
                    out.extend_from_slice(b": ");
                    value
                }),
            };
            if let Some(value) = next {
                start(value, &mut order, &mut open, out);
                continue;
            }
            match open.pop() {
                Some(Step::Members { from, .. }) => {
                    order.truncate(from);
                    out.push(b'}');
                }
                _ => out.push(b']'),
            }
        }
    }
}

impl<'a> Value<'a> {
    /// Does the same for an object, and returns the positions of its members: name,
    /// value, and the range of their text in `out`.
    pub fn write_canonical_members(
        &self,
        out: &mut Vec<u8>,
        mut said: impl FnMut(Text<'a>, &Self, Range<usize>),
    ) {
        let Value::Object(members) = self else {
            return self.write_canonical(out);
        };
        let mut order = Vec::new();
        sort(members, &mut order);
        out.push(b'{');
        for (at, (name, value)) in order.into_iter().enumerate() {
            if at > 0 {
                out.extend_from_slice(b", ");
            }
            let from = out.len();
            write_text(*name, out);
            out.extend_from_slice(b": ");
            value.write_canonical(out);
            said(*name, value, from..out.len());
        }
        out.push(b'}');
    }
}

impl Value<'_> {
    /// Appends what `json.dumps(value)` writes: members keep the order of the text; of
    /// duplicates, the last value is written at the position of the first.
    pub fn write_in_order(&self, out: &mut Vec<u8>) {
        let mut separator: &[u8] = b"";
        let mut separate = |out: &mut Vec<u8>| {
            out.extend_from_slice(std::mem::replace(&mut separator, b", "));
        };
        match self {
            Value::Array(items) => {
                out.push(b'[');
                for item in items {
                    separate(out);
                    item.write_in_order(out);
                }
                out.push(b']');
            }
            Value::Object(members) => {
                out.push(b'{');
                for (at, (name, _)) in members.iter().enumerate() {
                    let same = |other: &&(Text<'_>, _)| other.0 == *name;
                    if members[..at].iter().any(|other| same(&other)) {
                        continue;
                    }
                    let Some((_, value)) = members.iter().rev().find(same) else {
                        continue;
                    };
                    separate(out);
                    write_text(*name, out);
                    out.extend_from_slice(b": ");
                    value.write_in_order(out);
                }
                out.push(b'}');
            }
            scalar => scalar.write_canonical(out),
        }
    }
}

/// An array or object that is being written.
enum Step<'v, 'a> {
    Items {
        rest: std::slice::Iter<'v, Value<'a>>,
        first: bool,
    },
    /// An object; its members are those of the shared order from `from` on.
    Members { from: usize, next: usize },
}

/// Writes a value; of an array or object only the bracket, and returns the rest.
#[inline]
fn start<'v, 'a>(
    value: &'v Value<'a>,
    order: &mut Vec<&'v (Text<'a>, Value<'a>)>,
    open: &mut Vec<Step<'v, 'a>>,
    out: &mut Vec<u8>,
) {
    match value {
        Value::Null => out.extend_from_slice(b"null"),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => number.write_canonical(out),
        Value::String(text) => write_text(*text, out),
        Value::Array(items) => {
            out.push(b'[');
            let rest = items.iter();
            open.push(Step::Items { rest, first: true });
        }
        Value::Object(members) => {
            out.push(b'{');
            let from = order.len();
            sort(members, order);
            open.push(Step::Members { from, next: from });
        }
    }
}

/// Pushes the members on `order`, sorted by name; of duplicates only the last.
fn sort<'v, 'a>(members: &'v [(Text<'a>, Value<'a>)], order: &mut Vec<&'v (Text<'a>, Value<'a>)>) {
    let from = order.len();
    order.extend(members);
    // A stable sort keeps duplicates in the order of the text
    order[from..].sort_by_key(|(name, _)| *name);
    let mut kept = from;
    for next in from..order.len() {
        if next > from && order[next].0 != order[kept].0 {
            kept += 1;
        }
        order[kept] = order[next];
    }
    if !members.is_empty() {
        order.truncate(kept + 1);
    }
}

#[inline]
fn write_text(text: Text<'_>, out: &mut Vec<u8>) {
    out.push(b'"');
    if text.is_plain() {
        out.extend_from_slice(text.raw());
    } else {
        for piece in text.pieces() {
            match piece {
                Piece::Run(run) => write_run(run, out),
                Piece::Char(char) => write_char(char, out),
                Piece::Lone(unit) => write_unit(unit, out),
            }
        }
    }
    out.push(b'"');
}

/// Writes a run without quotes, backslashes or control characters below DEL.
fn write_run(run: &str, out: &mut Vec<u8>) {
    for part in run.split_inclusive(|char| !matches!(char, ' '..='~')) {
        match part.chars().next_back() {
            Some(last) if !matches!(last, ' '..='~') => {
                out.extend_from_slice(&part.as_bytes()[..part.len() - last.len_utf8()]);
                write_char(last, out);
            }
            _ => out.extend_from_slice(part.as_bytes()),
        }
    }
}

fn write_char(char: char, out: &mut Vec<u8>) {
    match u8::try_from(char) {
        Ok(byte @ (b'"' | b'\\' | ..b' ')) => write_escape(byte, out),
        Ok(byte @ b' '..=b'~') => out.push(byte),
        _ => {
            for unit in char.encode_utf16(&mut [0; 2]) {
                write_unit(*unit, out);
            }
        }
    }
}

/// Writes a quote, backslash or control character, in its short form if it has one.
fn write_escape(byte: u8, out: &mut Vec<u8>) {
    match byte {
        b'"' | b'\\' => out.extend_from_slice(&[b'\\', byte]),
        b'\n' => out.extend_from_slice(b"\\n"),
        b'\r' => out.extend_from_slice(b"\\r"),
        b'\t' => out.extend_from_slice(b"\\t"),
        0x08 => out.extend_from_slice(b"\\b"),
        0x0c => out.extend_from_slice(b"\\f"),
        _ => write_unit(u16::from(byte), out),
    }
}

fn write_unit(unit: u16, out: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |shift: u16| DIGITS[usize::from(unit >> shift & 15)];
    out.extend_from_slice(&[b'\\', b'u', digit(12), digit(8), digit(4), digit(0)]);
}

/// Appends `text` as `json.dumps` writes a string: in printable ASCII.
pub fn write_ascii(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    for char in text.chars() {
        write_char(char, out);
    }
    out.push(b'"');
}

/// Appends `text` as a JSON string with the shortest escapes, for quotes, backslashes and control
/// characters below U+0020 only; everything else is written in UTF-8.
pub fn write_str(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    let escaped = |byte: &u8| matches!(byte, b'"' | b'\\' | ..b' ');
    while let Some(at) = rest.iter().position(escaped) {
        out.extend_from_slice(&rest[..at]);
        write_escape(rest[at], out);
        rest = &rest[at + 1..];
    }
    out.extend_from_slice(rest);
    out.push(b'"');
}
