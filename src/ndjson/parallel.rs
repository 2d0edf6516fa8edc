//! Runs work on the blocks of an input on all cores; results are in the order of the input.

use std::time::Instant;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::{Block, Emitted, Input, Io};
use crate::error::{Error, Result};
use crate::shutdown::Shutdown;

/// The next result of the workers.
pub enum Polled<T> {
    Item(T),
    /// There was no result until the deadline.
    Late,
    End,
}

/// The results of the workers, in the order of the input.
pub struct Results<T> {
    order: Receiver<Receiver<T>>,
    next: Option<Receiver<T>>,
    spare_blocks: Sender<Block>,
}

impl<T> Results<T> {
    /// Returns `block` to the reader, which reuses its buffer.
    fn recycle(&self, block: Block) {
        drop(self.spare_blocks.try_send(block));
    }

    /// Returns the next result if it is available.
    pub fn ready(&mut self) -> Polled<T> {
        self.next(Some(Instant::now()))
    }

    /// Returns the next result; waits until `deadline`, or without limit.
    pub fn next(&mut self, deadline: Option<Instant>) -> Polled<T> {
        if self.next.is_none() {
            match receive(&self.order, deadline) {
                Ok(next) => self.next = Some(next),
                Err(RecvTimeoutError::Timeout) => return Polled::Late,
                Err(RecvTimeoutError::Disconnected) => return Polled::End,
            }
        }
        match self.next.as_ref().map(|next| receive(next, deadline)) {
            Some(Ok(item)) => {
                self.next = None;
                Polled::Item(item)
            }
            Some(Err(RecvTimeoutError::Timeout)) => Polled::Late,
            _ => Polled::End,
        }
    }
}

fn receive<T>(from: &Receiver<T>, deadline: Option<Instant>) -> Result<T, RecvTimeoutError> {
    match deadline {
        Some(deadline) => from.recv_deadline(deadline),
        None => from.recv().map_err(|_| RecvTimeoutError::Disconnected),
    }
}

/// Calls `work` for each block of the input on all cores, and writes what it emits. Lines
/// that pass unchanged are written from the buffer that they were read into.
pub fn par_filter(io: &mut Io, work: impl Fn(&Block) -> Emitted + Sync) -> Result<()> {
    let output = &mut io.output;
    let work = |block: Block| ((work(&block), block), None);
    run_workers(&mut io.input, &io.context.shutdown, work, |results| {
        let mut next = results.ready();
        loop {
            next = match next {
                Polled::Item((emitted, block)) => {
                    output.emit(emitted, block.bytes())?;
                    results.recycle(block);
                    results.ready()
                }
                Polled::Late => {
                    output.flush()?;
                    results.next(None)
                }
                Polled::End => return Ok(()),
            };
        }
    })
}

/// Returns the number of threads that share the work: one per core.
pub fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Calls `work` for each block of `input` on all cores, and `sink` with the results on this
/// thread.
///
/// # Errors
/// That of `sink`, else that of the input; `sink` has seen every result of
/// what was read.
pub fn par_map_ordered<T: Send>(
    input: &mut Input,
    shutdown: &Shutdown,
    work: impl Fn(&Block) -> T + Sync,
    sink: impl FnOnce(&mut Results<T>) -> Result<()>,
) -> Result<()> {
    let work = |block: Block| (work(&block), Some(block));
    run_workers(input, shutdown, work, sink)
}

/// Does the same as [`par_map_ordered`]; `work` returns the block if it is not needed any
/// more.
fn run_workers<T: Send>(
    input: &mut Input,
    shutdown: &Shutdown,
    work: impl Fn(Block) -> (T, Option<Block>) + Sync,
    sink: impl FnOnce(&mut Results<T>) -> Result<()>,
) -> Result<()> {
    let threads = cores();
    let (jobs, waiting) = bounded::<(Block, Sender<T>)>(threads);
    let (spare_blocks, spares) = bounded(2 * threads);
    let (ordered, order) = bounded(threads + 1);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            let (waiting, spare_blocks, work) = (waiting.clone(), spare_blocks.clone(), &work);
            scope.spawn(move || {
                for (block, done) in waiting {
                    let (made, block) = work(block);
                    // The receiver is gone once the sink has failed.
                    drop(done.send(made));
                    if let Some(block) = block {
                        drop(spare_blocks.try_send(block));
                    }
                }
            });
        }
        drop(waiting);
        let read = move || {
            while let Some(block) = input.take(spares.try_recv().unwrap_or_default())? {
                let (done, result) = bounded(1);
                if ordered.send(result).is_err() || jobs.send((block, done)).is_err() {
                    break;
                }
            }
            Ok(())
        };
        with_reader(shutdown, read, || {
            sink(&mut Results {
                order,
                next: None,
                spare_blocks,
            })
        })
    })
}

/// Runs `read` on another thread, and `sink` on this one. If `sink` fails, the wait for input
/// ends. What `sink` owns is dropped before this waits for `read`.
///
/// # Errors
/// That of `sink`, else that of `read`.
pub fn with_reader(
    shutdown: &Shutdown,
    read: impl FnOnce() -> Result<()> + Send,
    sink: impl FnOnce() -> Result<()>,
) -> Result<()> {
    std::thread::scope(|scope| {
        let reader = scope.spawn(read);
        let sunk = sink();
        if sunk.is_err() {
            shutdown.cancel_reader();
        }
        let read = reader
            .join()
            .unwrap_or_else(|_| Err(Error::internal("the reader panicked")));
        sunk.and(read)
    })
}
