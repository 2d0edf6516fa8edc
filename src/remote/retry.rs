//! When a failed request is tried again, and when it is given up.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::backoff::Backoff;
use crate::context::Context;
use crate::error::{Error, Kind, Result};

/// What a failed request means.
#[derive(Debug)]
pub enum Failure {
    /// May pass: try again, not before the time the server asked for.
    Passing {
        reason: String,
        after: Option<Duration>,
        sign: Sign,
    },
    /// What was asked for is not there.
    Gone,
    /// No request can be made of what was asked for.
    Unaskable(String),
    /// Will not pass by itself.
    Final(Error),
}

/// What a server that did not do as asked showed of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sign {
    Silent,
    Answered,
    /// It is there, and wants fewer requests.
    Throttled,
}

/// Tries a request again that failed in passing.
#[derive(Clone)]
pub struct Retry {
    /// Tries in all.
    pub attempts: u32,
    pub context: Context,
    /// When it was last said that requests fail.
    said: Arc<Mutex<Option<Instant>>>,
}

/// A server in trouble fails many requests at once: one in so long is named,
/// the summary counts all.
const QUIET: Duration = Duration::from_secs(5);

const WAITS: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(20));

impl Retry {
    #[must_use]
    pub fn new(attempts: u32, context: &Context) -> Self {
        Self {
            attempts,
            context: context.clone(),
            said: Arc::default(),
        }
    }

    /// The answer of the first try of `request` that gives one. `what` names
    /// the request and its server in messages.
    ///
    /// # Errors
    /// A final failure, too many passing ones (69), or a signal.
    pub async fn run<T, F>(&self, what: &str, mut request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut tried = 0;
        loop {
            tried += 1;
            let answer = tokio::select! {
                answer = request() => answer,
                stop = self.context.shutdown.cancelled() => return Err(stop),
            };
            let (reason, after) = match answer {
                Ok(answer) => return Ok(answer),
                Err(Failure::Final(error)) => return Err(error.context(what)),
                Err(Failure::Gone) => {
                    return Err(Error::configuration(format!(
                        "{what}: there is no such thing"
                    )));
                }
                Err(Failure::Unaskable(reason)) => {
                    return Err(Error::configuration(format!("{what}: {reason}")));
                }
                Err(Failure::Passing { reason, after, .. }) => (reason, after),
            };
            if tried >= self.attempts {
                return Err(Error::message(
                    Kind::Unavailable,
                    format!("{what}: {reason}; given up after {tried} tries"),
                ));
            }
            self.tell(tried, what, &reason);
            tokio::select! {
                () = tokio::time::sleep(WAITS.delay(tried, after)) => {}
                stop = self.context.shutdown.cancelled() => return Err(stop),
            }
        }
    }

    /// Counts a try that failed in passing, and names the second of a request.
    pub fn tell(&self, tried: u32, what: &str, reason: &str) {
        self.context.counters.note("retries", 1);
        if tried == 2 && self.may_say() {
            self.context
                .log
                .warn(format!("{what}: {reason}; trying again"));
        }
    }

    fn may_say(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let silent = said.is_none_or(|said| said.elapsed() >= QUIET);
        if silent {
            *said = Some(Instant::now());
        }
        silent
    }
}
