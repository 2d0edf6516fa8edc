//! The indexer: a thread that sends rows to Elasticsearch, first those that an
//! earlier loader left in the queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{SendTimeoutError, Sender, bounded};

use super::Args;
use crate::error::{Error, Kind, Result};
use crate::indexing::follow::{self, Following};
use crate::indexing::{IndexerThread, panicked, report_refused};
use crate::log::{Log, again_or};
use crate::ndjson::{Io, StageOutput};
use crate::remote::elastic::{Index, SearchDocument};
use crate::store::{Connector, Store};

pub struct Indexer {
    batches: Option<Sender<Vec<SearchDocument>>>,
    work: Work,
    /// Whether documents are left in the queue, if the server is waited for.
    behind: Option<Arc<AtomicBool>>,
    log: Log,
}

/// How long documents wait for a server before they are left in the queue.
const PATIENCE: Duration = Duration::from_secs(1);

/// What happens to queued rows.
enum Work {
    /// They are sent.
    Thread(JoinHandle<Result<()>>, Index),
    /// They are only queued: Elasticsearch is unavailable, or documents are lost.
    Nothing(Error),
}

const UNAVAILABLE: &str = "rows are stored and queued; a later run indexes them";

impl Indexer {
    /// Connects, and starts with the queue of earlier loaders; `None` if no
    /// Elasticsearch is configured.
    pub fn start(args: &Args, connector: &Connector, io: &Io) -> Result<Option<Self>> {
        let log = io.context.log.clone();
        let mut queue = connector.connect()?;
        if args
            .elastic
            .elasticsearch
            .as_ref()
            .is_some_and(|url| !url.is_empty())
        {
            queue.check_queue()?;
        }
        let identity = queue.identity()?;
        let begun = match Index::open(
            &args.elastic,
            args.database.tries,
            &identity.id,
            &io.context,
        ) {
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
        follow::warn_of_orphans(&mut *queue, &io.context)?;
        let left = queue.last_queued()?;
        let behind = Arc::<AtomicBool>::default();
        let thread = IndexerThread::new(
            &index,
            generation,
            queue,
            connector,
            Arc::clone(&behind),
            &io.context,
        )?;
        let (batches, received) = bounded(0);
        let thread = std::thread::spawn(move || thread.run(left, &received));
        Ok(Some(Self {
            batches: Some(batches),
            work: Work::Thread(thread, index),
            behind: io.context.waits_for_servers.then_some(behind),
            log,
        }))
    }

    fn idle(error: Error, log: Log) -> Self {
        log.warn(format!("{error}; {UNAVAILABLE}"));
        Self {
            batches: None,
            work: Work::Nothing(error),
            behind: None,
            log,
        }
    }

    /// Sends documents of committed rows. If the indexer has failed, they stay in the queue, and
    /// also if it is busy for long while servers are waited for: it reads the queue later.
    pub fn send(&mut self, documents: Vec<SearchDocument>) {
        let Some(batches) = self.batches.as_ref().filter(|_| !documents.is_empty()) else {
            return;
        };
        let sent = match &self.behind {
            Some(behind) if behind.load(SeqCst) => Ok(()),
            Some(behind) => match batches.send_timeout(documents, PATIENCE) {
                Err(SendTimeoutError::Timeout(_)) => {
                    behind.store(true, SeqCst);
                    Ok(())
                }
                sent => sent.map_err(drop),
            },
            None => batches.send(documents).map_err(drop),
        };
        if sent.is_err() {
            self.batches = None;
            self.log.warn(format!(
                "Elasticsearch does not accept more documents; {UNAVAILABLE}"
            ));
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
        let reported = report_refused(store, output);
        match done {
            Ok(()) => reported,
            // The loader has failed itself, and returns its reason.
            Err(_) if !loaded => Ok(()),
            Err(error) => {
                let kind = error.kind;
                let next = match kind {
                    Kind::Unavailable => {
                        let again = again_or("bh-load </dev/null with the same settings");
                        format!("; when Elasticsearch is back, run {again}")
                    }
                    _ => String::new(),
                };
                let why = "rows are stored, but not all are indexed";
                Err(Error::message(kind, format!("{why}: {error}{next}")))
            }
        }
    }
}
