//! Downloads one object piece by piece; after a broken connection it continues where it
//! broke, by a range request.

use bytes::{Buf, Bytes};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::body::{PacedBody, cut};
use super::encoding::{DecodeError, decode, encodings};
use super::{S3, refuse_part};
use crate::error::{Error, Kind, Result};
use crate::limits::MANIFEST;
use crate::record::s3::unquote_etag;
use crate::retry::{Failure, FailureClass};

/// The message for an object whose `ETag` has changed.
pub(super) const REPLACED: &str = "it was replaced while it was read; run again";

/// Pieces that are fetched ahead of the reader, of some 100 KB at most.
const AHEAD: usize = 32;

/// The bytes of an object, in pieces.
pub struct Download(mpsc::Receiver<Result<Bytes>>);

impl Download {
    /// Starts the download in the background; the object must have `etag`, if that is known.
    pub fn start(
        runtime: &Handle,
        s3: S3,
        (bucket, key): (&str, &str),
        etag: Option<&str>,
    ) -> Self {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        let place = (bucket.to_owned(), key.to_owned());
        let body = Body {
            etag: etag.map(str::to_owned),
            ..Body::default()
        };
        runtime.spawn(async move {
            let what = format!("cannot get {}", s3.place(&place.0, &place.1));
            let body = Mutex::new(body);
            loop {
                let attempt = || async { body.lock().await.next(&s3, &place).await };
                let piece = s3.retry.run(&what, attempt).await.transpose();
                let last = !matches!(piece, Some(Ok(_)));
                if let Some(piece) = piece {
                    // The reader is gone once the stage has stopped.
                    if pieces.send(piece).await.is_err() {
                        return;
                    }
                }
                if last {
                    return;
                }
            }
        });
        Self(receiver)
    }

    /// Waits for the next piece; `None` at the end of the object.
    ///
    /// # Errors
    /// As for any request, after all retries.
    pub fn next(&mut self) -> Option<Result<Bytes>> {
        self.0.blocking_recv()
    }
}

impl S3 {
    /// Returns the ETag of an object, with its quotes; `None` if the server sends none.
    pub async fn etag(&self, bucket: &str, key: &str) -> Result<Option<String>> {
        let attempt = || async {
            // Unlike GET, a failed HEAD has no body that says why.
            let answer = self.try_get(bucket, key).await?;
            Ok(answer.e_tag().map(str::to_owned))
        };
        let what = format!("look at {}", self.place(bucket, key));
        self.retry.run(&what, attempt).await
    }

    /// Returns the content of a small object; `None` if it does not exist, or if access to
    /// it is denied.
    pub async fn read_if_there(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let attempt = || async {
            match self.try_read(bucket, key).await {
                Ok(bytes) => Ok(Some(bytes)),
                Err(Failure::NotFound) => Ok(None),
                // Without permission to list, S3 answers 403 for a key that does not exist.
                Err(Failure::Object(error)) if error.kind == Kind::Refused => Ok(None),
                Err(failure) => Err(failure),
            }
        };
        let what = format!("cannot get {}", self.place(bucket, key));
        self.retry.run(&what, attempt).await
    }

    /// Returns the content of a small object; sends one request, without retries.
    pub async fn try_read(&self, bucket: &str, key: &str) -> Result<Vec<u8>, Failure> {
        let answer = self.try_get(bucket, key).await?;
        let encodings = encodings(answer.content_encoding());
        let length = answer.content_length();
        let mut body = self.paced(answer.body, self.place(bucket, key));
        let mut bytes = Vec::new();
        while let Some(piece) = body.next().await? {
            if (bytes.len() + piece.len()) as u64 > MANIFEST {
                return Err(too_long());
            }
            bytes.extend_from_slice(&piece);
        }
        if length.is_some_and(|length| u64::try_from(length) != Ok(bytes.len() as u64)) {
            return Err(cut(bytes.len() as u64, None, ""));
        }
        let object = |error| Failure::Object(Error::configuration(error));
        decode(&encodings, bytes, MANIFEST).map_err(|error| match error {
            DecodeError::TooLarge(_) => too_long(),
            error => object(error.to_string()),
        })
    }
}

fn too_long() -> Failure {
    let limit = MANIFEST >> 20;
    let message = format!("it is longer than {limit} MiB; is this a manifest?");
    Failure::Object(Error::configuration(message))
}

#[derive(Default)]
struct Body {
    stream: Option<PacedBody>,
    etag: Option<String>,
    length: Option<u64>,
    got: u64,
    /// Bytes to skip, because a server without range requests sends them again.
    repeated: u64,
}

impl Body {
    async fn next(&mut self, s3: &S3, place: &(String, String)) -> Result<Option<Bytes>, Failure> {
        let Some(stream) = &mut self.stream else {
            let (bucket, key) = place;
            let etag = self.etag.as_deref();
            let answer = s3.try_get_rest(bucket, key, self.got, etag).await?;
            let found = answer.e_tag().map(unquote_etag);
            // A server may know no conditions.
            if etag.is_some() && found.is_some() && etag.map(unquote_etag) != found {
                return Err(Failure::permanent(Kind::EndedEarly, REPLACED));
            }
            if self.got == 0 {
                refuse_part(&answer)?;
                self.etag = found.map(str::to_owned);
                self.length = answer.content_length().and_then(|it| it.try_into().ok());
            } else if let Some(range) = answer.content_range() {
                let expected = format!("bytes {}-", self.got);
                if !range.starts_with(&expected) {
                    let reason = format!("asked for {expected}, got {range}");
                    return Err(Failure::transient(FailureClass::Answered, reason));
                }
            } else {
                self.repeated = self.got;
            }
            self.stream = Some(s3.paced(answer.body, s3.place(bucket, key)));
            return Box::pin(self.next(s3, place)).await;
        };
        let failure = match stream.next().await {
            Ok(Some(mut piece)) => {
                let skipped = piece
                    .len()
                    .min(usize::try_from(self.repeated).unwrap_or(usize::MAX));
                self.repeated -= skipped as u64;
                piece.advance(skipped);
                self.got += piece.len() as u64;
                return Ok(Some(piece));
            }
            Ok(None) if self.length.is_none_or(|length| length == self.got) => return Ok(None),
            Ok(None) => cut(self.got, self.length, ""),
            Err(failure) => failure,
        };
        (self.stream, self.repeated) = (None, 0);
        Err(failure)
    }
}
