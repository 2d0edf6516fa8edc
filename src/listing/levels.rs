//! What is known of the directories directly below a directory: the last of them.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::ResponseKeys;
use super::position::{dir_end, dirs_of, parent_dir};
use crate::record::coverage::{Coverage, Interval};

/// What listings of a directory showed of it.
#[derive(Debug, Default)]
struct Level {
    /// Its last entry.
    last: String,
    /// Whether a listing ended there.
    complete: bool,
    listed: Coverage,
    /// Its keys that end a directory, as `v10` ends `v1/`.
    dir_ends: BTreeSet<String>,
}

/// What comes in a directory after one of its entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rest {
    Nothing,
    Something,
    Unknown,
}

/// Where a range continues after a directory that is listed to its end.
#[derive(Debug, PartialEq, Eq)]
pub enum Climb {
    /// Not at all.
    Finished,
    /// There is more after this directory; the key at its end, too, unless that is known to be
    /// `free`.
    Continue { dir: String, free: bool },
    /// That depends on what comes after this directory.
    Unknown(String),
}

/// Delimiter listings of directories, reduced to where they ended.
#[derive(Debug, Default)]
pub struct Levels {
    levels: BTreeMap<String, Level>,
    /// Directories after which the rest of the parent was requested, and whether the
    /// response came.
    asked: HashMap<String, bool>,
}

impl Levels {
    /// Records a listing of `dir` that started after `start`, and whose last entry is `last`,
    /// or that found nothing after `last`. It started beside the directories in `dir`, so its
    /// end can be believed.
    pub fn record(
        &mut self,
        dir: &str,
        start: &str,
        keys: &impl ResponseKeys,
        last: &str,
        truncated: bool,
    ) {
        let level = self.levels.entry(dir.to_owned()).or_default();
        let through = truncated.then(|| last.to_owned());
        let listed = Interval::new(Some(start.to_owned()), through);
        level.listed.insert(listed);
        for index in 0..keys.len() {
            let key = keys.key(index);
            if key.ends_with('0') {
                level.dir_ends.insert(key.into_owned());
            }
        }
        if *level.last < *last {
            last.clone_into(&mut level.last);
        }
        level.complete |= !truncated;
    }

    /// Returns what comes in `dir` after its entry `name`; in all of it if that is `dir`.
    pub fn rest(&self, dir: &str, name: &str) -> Rest {
        match self.levels.get(dir) {
            Some(level) if *level.last > *name => Rest::Something,
            Some(level) if level.complete => Rest::Nothing,
            _ => Rest::Unknown,
        }
    }

    /// Returns whether no key lies at the end of `child`, which is a directory in `dir`.
    pub fn is_end_free(&self, dir: &str, child: &str) -> bool {
        let level = self.levels.get(dir);
        level
            .zip(dir_end(child))
            .is_some_and(|(level, end)| level.listed.holds(&end) && !level.dir_ends.contains(&end))
    }

    /// Records that the rest of a directory after `child` is requested, or was listed.
    pub fn ask(&mut self, child: &str, listed: bool) {
        self.asked.insert(child.to_owned(), listed);
    }

    /// Returns whether it was asked what comes after `child`.
    pub fn was_asked(&self, child: &str) -> bool {
        self.asked.contains_key(child)
    }

    /// Returns whether nothing more can be learned of what comes after `child`.
    pub fn was_listed(&self, child: &str) -> bool {
        self.asked.get(child).is_some_and(|&listed| listed)
    }

    /// Returns the narrowest directory, or `prefix`, that contains all keys after `cursor`,
    /// through `end`.
    pub fn scope<'a>(&self, prefix: &'a str, cursor: &'a str, end: Option<&str>) -> &'a str {
        let mut scope = prefix;
        for dir in dirs_of(prefix, cursor) {
            if !ends_inside(dir, end) && self.rest(scope, dir) != Rest::Nothing {
                break;
            }
            scope = dir;
        }
        scope
    }

    /// Returns the directories from `prefix` inward that contain `last`, each with the entry
    /// that is or contains `last`, unless it is known that nothing comes after that entry.
    pub fn unproven<'a>(
        &self,
        prefix: &'a str,
        last: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let entries = dirs_of(prefix, last).chain([last]);
        let levels = entries.scan(prefix, |dir, entry| {
            Some((std::mem::replace(dir, entry), entry))
        });
        levels.filter(|(dir, entry)| self.rest(dir, entry) != Rest::Nothing)
    }

    /// Returns those of them whose entry is a directory.
    pub fn unproven_dirs<'a>(
        &'a self,
        prefix: &'a str,
        last: &'a str,
    ) -> impl Iterator<Item = (&'a str, &'a str)> {
        let levels = self.unproven(prefix, last);
        levels.filter(|(dir, entry)| dir != entry && entry.ends_with('/'))
    }

    /// Returns where the keys after the directory `dir`, through `end`, have to be listed.
    pub fn climb<'a>(&self, prefix: &'a str, mut dir: &'a str, end: Option<&str>) -> Climb {
        loop {
            if dir.len() <= prefix.len() || ends_inside(dir, end) {
                return Climb::Finished;
            }
            let parent = parent_dir(prefix, dir);
            match self.rest(parent, dir) {
                Rest::Nothing => dir = parent,
                Rest::Something => {
                    let free = self.is_end_free(parent, dir);
                    let dir = dir.to_owned();
                    return Climb::Continue { dir, free };
                }
                Rest::Unknown => return Climb::Unknown(dir.to_owned()),
            }
        }
    }
}

/// Returns whether no key outside of `dir` lies between it and `end`, which is after it.
fn ends_inside(dir: &str, end: Option<&str>) -> bool {
    let stop = dir_end(dir);
    end.zip(stop).is_some_and(|(end, stop)| *end < *stop)
}
