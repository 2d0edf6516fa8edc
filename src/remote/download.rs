//! One large object as it comes; a body that breaks goes on where it broke.

use aws_sdk_s3::primitives::ByteStream;
use bytes::{Buf, Bytes};
use tokio::runtime::Handle;
use tokio::sync::{Mutex, mpsc};

use super::s3::S3;
use crate::error::{Kind, Result};
use crate::retry::{Failure, FailureClass};

/// Pieces that are fetched ahead of the reader, of some 100 KB at most.
const AHEAD: usize = 32;

/// The bytes of an object, in pieces.
pub struct Download(mpsc::Receiver<Result<Bytes>>);

impl Download {
    /// Begins to fetch in the background.
    pub fn start(runtime: &Handle, s3: S3, bucket: &str, key: &str) -> Self {
        let (pieces, receiver) = mpsc::channel(AHEAD);
        let place = (bucket.to_owned(), key.to_owned());
        runtime.spawn(async move {
            let what = format!("get {}", s3.place(&place.0, &place.1));
            let body = Mutex::new(Body::default());
            loop {
                let attempt = || async { body.lock().await.next(&s3, &place).await };
                let piece = s3.retry.run(&what, attempt).await.transpose();
                let last = !matches!(piece, Some(Ok(_)));
                if let Some(piece) = piece {
                    // Nobody reads on once the stage has stopped.
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

    /// Waits for the next piece; `None` when all of the object was there.
    pub fn next(&mut self) -> Option<Result<Bytes>> {
        self.0.blocking_recv()
    }
}

impl S3 {
    /// The ETag of an object, in its quotes.
    pub async fn etag(&self, bucket: &str, key: &str) -> Result<String> {
        let attempt = || async {
            // The answer to HEAD would not say why there is none.
            let answer = self.try_get(bucket, key).await?;
            Ok(answer.e_tag().unwrap_or_default().to_owned())
        };
        let what = format!("look at {}", self.place(bucket, key));
        self.retry.run(&what, attempt).await
    }
}

impl S3 {
    /// All of a small object; `None` where there is none, or where nobody may say so.
    pub async fn read_if_there(&self, bucket: &str, key: &str) -> Result<Option<Vec<u8>>> {
        let attempt = || async {
            let mut body = match self.try_get(bucket, key).await {
                Ok(answer) => answer.body,
                Err(Failure::NotFound) => return Ok(None),
                // Without the right to list, S3 answers so for a key that is not there.
                Err(Failure::Permanent(error)) if error.kind == Kind::Refused => return Ok(None),
                Err(failure) => return Err(failure),
            };
            let mut bytes = Vec::new();
            while let Some(piece) = body.next().await {
                let piece = piece.map_err(|error| {
                    Failure::transient(FailureClass::Answered, format!("the body was cut: {error}"))
                })?;
                bytes.extend_from_slice(&piece);
            }
            Ok(Some(bytes))
        };
        let what = format!("get {}", self.place(bucket, key));
        self.retry.run(&what, attempt).await
    }
}

#[derive(Default)]
struct Body {
    stream: Option<ByteStream>,
    etag: Option<String>,
    length: Option<u64>,
    got: u64,
    /// Bytes that come a second time, from a server without ranges.
    again: u64,
}

impl Body {
    async fn next(&mut self, s3: &S3, place: &(String, String)) -> Result<Option<Bytes>, Failure> {
        let Some(stream) = &mut self.stream else {
            let (bucket, key) = place;
            let etag = self.etag.as_deref();
            let answer = s3.try_get_rest(bucket, key, self.got, etag).await?;
            if self.got == 0 {
                self.etag = answer.e_tag().map(str::to_owned);
                self.length = answer.content_length().and_then(|it| it.try_into().ok());
            } else if answer.content_range().is_none() {
                self.again = self.got;
            }
            self.stream = Some(answer.body);
            return Box::pin(self.next(s3, place)).await;
        };
        let broken = match stream.next().await {
            Some(Ok(mut piece)) => {
                let again = piece
                    .len()
                    .min(usize::try_from(self.again).unwrap_or(usize::MAX));
                self.again -= again as u64;
                piece.advance(again);
                self.got += piece.len() as u64;
                return Ok(Some(piece));
            }
            None if self.length.is_none_or(|length| length == self.got) => return Ok(None),
            None => String::new(),
            Some(Err(error)) => format!(": {error}"),
        };
        (self.stream, self.again) = (None, 0);
        Err(Failure::transient(
            FailureClass::Answered,
            format!("the body was cut after {} bytes{broken}", self.got),
        ))
    }
}
