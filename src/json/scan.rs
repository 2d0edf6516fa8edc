//! Checks the syntax of texts while their tokens are copied or located; no value is built.

use super::lexer::{Lexer, fail};
use super::read::Builder;
use super::walk::{Visitor, walk};
use super::{ParseError, Text, Value, ValueKind, utf8};

/// Appends `text` to `out` without the white space between its tokens, and returns
/// the kind of its value. Tokens are copied.
///
/// The result is for any JSON parser, so `NaN`, `Infinity` and `-Infinity` are errors, besides
/// what [`parse`](super::parse) refuses. After an error `out` is unchanged.
pub fn compact(text: &[u8], out: &mut Vec<u8>) -> Result<ValueKind, ParseError> {
    let length = out.len();
    let mut copy = Copy { text, done: 0, out };
    match walk(utf8(text)?, &mut copy) {
        Ok(kind) => {
            copy.gap(text.len(), text.len());
            Ok(kind)
        }
        Err(error) => {
            out.truncate(length);
            Err(error)
        }
    }
}

/// Copies the text between gaps.
struct Copy<'a, 'o> {
    text: &'a [u8],
    done: usize,
    out: &'o mut Vec<u8>,
}

impl<'a> Visitor<'a> for Copy<'a, '_> {
    const CONSTANTS: bool = false;

    #[inline]
    fn gap(&mut self, start: usize, end: usize) {
        self.out.extend_from_slice(&self.text[self.done..start]);
        self.done = end;
    }
}

/// A member of the object in a line. Offsets are bytes from the start of the line.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// Its name
    pub name: Text<'a>,
    /// Its value as in the line, without white space around it
    pub value: &'a [u8],
    /// The value if it is a string
    pub text: Option<Text<'a>>,
    /// Offset of the quote of its name
    pub start: usize,
    /// Offset after its value
    pub end: usize,
}

/// The members of the object in a line, in its order, with duplicates.
#[derive(Debug, Clone)]
pub struct Members<'a> {
    members: Vec<Member<'a>>,
}

impl<'a> Members<'a> {
    /// Returns the member of that name; of duplicates the last.
    pub fn get(&self, name: &str) -> Option<&Member<'a>> {
        self.members.iter().rev().find(|own| own.name == *name)
    }

    /// Returns the value of the member of that name; of duplicates the last.
    pub fn value(&self, name: &str) -> Option<&'a [u8]> {
        self.get(name).map(|member| member.value)
    }

    /// Returns the number of members.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Returns whether there are no members.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    /// Iterates over all members.
    pub fn iter(&self) -> std::slice::Iter<'_, Member<'a>> {
        self.members.iter()
    }
}

impl<'a> IntoIterator for Members<'a> {
    type Item = Member<'a>;
    type IntoIter = std::vec::IntoIter<Member<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.members.into_iter()
    }
}

impl<'m, 'a> IntoIterator for &'m Members<'a> {
    type Item = &'m Member<'a>;
    type IntoIter = std::slice::Iter<'m, Member<'a>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

/// Returns the members of the object in `line`; the whole line is checked.
///
/// Accepts what [`parse`](super::parse) accepts.
///
/// # Errors
/// What `parse` refuses, and a line that is not an object.
pub fn members(line: &[u8]) -> Result<Members<'_>, ParseError> {
    let mut points = Points::new(line);
    walk(object_text(line)?, &mut points)?;
    Ok(points.finish())
}

/// Returns the members of the object in `line`, and its value, in one pass.
pub fn object(line: &[u8]) -> Result<(Members<'_>, Value<'_>), ParseError> {
    let mut both = Both(Points::new(line), Builder::new());
    walk(object_text(line)?, &mut both)?;
    Ok((both.0.finish(), both.1.finish()))
}

/// Returns the text of a line that begins like an object.
fn object_text(line: &[u8]) -> Result<&str, ParseError> {
    let text = utf8(line)?;
    let start = text.trim_start_matches([' ', '\t', '\n', '\r']).as_bytes();
    if start.first() != Some(&b'{') {
        return fail(line.len() - start.len(), no_object(start));
    }
    Ok(text)
}

fn no_object(start: &[u8]) -> &'static str {
    match start.first() {
        None => "expected an object, found nothing",
        Some(b'[') => "expected an object, found an array",
        Some(b'"') => "expected an object, found a string",
        Some(b'-' | b'0'..=b'9') => "expected an object, found a number",
        Some(b'n') => "expected an object, found null",
        Some(b't' | b'f') => "expected an object, found a boolean",
        Some(_) => "expected an object",
    }
}

/// Locates the members of the outermost object.
struct Points<'a> {
    line: &'a [u8],
    /// Offset of the last member's value
    value: usize,
    /// The last string that was read
    text: Option<Text<'a>>,
    members: Vec<Member<'a>>,
}

impl<'a> Points<'a> {
    fn new(line: &'a [u8]) -> Self {
        Points {
            line,
            value: 0,
            text: None,
            members: Vec::with_capacity(8),
        }
    }

    fn finish(self) -> Members<'a> {
        let members = self.members;
        Members { members }
    }
}

impl<'a> Visitor<'a> for Points<'a> {
    const CONSTANTS: bool = true;

    #[inline]
    fn name(&mut self, depth: usize, name: Text<'a>, start: usize, value: usize) {
        if depth == 1 {
            self.value = value;
            self.members.push(Member {
                name,
                value: &[],
                text: None,
                start,
                end: value,
            });
        }
    }

    #[inline]
    fn scalar(&mut self, value: Value<'a>) {
        self.text = match value {
            Value::String(text) => Some(text),
            _ => None,
        };
    }

    #[inline]
    fn close(&mut self, _kind: ValueKind) {
        self.text = None;
    }

    #[inline]
    fn end(&mut self, depth: usize, at: usize) {
        if depth == 1
            && let Some(member) = self.members.last_mut()
        {
            member.value = &self.line[self.value..at];
            member.text = self.text;
            member.end = at;
        }
    }
}

struct Both<'a>(Points<'a>, Builder<'a>);

impl<'a> Visitor<'a> for Both<'a> {
    const CONSTANTS: bool = true;

    #[inline]
    fn name(&mut self, depth: usize, name: Text<'a>, start: usize, value: usize) {
        self.0.name(depth, name, start, value);
        self.1.name(depth, name, start, value);
    }

    #[inline]
    fn scalar(&mut self, value: Value<'a>) {
        if let Value::String(text) = value {
            self.0.scalar(Value::String(text));
        } else {
            self.0.scalar(Value::Null);
        }
        self.1.scalar(value);
    }

    #[inline]
    fn open(&mut self, kind: ValueKind) {
        self.1.open(kind);
    }

    #[inline]
    fn close(&mut self, kind: ValueKind) {
        self.0.close(kind);
        self.1.close(kind);
    }

    #[inline]
    fn end(&mut self, depth: usize, at: usize) {
        self.0.end(depth, at);
    }
}

/// Returns the string of a value's token, if it is one.
pub fn text_of(value: &[u8]) -> Option<Text<'_>> {
    if value.first() != Some(&b'"') {
        return None;
    }
    let mut lexer = Lexer::new(utf8(value).ok()?);
    let text = lexer.string().ok()?;
    lexer.at_end().then_some(text)
}
