//! Sends batches, several at once, and reports their outcomes in the order of the input.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::thread::Scope;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::read::PendingPut;
use super::versions::{Superseded, Versions};
use crate::context::Context;
use crate::counters::{Counters, Waiting};
use crate::error::{Error, Result};
use crate::metrics::Metrics;
use crate::ndjson::{BatchSink, Parsed, StageOutput};
use crate::record::reject::Reject;
use crate::remote::kinto::batch::{Batches, Put, PutOutcome};

/// A batch is sent before it holds more than this, in bytes.
pub const LARGEST: usize = 1 << 20;

type Item = Parsed<Box<PendingPut>>;

type Outcomes = Result<Vec<PutOutcome>>;

/// A batch for a worker, and where it sends the outcomes.
type BatchJob = (Arc<Vec<Put>>, Sender<Outcomes>);

/// A batch in flight. Of its records, `items` only has the numbers of their lines.
struct Sent {
    items: Vec<Parsed<u64>>,
    done: Receiver<Outcomes>,
    puts: Arc<Vec<Put>>,
}

/// Sends batches, several at once, and reports their outcomes in order.
pub struct BatchSender {
    workers: usize,
    jobs: Sender<BatchJob>,
    counters: Arc<Counters>,
    metrics: Metrics,
    in_flight: VecDeque<Sent>,
    /// How many batches in flight contain a record of this path.
    paths: HashMap<String, usize>,
    /// Which versions of records to send, with --skip-unchanged.
    pub versions: Option<Versions>,
}

impl BatchSender {
    /// Starts `workers` threads, which end when it is dropped.
    pub fn new<'scope>(
        scope: &'scope Scope<'scope, '_>,
        batches: &'scope Batches,
        workers: usize,
        context: &Context,
    ) -> Self {
        let (jobs, waiting) = bounded::<BatchJob>(workers);
        for _ in 0..workers {
            let waiting = waiting.clone();
            scope.spawn(move || {
                for (puts, done) in waiting {
                    // The receiver is gone once the run has failed.
                    drop(done.send(batches.store(&puts)));
                }
            });
        }
        Self {
            workers,
            jobs,
            counters: Arc::clone(&context.counters),
            metrics: context.metrics.clone(),
            in_flight: VecDeque::new(),
            paths: HashMap::new(),
            versions: None,
        }
    }

    /// Sends the records that were put off, `records` per batch; returns what was
    /// superseded.
    pub fn finish(mut self, records: usize, output: &mut StageOutput) -> Result<Superseded> {
        let Some(versions) = self.versions.take() else {
            return Ok(Superseded::default());
        };
        let (mut rest, superseded) = versions.finish();
        while !rest.is_empty() {
            let after = rest.split_off(records.min(rest.len()));
            self.submit(std::mem::replace(&mut rest, after), output)?;
        }
        self.wait_for_all(output)?;
        Ok(superseded)
    }

    /// Waits for the first batch in flight, and reports the outcomes of its records.
    fn report(&mut self, output: &mut StageOutput) -> Result<()> {
        let Some(sent) = self.in_flight.pop_front() else {
            return Ok(());
        };
        let wait = || sent.done.recv();
        let outcomes = self.counters.wait_for(Waiting::Server, wait);
        let outcomes = outcomes.map_err(|_| Error::internal("a sender panicked"))?;
        for put in sent.puts.iter() {
            if let Some(count) = self.paths.get_mut(&put.path) {
                *count -= 1;
                if *count == 0 {
                    self.paths.remove(&put.path);
                }
            }
        }
        let mut outcomes = sent.puts.iter().zip(outcomes?);
        let mut stored = 0;
        for item in sent.items {
            let Some(number) = output.take_record(item)? else {
                continue;
            };
            let (put, outcome) = (outcomes.next())
                .ok_or_else(|| Error::internal("a record has no outcome in Kinto"))?;
            stored += u64::from(matches!(outcome, PutOutcome::Created | PutOutcome::Updated));
            match outcome {
                PutOutcome::Created => output.add_written(1),
                PutOutcome::Updated => {
                    output.add_written(1);
                    self.counters.note("over earlier ones", 1);
                }
                PutOutcome::Existing => output.drop("there already", 1),
                PutOutcome::Refused(reason) => {
                    let reject = Reject::new(&put.line, number, "refused", reason);
                    output.reject(&reject)?;
                }
            }
        }
        self.metrics.incr("to_kinto_update_record", stored);
        Ok(())
    }
}

impl BatchSink<Box<PendingPut>> for BatchSender {
    fn submit(&mut self, batch: Vec<Item>, output: &mut StageOutput) -> Result<()> {
        let batch = match &mut self.versions {
            Some(versions) => versions.choose(batch),
            None => batch,
        };
        let mut puts = Vec::new();
        let mut items = Vec::with_capacity(batch.len());
        for item in batch {
            items.push(item.and_then(|pending| {
                if pending.unchanged {
                    return Parsed::Dropped("unchanged", 1);
                }
                puts.push(pending.put);
                Parsed::Record(pending.number)
            }));
        }
        // Two versions of a record must arrive in order.
        while puts.iter().any(|put| self.paths.contains_key(&put.path))
            || self.in_flight.len() > self.workers
        {
            self.report(output)?;
        }
        for put in &puts {
            *self.paths.entry(put.path.clone()).or_default() += 1;
        }
        let (done, receiver) = bounded(1);
        let puts = Arc::new(puts);
        self.in_flight.push_back(Sent {
            items,
            done: receiver,
            puts: Arc::clone(&puts),
        });
        if puts.is_empty() {
            return done
                .send(Ok(Vec::new()))
                .map_err(|_| Error::internal("a batch without records is lost"));
        }
        let lost = |_| Error::internal("the senders are gone");
        self.jobs.send((puts, done)).map_err(lost)
    }

    fn wait_for_all(&mut self, output: &mut StageOutput) -> Result<()> {
        while !self.in_flight.is_empty() {
            self.report(output)?;
        }
        Ok(())
    }
}
