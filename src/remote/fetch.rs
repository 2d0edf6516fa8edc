//! Many downloads at once, answered in the order they were asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use tokio::runtime::Runtime;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};

use super::cause::root_cause;
use super::reply::Reply;
use super::s3::S3;
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::ndjson::Promise;
use crate::record::s3::unquote_etag;
use crate::retry::{Failure, FailureClass};

/// Limits of a [`Fetcher`].
#[derive(Clone, Copy)]
pub struct Limits {
    /// Downloads at work at the same time.
    pub concurrency: usize,
    /// The largest object that is taken, in bytes.
    pub max_size: u64,
}

/// Bytes of bodies that may be held, but for one object of any legal size.
const BUDGET: u64 = 16 << 20;
/// What an object of unknown size is taken to hold.
const USUAL: u64 = 16 << 10;
/// The budget is counted in units of this many bytes.
const UNIT: u64 = 1 << 10;

/// Downloads objects as JSON documents.
pub struct Fetcher {
    runtime: Runtime,
    shared: Arc<Shared>,
    slots: Arc<Semaphore>,
    /// The number of the answer that is waited for.
    head: watch::Sender<u64>,
    queued: AtomicU64,
}

struct Shared {
    s3: S3,
    max_size: u64,
    memory: Arc<Semaphore>,
    succeeded: AtomicU64,
    /// Objects given up since the last success.
    failed: AtomicU64,
}

/// After so many objects in a row that cannot be had, the server is at fault and not the
/// object.
const PATIENCE: u64 = 3;

