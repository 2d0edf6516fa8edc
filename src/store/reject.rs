//! The objects that were rejected: the table `bh_reject`, a row each.

use super::Store;
use crate::error::Result;
use crate::record::known::Known;
use crate::record::verdict;

/// An object that a stage has rejected, with what was wrong the last time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RejectedObject {
    pub key: String,
    /// Without quotes; empty if none was known.
    pub etag: String,
    pub kind: String,
    pub stage: String,
    pub message: String,
    /// The reject as a line of JSON, without its build.
    pub line: String,
    /// Whose verdict it is; `None` if it is not about the content with this ETag.
    pub verdict: Option<String>,
}

/// Its columns that decide whether it would be rejected again.
#[derive(Debug)]
pub struct KnownReject<'a> {
    pub key: &'a str,
    pub etag: &'a str,
    pub kind: &'a str,
    pub verdict: &'a str,
}

impl KnownReject<'_> {
    /// Returns whether the object would be rejected again, where `by_schema` is the verdict of
    /// the schema that is used now.
    pub fn is_repeated(&self, by_schema: &str) -> bool {
        verdict::is_repeated(self.kind, self.verdict, by_schema)
    }
}

/// Returns the objects that would be rejected again, not sealed yet.
pub fn known_bad(store: &mut dyn Store, by_schema: &str) -> Result<Known> {
    let mut known_bad = Known::default();
    store.for_each_reject(&mut |reject| {
        if reject.is_repeated(by_schema) {
            known_bad.insert(reject.key, reject.etag);
        }
    })?;
    Ok(known_bad)
}

/// Returns the query for those, in both dialects.
pub const KNOWN: &str = "SELECT key, etag, kind, verdict FROM bh_reject
    WHERE verdict IS NOT NULL AND etag <> ''";
