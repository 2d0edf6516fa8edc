//! The indexer: a thread that sends rows to Elasticsearch, first those that an
//! earlier loader left in the queue.

use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam_channel::{Receiver, Sender, bounded};

use super::Args;
use super::follow::{self, Following};
use crate::counters::Counters;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::log::Log;
use crate::ndjson::{Io, StageOutput};
use crate::record::build::Canonical;
use crate::record::reject::Reject;
use crate::record::s3::unquote_etag;
use crate::remote::elastic::{Index, IndexOutcome, SearchDocument};
use crate::store::{Connector, RefusedRow, Store, StoredBuild};

/// The number of queued rows to read at once.
const QUEUE_PAGE: usize = 4000;

pub struct Indexer {
    batches: Option<Sender<Vec<SearchDocument>>>,
    work: Work,
    log: Log,
}

/// What becomes of the rows that are queued.
enum Work {
    /// They are sent.
    Thread(JoinHandle<Result<()>>, Index),
    /// They are only queued: Elasticsearch is unavailable, or documents are lost.
    Nothing(Error),
}

const UNAVAILABLE: &str = "rows are stored, and queued to be indexed by a later run";

impl Indexer {
    /// Connects, and starts with what an earlier loader left; `None` if no
    /// Elasticsearch is configured.
    pub fn start(args: &Args, connector: &Connector, io: &Io) -> Result<Option<Self>> {
        let log = io.context.log.clone();
        let mut queue = connector.connect()?;
        let identity = queue.identity()?;
        let begun = match Index::open(&args.elastic, &identity.id, &io.context) {
            Ok(Some(index)) => {
                let following = follow::begin(&index, &mut *queue, args.requeue, &log);
                following.map(|following| (index, following))
            }
            Ok(None) if args.requeue => {
                return Err(Error::usage("--requeue needs --elasticsearch"));
            }
            Ok(None) => return Ok(None),
            Err(error) => Err(error),
        };
        let (index, generation) = match begun {
            Ok((index, Following::Generation(generation))) => (index, generation),
            Ok((_, Following::Lost(error))) => return Ok(Some(Self::idle(error, log))),
            Err(error) if error.kind == Kind::Unavailable => {
                follow::unseen(&mut *queue, &args.elastic.index, args.requeue)?;
                return Ok(Some(Self::idle(error, log)));
            }
            Err(error) => return Err(error),
        };
        if args.retry_refused {
            let again = queue.retry_refused()?;
            io.context
                .counters
                .note("refused documents queued again", again);
        }
        let left = queue.last_queued()?;
        let stream = || -> Result<BulkSender> {
            Ok(BulkSender {
                index: index.clone(),
                generation,
                store: connector.connect()?,
                counters: Arc::clone(&io.context.counters),
            })
        };
        let streams = [stream()?, stream()?];
        let thread = IndexerThread { queue, streams };
        let (batches, received) = bounded(0);
        let thread = std::thread::spawn(move || thread.run(left, &received));
        Ok(Some(Self {
            batches: Some(batches),
            work: Work::Thread(thread, index),
            log,
        }))
    }

    fn idle(error: Error, log: Log) -> Self {
        log.warn(format!("{error}; {UNAVAILABLE}"));
        Self {
            batches: None,
            work: Work::Nothing(error),
            log,
        }
    }

    /// Sends documents of committed rows; if the indexer has failed, they stay
    /// in the queue.
    pub fn send(&mut self, documents: Vec<SearchDocument>) {
        if let Some(batches) = &self.batches
            && !documents.is_empty()
            && batches.send(documents).is_err()
        {
            self.batches = None;
            self.log
                .warn(format!("Elasticsearch takes no more: {UNAVAILABLE}"));
        }
    }

    /// Waits for the last documents, and reports the rejected ones, also those
    /// that a killed loader did not report.
    pub fn finish(
        self,
        loaded: bool,
        store: &mut dyn Store,
        output: &mut StageOutput,
    ) -> Result<()> {
        drop(self.batches);
        let done = match self.work {
            Work::Thread(thread, index) => {
                let sent = thread.join().unwrap_or_else(|_| panicked());
                sent.and_then(|()| follow::end(&index, store))
            }
            Work::Nothing(error) => Err(error),
        };
        let reported = report(store, output);
        match done {
            Ok(()) => reported,
            // The loader has a reason of its own to stop.
            Err(_) if !loaded => Ok(()),
            Err(error) => Err(error.context("rows are stored but not all are indexed")),
        }
    }
}

