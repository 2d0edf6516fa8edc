//! Batches are gathered while the one before is committed.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendError, Sender, TryRecvError, bounded};

use super::batch::{Batch, Loader};
use super::read::Item;
use crate::counters::Counters;
use crate::error::{Error, Kind, Result};
use crate::ndjson::{Polled, Results, StageOutput};
use crate::shutdown::Shutdown;

/// When a batch is committed at the latest.
pub struct Limits {
    pub rows: u32,
    pub wait: Duration,
}

/// Commits what `results` bring, in batches and on a thread of its own.
pub fn load(
    results: &mut Results<Vec<Item>>,
    limits: &Limits,
    loader: &mut Loader,
    (output, counters, shutdown): (&mut StageOutput, &Counters, &Shutdown),
) -> Result<()> {
    // A batch is handed over only when the one before is committed.
    let (batches, gathered) = bounded(0);
    std::thread::scope(|scope| {
        let committer = scope.spawn(move || {
            let done = commit_each(&gathered, loader, output, counters);
            if done.is_err() {
                // The input may be silent for long.
                shutdown.cancel_reader();
            }
            done
        });
        // The committer knows why it is gone.
        drop(gather(results, limits, &batches));
        drop(batches);
        let lost = |_| Err(Error::message(Kind::Internal, "the committer panicked"));
        committer.join().unwrap_or_else(lost)
    })
}

fn commit_each(
    batches: &Receiver<Batch>,
    loader: &mut Loader,
    output: &mut StageOutput,
    counters: &Counters,
) -> Result<()> {
    loop {
        let batch = match batches.try_recv() {
            Err(TryRecvError::Empty) => {
                output.flush()?;
                batches.recv().ok()
            }
            batch => batch.ok(),
        };
        match batch {
            Some(batch) => loader.commit(batch, output, counters)?,
            None => return Ok(()),
        }
    }
}

fn gather(
    results: &mut Results<Vec<Item>>,
    limits: &Limits,
    batches: &Sender<Batch>,
) -> Result<(), SendError<Batch>> {
    let mut batch = Batch::default();
    let mut deadline: Option<Instant> = None;
    loop {
        let late = match results.next(deadline) {
            Polled::Item(items) => {
                for item in items {
                    batch.add(item);
                    if batch.is_full(limits.rows) {
                        batches.send(std::mem::take(&mut batch))?;
                        deadline = None;
                    }
                }
                deadline.is_some_and(|deadline| deadline <= Instant::now())
            }
            Polled::Late => true,
            Polled::End => return batches.send(batch),
        };
        if late {
            batches.send(std::mem::take(&mut batch))?;
            deadline = None;
        } else if deadline.is_none() && !batch.is_empty() {
            deadline = Some(Instant::now() + limits.wait);
        }
    }
}
