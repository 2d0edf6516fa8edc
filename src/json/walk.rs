//! The grammar, shared by all readers: a loop over tokens that reports to a visitor.
//! It does not recurse, so nesting costs a bit per level.

use super::lexer::{Lexer, fail};
use super::{MAX_DEPTH, Number, ParseError, Text, Value, ValueKind};

/// The callbacks of a reader. `depth` is the number of open arrays and objects.
pub(super) trait Visitor<'a> {
    /// Whether `NaN`, `Infinity` and `-Infinity` are accepted as numbers.
    const CONSTANTS: bool;
    /// White space between tokens, from `start` to `end`; never empty.
    fn gap(&mut self, _start: usize, _end: usize) {}
    /// The name of a member; its quote is at `start`, its value at `value`.
    fn name(&mut self, _depth: usize, _name: Text<'a>, _start: usize, _value: usize) {}
    /// A value that is neither an array nor an object.
    fn scalar(&mut self, _value: Value<'a>) {}
    /// The start of an array or object.
    fn open(&mut self, _kind: ValueKind) {}
    /// The end of the innermost array or object.
    fn close(&mut self, _kind: ValueKind) {}
    /// A value of the container at `depth` is complete and ends before `at`.
    fn end(&mut self, _depth: usize, _at: usize) {}
}

/// The kinds of the open containers, one bit each.
struct Nest {
    objects: [u64; MAX_DEPTH / 64 + 1],
    depth: usize,
    kind: ValueKind,
}

impl Nest {
    fn push(&mut self, kind: ValueKind, at: usize) -> Result<(), ParseError> {
        if self.depth == MAX_DEPTH {
            return fail(at, "nested deeper than 995 levels");
        }
        let (word, bit) = (self.depth / 64, self.depth % 64);
        let object = u64::from(kind == ValueKind::Object);
        self.objects[word] = self.objects[word] & !(1 << bit) | object << bit;
        self.depth += 1;
        self.kind = kind;
        Ok(())
    }

    fn pop(&mut self) {
        self.depth -= 1;
        let Some(outer) = self.depth.checked_sub(1) else {
            return;
        };
        let object = self.objects[outer / 64] >> (outer % 64) & 1 == 1;
        self.kind = if object {
            ValueKind::Object
        } else {
            ValueKind::Array
        };
    }
}

/// Reads the only value of `text` and returns its kind.
#[inline]
pub(super) fn walk<'a, V: Visitor<'a>>(
    text: &'a str,
    visitor: &mut V,
) -> Result<ValueKind, ParseError> {
    let mut lexer = Lexer::new(text);
    let mut nest = Nest {
        objects: [0; MAX_DEPTH / 64 + 1],
        depth: 0,
        kind: ValueKind::Null,
    };
    gap(&mut lexer, visitor);
    let kind = kind_at(lexer.peek());
    loop {
        let first = lexer.peek();
        let mut complete = true;
        if first == b'"' {
            let string = lexer.string()?;
            visitor.scalar(Value::String(string));
        } else if first == b'{' || first == b'[' {
            let (kind, last) = brackets(first);
            nest.push(kind, lexer.at)?;
            visitor.open(kind);
            lexer.at += 1;
            gap(&mut lexer, visitor);
            complete = lexer.peek() == last;
            if complete {
                lexer.at += 1;
                nest.pop();
                visitor.close(kind);
            } else if kind == ValueKind::Object {
                name(&mut lexer, nest.depth, visitor)?;
            }
        } else {
            let value = scalar::<V>(&mut lexer, first)?;
            visitor.scalar(value);
        }
        while complete {
            visitor.end(nest.depth, lexer.at);
            gap(&mut lexer, visitor);
            if nest.depth == 0 {
                return if lexer.at_end() {
                    Ok(kind)
                } else {
                    lexer.fail("expected the end of the text")
                };
            }
            let object = nest.kind == ValueKind::Object;
            match lexer.peek() {
                b',' => {
                    lexer.at += 1;
                    gap(&mut lexer, visitor);
                    if object {
                        name(&mut lexer, nest.depth, visitor)?;
                    }
                    complete = false;
                }
                b'}' if object => {
                    lexer.at += 1;
                    nest.pop();
                    visitor.close(ValueKind::Object);
                }
                b']' if !object => {
                    lexer.at += 1;
                    nest.pop();
                    visitor.close(ValueKind::Array);
                }
                _ if object => return lexer.fail("expected a comma or the end of the object"),
                _ => return lexer.fail("expected a comma or the end of the array"),
            }
        }
    }
}

#[inline]
fn gap<'a, V: Visitor<'a>>(lexer: &mut Lexer<'a>, visitor: &mut V) {
    let start = lexer.at;
    lexer.space();
    if lexer.at > start {
        visitor.gap(start, lexer.at);
    }
}

/// Reads the name of a member, its colon and the white space before its value.
#[inline]
fn name<'a, V: Visitor<'a>>(
    lexer: &mut Lexer<'a>,
    depth: usize,
    visitor: &mut V,
) -> Result<(), ParseError> {
    let start = lexer.at;
    if lexer.peek() != b'"' {
        return lexer.fail("expected a string for a member's name");
    }
    let name = lexer.string()?;
    gap(lexer, visitor);
    if lexer.peek() != b':' {
        return lexer.fail("expected a colon after a member's name");
    }
    lexer.at += 1;
    gap(lexer, visitor);
    visitor.name(depth, name, start, lexer.at);
    Ok(())
}

/// Reads a value that starts with neither a quote nor a bracket.
#[inline]
fn scalar<'a, V: Visitor<'a>>(lexer: &mut Lexer<'a>, first: u8) -> Result<Value<'a>, ParseError> {
    let start = lexer.at;
    let number = match first {
        b'-' | b'0'..=b'9' => lexer.number()?,
        b't' if lexer.word("true") => return Ok(Value::Bool(true)),
        b'f' if lexer.word("false") => return Ok(Value::Bool(false)),
        b'n' if lexer.word("null") => return Ok(Value::Null),
        b'N' if lexer.word("NaN") => Number::new("NaN", false),
        b'I' if lexer.word("Infinity") => Number::new("Infinity", false),
        _ => return lexer.fail("expected a value"),
    };
    match number.constant() {
        Some(message) if !V::CONSTANTS => fail(start, message),
        _ => Ok(Value::Number(number)),
    }
}

fn brackets(first: u8) -> (ValueKind, u8) {
    if first == b'{' {
        (ValueKind::Object, b'}')
    } else {
        (ValueKind::Array, b']')
    }
}

/// Returns the kind of the value that starts with this byte, if any.
fn kind_at(first: u8) -> ValueKind {
    match first {
        b'{' => ValueKind::Object,
        b'[' => ValueKind::Array,
        b'"' => ValueKind::String,
        b't' | b'f' => ValueKind::Bool,
        b'n' => ValueKind::Null,
        _ => ValueKind::Number,
    }
}
