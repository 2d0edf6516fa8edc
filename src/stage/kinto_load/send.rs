//! Batches: gathered in the order of the input, some at work at once, and
//! reported in that order.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender as Channel, bounded};

use super::known::digest;
use super::read::Item;
use crate::counters::{Counters, Waiting};
use crate::error::{Error, Kind, Result};
use crate::metrics::Metrics;
use crate::ndjson::{Polled, Results, StageOutput};
use crate::record::reject::Reject;
use crate::remote::kinto::batch::{Batches, Outcome, Put};

/// When a batch is sent at the latest.
pub struct Limits {
    pub records: usize,
    pub wait: Duration,
    pub workers: usize,
}

/// A batch is sent before it holds more than this, in bytes.
const LARGEST: usize = 1 << 20;

/// A line of a batch, without what is on its way in the batch itself.
enum Place {
    Put(u64),
    Unchanged,
    Mark(crate::record::mark::Mark, Vec<u8>),
    Reject(Reject),
}

#[derive(Default)]
struct Batch {
    places: Vec<Place>,
    puts: Vec<Put>,
    bytes: usize,
}

type Done = (Arc<Vec<Put>>, Result<Vec<Outcome>>);

/// A batch at work.
struct Sent {
    places: Vec<Place>,
    done: Receiver<Done>,
    paths: Arc<Vec<Put>>,
}

pub struct Sender<'a> {
    batches: &'a Batches,
    limits: &'a Limits,
    output: &'a mut StageOutput,
    counters: &'a Counters,
    metrics: Metrics,
    at_work: VecDeque<Sent>,
    /// How many batches at work hold a record of this path.
    paths: HashMap<String, usize>,
    /// Hashes of the paths that were sent, where what is unchanged is not.
    changed: Option<HashSet<u64>>,
}

type Job = (Arc<Vec<Put>>, Channel<Done>);

impl<'a> Sender<'a> {
    pub fn new(
        batches: &'a Batches,
        limits: &'a Limits,
        output: &'a mut StageOutput,
        counters: &'a Counters,
        skips_unchanged: bool,
    ) -> Self {
        Self {
            batches,
            limits,
            output,
            counters,
            metrics: Metrics::from_environment(),
            at_work: VecDeque::new(),
            paths: HashMap::new(),
            changed: skips_unchanged.then(HashSet::new),
        }
    }

