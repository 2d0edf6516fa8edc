//! Lines on all cores, results in the order of the input.

use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Block, Input};
use crate::cli::signals::Stop;
use crate::error::{Error, Kind, Result};

/// What comes next out of the workers.
pub enum Flow<T> {
    Item(T),
    /// Nothing came until the deadline.
    Late,
    End,
}

/// The results in order.
pub struct Results<T> {
    order: Receiver<Receiver<T>>,
    next: Option<Receiver<T>>,
}

impl<T> Results<T> {
    /// The next result if it is there.
    pub fn ready(&mut self) -> Flow<T> {
        self.next(Some(Instant::now()))
    }

    /// The next result; waits until `deadline`, or as long as it takes.
    pub fn next(&mut self, deadline: Option<Instant>) -> Flow<T> {
        if self.next.is_none() {
            match receive(&self.order, deadline) {
                Ok(next) => self.next = Some(next),
                Err(RecvTimeoutError::Timeout) => return Flow::Late,
                Err(RecvTimeoutError::Disconnected) => return Flow::End,
            }
        }
        match self.next.as_ref().map(|next| receive(next, deadline)) {
            Some(Ok(item)) => {
                self.next = None;
                Flow::Item(item)
            }
            Some(Err(RecvTimeoutError::Timeout)) => Flow::Late,
            _ => Flow::End,
        }
    }
}

fn receive<T>(from: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
    match deadline {
        Some(deadline) => from.recv_deadline(deadline),
        None => from.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Runs `work` over the blocks of `input` on `threads` threads, and `sink`
/// over the results, on this thread.
///
/// # Errors
/// That of `sink`, else that of the input; `sink` has seen every result of
/// what was read.
pub fn map<T: Send>(
    input: &mut Input,
    stop: &Stop,
    threads: usize,
    work: impl Fn(Block<'_>) -> T + Sync,
    sink: impl FnOnce(&mut Results<T>) -> Result<()>,
) -> Result<()> {
    let (jobs, waiting) = bounded::<(Vec<u8>, u64, bool, Sender<T>)>(threads);
    let (ordered, order) = bounded(threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (waiting, work) = (waiting.clone(), &work);
            scope.spawn(move || {
                for (bytes, first_line, unterminated, done) in waiting {
                    let block = Block {
                        bytes: &bytes,
                        first_line,
                        unterminated,
                    };
                    // Nobody listens any more once the sink has failed.
                    drop(done.send(work(block)));
                }
            });
        }
        drop(waiting);
        let reader = scope.spawn(move || {
            while let Some(block) = input.next()? {
                let (done, result) = bounded(1);
                if ordered.send(result).is_err() {
                    break;
                }
                let job = (
                    block.bytes.to_vec(),
                    block.first_line,
                    block.unterminated,
                    done,
                );
                if jobs.send(job).is_err() {
                    break;
                }
            }
            Ok(())
        });
        let mut results = Results { order, next: None };
        let sunk = sink(&mut results);
        drop(results);
        if sunk.is_err() {
            stop.abandon();
        }
        let read = reader
            .join()
            .unwrap_or_else(|_| Err(Error::message(Kind::Fault, "the reader panicked")));
        sunk.and(read)
    })
}
