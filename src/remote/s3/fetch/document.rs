//! The download of one object, and its document.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, watch};

use super::super::body::cut;
use super::super::body_room::BodyRoom;
use super::super::encoding::{DecodeError, decode, decoded_length, encodings};
use super::super::health::ServerHealth;
use super::{FetchAnswer, FetchRequest, FetchedDocument, Shared};
use crate::error::{Kind, Result};
use crate::file_format::{self, FileFormat};
use crate::json;
use crate::record::s3::unquote_etag;
use crate::retry::{Attempts, Failure, FailureClass};

/// How often a download without a file descriptor tries again while no other download holds
/// one, and the time between two tries.
const SCARCE_TRIES: u32 = 20;
const SCARCE_WAIT: Duration = Duration::from_millis(20);

/// After this many failed objects in a row the server is at fault, if there is no other object
/// to request.
const MAX_FAILURES: u64 = 3;

/// The download of one object.
pub struct DocumentDownload {
    pub shared: Arc<Shared>,
    pub request: FetchRequest,
    /// The place of the object in the input.
    pub number: u64,
    pub head: watch::Receiver<u64>,
    /// Its share of the budget, in bytes.
    pub held: u64,
}

/// The response to a request for an object.
enum Body {
    Bytes {
        etag: String,
        /// Its size, as stored.
        stored: u64,
        bytes: Vec<u8>,
        extra: Option<OwnedSemaphorePermit>,
    },
    TooLarge(u64),
    Undecodable(DecodeError),
}

