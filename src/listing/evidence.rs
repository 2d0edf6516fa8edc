//! Keys and directories that one response showed, and another has to show too.

use std::collections::BTreeSet;

use super::ResponseKeys;
use super::doubt::DoubtedEnd;
use super::levels::Levels;
use super::order::partition;

/// Directories remembered at a time.
const MAX_DIRS: usize = 50_000;
/// After this many directories without a key, common prefixes prove nothing on this server.
const MAX_EMPTY_DIRS: usize = 8;

/// What is known of the bucket beside the keys that are listed.
#[derive(Debug, Default)]
pub struct Evidence {
    /// The prefix of the listing.
    pub prefix: String,
    /// Keys of a full page.
    pub page_size: usize,
    pub levels: Levels,
    /// Directories without a listed key yet.
    dirs: BTreeSet<String>,
    /// The first key of each range.
    keys: BTreeSet<String>,
    empty_dirs: usize,
    /// The last key or directory that was seen.
    pub last: String,
    /// The server ends a listing too early when it starts inside a directory.
    pub ends_early: bool,
    /// The server rejects listings with a delimiter, or with a longer prefix.
    pub no_delimiter: bool,
    pub no_prefix: bool,
    /// Contradictions and what was done about them, as messages.
    pub warnings: Vec<String>,
}

impl Evidence {
    /// Starts a listing of the keys with `prefix`. `last` is a key of an earlier run.
    pub fn new(prefix: &str, page_size: usize, last: Option<&str>) -> Self {
        Self {
            prefix: prefix.to_owned(),
            page_size,
            last: last.unwrap_or_default().to_owned(),
            ..Self::default()
        }
    }

    /// Records a directory in a stretch that is not listed yet.
    pub fn add_dir(&mut self, dir: &str) {
        if self.dirs.len() < MAX_DIRS && self.empty_dirs < MAX_EMPTY_DIRS {
            self.dirs.insert(dir.to_owned());
        }
    }

    /// Records the first key of a range, which other responses have to show too.
    pub fn add_key(&mut self, key: &str) {
        self.keys.insert(key.to_owned());
        self.see(key);
    }

    /// Records the last key or directory of a response.
    pub fn see(&mut self, name: &str) {
        if *self.last < *name {
            name.clone_into(&mut self.last);
        }
    }

    /// Returns what is known to come after `last` among the keys with `prefix`.
    pub fn after(&self, prefix: &str, last: &str) -> Option<&str> {
        use std::ops::Bound::{Excluded, Unbounded};
        let range = (Excluded(last), Unbounded);
        let dir = self.dirs.range::<str, _>(range).next();
        let key = self.keys.range::<str, _>(range).next();
        let known = [dir, key].into_iter().flatten().map(String::as_str);
        known.filter(|name| name.starts_with(prefix)).min()
    }

    /// Returns a directory after `cursor`, through `end`, that a page leaves out.
    pub fn left_out(
        &self,
        cursor: &str,
        end: Option<&str>,
        page: &impl ResponseKeys,
    ) -> Option<&str> {
        let last = page.len().checked_sub(1).map(|last| page.key(last))?;
        let through = end.map_or(&*last, |end| end.min(&last));
        let mut dirs = self.dirs_between(cursor, through);
        dirs.find(|dir| {
            let index = partition(page.len(), |index| *page.key(index) < **dir);
            !page.key(index).starts_with(*dir)
        })
    }

    /// Forgets the directories after `cursor`, through `last`: they have keys.
    pub fn confirm(&mut self, cursor: &str, last: &str) {
        let dirs: Vec<String> = self.dirs_between(cursor, last).map(str::to_owned).collect();
        for dir in dirs {
            self.dirs.remove(&dir);
        }
    }

    fn dirs_between(&self, cursor: &str, last: &str) -> impl Iterator<Item = &str> + use<'_> {
        use std::ops::Bound::{Excluded, Included};
        let some = (cursor < last).then_some((Excluded(cursor), Included(last)));
        let dirs = some.map(|range| self.dirs.range::<str, _>(range));
        dirs.into_iter().flatten().map(String::as_str)
    }

    /// Warns that the server ended a listing before `key`.
    pub fn warn_of_early_end(&mut self, doubted: &DoubtedEnd, key: &str) {
        self.ends_early = true;
        let DoubtedEnd { after, last, .. } = doubted;
        self.warnings.push(format!(
            "asked for the keys after {after:?}, the server ended the listing after {last:?}, but \
             {key:?} follows; listing that part again, one folder at a time"
        ));
    }

    /// Warns that an end cannot be checked, since the server rejects the requests for that.
    pub fn warn_of_unchecked(&mut self, doubted: &DoubtedEnd) {
        self.warnings.push(format!(
            "cannot check that nothing follows {:?}: the server denies listings of a folder by \
             its prefix; allow them, or compare with a listing by --concurrency 1",
            doubted.last
        ));
    }

    /// Forgets a key or directory that is not there any more.
    pub fn refute(&mut self, name: &str) {
        self.keys.remove(name);
        if self.dirs.remove(name) {
            self.empty_dirs += 1;
            if self.empty_dirs >= MAX_EMPTY_DIRS {
                self.dirs.clear();
            }
        }
    }
}
