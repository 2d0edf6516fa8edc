//! How many requests are at work at once, and how many begin in a second.
//!
//! All workers share one limit, as TCP's senders do: a server that asks for
//! less halves it, once for all requests that were on their way by then; each
//! round of answers raises it by one.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::retry::{Failure, Sign};

pub struct Pace {
    most: f64,
    /// From the start of a request to that of the next.
    interval: Option<Duration>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    limit: f64,
    at_work: usize,
    /// Counts how often the limit was cut.
    cuts: u64,
    next: Instant,
}

/// The right to one request at a time.
pub struct Permit<'a> {
    pace: &'a Pace,
    cuts: u64,
}

impl Pace {
    /// At most `most` requests at once and `rate` in a second.
    #[must_use]
    pub fn new(most: usize, rate: Option<f64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let most = most as f64;
        Self {
            most,
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            state: Mutex::new(State {
                limit: most,
                at_work: 0,
                cuts: 0,
                next: Instant::now(),
            }),
            changed: Notify::new(),
        }
    }

    /// Backoff for a turn.
    pub async fn turn(&self) -> Permit<'_> {
        loop {
            let changed = self.changed.notified();
            if let Some(permit) = self.try_turn() {
                return permit;
            }
            changed.await;
        }
    }

    fn try_turn(&self) -> Option<Permit<'_>> {
        let mut state = self.state();
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let free = (state.at_work as f64) < state.limit.floor();
        free.then(|| {
            state.at_work += 1;
            Permit {
                pace: self,
                cuts: state.cuts,
            }
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Permit<'_> {
    /// Backoff until a request may begin.
    pub async fn begin(&self) {
        if let Some(interval) = self.pace.interval {
            let start = {
                let mut state = self.pace.state();
                let start = state.next.max(Instant::now());
                state.next = start + interval;
                start
            };
            sleep_until(start).await;
        }
    }

    /// Learns from the answer.
    pub fn learn<T>(self, answer: &Result<T, Failure>) {
        let mut state = self.pace.state();
        match answer {
            Ok(_) => state.limit = (state.limit + 1.0 / state.limit).min(self.pace.most),
            Err(Failure::Passing {
                sign: Sign::Throttled,
                ..
            }) if state.cuts == self.cuts => {
                state.limit = (state.limit / 2.0).max(1.0);
                state.cuts += 1;
            }
            Err(_) => {}
        }
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        self.pace.state().at_work -= 1;
        self.pace.changed.notify_waiters();
    }
}
