//! The skeleton of a stage that stores batches: records are parsed on all cores, gathered in
//! the order of the input until a batch is full or its time is up, and stored while the next
//! batch is gathered.

use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, SendError, Sender, bounded, select_biased};

use super::{Block, Io, Line, Parsed, Polled, RecordLine, Results, StageOutput, par_map_ordered};
use crate::error::{Error, Result};
use crate::record::mark::Mark;

/// The limits at which a batch is submitted.
pub struct BatchLimits {
    pub records: usize,
    /// The maximum number of bytes in it.
    pub bytes: usize,
    /// The maximum time after its first record.
    pub wait: Duration,
}

/// What stores batches.
pub trait BatchSink<T>: Send {
    /// Stores a batch, which is not empty.
    fn submit(&mut self, batch: Vec<Parsed<T>>, output: &mut StageOutput) -> Result<()>;

    /// Waits for all batches in flight; called when the input is idle, and at the end.
    fn wait_for_all(&mut self, output: &mut StageOutput) -> Result<()>;
}

/// Calls `parse` for each record of the input, and submits the results to `sink`, which runs
/// on its own thread: in order, with the marks, in batches. `weigh` returns how many records
/// and bytes a result adds to its batch.
///
/// # Errors
/// That of `sink`, else that of the input.
pub fn batched<T: Send>(
    io: &mut Io,
    limits: &BatchLimits,
    parse: impl Fn(RecordLine<'_>) -> Parsed<T> + Sync,
    weigh: impl FnMut(&mut T) -> (usize, usize),
    sink: &mut impl BatchSink<T>,
) -> Result<()> {
    let (input, output, shutdown) = (&mut io.input, &mut io.output, &io.context.shutdown);
    let parse = |block: &Block| parse_block(block, &parse);
    par_map_ordered(input, shutdown, parse, |results| {
        let (batches, gathered) = bounded(0);
        let (idle, idle_signals) = bounded(1);
        std::thread::scope(|scope| {
            let submitter = scope.spawn(move || {
                let done = submit_all(&gathered, &idle_signals, sink, output);
                if done.is_err() {
                    // The input may be idle for long.
                    shutdown.cancel_reader();
                }
                done
            });
            // This only fails if the sink has failed, which returns the reason.
            drop(fill_batches(results, limits, weigh, &batches, &idle));
            drop(batches);
            let lost = |_| Err(Error::internal("the committer panicked"));
            submitter.join().unwrap_or_else(lost)
        })
    })
}

fn parse_block<T>(block: &Block, parse: impl Fn(RecordLine<'_>) -> Parsed<T>) -> Vec<Parsed<T>> {
    block
        .lines()
        .map(|line| match line {
            Line::Record(record) => parse(record),
            Line::Mark(mark, line) => Parsed::mark(mark, line),
        })
        .collect()
}

/// Gathers `results` into `batches`, and signals `idle` when no more are available.
fn fill_batches<T>(
    results: &mut Results<Vec<Parsed<T>>>,
    limits: &BatchLimits,
    mut weigh: impl FnMut(&mut T) -> (usize, usize),
    batches: &Sender<Vec<Parsed<T>>>,
    idle: &Sender<()>,
) -> Result<(), SendError<Vec<Parsed<T>>>> {
    // One pending signal is enough.
    let signal_idle = || _ = idle.try_send(());
    let (mut batch, mut records, mut bytes) = (Vec::new(), 0, 0);
    let mut deadline: Option<Instant> = None;
    loop {
        let now = Some(Instant::now());
        let polled = match (deadline, results.next(deadline.or(now))) {
            (None, Polled::Late) => {
                signal_idle();
                results.next(None)
            }
            (_, polled) => polled,
        };
        let (items, ended) = match polled {
            Polled::Item(items) => (items, false),
            Polled::Late => (Vec::new(), false),
            Polled::End => (Vec::new(), true),
        };
        for mut item in items {
            let (more, size) = match &mut item {
                Parsed::Record(record) => weigh(record),
                Parsed::Reject(reject) => (0, reject.line.len()),
                Parsed::Mark(mark) => (0, mark.1.len()),
                Parsed::Dropped(..) | Parsed::Made(_) | Parsed::PutOff | Parsed::TakenUp => (0, 0),
            };
            // The records of a batch are of one run.
            let (begins, ends) = match &item {
                Parsed::Mark(mark) => (
                    matches!(mark.0, Mark::Begin(_)),
                    matches!(mark.0, Mark::End(_)),
                ),
                _ => (false, false),
            };
            if begins && !batch.is_empty() {
                batches.send(std::mem::take(&mut batch))?;
                (records, bytes, deadline) = (0, 0, None);
            }
            records += more;
            bytes += size;
            batch.push(item);
            if ends || records >= limits.records || bytes >= limits.bytes {
                batches.send(std::mem::take(&mut batch))?;
                (records, bytes, deadline) = (0, 0, None);
            }
        }
        let late = deadline.is_some_and(|deadline| deadline <= Instant::now());
        if (late || ended) && !batch.is_empty() {
            batches.send(std::mem::take(&mut batch))?;
            (records, bytes) = (0, 0);
        }
        if ended {
            return Ok(());
        }
        if late {
            signal_idle();
        }
        let next = || Instant::now() + limits.wait;
        deadline = (!batch.is_empty()).then(|| deadline.unwrap_or_else(next));
    }
}

/// Submits `batches` to `sink`, and has it wait for all of them when the input is idle.
fn submit_all<T>(
    batches: &Receiver<Vec<Parsed<T>>>,
    idle: &Receiver<()>,
    sink: &mut impl BatchSink<T>,
    output: &mut StageOutput,
) -> Result<()> {
    loop {
        output.flush()?;
        select_biased! {
            recv(batches) -> batch => match batch {
                Ok(batch) => sink.submit(batch, output)?,
                Err(_) => return sink.wait_for_all(output),
            },
            recv(idle) -> _ => sink.wait_for_all(output)?,
        }
    }
}
