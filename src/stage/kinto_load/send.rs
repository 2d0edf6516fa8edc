//! Batches: gathered in the order of the input, some at work at once, and
//! reported in that order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use super::known::digest;
use super::read::PendingPut;
use crate::counters::{Counters, Waiting};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::ndjson::{BatchLimits, BatchSink, Parsed, Results, StageOutput, Weight, batched};
use crate::record::reject::Reject;
use crate::remote::kinto::batch::{Batches, Put, PutOutcome};

/// A batch is sent before it holds more than this, in bytes.
pub const LARGEST: usize = 1 << 20;

type Item = Parsed<Box<PendingPut>>;

type Done = (Arc<Vec<Put>>, Result<Vec<PutOutcome>>);

type Job = (Arc<Vec<Put>>, Channel<Done>);

/// A batch at work: of a record to store only the number of its line is left.
struct Sent {
    items: Vec<Parsed<u64>>,
    done: Receiver<Done>,
    puts: Arc<Vec<Put>>,
}

/// Sends batches, some at once, and reports them in their order.
struct Sender<'a> {
    workers: usize,
    jobs: Channel<Job>,
    output: &'a mut StageOutput,
    counters: &'a Counters,
    metrics: Metrics,
    at_work: VecDeque<Sent>,
    /// How many batches at work hold a record of this path.
    paths: HashMap<String, usize>,
    /// Hashes of the paths that were sent, where what is unchanged is not.
    changed: Option<HashSet<u64>>,
}

/// Stores what `results` bring, with so many batches at work at once.
pub fn store(
    results: &mut Results<Vec<Item>>,
    limits: &BatchLimits,
    (batches, workers): (&Batches, usize),
    skips_unchanged: bool,
    (output, counters): (&mut StageOutput, &Counters),
) -> Result<()> {
    let (jobs, waiting) = bounded::<Job>(workers);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            let waiting = waiting.clone();
            scope.spawn(move || {
                for (puts, done) in waiting {
                    let outcomes = batches.store(&puts);
                    // Nobody listens any more once the run has failed.
                    drop(done.send((puts, outcomes)));
                }
            });
        }
        drop(waiting);
        let mut sender = Sender {
            workers,
            jobs,
            output,
            counters,
            metrics: Metrics::from_environment(),
            at_work: VecDeque::new(),
            paths: HashMap::new(),
            changed: skips_unchanged.then(HashSet::new),
        };
        batched(results, limits, &mut sender)
    })
}

impl BatchSink<Box<PendingPut>> for Sender<'_> {
    fn admit(&mut self, item: &mut Item) -> Weight {
        let (records, bytes) = match item {
            Parsed::Record(pending) => {
                if let Some(changed) = &mut self.changed {
                    let path = digest(&pending.put.path);
                    // What the server had is sent all the same after another
                    // version of it.
                    pending.unchanged &= !changed.contains(&path);
                    if !pending.unchanged {
                        changed.insert(path);
                    }
                }
                if pending.unchanged {
                    (0, 64)
                } else {
                    (1, pending.put.line.len())
                }
            }
            Parsed::Reject(reject) => (0, reject.line.len()),
            Parsed::Mark(mark) => (0, mark.1.len()),
            Parsed::Dropped(..) => (0, 0),
        };
        Weight { records, bytes }
    }

    fn submit(&mut self, batch: Vec<Item>) -> Result<()> {
        let mut puts = Vec::new();
        let mut items = Vec::with_capacity(batch.len());
        for item in batch {
            items.push(match item {
                Parsed::Record(pending) if pending.unchanged => Parsed::Dropped("unchanged", 1),
                Parsed::Record(pending) => {
                    puts.push(pending.put);
                    Parsed::Record(pending.number)
                }
                Parsed::Dropped(reason, records) => Parsed::Dropped(reason, records),
                Parsed::Reject(reject) => Parsed::Reject(reject),
                Parsed::Mark(mark) => Parsed::Mark(mark),
            });
        }
        // Of two versions of a record the later one has to arrive last.
        while puts.iter().any(|put| self.paths.contains_key(&put.path))
            || self.at_work.len() > self.workers
        {
            self.report()?;
        }
        for put in &puts {
            *self.paths.entry(put.path.clone()).or_default() += 1;
        }
        let (done, receiver) = bounded(1);
        let puts = Arc::new(puts);
        self.at_work.push_back(Sent {
            items,
            done: receiver,
            puts: Arc::clone(&puts),
        });
        if puts.is_empty() {
            return done
                .send((puts, Ok(Vec::new())))
                .map_err(|_| Error::internal("a batch without records is lost"));
        }
        let lost = |_| Error::internal("the senders are gone");
        self.jobs.send((puts, done)).map_err(lost)
    }

    fn settle(&mut self) -> Result<()> {
        while !self.at_work.is_empty() {
            self.report()?;
        }
        self.output.flush()
    }
}

impl Sender<'_> {
    /// Waits for the first batch at work, and says what became of its lines.
    fn report(&mut self) -> Result<()> {
        let Some(sent) = self.at_work.pop_front() else {
            return Ok(());
        };
        self.counters.waits(Waiting::Server);
        let done = sent.done.recv();
        self.counters.waits(Waiting::Nothing);
        let (puts, outcomes) = done.map_err(|_| Error::internal("a sender panicked"))?;
        for put in sent.puts.iter() {
            if let Some(count) = self.paths.get_mut(&put.path) {
                *count -= 1;
                if *count == 0 {
                    self.paths.remove(&put.path);
                }
            }
        }
        let mut outcomes = puts.iter().zip(outcomes?);
        let mut stored = 0;
        for item in sent.items {
            // On a terminal nobody reads marks.
            if let Parsed::Mark(mark) = &item
                && self.output.is_terminal()
            {
                self.output.close_unit(&mark.0)?;
                continue;
            }
            let Some(number) = self.output.settle(item)? else {
                continue;
            };
            let Some((put, outcome)) = outcomes.next() else {
                break;
            };
            match outcome {
                PutOutcome::Created => stored += 1,
                PutOutcome::Updated => {
                    stored += 1;
                    self.counters.note("over earlier ones", 1);
                }
                PutOutcome::Existing => self.output.drop("there already", 1),
                PutOutcome::Refused(reason) => {
                    let reject = Reject::new(&put.line, number, "refused", reason);
                    self.output.reject(&reject)?;
                }
            }
        }
        self.output.add_written(stored);
        self.metrics.incr("to_kinto_update_record", stored);
        Ok(())
    }
}
