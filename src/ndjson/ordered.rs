//! The skeleton of a stage that sends a request per record: requests start as records are
//! read, and their answers are written in the order of the input.

use crossbeam_channel::{Sender, bounded};

use super::{Input, Io, Line, Parsed, RecordLine, StageOutput, with_reader};
use crate::counters::{Counters, Waiting};
use crate::error::Result;
use crate::record::reject::Reject;
use crate::shutdown::Shutdown;

/// An answer that may not have arrived yet.
pub trait Promise: Send {
    type Answer;

    /// Returns the answer if it has arrived.
    fn poll(&mut self) -> Option<Result<Self::Answer>>;

    /// Blocks until the answer has arrived.
    fn wait(self) -> Result<Self::Answer>;
}

/// A record that waits for its answer.
struct Pending<P> {
    number: u64,
    line: Vec<u8>,
    promise: P,
}

/// The queue from the thread that reads records to the one that writes their answers.
pub struct PendingQueue<P> {
    sender: Sender<Parsed<Pending<P>>>,
    /// Consecutive dropped records, by reason.
    dropped: Vec<(&'static str, u64)>,
    /// How many items the current record has added.
    given: u64,
    /// The writer has failed.
    closed: bool,
}

impl<P> PendingQueue<P> {
    /// Adds a record that waits for `promise`.
    pub fn ask(&mut self, record: RecordLine<'_>, promise: P) {
        self.push(Parsed::Record(Pending {
            number: record.number,
            line: record.bytes.to_vec(),
            promise,
        }));
    }

    /// Adds a reject.
    pub fn reject(&mut self, reject: Reject) {
        self.push(Parsed::reject(reject));
    }

    /// Counts a dropped record; consecutive ones are added together.
    pub fn drop(&mut self, reason: &'static str) {
        self.given += 1;
        match self.dropped.iter_mut().find(|(own, _)| *own == reason) {
            Some((_, count)) => *count += 1,
            None => self.dropped.push((reason, 1)),
        }
    }

    fn push(&mut self, parsed: Parsed<Pending<P>>) {
        self.given += 1;
        self.flush_dropped();
        self.send(parsed);
    }

    fn flush_dropped(&mut self) {
        for (reason, records) in std::mem::take(&mut self.dropped) {
            self.send(Parsed::Dropped(reason, records));
        }
    }

    fn send(&mut self, parsed: Parsed<Pending<P>>) {
        self.closed |= self.sender.send(parsed).is_err();
    }
}

/// Calls `ask` for each record of the input on another thread, and `emit` for their answers
/// on this one, with at most `ahead` records in between.
///
/// A line that gives several records is counted as read once; `ask` counts the
/// others as made by queueing more than one of them.
///
/// # Errors
/// That of `emit` or of an answer, else that of `ask` or the input.
pub fn ordered<P: Promise>(
    io: &mut Io,
    ahead: usize,
    mut ask: impl FnMut(RecordLine<'_>, &mut PendingQueue<P>) -> Result<()> + Send,
    mut emit: impl FnMut(RecordLine<'_>, P::Answer, &mut StageOutput) -> Result<()>,
) -> Result<()> {
    let (input, output) = (&mut io.input, &mut io.output);
    let counters: &Counters = &io.context.counters;
    let shutdown = &*io.context.shutdown;
    let (sender, pending) = bounded(ahead);
    let queue = PendingQueue {
        sender,
        dropped: Vec::new(),
        given: 0,
        closed: false,
    };
    with_reader(
        shutdown,
        move || read(input, queue, shutdown, &mut ask),
        move || {
            while let Some(parsed) = output.receive(&pending)? {
                let Some(mut next) = output.take_record(parsed)? else {
                    continue;
                };
                let answer = if let Some(answer) = next.promise.poll() {
                    answer
                } else {
                    output.flush()?;
                    counters.wait_for(Waiting::Server, || next.promise.wait())
                };
                let record = RecordLine {
                    number: next.number,
                    bytes: &next.line,
                };
                emit(record, answer?, output)?;
            }
            Ok(())
        },
    )
}

fn read<P>(
    input: &mut Input,
    mut queue: PendingQueue<P>,
    shutdown: &Shutdown,
    ask: &mut impl FnMut(RecordLine<'_>, &mut PendingQueue<P>) -> Result<()>,
) -> Result<()> {
    while let Some(block) = input.next()? {
        for line in block.lines() {
            match line {
                Line::Mark(mark, line) => queue.push(Parsed::mark(mark, line)),
                Line::Record(record) => {
                    queue.given = 0;
                    if shutdown.is_input_over() {
                        queue.reject(record.reject("wrong_input", "not looked at"));
                        continue;
                    }
                    ask(record, &mut queue)?;
                    match queue.given.saturating_sub(1) {
                        0 => {}
                        made => queue.send(Parsed::Made(made)),
                    }
                }
            }
            if queue.closed {
                return Ok(());
            }
        }
        queue.flush_dropped();
    }
    Ok(())
}
