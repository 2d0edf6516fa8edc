//! Finds the documents that have no row.

use std::collections::HashSet;

use super::report::Report;
use crate::error::Result;
use crate::remote::elastic::{DocumentVersion, Index};
use crate::store::IndexedStore;

/// Reports documents without a row, and deletes them if `delete` is set; `found` is how many
/// have one.
pub fn find(
    index: &Index,
    store: &mut dyn IndexedStore,
    found: u64,
    report: &mut Report<'_>,
    delete: bool,
) -> Result<()> {
    if index.count()? <= found {
        return Ok(());
    }
    index.scan(&mut |documents| {
        report.check_signal()?;
        let orphans = without_row(documents, store)?;
        for orphan in &orphans {
            report.orphan(&orphan.id)?;
        }
        if !delete || orphans.is_empty() {
            return Ok(());
        }
        // The answer may be of a moment ago, and a restored database gives ids again. What a
        // loader writes from now on is another version of the document, which stays.
        let orphans = without_row(&orphans, store)?;
        report.add_deleted(index.delete(&orphans)?);
        Ok(())
    })
}

fn without_row(
    documents: &[DocumentVersion],
    store: &mut dyn IndexedStore,
) -> Result<Vec<DocumentVersion>> {
    let ids: Vec<i64> = documents.iter().filter_map(row_id).collect();
    let rows: HashSet<i64> = store.existing(&ids)?.into_iter().collect();
    let is_orphan =
        |document: &&DocumentVersion| row_id(document).is_none_or(|id| !rows.contains(&id));
    Ok(documents.iter().filter(is_orphan).cloned().collect())
}

/// Returns the id of the row that a document would be of.
fn row_id(document: &DocumentVersion) -> Option<i64> {
    let id: i64 = document.id.parse().ok()?;
    (id.to_string() == document.id).then_some(id)
}