    /// Sends what `results` bring.
    pub fn send(mut self, results: &mut Results<Vec<Item>>) -> Result<()> {
        let (jobs, waiting) = bounded::<Job>(self.limits.workers);
        let batches = self.batches;
        std::thread::scope(|scope| {
            for _ in 0..self.limits.workers {
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
            let gathered = self.gather(results, &jobs);
            drop(jobs);
            gathered
        })
    }

    /// What the server had is sent all the same behind another version of it.
    fn decide(&mut self, item: Item) -> Item {
        let Some(changed) = &mut self.changed else {
            return item;
        };
        match item {
            Item::Put(put, number) => {
                changed.insert(digest(&put.path));
                Item::Put(put, number)
            }
            Item::Unchanged(put, number) if changed.contains(&digest(&put.path)) => {
                Item::Put(put, number)
            }
            item => item,
        }
    }

    fn gather(&mut self, results: &mut Results<Vec<Item>>, jobs: &Channel<Job>) -> Result<()> {
        let mut batch = Batch::default();
        let mut deadline: Option<Instant> = None;
        loop {
            let now = match deadline {
                // What is finished leaves before any wait.
                None => results.ready(),
                deadline => results.next(deadline),
            };
            let flow = match now {
                Polled::Late if deadline.is_none() => {
                    self.report_all()?;
                    results.next(None)
                }
                flow => flow,
            };
            let late = match flow {
                Polled::Item(items) => {
                    for item in items {
                        batch.add(self.decide(item));
                        if batch.puts.len() >= self.limits.records || batch.bytes >= LARGEST {
                            self.begin(std::mem::take(&mut batch), jobs)?;
                            deadline = None;
                        }
                    }
                    deadline.is_some_and(|deadline| deadline <= Instant::now())
                }
                Polled::Late => true,
                Polled::End => {
                    self.begin(batch, jobs)?;
                    return self.report_all();
                }
            };
            if late {
                self.begin(std::mem::take(&mut batch), jobs)?;
                self.report_all()?;
                deadline = None;
            } else if deadline.is_none() && !batch.places.is_empty() {
                deadline = Some(Instant::now() + self.limits.wait);
            }
        }
    }

    fn begin(&mut self, batch: Batch, jobs: &Channel<Job>) -> Result<()> {
        if batch.places.is_empty() {
            return Ok(());
        }
        // Of two versions of a record the later one has to arrive last.
        while batch
            .puts
            .iter()
            .any(|put| self.paths.contains_key(&put.path))
            || self.at_work.len() > self.limits.workers
        {
            self.report()?;
        }
        for put in &batch.puts {
            *self.paths.entry(put.path.clone()).or_default() += 1;
        }
        let (done, receiver) = bounded(1);
        let puts = Arc::new(batch.puts);
        self.at_work.push_back(Sent {
            places: batch.places,
            done: receiver,
            paths: Arc::clone(&puts),
        });
        let lost = |_| Error::message(Kind::Internal, "the senders are gone");
        if puts.is_empty() {
            return done
                .send((puts, Ok(Vec::new())))
                .map_err(|_| Error::message(Kind::Internal, "a batch without records is lost"));
        }
        jobs.send((puts, done)).map_err(lost)
    }

    fn report_all(&mut self) -> Result<()> {
        while !self.at_work.is_empty() {
            self.report()?;
        }
        self.output.flush()
    }

    /// Backoff for the first batch at work, and says what became of its lines.
    fn report(&mut self) -> Result<()> {
        let Some(sent) = self.at_work.pop_front() else {
            return Ok(());
        };
        self.counters.waits(Waiting::Server);
        let done = sent.done.recv();
        self.counters.waits(Waiting::Nothing);
        let (puts, outcomes) =
            done.map_err(|_| Error::message(Kind::Internal, "a sender panicked"))?;
        for put in sent.paths.iter() {
            if let Some(count) = self.paths.get_mut(&put.path) {
                *count -= 1;
                if *count == 0 {
                    self.paths.remove(&put.path);
                }
            }
        }
        let mut outcomes = puts.iter().zip(outcomes?);
        let stored = self.counters.snapshot().1;
        for place in sent.places {
            match place {
                Place::Mark(mark, line) => {
                    if self.output.close_unit(&mark)? && !self.output.is_terminal() {
                        self.output.write(&line)?;
                        self.output.write(b"\n")?;
                    }
                }
                Place::Reject(reject) => {
                    self.counters.add_read(1);
                    self.output.reject(&reject)?;
                }
                Place::Unchanged => {
                    self.counters.add_read(1);
                    self.counters.dropped("unchanged", 1);
                }
                Place::Put(number) => {
                    let Some((put, outcome)) = outcomes.next() else {
                        continue;
                    };
                    self.counters.add_read(1);
                    match outcome {
                        Outcome::Created => self.counters.add_written(1),
                        Outcome::Updated => {
                            self.counters.add_written(1);
                            self.counters.note("over earlier ones", 1);
                        }
                        Outcome::There => self.counters.dropped("there already", 1),
                        Outcome::Refused(reason) => {
                            self.output
                                .reject(&Reject::new(&put.line, number, "refused", reason))?;
                        }
                    }
                }
            }
        }
        self.metrics.incr(
            "to_kinto_update_record",
            self.counters.snapshot().1 - stored,
        );
        Ok(())
    }
}

impl Batch {
    fn add(&mut self, item: Item) {
        self.places.push(match item {
            Item::Put(put, number) => {
                self.bytes += put.line.len();
                self.puts.push(*put);
                Place::Put(number)
            }
            Item::Unchanged(..) => {
                self.bytes += 64;
                Place::Unchanged
            }
            Item::Mark(mark, line) => {
                self.bytes += line.len();
                Place::Mark(mark, line)
            }
            Item::Reject(reject) => {
                self.bytes += reject.line.len();
                Place::Reject(reject)
            }
        });
    }
}