/// What became of one object.
pub enum FetchAnswer {
    Document(FetchedDocument),
    /// Not there any more.
    Gone,
    /// Not a document; a word to count by, and why.
    Refused(&'static str, String),
    /// This object alone cannot be had.
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
    /// The part of the budget that it holds until it is written.
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

/// What is asked for.
pub struct Wanted {
    pub bucket: String,
    pub key: String,
    /// Bytes, as the listing says.
    pub size: Option<u64>,
}

impl Fetcher {
    pub fn new(runtime: Runtime, s3: S3, limits: Limits) -> Self {
        Self {
            runtime,
            shared: Arc::new(Shared {
                s3,
                max_size: limits.max_size,
                memory: Arc::new(Semaphore::new(units(BUDGET) as usize)),
                succeeded: AtomicU64::new(0),
                failed: AtomicU64::new(0),
            }),
            slots: Arc::new(Semaphore::new(limits.concurrency)),
            head: watch::Sender::new(0),
            queued: AtomicU64::new(0),
        }
    }

    /// Starts a download as soon as there is a slot and memory for it.
    ///
    /// # Errors
    /// A signal while waiting.
    pub fn queue(&self, wanted: Wanted) -> Result<FetchTicket> {
        let shared = Arc::clone(&self.shared);
        let expected = wanted
            .size
            .unwrap_or(USUAL)
            .min(shared.max_size)
            .min(BUDGET);
        let (slot, memory) = self.runtime.block_on(async {
            let room = async {
                let slot = Arc::clone(&self.slots).acquire_owned().await;
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
        let number = self.queued.fetch_add(1, Relaxed);
        let download = Download {
            shared,
            wanted,
            number,
            head: self.head.subscribe(),
            held: expected,
        };
        let reply = Reply::spawn(&self.runtime, async move {
            let answer = download.run(memory).await;
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

/// How many units of the budget `bytes` take.
fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX)
}

struct Download {
    shared: Arc<Shared>,
    wanted: Wanted,
    number: u64,
    head: watch::Receiver<u64>,
    /// Bytes of the budget that were taken for it.
    held: u64,
}

/// What a request for an object gave.
enum Body {
    Bytes {
        etag: String,
        bytes: Vec<u8>,
        extra: Option<OwnedSemaphorePermit>,
    },
    TooLarge(u64),
}

impl Download {
    async fn run(self, memory: OwnedSemaphorePermit) -> Result<FetchAnswer> {
        let shared = &self.shared;
        let before = shared.succeeded.load(Relaxed);
        let Wanted { bucket, key, .. } = &self.wanted;
        let what = format!("get {}", shared.s3.place(bucket, key));
        let answer = match shared.s3.retry.try_run(&what, || self.get()).await {
            Ok(Body::Bytes { etag, bytes, extra }) => match document(&bytes) {
                Err((kind, message)) => FetchAnswer::Refused(kind, message),
                Ok(text) => FetchAnswer::Document(FetchedDocument {
                    etag,
                    size: bytes.len() as u64,
                    text,
                    _memory: std::iter::once(memory).chain(extra).collect(),
                }),
            },
            Ok(Body::TooLarge(size)) => FetchAnswer::Refused(
                "too_large",
                format!(
                    "the object has {size} bytes, more than --max-size {}",
                    shared.max_size
                ),
            ),
            Err(Failure::NotFound) => FetchAnswer::Gone,
            Err(Failure::InvalidRequest(reason)) => return Ok(FetchAnswer::Failed(reason)),
            Err(failure) => {
                let is_own = self.is_own_trouble(before, &failure);
                let error = failure.into_error(&what);
                return match error.kind {
                    Kind::Unavailable | Kind::Refused | Kind::Configuration if is_own => {
                        Ok(FetchAnswer::Failed(error.to_string()))
                    }
                    _ => Err(error),
                };
            }
        };
        shared.succeeded.fetch_add(1, Relaxed);
        shared.failed.store(0, Relaxed);
        Ok(answer)
    }

    /// Whether this object alone cannot be had: others came through while it
    /// was tried, or did before and the server still answers.
    fn is_own_trouble(&self, before: u64, failure: &Failure) -> bool {
        let is_silent = matches!(
            failure,
            Failure::Transient {
                class: FailureClass::Silent,
                ..
            }
        );
        let succeeded = self.shared.succeeded.load(Relaxed);
        let row = self.shared.failed.fetch_add(1, Relaxed) + 1;
        succeeded > before || (succeeded > 0 && row < PATIENCE && !is_silent)
    }

    async fn get(&self) -> Result<Body, Failure> {
        let Wanted { bucket, key, .. } = &self.wanted;
        let mut answer = self.shared.s3.try_get(bucket, key).await?;
        let length = answer
            .content_length()
            .and_then(|length| u64::try_from(length).ok());
        let expected = length.unwrap_or(self.held);
        if expected > self.shared.max_size {
            return Ok(Body::TooLarge(expected));
        }
        let extra = self.room_for(expected).await;
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
        while let Some(piece) = answer.body.next().await {
            let piece = piece.map_err(|error| cut(bytes.len(), length, Some(&error)))?;
            if (bytes.len() + piece.len()) as u64 > self.shared.max_size {
                return Ok(Body::TooLarge((bytes.len() + piece.len()) as u64));
            }
            bytes.extend_from_slice(&piece);
        }
        if length.is_some_and(|length| length != bytes.len() as u64) {
            return Err(cut(bytes.len(), length, None));
        }
        let etag = unquote_etag(answer.e_tag().unwrap_or_default());
        Ok(Body::Bytes {
            etag: etag.to_owned(),
            bytes,
            extra,
        })
    }

    /// Room for a body larger than was expected. The one that everybody waits
    /// for never waits for room itself, or nothing would move.
    async fn room_for(&self, bytes: u64) -> Option<OwnedSemaphorePermit> {
        let missing = bytes.saturating_sub(self.held);
        if missing == 0 {
            return None;
        }
        let mut head = self.head.clone();
        let memory = Arc::clone(&self.shared.memory);
        tokio::select! {
            room = memory.acquire_many_owned(units(missing.min(BUDGET))) => room.ok(),
            _ = head.wait_for(|head| *head >= self.number) => None,
        }
    }
}

fn cut(
    got: usize,
    length: Option<u64>,
    error: Option<&aws_sdk_s3::primitives::ByteStreamError>,
) -> Failure {
    let of = length.map_or_else(String::new, |length| format!(" of {length}"));
    let error = error.map_or_else(String::new, |error| format!(": {}", root_cause(error)));
    Failure::transient(
        FailureClass::Answered,
        format!("the body was cut after {got}{of} bytes{error}"),
    )
}

/// The bytes of an object as one JSON object in UTF-8.
fn document(bytes: &[u8]) -> Result<Vec<u8>, (&'static str, String)> {
    if bytes.is_empty() {
        return Err(("not_json", "the object is empty".to_owned()));
    }
    let not_json = |error: &dyn std::fmt::Display| ("not_json", error.to_string());
    let text = json::decode(bytes).map_err(|error| not_json(&error))?;
    let mut compact = Vec::with_capacity(text.len());
    match json::compact(&text, &mut compact).map_err(|error| not_json(&error))? {
        json::ValueKind::Object => Ok(compact),
        other => Err((
            "not_an_object",
            format!("expected a JSON object, found {other}"),
        )),
    }
}
