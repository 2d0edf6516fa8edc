//! The body of a response, from a server that may send it slowly.

use std::fmt::Display;
use std::time::Duration;

use aws_sdk_s3::primitives::ByteStream;
use bytes::Bytes;
use tokio::time::{Instant, timeout};

use super::S3;
use crate::remote::cause::{find_exhausted, root_cause};
use crate::retry::{Failure, FailureClass, Retry};

/// A server that sends fewer bytes per second is given up after the timeout.
const SLOWEST: u64 = 1024;
/// The waiting time after which a slow server is reported.
const REPORTED: Duration = Duration::from_secs(10);

/// A body, with a limit on the time that its server takes. The time between two calls is
/// that of the reader, and does not count.
pub struct PacedBody {
    body: ByteStream,
    /// The name of the object or listing, for messages.
    place: String,
    retry: Retry,
    limit: Duration,
    /// The time that was waited, and the bytes that came, since the limit was last kept.
    waited: Duration,
    came: u64,
    got: u64,
    reported: bool,
}

impl S3 {
    /// Returns the body of the object or listing at `place`.
    pub(super) fn paced(&self, body: ByteStream, place: String) -> PacedBody {
        PacedBody {
            body,
            place,
            retry: self.retry.clone(),
            limit: self.timeout,
            waited: Duration::ZERO,
            came: 0,
            got: 0,
            reported: false,
        }
    }
}

impl PacedBody {
    /// Returns the length of the body, 0 if that is unknown.
    pub fn expected(&self) -> u64 {
        self.body.size_hint().0
    }

    /// Waits for the next piece; returns `None` at the end.
    ///
    /// # Errors
    /// The connection was cut, or the server is too slow.
    pub async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        loop {
            let next = if self.reported {
                self.limit
            } else {
                self.limit.min(REPORTED)
            };
            let start = Instant::now();
            let piece = self.retry.watch(&self.place, self.body.next());
            let piece = timeout(next.saturating_sub(self.waited), piece).await;
            self.waited += start.elapsed();
            let piece = match piece {
                Ok(None) => return Ok(None),
                Ok(Some(Ok(piece))) => Some(piece),
                Ok(Some(Err(error))) => {
                    return Err(match find_exhausted(&error) {
                        Some(reason) => Failure::transient(FailureClass::Exhausted, reason),
                        None => cut(self.got, None, format!(": {}", root_cause(&error))),
                    });
                }
                Err(_) => None,
            };
            let bytes = piece.as_ref().map_or(0, |piece| piece.len() as u64);
            self.came += bytes;
            self.got += bytes;
            self.check()?;
            if piece.is_some() {
                return Ok(piece);
            }
        }
    }

    fn check(&mut self) -> Result<(), Failure> {
        let is_slow = self.came < SLOWEST.saturating_mul(self.waited.as_secs());
        let place = &self.place;
        if self.waited >= REPORTED.min(self.limit) && is_slow && !self.reported {
            self.reported = true;
            self.retry.announce(format!(
                "waiting for {place}: the server has sent {} bytes in {} s",
                self.came,
                self.waited.as_secs()
            ));
        }
        if self.waited < self.limit {
            return Ok(());
        }
        if is_slow {
            return Err(Failure::transient(
                FailureClass::Silent,
                format!(
                    "the server is too slow: {} bytes in {} s",
                    self.came,
                    self.waited.as_secs()
                ),
            ));
        }
        (self.waited, self.came) = (Duration::ZERO, 0);
        Ok(())
    }
}

/// Returns the failure of a body that ends after `got` bytes; `length` is the expected one.
pub fn cut(got: u64, length: Option<u64>, cause: impl Display) -> Failure {
    let of = length.map_or_else(String::new, |length| format!(" of {length}"));
    Failure::transient(
        FailureClass::Answered,
        format!("the body was cut after {got}{of} bytes{cause}"),
    )
}
