//! How long to wait before trying again, and when to give up.

use std::time::{Duration, Instant};

const BASE: Duration = Duration::from_millis(200);
const CAP: Duration = Duration::from_secs(5);

/// The longest that a server may ask us to wait.
const ASKED_CAP: Duration = Duration::from_mins(1);

/// Counts failures in a row; waits with full jitter.
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
        let doubled = 2_u32.saturating_pow(self.failures - 1);
        let most = BASE.saturating_mul(doubled).min(CAP);
        let wait = most
            .mul_f64(fastrand::f64())
            .max(asked.unwrap_or_default().min(ASKED_CAP));
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
    fn waits_grow_to_the_cap_and_end() {
        let mut backoff = Backoff::new(9);
        for most in [200, 400, 800, 1600, 3200, 5000, 5000, 5000] {
            let wait = backoff.next(None);
            assert!(wait.is_some_and(|wait| wait <= Duration::from_millis(most)));
        }
        assert_eq!(backoff.next(None), None);
        backoff.reset();
        assert!(backoff.next(None).is_some());
    }

    #[test]
    fn the_server_may_ask_for_more() {
        let asked = |seconds| Backoff::new(2).next(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(7), Some(Duration::from_secs(7)));
        assert_eq!(asked(7000), Some(ASKED_CAP));
    }

    #[test]
    fn patience_ends() {
        let mut backoff = Backoff::until(9, Duration::from_secs(3));
        assert!(backoff.timeout(Duration::from_mins(1)) <= Duration::from_secs(3));
        assert_eq!(backoff.next(Some(Duration::from_secs(4))), None);
    }
}
