//! Downloads many objects at once, with a limit on the memory of their bodies.
//!
//! Each object gives a [`FetchTicket`]. The caller waits for the tickets in order, and the
//! object that it waits for never waits for memory itself.

mod document;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::Runtime;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore, watch};

use self::document::DocumentDownload;
use super::S3;
use super::body_room::{budget, units};
use super::denials::Denials;
use crate::error::{Error, Result};
use crate::limits::BODIES;
use crate::ndjson::Promise;
use crate::remote::reply::Reply;

/// The limits of a [`Fetcher`].
#[derive(Clone, Copy)]
pub struct FetchLimits {
    /// The number of concurrent downloads.
    pub concurrency: usize,
    /// The largest object that is taken, in bytes.
    pub max_size: u64,
}

/// The assumed size of an object whose size is unknown.
const USUAL: u64 = 16 << 10;

/// Downloads objects as JSON documents.
pub struct Fetcher {
    runtime: Runtime,
    shared: Arc<Shared>,
    /// The number of the object that the caller waits for.
    head: watch::Sender<u64>,
    queued: AtomicU64,
}

struct Shared {
    s3: S3,
    max_size: u64,
    memory: Arc<Semaphore>,
    /// Held by each download.
    slots: Arc<Semaphore>,
    /// Held by a download that found no file descriptor left.
    scarce: Mutex<()>,
    /// Downloads that have a connection, or are opening one.
    connected: AtomicU64,
    succeeded: AtomicU64,
    /// Objects given up since the last success.
    failed: AtomicU64,
    /// An object that the server gave.
    known: parking_lot::Mutex<Option<(String, String)>>,
    denials: Denials,
}

/// What became of one object.
pub enum FetchAnswer {
    Document(FetchedDocument),
    /// It was deleted after it was listed.
    Gone,
    /// Not a document: the kind of the reject, and its message.
    Refused(&'static str, String),
    /// The same of an object that was replaced since it was listed.
    ReplacedAndRefused(&'static str, String),
    /// All retries failed for this object only: why.
    Failed(String),
}

/// An object that holds one JSON object.
pub struct FetchedDocument {
    /// Without quotes.
    pub etag: String,
    /// Bytes, as stored.
    pub size: u64,
    /// UTF-8 without white space between tokens.
    pub text: Vec<u8>,
    /// Its share of the budget, held until it is written.
    _memory: Vec<OwnedSemaphorePermit>,
}

/// The promise of an answer.
pub struct FetchTicket {
    number: u64,
    head: watch::Sender<u64>,
    reply: Reply<FetchAnswer>,
}

impl Promise for FetchTicket {
    type Answer = FetchAnswer;

    fn poll(&mut self) -> Option<Result<FetchAnswer>> {
        self.reply.poll()
    }

    fn wait(self) -> Result<FetchAnswer> {
        self.head.send_replace(self.number);
        self.reply.wait()
    }
}

/// An object to fetch.
pub struct FetchRequest {
    pub bucket: String,
    pub key: String,
    /// Bytes, by the listing.
    pub size: Option<u64>,
    /// By the listing, without quotes.
    pub etag: Option<String>,
}

impl Fetcher {
    pub fn new(runtime: Runtime, s3: S3, limits: FetchLimits) -> Self {
        Self {
            runtime,
            shared: Arc::new(Shared {
                s3,
                max_size: limits.max_size,
                memory: budget(),
                slots: Arc::new(Semaphore::new(limits.concurrency)),
                scarce: Mutex::new(()),
                connected: AtomicU64::new(0),
                succeeded: AtomicU64::new(0),
                failed: AtomicU64::new(0),
                known: parking_lot::Mutex::default(),
                denials: Denials::default(),
            }),
            head: watch::Sender::new(0),
            queued: AtomicU64::new(0),
        }
    }

    /// Waits for a slot and memory, and starts a download.
    ///
    /// # Errors
    /// A signal while waiting.
    pub fn queue(&self, request: FetchRequest) -> Result<FetchTicket> {
        let shared = Arc::clone(&self.shared);
        let expected = request
            .size
            .unwrap_or(USUAL)
            .min(shared.max_size)
            .min(BODIES);
        let (slot, memory) = self.runtime.block_on(async {
            let room = async {
                let slot = Arc::clone(&shared.slots).acquire_owned().await;
                let memory = Arc::clone(&shared.memory)
                    .acquire_many_owned(units(expected))
                    .await;
                slot.and_then(|slot| Ok((slot, memory?)))
            };
            tokio::select! {
                room = room => room.map_err(|_| Error::internal("the fetcher has closed")),
                stop = shared.s3.retry.context.shutdown.cancelled() => Err(stop),
            }
        })?;
        shared.denials.start();
        let number = self.queued.fetch_add(1, Relaxed);
        let download = DocumentDownload {
            shared,
            request,
            number,
            head: self.head.subscribe(),
            held: expected,
        };
        let reply = Reply::spawn(&self.runtime, async move {
            let shared = Arc::clone(&download.shared);
            let answer = Box::pin(download.run(memory)).await;
            let is_got = matches!(
                answer,
                Ok(FetchAnswer::Document(_)
                    | FetchAnswer::Refused(..)
                    | FetchAnswer::ReplacedAndRefused(..))
            );
            shared.denials.end(is_got);
            drop(slot);
            answer
        });
        Ok(FetchTicket {
            number,
            head: self.head.clone(),
            reply,
        })
    }
}
