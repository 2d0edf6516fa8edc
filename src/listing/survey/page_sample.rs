//! Sizes of the directories in a page.

use std::collections::BTreeMap;

use super::tree::{Dir, DirEntry};
use crate::listing::dir_class::{DirClass, dir_class};

/// The completed directories of a class in a page, and the keys of all of them.
pub struct DirStats {
    pub class: DirClass,
    pub ends: f64,
    pub keys: f64,
}

/// A page of keys after `after`.
pub struct PageSample<'a> {
    pub after: &'a str,
    pub page: &'a [String],
    /// Its last key, if more follow.
    pub end: Option<&'a str>,
}

impl PageSample<'_> {
    /// Returns whether the page contains all of a directory.
    fn holds(&self, dir: &str) -> bool {
        dir >= self.after
            && self
                .end
                .is_none_or(|end| end > dir && !end.starts_with(dir))
    }

    /// Sets the exact size of the directories that the page contains.
    pub fn count(&self, root: &mut Dir) {
        for list in &mut root.listings {
            let first = list
                .items
                .partition_point(|item| item.position() < self.after);
            for item in list.items.iter_mut().skip(first.saturating_sub(1)) {
                let DirEntry::Dir(dir) = item else { continue };
                if self.end.is_some_and(|end| end < dir.name.as_str()) {
                    break;
                }
                if self.holds(&dir.name) && !dir.is_seen() {
                    let from = self.page.partition_point(|key| *key < dir.name);
                    let inside = |key: &&String| key.starts_with(&dir.name);
                    dir.keys = self.page[from..].iter().take_while(inside).count() as f64;
                    (dir.exact, dir.known) = (true, true);
                } else {
                    self.count(dir);
                }
            }
        }
    }

    /// Returns the classes of the directories that begin in the page.
    pub fn dirs(&self) -> Vec<DirStats> {
        let mut dirs: Vec<(&str, f64)> = Vec::new();
        let mut open: Vec<usize> = Vec::new();
        for key in self.page {
            open.retain(|&index| key.starts_with(dirs[index].0));
            let known = open.last().map_or(0, |&index| dirs[index].0.len());
            for (slash, _) in key[known..].match_indices('/') {
                let dir = &key[..=known + slash];
                if dir >= self.after {
                    open.push(dirs.len());
                    dirs.push((dir, 0.0));
                }
            }
            for &index in &open {
                dirs[index].1 += 1.0;
            }
        }
        let mut classes: BTreeMap<DirClass, DirStats> = BTreeMap::new();
        for (dir, keys) in dirs {
            let class = dir_class(dir);
            let dir_stats = classes.entry(class).or_insert(DirStats {
                class,
                ends: 0.0,
                keys: 0.0,
            });
            dir_stats.ends += if self.holds(dir) { 1.0 } else { 0.0 };
            dir_stats.keys += keys;
        }
        classes.into_values().collect()
    }
}
