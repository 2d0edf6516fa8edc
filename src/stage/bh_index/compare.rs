//! Walks the rows by id, and compares each with its document.

use std::collections::{HashMap, VecDeque};

use super::report::{Difference, Report};
use crate::error::{Error, Result};
use crate::indexing::document;
use crate::json;
use crate::remote::elastic::Index;
use crate::store::{DocumentState, IndexedRow, IndexedStore, StoredBuild};

/// Rows per request.
const PAGE: usize = 1000;

/// Requests in flight.
const REQUESTS: usize = 2;

/// A page of rows, with what the index holds of each.
type Compared = Vec<(IndexedRow, Option<Difference>)>;

/// Compares every row with its document; returns how many documents were found. With a
/// `queue`, what differs is queued there.
pub fn each_row(
    index: &Index,
    store: &mut dyn IndexedStore,
    report: &mut Report<'_>,
    mut queue: Option<&mut dyn IndexedStore>,
) -> Result<u64> {
    let (mut found, mut after) = (0, i64::MIN);
    std::thread::scope(|scope| {
        let mut pages = VecDeque::new();
        loop {
            report.check_signal()?;
            let rows = store.rows_after(after, PAGE)?;
            let last = rows.last().map(|row| row.id);
            if let Some(last) = last {
                after = last;
                report.add_rows(rows.len() as u64);
                pages.push_back(scope.spawn(move || compare(index, rows)));
            }
            if pages.len() > REQUESTS || last.is_none() {
                let Some(page) = pages.pop_front() else {
                    return Ok(found);
                };
                let panicked = |_| Err(Error::internal("the comparison panicked"));
                let compared = page.join().unwrap_or_else(panicked)?;
                found += compared.iter().filter(|pair| !is_unindexed(pair)).count() as u64;
                let differing = settle(compared, store, report, queue.is_some())?;
                if let Some(queue) = &mut queue
                    && !differing.is_empty()
                {
                    queue.queue(&differing)?;
                }
            }
        }
    })
}

fn is_unindexed((_, difference): &(IndexedRow, Option<Difference>)) -> bool {
    *difference == Some(Difference::Unindexed)
}

/// Reports what differs, after a second look at what is unindexed: a loader may have finished it
/// since its row was read. Returns the ids of what differs and is not queued to be mended.
fn settle(
    compared: Compared,
    store: &mut dyn IndexedStore,
    report: &mut Report<'_>,
    is_mending: bool,
) -> Result<Vec<i64>> {
    let missing = compared.iter().filter(|pair| is_unindexed(pair));
    let missing: Vec<i64> = missing.map(|(row, _)| row.id).collect();
    let now: HashMap<i64, DocumentState> = if missing.is_empty() {
        HashMap::new()
    } else {
        store.unconfirmed(&missing)?.into_iter().collect()
    };
    let mut differing = Vec::new();
    for (row, difference) in compared {
        let is_finished = !now.contains_key(&row.id) && row.document != DocumentState::Confirmed;
        let state = now.get(&row.id).unwrap_or(&row.document);
        if is_finished && difference == Some(Difference::Unindexed) {
            continue;
        }
        if let DocumentState::Refused(reason) = state {
            report.refused(&row, reason)?;
            continue;
        }
        let is_queued = *state == DocumentState::Queued;
        if let Some(difference) = difference
            && !(is_queued && is_mending)
        {
            report.differing(&row, difference, is_queued)?;
            differing.push(row.id);
        }
    }
    Ok(differing)
}

fn compare(index: &Index, rows: Vec<IndexedRow>) -> Result<Compared> {
    let ids: Vec<i64> = rows.iter().map(|row| row.id).collect();
    let documents = index.fetch(&ids)?;
    let pairs = rows.into_iter().zip(documents);
    pairs
        .map(|(row, held)| {
            let difference = difference(&row, held.as_deref())?;
            Ok((row, difference))
        })
        .collect()
}

fn difference(row: &IndexedRow, held: Option<&str>) -> Result<Option<Difference>> {
    let Some(held) = held else {
        return Ok(Some(Difference::Unindexed));
    };
    let wanted = document(&StoredBuild {
        id: row.id,
        build: row.build.clone(),
    })?
    .text();
    if wanted == held.as_bytes() {
        return Ok(None);
    }
    // Another program, or jsonb, may have written it in another notation.
    let values = json::parse(&wanted)
        .ok()
        .zip(json::parse(held.as_bytes()).ok());
    let is_same = values.is_some_and(|(wanted, held)| wanted.is_same(&held));
    Ok((!is_same).then_some(Difference::Differing))
}
