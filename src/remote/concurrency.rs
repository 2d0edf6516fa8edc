//! Limits how many requests are in flight, and how many start per second.
//!
//! All workers share one limit, adjusted as TCP does (AIMD): a throttled response
//! halves it, once for all requests that were in flight by then; each round of
//! successful responses raises it by one.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use crate::retry::{Failure, FailureClass};

/// Gives a [`Permit`] for each request.
pub struct ConcurrencyLimit {
    max: f64,
    /// From the start of a request to that of the next.
    interval: Option<Duration>,
    state: Mutex<State>,
    changed: Notify,
}

struct State {
    limit: f64,
    in_flight: usize,
    /// How often the limit was halved.
    cuts: u64,
    next_start: Instant,
}

/// The right to one request at a time.
pub struct Permit<'a> {
    limit: &'a ConcurrencyLimit,
    cuts: u64,
}

impl ConcurrencyLimit {
    /// Allows at most `max` requests in flight and `rate` starts per second.
    pub fn new(max: usize, rate: Option<f64>) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let max = max as f64;
        Self {
            max,
            interval: rate.map(|rate| Duration::from_secs_f64(1.0 / rate)),
            state: Mutex::new(State {
                limit: max,
                in_flight: 0,
                cuts: 0,
                next_start: Instant::now(),
            }),
            changed: Notify::new(),
        }
    }

    /// Waits for a permit.
    pub async fn acquire(&self) -> Permit<'_> {
        loop {
            let changed = self.changed.notified();
            if let Some(permit) = self.try_acquire() {
                return permit;
            }
            changed.await;
        }
    }

    fn try_acquire(&self) -> Option<Permit<'_>> {
        let mut state = self.state.lock();
        #[expect(clippy::cast_precision_loss, reason = "a number of connections")]
        let free = (state.in_flight as f64) < state.limit.floor();
        free.then(|| {
            state.in_flight += 1;
            Permit {
                limit: self,
                cuts: state.cuts,
            }
        })
    }
}

impl Permit<'_> {
    /// Waits until the rate allows the next request to start.
    pub async fn wait_for_rate(&self) {
        if let Some(interval) = self.limit.interval {
            let start = {
                let mut state = self.limit.state.lock();
                let start = state.next_start.max(Instant::now());
                state.next_start = start + interval;
                start
            };
            sleep_until(start).await;
        }
    }

    /// Adjusts the limit to the response, and returns the permit.
    pub fn on_response<T>(self, response: &Result<T, Failure>) {
        let mut state = self.limit.state.lock();
        match response {
            Ok(_) => state.limit = (state.limit + 1.0 / state.limit).min(self.limit.max),
            Err(Failure::Transient {
                class: FailureClass::Throttled | FailureClass::Exhausted,
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
        self.limit.state.lock().in_flight -= 1;
        self.limit.changed.notify_waiters();
    }
}
