//! Builds values from texts.

use super::walk::{Visitor, walk};
use super::{ParseError, Text, Value, ValueKind, utf8};

/// Reads a text as `json.loads` does: `NaN`, `Infinity` and `-Infinity` are numbers, duplicate
/// members are all kept, integers may have any number of digits.
///
/// `text` is UTF-8 without a BOM (see [`decode`](super::decode)); the value borrows from it.
/// # Errors
/// The first byte that is not UTF-8, not JSON, or nested deeper than
/// [`MAX_DEPTH`](super::MAX_DEPTH).
pub fn parse(text: &[u8]) -> Result<Value<'_>, ParseError> {
    let mut builder = Builder::new();
    walk(utf8(text)?, &mut builder)?;
    Ok(builder.finish())
}

/// What has been read of all open containers: items of arrays on one stack, members of objects on
/// another, each container's part on top of its parent's. A closed container is moved off the top
/// into a vector of exactly its length. The text itself is the only item of an outermost array.
pub(super) struct Builder<'a> {
    items: Vec<Value<'a>>,
    members: Vec<(Text<'a>, Value<'a>)>,
    /// For each container around the innermost: whether it is an object, and where its part starts.
    open: Vec<(bool, usize)>,
    object: bool,
    start: usize,
}

impl<'a> Builder<'a> {
    pub(super) fn new() -> Self {
        Builder {
            items: Vec::with_capacity(1),
            members: Vec::with_capacity(32),
            open: Vec::with_capacity(8),
            object: false,
            start: 0,
        }
    }

    /// Returns the value of the whole text.
    pub(super) fn finish(mut self) -> Value<'a> {
        self.items.pop().unwrap_or(Value::Null)
    }

    /// Adds a value: an item, or the value of the member whose name was pushed last.
    #[inline]
    fn push(&mut self, value: Value<'a>) {
        if !self.object {
            self.items.push(value);
        } else if let Some((_, slot)) = self.members.last_mut() {
            *slot = value;
        }
    }
}

impl<'a> Visitor<'a> for Builder<'a> {
    const CONSTANTS: bool = true;

    #[inline]
    fn name(&mut self, _depth: usize, name: Text<'a>, _start: usize, _value: usize) {
        self.members.push((name, Value::Null));
    }

    #[inline]
    fn scalar(&mut self, value: Value<'a>) {
        self.push(value);
    }

    #[inline]
    fn open(&mut self, kind: ValueKind) {
        self.open.push((self.object, self.start));
        self.object = kind == ValueKind::Object;
        self.start = if self.object {
            self.members.len()
        } else {
            self.items.len()
        };
    }

    #[inline]
    fn close(&mut self, kind: ValueKind) {
        let value = if kind == ValueKind::Object {
            Value::Object(self.members.drain(self.start..).collect())
        } else {
            Value::Array(self.items.drain(self.start..).collect())
        };
        (self.object, self.start) = self.open.pop().unwrap_or_default();
        self.push(value);
    }
}
