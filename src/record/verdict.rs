//! Whose verdict a reject is, and which rejects would come again.
//!
//! A verdict is the version of the program, and for the schema also its digest. As long as both
//! are the same, the same content is rejected for the same reason.

/// The verdict of a program that used no schema.
pub const OF_PROGRAM: &str = env!("CARGO_PKG_VERSION");

/// The kinds of rejects that depend on nothing but the content and the program.
const BY_CONTENT: [&str; 4] = ["not_json", "not_an_object", "unstorable", "too_long"];

/// The kind of a build that a schema does not allow.
pub const SCHEMA: &str = "schema";

/// Returns the verdict of a program that used the schema with this digest.
pub fn with_schema(digest: &str) -> String {
    format!("{OF_PROGRAM} schema {digest}")
}

/// Returns whether the same object would be rejected again, where `by_schema` is the verdict of
/// the schema that is used now. A refusal of a server is not the object's fault.
pub fn is_repeated(kind: &str, verdict: &str, by_schema: &str) -> bool {
    match kind {
        SCHEMA => verdict == by_schema,
        _ => BY_CONTENT.contains(&kind) && verdict == OF_PROGRAM,
    }
}
