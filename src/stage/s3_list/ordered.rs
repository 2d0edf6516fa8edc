//! Sorts listed pages by their keys.
//!
//! Pages that arrive too early are buffered in memory, and above a limit in an unnamed file
//! that returns its space as it is read.

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::os::unix::fs::FileExt;

use rustix::fs::{FallocateFlags, fallocate};

use super::worker_pool::ListedPage;
use crate::error::{Error, Result};
use crate::record::coverage::Interval;

/// Bytes of lines that may wait in memory.
const MEMORY_LIMIT: usize = 16 << 20;

/// Pages that arrived before their turn.
pub struct Ordered {
    /// The intervals not yet returned, in order.
    gaps: VecDeque<Interval>,
    /// By the key that they start after.
    waiting: BTreeMap<Option<String>, Waiting>,
    in_memory: usize,
    spool: Option<Spool>,
}

enum Waiting {
    InMemory(ListedPage),
    Spooled {
        at: u64,
        bytes: usize,
        page: ListedPage,
    },
}

impl Ordered {
    pub fn new(gaps: &[Interval]) -> Self {
        Self {
            gaps: gaps.to_vec().into(),
            waiting: BTreeMap::new(),
            in_memory: 0,
            spool: None,
        }
    }

    /// Keeps a page until its turn.
    ///
    /// # Errors
    /// The temporary file cannot be written (74).
    pub fn push(&mut self, page: ListedPage) -> Result<()> {
        let after = page.covers.after.clone();
        let bytes = page.lines.len();
        let is_next = self.gaps.front().is_some_and(|gap| gap.after == after);
        let waiting = if is_next || self.in_memory + bytes <= MEMORY_LIMIT {
            self.in_memory += bytes;
            Waiting::InMemory(page)
        } else {
            let spool = match &mut self.spool {
                Some(spool) => spool,
                spool => spool.insert(Spool::new()?),
            };
            Waiting::Spooled {
                at: spool.put(&page.lines)?,
                bytes,
                page: ListedPage {
                    lines: Vec::new(),
                    ..page
                },
            }
        };
        self.waiting.insert(after, waiting);
        Ok(())
    }

    /// Returns the next page in order, if it has arrived.
    ///
    /// # Errors
    /// The temporary file cannot be read (74).
    pub fn pop(&mut self) -> Result<Option<ListedPage>> {
        let Some(gap) = self.gaps.front_mut() else {
            return Ok(None);
        };
        let Some(waiting) = self.waiting.remove(&gap.after) else {
            return Ok(None);
        };
        let page = match (waiting, &mut self.spool) {
            (Waiting::InMemory(page), _) => {
                self.in_memory -= page.lines.len();
                page
            }
            (Waiting::Spooled { at, bytes, page }, Some(spool)) => ListedPage {
                lines: spool.take(at, bytes)?,
                ..page
            },
            (Waiting::Spooled { .. }, None) => {
                return Err(Error::internal("a page that waited is lost"));
            }
        };
        gap.after.clone_from(&page.covers.through);
        if page.covers.through == gap.through {
            self.gaps.pop_front();
        }
        Ok(Some(page))
    }
}

/// A file that is deleted with the process.
struct Spool {
    file: File,
    end: u64,
}

impl Spool {
    fn new() -> Result<Self> {
        let file = tempfile::tempfile().map_err(failed)?;
        Ok(Self { file, end: 0 })
    }

    fn put(&mut self, bytes: &[u8]) -> Result<u64> {
        let at = self.end;
        let written = self.file.write_all_at(bytes, at);
        written.map_err(failed)?;
        self.end += bytes.len() as u64;
        Ok(at)
    }

    fn take(&mut self, at: u64, bytes: usize) -> Result<Vec<u8>> {
        let mut taken = vec![0; bytes];
        let read = self.file.read_exact_at(&mut taken, at);
        read.map_err(failed)?;
        // Some file systems cannot; then the space returns at the end.
        let hole = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
        let _ = fallocate(&self.file, hole, at, bytes as u64);
        Ok(taken)
    }
}

fn failed(error: std::io::Error) -> Error {
    let place = format!(
        "the buffer file in {} (--ordered; set TMPDIR to use another folder)",
        std::env::temp_dir().display()
    );
    Error::local(place)(error)
}
