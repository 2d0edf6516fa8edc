//! JSON exactly as `CPython` 3.11 reads and writes it.
//!
//! The identity of a build is a hash over `json.dumps(json.loads(bytes), sort_keys=True)`, so this
//! module accepts what `json.loads` accepts and writes what `json.dumps` writes, byte by byte.
//! Tokens are borrowed from the text and never re-encoded: a number keeps its digits.
//!
//! In the order in which a text passes them:
//!
//! - [`decode`]: bytes as they came (BOM, UTF-16, UTF-32) → UTF-8
//! - [`parse`]: UTF-8 → [`Value`], made of [`Text`] and [`Number`]
//! - [`Value::write_canonical`]: the text that is hashed; [`Value::write_in_order`]: that of a
//!   record, members in their order
//! - [`Value::unstorable`]: what `PostgreSQL`'s jsonb cannot hold; [`Value::to_serde`]: for the validator
//! - [`unescape_wide`]: the same text for databases that read no escapes outside ASCII
//! - [`compact`], [`members`], [`text_of`]: the syntax checked and tokens copied, no value built;
//!   [`object`]: members and value at once
//!
//! Below them: `walk` is the grammar, shared by all readers; `lexer` the tokens.

mod canonical;
mod encoding;
mod escape;
mod lexer;
mod number;
mod read;
mod same;
mod scan;
mod storable;
mod text;
mod value;
mod walk;
mod wide;

#[cfg(test)]
mod tests;

pub use canonical::{write_ascii, write_str};
pub use encoding::decode;
pub use number::Number;
pub use read::parse;
pub use scan::{Member, Members, compact, members, object, text_of};
pub use text::Text;
pub use value::{Value, ValueKind};
pub use wide::unescape_wide;

/// The maximum nesting depth: what `CPython` 3.11's recursion limit leaves to
/// `json.loads` at the top of a program.
pub const MAX_DEPTH: usize = 995;

/// Where and why a text is not JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct ParseError {
    /// Byte offset in the given text (after [`decode`], in what it returned).
    pub offset: usize,
    /// What was expected or is wrong there, in lower case.
    pub message: &'static str,
}

/// Returns the text as a string, or the offset of its first byte that is not UTF-8.
fn utf8(text: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(text).map_err(|error| ParseError {
        offset: error.valid_up_to(),
        message: "invalid UTF-8",
    })
}
