//! Fills the new index: with all rows, then with what loaders have stored meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use crossbeam_channel::{Sender, bounded};
use parking_lot::Mutex;

use crate::context::Context;
use crate::error::{Error, Result};
use crate::indexing::{document, panicked};
use crate::remote::elastic::{Index, IndexOutcome, SearchDocument};
use crate::store::{ChangedRows, Horizon, RebuildStore, StoredBuild};

const PAGE: usize = 1000;

/// How often a sign of life is given, at most.
const HEARTBEAT: Duration = Duration::from_secs(10);

pub struct Filling<'a> {
    /// The new index.
    pub index: Index,
    pub owner: &'a str,
    pub context: Context,
    refused: Mutex<BTreeMap<i64, String>>,
    /// What was written before this moment has been sent.
    horizon: Horizon,
    /// The later versions of rows that have been sent.
    sent: HashMap<i64, i64>,
    beat: Instant,
}

impl<'a> Filling<'a> {
    /// Begins now: what is stored later is found by [`catch_up`](Self::catch_up).
    pub fn new(
        index: Index,
        owner: &'a str,
        store: &mut dyn RebuildStore,
        context: Context,
    ) -> Result<Self> {
        Ok(Self {
            index,
            owner,
            context,
            refused: Mutex::default(),
            horizon: store.horizon()?,
            sent: HashMap::new(),
            beat: Instant::now(),
        })
    }

    /// Sends every row, two requests at a time. Each page is read for itself, so no snapshot is
    /// kept open: a row that a page does not show was committed after this began.
    pub fn copy(&mut self, store: &mut dyn RebuildStore) -> Result<()> {
        let (pages, received) = bounded::<Vec<SearchDocument>>(0);
        std::thread::scope(|scope| {
            let (index, refused) = (&self.index, &self.refused);
            // Each stream has its own end, so that the reader notices when both have failed.
            let streams = [received.clone(), received].map(|received| {
                scope.spawn(move || {
                    let mut pages = received.iter();
                    pages.try_for_each(|page| send(index, &page, refused))
                })
            });
            let read = read_pages(store, (self.owner, &mut self.beat), &self.context, &pages);
            drop(pages);
            let streams = streams.map(|stream| stream.join().unwrap_or_else(|_| panicked()));
            streams.into_iter().fold(Ok(()), Result::and).and(read)
        })
    }

    /// Sends what was stored since the last time; returns how many rows that were.
    pub fn catch_up(&mut self, store: &mut dyn RebuildStore) -> Result<usize> {
        beat(&mut self.beat, self.owner, store)?;
        let next = store.horizon()?;
        let changed = store.changed_since(self.horizon)?;
        let sent = self.send_changed(changed, &mut |ids| store.builds(ids))?;
        self.horizon = next;
        Ok(sent)
    }

    pub fn horizon(&self) -> Horizon {
        self.horizon
    }

    /// Sends the changed rows that have not been sent; returns how many.
    pub fn send_changed(
        &mut self,
        changed: ChangedRows,
        builds: &mut dyn FnMut(&[i64]) -> Result<Vec<StoredBuild>>,
    ) -> Result<usize> {
        let is_new = |(id, version): &&(i64, i64)| self.sent.get(id) != Some(version);
        let new = changed.versions.iter().filter(is_new);
        let new: Vec<i64> = new.map(|(id, _)| *id).collect();
        for ids in new.chunks(PAGE) {
            let rows = builds(ids)?;
            let page = rows.iter().map(document).collect::<Result<Vec<_>>>()?;
            send(&self.index, &page, &self.refused)?;
        }
        self.sent = changed.versions.into_iter().collect();
        Ok(new.len())
    }

    /// Returns the documents that the new index refused, each with the reason.
    pub fn refused(&self) -> Vec<(i64, String)> {
        let refused = self.refused.lock();
        refused.iter().map(|(id, why)| (*id, why.clone())).collect()
    }
}

fn read_pages(
    store: &mut dyn RebuildStore,
    (owner, last_beat): (&str, &mut Instant),
    context: &Context,
    pages: &Sender<Vec<SearchDocument>>,
) -> Result<()> {
    let mut after = i64::MIN;
    loop {
        context.shutdown.check()?;
        beat(last_beat, owner, store)?;
        let rows = store.rows_after(after, PAGE)?;
        let Some(last) = rows.last() else {
            return Ok(());
        };
        after = last.id;
        let builds = rows.into_iter().map(|row| StoredBuild {
            id: row.id,
            build: row.build,
        });
        let page = builds.map(|build| document(&build));
        // The stream returns the reason.
        if pages.send(page.collect::<Result<_>>()?).is_err() {
            return Ok(());
        }
    }
}

fn beat(last: &mut Instant, owner: &str, store: &mut dyn RebuildStore) -> Result<()> {
    if last.elapsed() < HEARTBEAT {
        return Ok(());
    }
    if !store.continue_rebuild(owner)? {
        return Err(taken_over());
    }
    *last = Instant::now();
    Ok(())
}

/// Returns the error of a rebuild that belongs to another program now.
pub fn taken_over() -> Error {
    Error::ended_early(
        "another bh-index has taken over the rebuild, since this one gave no sign of life for ten \
         minutes; leave it to the other one",
    )
}

fn send(
    index: &Index,
    page: &[SearchDocument],
    refused: &Mutex<BTreeMap<i64, String>>,
) -> Result<()> {
    let outcomes = index.bulk(page).map_err(|error| error.error)?;
    let mut refused = refused.lock();
    for (document, outcome) in page.iter().zip(outcomes) {
        match outcome {
            IndexOutcome::Refused { status, reason } => {
                refused.insert(document.id, format!("{status} {reason}"));
            }
            IndexOutcome::Indexed | IndexOutcome::Known => drop(refused.remove(&document.id)),
        }
    }
    Ok(())
}
