//! The end of a listing that may not be one, and where to list again to know.

use super::ResponseKeys;
use super::evidence::Evidence;
use super::order::partition;
use super::position::{dirs_of, flat_before, sendable};
use super::range::ActiveRange;

/// The end of a listing that may not be one.
#[derive(Debug, Clone)]
pub struct DoubtedEnd {
    pub prefix: String,
    /// Where the server was asked to start, and the last key that it returned.
    pub after: String,
    pub last: String,
}

/// A directory around the cursor that began in the last page.
#[derive(Debug)]
pub struct BegunDir {
    /// Bytes of its name.
    len: usize,
    /// Its keys in that page.
    keys: usize,
}

impl BegunDir {
    /// Returns the directories around the last key of a page after `cursor`, the outermost
    /// first.
    pub fn find(page: &impl ResponseKeys, cursor: &str, prefix: &str) -> Vec<Self> {
        let Some(last) = page.len().checked_sub(1).map(|last| page.key(last)) else {
            return Vec::new();
        };
        let begun = dirs_of(prefix, &last).filter(|dir| *cursor < **dir);
        let counted = begun.map(|dir| Self {
            len: dir.len(),
            keys: page.len() - partition(page.len(), |index| *page.key(index) < *dir),
        });
        counted.collect()
    }
}

impl ActiveRange {
    /// Doubts the end that the server gave after `left` more keys. The next request lists them
    /// again from beside the directories, if they and the keys before the cursor probably fit
    /// into a page. Otherwise the range continues with the innermost directory.
    pub fn doubt(&mut self, end: DoubtedEnd, left: usize, denied: bool, evidence: &Evidence) {
        let again = !denied && self.doubted.is_none() && !evidence.ends_early;
        let restart = again
            .then(|| self.flat_restart(&end.prefix, left, evidence.page_size))
            .flatten();
        self.by_dir = true;
        self.chain.token = None;
        self.chain.proven = restart.is_some();
        if let Some((dir, position)) = restart {
            self.by_dir = dir != end.prefix;
            self.chain.scope = dir;
            self.restart = Some(position);
        }
        self.doubted = Some(end);
    }

    /// Returns a directory in `scope`, or `scope` itself, and a position beside its
    /// directories from which one page reaches its end.
    fn flat_restart(&self, scope: &str, left: usize, page_size: usize) -> Option<(String, String)> {
        let cursor = self.cursor();
        let mut parent = scope;
        for dir in dirs_of(scope, cursor) {
            let begun = self.begun.iter().find(|begun| begun.len == dir.len());
            if begun.is_some_and(|begun| begun.keys + left <= page_size) {
                let position = flat_before(parent, cursor);
                let is_sendable = sendable(&position) == position;
                return is_sendable.then(|| (parent.to_owned(), position));
            }
            parent = dir;
        }
        None
    }

    /// Returns whether the end at the cursor is doubted, and each directory around it has to
    /// be listed.
    pub fn is_doubted_here(&self) -> bool {
        let doubted = self.doubted.as_ref();
        self.by_dir && doubted.is_some_and(|doubted| doubted.after == self.cursor())
    }
}
