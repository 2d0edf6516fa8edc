//! The order of the keys of a page.

use super::{InconsistentListing, ResponseKeys};

/// Returns how many of the indices below `len` satisfy `belongs`, which is true of a
/// prefix of them.
pub fn partition(len: usize, belongs: impl Fn(usize) -> bool) -> usize {
    let (mut low, mut high) = (0, len);
    // Most pages lie within their range.
    if len > 0 && belongs(len - 1) {
        return len;
    }
    while low < high {
        let middle = low.midpoint(high);
        if belongs(middle) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    low
}

/// Checks that the keys of a page are in byte order and come after `after`.
///
/// # Errors
/// They do not, so the server's listing is inconsistent.
pub fn check_order(
    after: Option<&str>,
    page: &impl ResponseKeys,
) -> Result<(), InconsistentListing> {
    if page.is_empty() {
        return Ok(());
    }
    let first = page.key(0);
    if let Some(after) = after.filter(|&after| *first <= *after) {
        return Err(misplaced(
            after,
            &first,
            "it ignores start-after or the continuation token",
        ));
    }
    if let Some(index) = page.unordered() {
        let before = page.key(index - 1);
        return Err(misplaced(
            &before,
            &page.key(index),
            "its keys are not in byte order",
        ));
    }
    Ok(())
}

fn misplaced(after: &str, got: &str, why: &str) -> InconsistentListing {
    InconsistentListing::new(&format!(
        "asked for keys after {after:?}, got {got:?}: {why}"
    ))
}
