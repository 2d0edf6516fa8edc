//! The thread that sends documents to the index.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use crate::context::Context;
use crate::counters::Counters;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::record::build::Canonical;
use crate::remote::elastic::{Index, IndexOutcome, SearchDocument};
use crate::store::{Connector, Store, StoredBuild};

/// The number of queued rows to read at once.
const QUEUE_PAGE: usize = 4000;

/// Sends two requests at a time, which keeps a server busy.
pub struct IndexerThread {
    queue: Box<dyn Store>,
    streams: [BulkSender; 2],
    /// Whether the loader has left documents in the queue since it was read.
    behind: Arc<AtomicBool>,
}

/// How often an idle stream looks whether documents are left in the queue.
const LOOK: Duration = Duration::from_secs(1);

impl IndexerThread {
    /// Prepares sending documents of `generation`; `queue` is read, and each stream confirms
    /// by a connection of its own. `behind` says that the caller has left documents in the queue.
    pub fn new(
        index: &Index,
        generation: i64,
        queue: Box<dyn Store>,
        connector: &Connector,
        behind: Arc<AtomicBool>,
        context: &Context,
    ) -> Result<Self> {
        let left_out = Arc::new(LeftOut::new(context));
        let stream = || -> Result<BulkSender> {
            Ok(BulkSender {
                index: index.clone(),
                generation,
                store: connector.connect()?,
                counters: Arc::clone(&context.counters),
                left_out: Arc::clone(&left_out),
            })
        };
        let streams = [stream()?, stream()?];
        Ok(Self {
            queue,
            streams,
            behind,
        })
    }

    /// Sends what was queued up to the id `left` before this loader started, then its own
    /// documents as they come, then what is left in the queue.
    pub fn run(mut self, left: i64, batches: &Receiver<Vec<SearchDocument>>) -> Result<()> {
        self.drain(left)?;
        loop {
            send_all(&mut self.streams, batches, &self.behind)?;
            let is_behind = self.behind.swap(false, SeqCst);
            // Up to a fixed id: a concurrent loader may never let the queue be empty.
            let last = self.queue.last_queued()?;
            self.drain(last)?;
            if !is_behind {
                return Ok(());
            }
        }
    }

    /// Sends queued rows up to the id `until`.
    pub fn drain(&mut self, until: i64) -> Result<()> {
        let Self { queue, streams, .. } = self;
        let (batches, received) = bounded(0);
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || send_all(streams, &received, &AtomicBool::new(false)));
            let read = read_queue(&mut **queue, until, &batches);
            drop(batches);
            sender.join().unwrap_or_else(|_| panicked()).and(read)
        })
    }
}

fn read_queue(
    queue: &mut dyn Store,
    until: i64,
    batches: &Sender<Vec<SearchDocument>>,
) -> Result<()> {
    let mut after = i64::MIN;
    loop {
        let mut queued = queue.queued(after, QUEUE_PAGE)?;
        queued.retain(|row| row.id <= until);
        let Some(last) = queued.last() else {
            return Ok(());
        };
        after = last.id;
        let documents = queued.iter().map(document).collect::<Result<Vec<_>>>()?;
        // The receiver returns the reason.
        if batches.send(documents).is_err() {
            return Ok(());
        }
    }
}

/// Sends the batches that come, until there are no more or `behind` is set.
fn send_all(
    streams: &mut [BulkSender],
    batches: &Receiver<Vec<SearchDocument>>,
    behind: &AtomicBool,
) -> Result<()> {
    std::thread::scope(|scope| {
        let send = |stream| scope.spawn(|| BulkSender::send_each(stream, batches, behind));
        let threads: Vec<_> = streams.iter_mut().map(send).collect();
        let sent = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        sent.map(|sent| sent.unwrap_or_else(|_| panicked()))
            .fold(Ok(()), Result::and)
    })
}

/// Sends one request at a time.
pub struct BulkSender {
    pub index: Index,
    /// The generation that confirmations are for.
    pub generation: i64,
    pub store: Box<dyn Store>,
    pub counters: Arc<Counters>,
    pub left_out: Arc<LeftOut>,
}

impl BulkSender {
    fn send_each(
        &mut self,
        batches: &Receiver<Vec<SearchDocument>>,
        behind: &AtomicBool,
    ) -> Result<()> {
        while !behind.load(SeqCst) {
            match batches.recv_timeout(LOOK) {
                Ok(documents) => self.send(&documents)?,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        Ok(())
    }

    fn send(&mut self, documents: &[SearchDocument]) -> Result<()> {
        let sent = self.index.bulk(documents);
        let (outcomes, failed) = match sent {
            Ok(outcomes) => (outcomes.into_iter().map(Some).collect(), None),
            Err(error) => (error.outcomes, Some(error.error)),
        };
        let (mut confirmed, mut refused, mut incomplete) = (Vec::new(), Vec::new(), Vec::new());
        for (document, outcome) in documents.iter().zip(outcomes) {
            match outcome {
                Some(IndexOutcome::Indexed | IndexOutcome::Known) => {
                    confirmed.push(document.id);
                    incomplete.extend((!document.document.left_out.is_empty()).then_some(document));
                }
                Some(IndexOutcome::Refused { status, reason }) => {
                    refused.push((document.id, format!("{status} {reason}")));
                }
                None => {}
            }
        }
        if !self.store.ack(self.generation, &confirmed, &refused)? {
            return Err(Error::message(
                Kind::EndedEarly,
                "every row was queued again by another loader; run again",
            ));
        }
        self.counters.note("indexed", confirmed.len() as u64);
        for document in incomplete {
            self.left_out.report(document);
        }
        failed.map_or(Ok(()), Err)
    }
}

/// Returns the search document of a row.
///
/// # Errors
/// Its build is not JSON (78).
pub fn document(queued: &StoredBuild) -> Result<SearchDocument> {
    let value = json::parse(queued.build.as_bytes()).map_err(|error| {
        Error::configuration(format!("row {}: its build is not JSON: {error}", queued.id))
    })?;
    Ok(SearchDocument {
        id: queued.id,
        document: Canonical::new(&value, queued.build.len()).document(&value),
    })
}

/// Reports the dates that were left out of documents because they cannot be parsed.
pub struct LeftOut {
    dates: AtomicU64,
    context: Context,
}

/// How many of them are logged.
const SHOWN: u64 = 10;

impl LeftOut {
    pub fn new(context: &Context) -> Self {
        Self {
            dates: AtomicU64::new(0),
            context: context.clone(),
        }
    }

    fn report(&self, indexed: &SearchDocument) {
        for date in &indexed.document.left_out {
            let Context { counters, log, .. } = &self.context;
            counters.note("dates left out of the index", 1);
            match self.dates.fetch_add(1, Relaxed) {
                ..SHOWN => log.warn(format!(
                    "row {}: cannot read the date {date}; it is indexed without it",
                    indexed.id
                )),
                SHOWN => log.warn("more dates are left out; the summary counts them"),
                _ => {}
            }
        }
    }
}

pub fn panicked() -> Result<()> {
    Err(Error::internal("the indexer panicked"))
}
