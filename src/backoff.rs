//! How long to wait before a retry.

use std::time::Duration;

/// Exponential backoff with full jitter: each delay is random, between zero and a bound
/// that doubles, so that clients that failed together do not retry together.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
}

/// The longest delay that a server may ask for.
pub const LONGEST_ASKED: Duration = Duration::from_mins(1);

impl Backoff {
    /// Creates a backoff from the bound of the first delay and that of the longest.
    pub const fn new(first: Duration, longest: Duration) -> Self {
        Self { first, longest }
    }

    /// Returns the delay after `failed` tries. It is added to the time that the server
    /// `asked` for.
    pub fn delay(self, failed: u32, asked: Option<Duration>) -> Duration {
        let doubled = 2_u32.saturating_pow(failed.saturating_sub(1));
        let bound = self.first.saturating_mul(doubled).min(self.longest);
        asked.unwrap_or_default().min(LONGEST_ASKED) + bound.mul_f64(fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKOFF: Backoff = Backoff::new(Duration::from_millis(200), Duration::from_secs(5));

    #[test]
    fn delays_double_up_to_the_maximum() {
        for (failed, bound) in (1..).zip([200, 400, 800, 1600, 3200, 5000, 5000]) {
            let drawn = (0..1000).map(|_| BACKOFF.delay(failed, None));
            let longest = drawn.max().unwrap_or_default();
            let bound = Duration::from_millis(bound);
            assert!(longest <= bound && longest > bound.mul_f64(0.9));
        }
        assert!(BACKOFF.delay(u32::MAX, None) <= Duration::from_secs(5));
    }

    #[test]
    fn the_server_can_ask_for_a_longer_delay() {
        let asked = |seconds| BACKOFF.delay(1, Some(Duration::from_secs(seconds)));
        assert!((7..=8).contains(&asked(7).as_secs()));
        assert!(asked(7000) < LONGEST_ASKED + Duration::from_secs(1));
    }
}
