//! How long to wait before trying again, and when to give up.

use std::time::{Duration, Instant};

use crate::backoff;

const WAITS: backoff::Backoff =
    backoff::Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

/// Counts failures in a row.
pub struct Backoff {
    attempts: u32,
    failures: u32,
    until: Option<Instant>,
}

impl Backoff {
    pub fn new(attempts: u32) -> Self {
        Self {
            attempts,
            failures: 0,
            until: None,
        }
    }

    /// Gives up after `patience` as well.
    pub fn until(attempts: u32, patience: Duration) -> Self {
        Self {
            until: Instant::now().checked_add(patience),
            ..Self::new(attempts)
        }
    }

    pub fn reset(&mut self) {
        self.failures = 0;
    }

    pub fn failures(&self) -> u32 {
        self.failures
    }

    /// How long to wait after one more failure, at least as long as `asked`;
    /// `None` to give up.
    pub fn next(&mut self, asked: Option<Duration>) -> Option<Duration> {
        self.failures += 1;
        if self.failures >= self.attempts {
            return None;
        }
        let wait = WAITS.delay(self.failures, asked);
        let until = self.until;
        let late = until.is_some_and(|until| Instant::now() + wait >= until);
        (!late).then_some(wait)
    }

    /// The time that is left for a request that may take `most`.
    pub fn timeout(&self, most: Duration) -> Duration {
        let left = |until: Instant| until.saturating_duration_since(Instant::now());
        self.until.map_or(most, |until| left(until).min(most))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attempts_end() {
        let mut backoff = Backoff::new(3);
        assert!(backoff.next(None).is_some());
        assert!(backoff.next(None).is_some());
        assert_eq!(backoff.next(None), None);
        backoff.reset();
        assert!(backoff.next(None).is_some());
    }

    #[test]
    fn patience_ends() {
        let mut backoff = Backoff::until(9, Duration::from_secs(3));
        assert!(backoff.timeout(Duration::from_mins(1)) <= Duration::from_secs(3));
        assert_eq!(backoff.next(Some(Duration::from_secs(4))), None);
    }
}
