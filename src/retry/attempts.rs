//! How often a request is retried, and how long it waits.

use std::time::{Duration, Instant};

use super::SLOW;
use super::failure::FailureClass;
use crate::backoff::Backoff;

/// How long a request is retried.
#[derive(Debug, Clone, Copy)]
pub enum Limit {
    /// Tries in all.
    Tries(u32),
    /// Tries in all, and a time limit for all of them.
    TriesWithin(u32, Duration),
}

/// Which failure of a request is logged as a warning.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announce {
    Never,
    /// The first, unless the server only asks for fewer requests.
    First,
    Second,
}

/// How the requests to one server are retried. Users may set the number of tries. By default,
/// `PostgreSQL` is retried for about 20 seconds, because nothing can be loaded without it, and
/// Elasticsearch for as long as it takes to restart, because its documents stay queued.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    pub limit: Limit,
    pub backoff: Backoff,
    pub announce: Announce,
    /// The summary counts retries by this name.
    pub counted_as: &'static str,
    /// Failures that are retried without limit.
    pub waits_for: &'static [FailureClass],
}

impl Policy {
    /// Returns the same policy with another number of tries, if one is given.
    pub fn with_tries(self, tries: Option<u32>) -> Self {
        Self {
            limit: tries.map_or(self.limit, Limit::Tries),
            ..self
        }
    }

    /// Returns the policy of object storage, Kinto and the archive: `tries` tries in all.
    pub const fn requests(tries: u32) -> Self {
        Self {
            limit: Limit::Tries(tries),
            backoff: Backoff::new(Duration::from_millis(200), Duration::from_secs(20)),
            announce: Announce::Second,
            counted_as: "retries",
            waits_for: &[],
        }
    }
}

/// For [`FailureClass::Conflict`], independent of the server's policy.
pub(super) const CONFLICTS: Policy = Policy {
    limit: Limit::Tries(100),
    backoff: Backoff::new(Duration::from_millis(50), Duration::from_millis(50)),
    announce: Announce::Never,
    counted_as: "batches again",
    waits_for: &[],
};

/// The failures of one request so far.
#[derive(Debug)]
pub struct Attempts {
    pub(super) policy: Policy,
    started: Instant,
    failed: u32,
    pub(super) conflicts: u32,
    announced: bool,
}

impl Attempts {
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            started: Instant::now(),
            failed: 0,
            conflicts: 0,
            announced: false,
        }
    }

    /// Resets the counts after a success. The time limit still counts from the first try.
    pub fn reset(&mut self) {
        (self.failed, self.conflicts, self.announced) = (0, 0, false);
    }

    /// Returns how many tries have failed in a row, apart from conflicts.
    pub fn failed(&self) -> u32 {
        self.failed
    }

    /// Returns the timeout of the next try: `most`, or less if the time limit is near.
    pub fn timeout(&self, most: Duration) -> Duration {
        match self.policy.limit {
            Limit::TriesWithin(_, time) if self.policy.waits_for.is_empty() => {
                time.saturating_sub(self.started.elapsed()).min(most)
            }
            _ => most,
        }
    }

    /// Returns whether as many tries have failed in a row as the policy allows, apart from those
    /// that wait for the server.
    pub fn are_exhausted(&self) -> bool {
        let (Limit::Tries(tries) | Limit::TriesWithin(tries, _)) = self.policy.limit;
        self.failed >= tries
    }

    /// Counts a failure; returns how long to wait before the next try, `None` to give up.
    pub(super) fn next(
        &mut self,
        class: FailureClass,
        asked: Option<Duration>,
    ) -> Option<Duration> {
        let (policy, failed) = match class {
            FailureClass::Conflict => (CONFLICTS, &mut self.conflicts),
            _ => (self.policy, &mut self.failed),
        };
        *failed = failed.saturating_add(1);
        let wait = policy.backoff.delay(*failed, asked);
        if policy.waits_for.contains(&class) {
            return Some(wait);
        }
        let is_over = match policy.limit {
            Limit::Tries(tries) => *failed >= tries,
            Limit::TriesWithin(tries, time) => {
                *failed >= tries || self.started.elapsed() + wait >= time
            }
        };
        (!is_over).then_some(wait)
    }

    /// Returns whether to log the failure that was counted last.
    pub(super) fn should_announce(&mut self, class: FailureClass) -> bool {
        let should_announce = match self.policy.announce {
            _ if class == FailureClass::Conflict => false,
            Announce::Never => false,
            Announce::First => !self.announced && class != FailureClass::Throttled,
            Announce::Second => self.failed == 2,
        };
        self.announced |= should_announce;
        should_announce
    }

    /// Returns whether nothing was logged yet although the wait is long, which counts as logged.
    pub(super) fn is_wait_unexplained(&mut self, wait: Duration, asked: Option<Duration>) -> bool {
        let is_asked = asked.is_some_and(|asked| asked >= SLOW);
        wait >= SLOW && (is_asked || !std::mem::replace(&mut self.announced, true))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: FailureClass = FailureClass::Answered;

    fn attempts(limit: Limit) -> Attempts {
        Attempts::new(Policy {
            limit,
            ..Policy::requests(1)
        })
    }

    #[test]
    fn a_success_resets_the_count_of_tries() {
        let mut attempts = attempts(Limit::Tries(3));
        assert!(attempts.next(BUSY, None).is_some());
        assert!(attempts.next(FailureClass::Conflict, None).is_some());
        assert!(attempts.next(BUSY, None).is_some());
        assert_eq!(attempts.next(BUSY, None), None);
        attempts.reset();
        assert!(attempts.next(BUSY, None).is_some());
    }

    #[test]
    fn retries_end_when_the_time_is_up() {
        let mut attempts = attempts(Limit::TriesWithin(9, Duration::from_secs(3)));
        assert!(attempts.timeout(Duration::from_mins(1)) <= Duration::from_secs(3));
        assert_eq!(attempts.next(BUSY, Some(Duration::from_secs(4))), None);
    }
}