impl DocumentDownload {
    pub async fn run(self, memory: OwnedSemaphorePermit) -> Result<FetchAnswer> {
        let shared = &self.shared;
        let FetchRequest { bucket, key, .. } = &self.request;
        let what = format!("cannot get {}", shared.s3.place(bucket, key));
        let answer = match self.get_or_wait(&what).await {
            Ok(Body::Bytes {
                etag,
                stored,
                bytes,
                extra,
            }) => match document(&bytes) {
                Err((kind, message)) if self.is_listed(&etag) => {
                    FetchAnswer::Refused(kind, message)
                }
                Err((kind, message)) => FetchAnswer::ReplacedAndRefused(kind, message),
                Ok(text) => FetchAnswer::Document(FetchedDocument {
                    etag,
                    size: stored,
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
            Ok(Body::Undecodable(DecodeError::TooLarge(limit))) => FetchAnswer::Refused(
                "too_large",
                format!("the object has more than --max-size {limit} bytes when it is decoded"),
            ),
            Ok(Body::Undecodable(error)) => {
                FetchAnswer::Refused("content_encoding", error.to_string())
            }
            Err(Failure::NotFound) => FetchAnswer::Gone,
            Err(Failure::Object(error)) => {
                let error = match error.kind {
                    Kind::Refused => shared.denials.classify(self.folder(), error).await?,
                    _ => error,
                };
                return Ok(FetchAnswer::Failed(error.to_string()));
            }
            Err(failure) => return Err(failure.into_error(&what)),
        };
        if let FetchAnswer::Document(_) = answer {
            shared
                .known
                .lock()
                .get_or_insert_with(|| (bucket.clone(), key.clone()));
        }
        shared.succeeded.fetch_add(1, Relaxed);
        shared.failed.store(0, Relaxed);
        Ok(answer)
    }

    /// Gets the body. A failure that concerns only this object is [`Failure::Object`]. If
    /// servers are waited for, one that fails as a whole is asked again without limit, and an
    /// object is at fault only after all tries of a time at whose start the server was available.
    async fn get_or_wait(&self, what: &str) -> Result<Body, Failure> {
        let shared = &self.shared;
        let retry = &shared.s3.retry;
        let mut outages = Attempts::new(retry.policy);
        let mut is_available = !retry.waits();
        loop {
            let before = shared.succeeded.load(Relaxed);
            let failure = match retry.limited().try_run(what, || self.get()).await {
                Ok(body) => return Ok(body),
                Err(failure @ (Failure::NotFound | Failure::Object(_))) => return Err(failure),
                Err(failure) => failure,
            };
            let outage = match &failure {
                Failure::Transient { reason, class, .. } if *class != FailureClass::Exhausted => {
                    reason.strip_prefix(&format!("{what}: ")).map(str::to_owned)
                }
                _ => None,
            };
            let error = failure.into_error(what);
            let is_at_fault = matches!(error.kind, Kind::Unavailable | Kind::Configuration)
                && Box::pin(self.is_object_at_fault(before, is_available)).await;
            retry.context.shutdown.check().map_err(Failure::Permanent)?;
            let reason = outage.filter(|_| retry.waits());
            let Some(reason) = reason.filter(|_| !(is_at_fault && is_available)) else {
                return Err(if is_at_fault {
                    Failure::Object(error)
                } else {
                    Failure::Permanent(error)
                });
            };
            is_available = is_at_fault;
            if !is_at_fault {
                let outage = Failure::transient(FailureClass::Silent, reason);
                retry.pause(&mut outages, what, outage).await?;
            }
        }
    }

    /// Returns whether the failure is that of this object only: other objects succeeded while it
    /// was tried, or the server gives another one now.
    /// `is_last` says that it is given up.
    async fn is_object_at_fault(&self, before: u64, is_last: bool) -> bool {
        let shared = &self.shared;
        let failures = 1 + shared.failed.fetch_add(u64::from(is_last), Relaxed);
        if shared.succeeded.load(Relaxed) > before {
            return true;
        }
        let FetchRequest { bucket, key, .. } = &self.request;
        let known = shared.known.lock().clone();
        let known = known.filter(|(of, _)| of == bucket).map(|(_, key)| key);
        match shared.s3.check_health(bucket, key, known).await {
            ServerHealth::ServesOthers(other) => {
                *shared.known.lock() = Some((bucket.clone(), other));
                true
            }
            ServerHealth::Answers => failures < MAX_FAILURES,
            ServerHealth::Fails => false,
        }
    }

    /// Returns the bucket and the folder of the object.
    fn folder(&self) -> String {
        let FetchRequest { bucket, key, .. } = &self.request;
        let folder = key.rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{bucket}/{folder}")
    }

    /// Gets the body. Downloads that find no file descriptor left take turns, so that fewer
    /// connections are needed.
    async fn get(&self) -> Result<Body, Failure> {
        let mut body = self.get_counted().await;
        if exhausted(&body).is_none() {
            return body;
        }
        let _turn = self.shared.scarce.lock().await;
        let mut tries = 0;
        while let Some(reason) = exhausted(&body) {
            if tries == SCARCE_TRIES {
                return Err(Failure::permanent(Kind::LocalIo, reason));
            }
            tokio::time::sleep(SCARCE_WAIT).await;
            let is_alone = self.shared.connected.load(Relaxed) == 0;
            tries = if is_alone { tries + 1 } else { 0 };
            body = self.get_counted().await;
        }
        body
    }

    async fn get_counted(&self) -> Result<Body, Failure> {
        self.shared.connected.fetch_add(1, Relaxed);
        let body = self.get_body().await;
        self.shared.connected.fetch_sub(1, Relaxed);
        body
    }

    async fn get_body(&self) -> Result<Body, Failure> {
        let FetchRequest { bucket, key, .. } = &self.request;
        let s3 = &self.shared.s3;
        let answer = s3.try_get(bucket, key).await?;
        let etag = unquote_etag(answer.e_tag().unwrap_or_default()).to_owned();
        let encodings = encodings(answer.content_encoding());
        let length = answer
            .content_length()
            .and_then(|length| u64::try_from(length).ok());
        let expected = length.unwrap_or(self.held);
        if expected > self.shared.max_size {
            return Ok(Body::TooLarge(expected));
        }
        let mut room = self.room();
        room.reserve(expected).await;
        let mut bytes = Vec::with_capacity(usize::try_from(expected).unwrap_or_default());
        let mut body = s3.paced(answer.body, s3.place(bucket, key));
        while let Some(piece) = body.next().await? {
            let grown = (bytes.len() + piece.len()) as u64;
            if grown > self.shared.max_size {
                return Ok(Body::TooLarge(grown));
            }
            // A server need not tell the length.
            room.grow(grown).await;
            bytes.extend_from_slice(&piece);
        }
        let stored = bytes.len() as u64;
        if let Some(length) = length.filter(|length| *length != stored) {
            return Err(cut(stored, Some(length), ""));
        }
        if let Some(listed) = self.listed_size(&etag).filter(|listed| stored < *listed) {
            return Err(cut(stored, Some(listed), ""));
        }
        if !encodings.is_empty() {
            match decoded_length(&encodings, &bytes, self.shared.max_size) {
                Ok(length) => {
                    drop(std::mem::replace(&mut room, self.room()));
                    room.reserve(stored + length).await;
                }
                Err(error) => return Ok(Body::Undecodable(error)),
            }
        }
        Ok(match decode(&encodings, bytes, self.shared.max_size) {
            Err(error) => Body::Undecodable(error),
            Ok(bytes) => Body::Bytes {
                etag,
                stored,
                bytes,
                extra: room.into_permit(),
            },
        })
    }

    fn room(&self) -> BodyRoom {
        BodyRoom::new(&self.shared.memory, self.number, &self.head, self.held)
    }

    /// Returns the size by the listing, unless the object was replaced since.
    fn listed_size(&self, etag: &str) -> Option<u64> {
        self.request.size.filter(|_| self.is_listed(etag))
    }

    /// Returns whether the object with this ETag may be the one that was listed.
    fn is_listed(&self, etag: &str) -> bool {
        let listed = self.request.etag.as_deref();
        listed.is_none_or(|listed| etag.is_empty() || listed == etag)
    }
}

/// Returns the reason, if there was no file descriptor left.
fn exhausted<T>(answer: &Result<T, Failure>) -> Option<&str> {
    match answer {
        Err(Failure::Transient { reason, class, .. }) if *class == FailureClass::Exhausted => {
            Some(reason)
        }
        _ => None,
    }
}

/// Returns the JSON object that `bytes` hold, in UTF-8 and compact; otherwise the kind of
/// the reject, and its message.
fn document(bytes: &[u8]) -> Result<Vec<u8>, (&'static str, String)> {
    if bytes.is_empty() {
        return Err(("not_json", "the object is empty".to_owned()));
    }
    let not_json = |error: &dyn std::fmt::Display| {
        let message = match file_format::by_first_bytes(bytes) {
            Some(FileFormat::Compressed(program, _)) => format!(
                "the object is compressed with {program}, and no Content-Encoding says so; store \
                 it with one"
            ),
            _ => error.to_string(),
        };
        ("not_json", message)
    };
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
