//! Rejects for the documents that Elasticsearch refused for good.

use crate::error::Result;
use crate::json;
use crate::ndjson::StageOutput;
use crate::record::reject::Reject;
use crate::record::s3::unquote_etag;
use crate::store::{RefusedRow, Store};

/// Rejects the refused rows that were not reported yet.
pub fn report_refused(store: &mut dyn Store, output: &mut StageOutput) -> Result<()> {
    let refused = store.unreported()?;
    if refused.is_empty() {
        return Ok(());
    }
    let mut reported = Vec::new();
    for row in &refused {
        if output.reject_later(&reject(row), "refused by Elasticsearch")? {
            reported.push(row.id);
        }
    }
    output.sync_rejects()?;
    // Rejects that were only logged are reported again by the next run.
    store.mark_reported(&reported)
}

/// Returns the reject of a row, without its build: a database may store numbers
/// in another notation, which would change the hash.
fn reject(row: &RefusedRow) -> Reject {
    let mut line = format!("{{\"id\":{},\"key\":", row.id).into_bytes();
    write_text(row.key.as_deref(), &mut line);
    line.extend_from_slice(b",\"etag\":");
    write_text(row.etag.as_deref().map(unquote_etag), &mut line);
    line.push(b'}');
    let message = format!(
        "row {}: {}; it is stored, but not indexed; use --retry-refused to send it again",
        row.id, row.reason
    );
    Reject::new(&line, 0, "not_indexed", message)
}

fn write_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => json::write_str(text, out),
        None => out.extend_from_slice(b"null"),
    }
}
