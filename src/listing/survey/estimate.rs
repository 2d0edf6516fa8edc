//! Estimates how many keys the directories of a survey contain.

use std::collections::HashMap;

use super::tree::{Dir, DirEntry};
use crate::listing::dir_class::ClassStats;

/// Returns how many levels of directories were listed.
pub fn deepest(dir: &Dir) -> usize {
    let inner = dir.dirs().filter(|dir| !dir.listings.is_empty());
    inner.map(deepest).max().map_or(0, |depth| depth + 1)
}

/// Estimates the directories `depth` levels down from their contents.
pub fn estimate(dir: &mut Dir, depth: usize, classes: &mut ClassStats) {
    if dir.listings.is_empty() {
        return;
    }
    if depth > 0 {
        for list in &mut dir.listings {
            for item in &mut list.items {
                if let DirEntry::Dir(inner) = item {
                    estimate(inner, depth - 1, classes);
                }
            }
        }
        return;
    }
    for list in &mut dir.listings {
        compare(&mut list.items, classes);
    }
    let gaps = (0..dir.listings.len()).map(|index| dir.gap_keys(index));
    let items = dir.listings.iter().flat_map(|list| &list.items);
    dir.keys = gaps.sum::<f64>() + items.map(DirEntry::keys).sum::<f64>();
    dir.known = dir.dirs().next().is_none() || dir.dirs().any(|inner| inner.known);
    if dir.known {
        classes.record(dir.class, 1.0, dir.keys);
    }
}

/// Estimates unlisted directories by the siblings around them, otherwise by their class.
fn compare(items: &mut [DirEntry], classes: &ClassStats) {
    let before = nearest(items.iter());
    let after = nearest(items.iter().rev());
    for ((item, before), after) in items.iter_mut().zip(before).zip(after.into_iter().rev()) {
        if let DirEntry::Dir(dir) = item
            && !dir.is_seen()
        {
            let keys = match (before, after) {
                (Some(before), Some(after)) => Some(before.midpoint(after)),
                (None, None) => classes.known_mean(dir.class),
                (one, other) => one.or(other),
            };
            dir.known = keys.is_some();
            dir.keys = keys.unwrap_or_default();
        }
    }
}

/// Returns, per entry, the size of the last listed directory of its class.
fn nearest<'a>(items: impl Iterator<Item = &'a DirEntry>) -> Vec<Option<f64>> {
    let mut last: HashMap<u64, f64> = HashMap::new();
    let nearest = items.map(|item| {
        let DirEntry::Dir(dir) = item else {
            return None;
        };
        // A directory of files alone says little about its neighbour.
        if dir.known && dir.dirs().next().is_some() {
            last.insert(dir.class[0], dir.keys);
        }
        last.get(&dir.class[0]).copied()
    });
    nearest.collect()
}

impl Dir {
    /// Returns the estimated number of keys after a listing, before the next one.
    pub fn gap_keys(&self, index: usize) -> f64 {
        self.gap(index)
            .map_or(0.0, |gap| gap.items() * self.per_item(index))
    }
}