fn panicked() -> Result<()> {
    Err(Error::internal("the indexer panicked"))
}

fn report(store: &mut dyn Store, output: &mut StageOutput) -> Result<()> {
    let refused = store.unreported()?;
    if refused.is_empty() {
        return Ok(());
    }
    for row in &refused {
        output.reject_later(&reject(row), "refused by Elasticsearch")?;
    }
    output.sync_rejects()?;
    let ids: Vec<i64> = refused.iter().map(|row| row.id).collect();
    store.mark_reported(&ids)
}

/// Returns the reject of a row, without its build: a database may store numbers
/// in another notation, which would change the hash.
fn reject(row: &RefusedRow) -> Reject {
    let mut line = format!("{{\"id\":{},\"key\":", row.id).into_bytes();
    write_text(row.key.as_deref(), &mut line);
    line.extend_from_slice(b",\"etag\":");
    write_text(row.etag.as_deref().map(unquote_etag), &mut line);
    line.push(b'}');
    let message = format!(
        "row {}: {}; stored, but not indexed: --retry-refused sends it again",
        row.id, row.reason
    );
    Reject::new(&line, 0, "not_indexed", message)
}

fn write_text(text: Option<&str>, out: &mut Vec<u8>) {
    match text {
        Some(text) => json::write_str(text, out),
        None => out.extend_from_slice(b"null"),
    }
}

/// Sends two requests at a time, which keeps a server busy.
struct IndexerThread {
    queue: Box<dyn Store>,
    streams: [BulkSender; 2],
}

impl IndexerThread {
    /// Sends what was queued up to the id `left` before this loader started,
    /// then its own documents as they come, then what others left.
    fn run(mut self, left: i64, batches: &Receiver<Vec<SearchDocument>>) -> Result<()> {
        self.drain(left)?;
        send_all(&mut self.streams, batches)?;
        // Up to a fixed id: a concurrent loader may never let the queue be empty.
        let last = self.queue.last_queued()?;
        self.drain(last)
    }

    /// Sends queued rows up to the id `until`.
    fn drain(&mut self, until: i64) -> Result<()> {
        let Self { queue, streams } = self;
        let (batches, received) = bounded(0);
        std::thread::scope(|scope| {
            let sender = scope.spawn(move || send_all(streams, &received));
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

fn send_all(streams: &mut [BulkSender], batches: &Receiver<Vec<SearchDocument>>) -> Result<()> {
    std::thread::scope(|scope| {
        let send = |stream| scope.spawn(|| BulkSender::send_each(stream, batches));
        let threads: Vec<_> = streams.iter_mut().map(send).collect();
        let sent = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
        sent.map(|sent| sent.unwrap_or_else(|_| panicked()))
            .fold(Ok(()), Result::and)
    })
}

/// Sends one request at a time.
struct BulkSender {
    index: Index,
    /// What the index confirms is true of this generation.
    generation: i64,
    store: Box<dyn Store>,
    counters: Arc<Counters>,
}

impl BulkSender {
    fn send_each(&mut self, batches: &Receiver<Vec<SearchDocument>>) -> Result<()> {
        batches
            .iter()
            .try_for_each(|documents| self.send(&documents))
    }

    fn send(&mut self, documents: &[SearchDocument]) -> Result<()> {
        let sent = self.index.bulk(documents);
        let (outcomes, failed) = match sent {
            Ok(outcomes) => (outcomes.into_iter().map(Some).collect(), None),
            Err(error) => (error.outcomes, Some(error.error)),
        };
        let (mut confirmed, mut refused) = (Vec::new(), Vec::new());
        for (document, outcome) in documents.iter().zip(outcomes) {
            match outcome {
                Some(IndexOutcome::Indexed | IndexOutcome::Known) => confirmed.push(document.id),
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
        failed.map_or(Ok(()), Err)
    }
}

fn document(queued: &StoredBuild) -> Result<SearchDocument> {
    let value = json::parse(queued.build.as_bytes()).map_err(|error| {
        Error::configuration(format!("row {}: its build is not JSON: {error}", queued.id))
    })?;
    Ok(SearchDocument {
        id: queued.id,
        members: Canonical::new(&value, queued.build.len()).document(),
    })
}
