//! A stage that gathers batches: records are parsed on all cores, and handed
//! on in the order of the input when a batch is full or its time is up.

use std::time::{Duration, Instant};

use super::{Block, Line, Parsed, Polled, RecordLine, Results};
use crate::error::Result;

/// When a batch is handed on at the latest.
pub struct BatchLimits {
    pub records: usize,
    /// Of what a batch holds.
    pub bytes: usize,
    /// After its first line.
    pub wait: Duration,
}

/// What an item adds to its batch.
#[derive(Default)]
pub struct Weight {
    pub records: usize,
    pub bytes: usize,
}

/// Where batches go.
pub trait BatchSink<T> {
    /// Admits `item` to the current batch; returns what it adds to it.
    fn admit(&mut self, item: &mut Parsed<T>) -> Weight;

    /// Takes a batch, which is not empty.
    fn submit(&mut self, batch: Vec<Parsed<T>>) -> Result<()>;

    /// Finishes what is in flight: nothing else is there to do.
    fn settle(&mut self) -> Result<()>;
}

/// Returns what `parse` makes of the records of `block`, with its marks.
pub fn parse_block<T>(
    block: Block<'_>,
    parse: impl Fn(RecordLine<'_>) -> Parsed<T>,
) -> Vec<Parsed<T>> {
    block
        .lines()
        .map(|line| match line {
            Line::Record(record) => parse(record),
            Line::Mark(mark, line) => Parsed::mark(mark, line),
        })
        .collect()
}

/// Hands on what `results` bring, until they end.
///
/// # Errors
/// That of `sink`.
pub fn batched<T>(
    results: &mut Results<Vec<Parsed<T>>>,
    limits: &BatchLimits,
    sink: &mut impl BatchSink<T>,
) -> Result<()> {
    let mut batch = Vec::new();
    let mut held = Weight::default();
    let mut deadline: Option<Instant> = None;
    loop {
        let polled = match (
            deadline,
            results.next(deadline.or_else(|| Some(Instant::now()))),
        ) {
            (None, Polled::Late) => {
                sink.settle()?;
                results.next(None)
            }
            (_, polled) => polled,
        };
        let late = match polled {
            Polled::Item(items) => {
                for mut item in items {
                    let weight = sink.admit(&mut item);
                    held.records += weight.records;
                    held.bytes += weight.bytes;
                    batch.push(item);
                    if held.records >= limits.records || held.bytes >= limits.bytes {
                        sink.submit(std::mem::take(&mut batch))?;
                        held = Weight::default();
                        deadline = None;
                    }
                }
                deadline.is_some_and(|deadline| deadline <= Instant::now())
            }
            Polled::Late => true,
            Polled::End => {
                if !batch.is_empty() {
                    sink.submit(batch)?;
                }
                return sink.settle();
            }
        };
        if late {
            if !batch.is_empty() {
                sink.submit(std::mem::take(&mut batch))?;
                held = Weight::default();
            }
            sink.settle()?;
            deadline = None;
        } else if deadline.is_none() && !batch.is_empty() {
            deadline = Some(Instant::now() + limits.wait);
        }
    }
}
