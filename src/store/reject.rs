//! The objects that were rejected: the table `bh_reject`, a row each.

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

/// Returns the query for those, in both dialects.
pub const KNOWN: &str = "SELECT key, etag, kind, verdict FROM bh_reject
    WHERE verdict IS NOT NULL AND etag <> ''";
