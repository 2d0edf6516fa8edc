//! When a failed request is retried, and when it is given up.
//!
//! A client maps what went wrong to a [`Failure`]. [`Retry::step`] decides: it counts the
//! failure in [`Attempts`], warns once, and returns the delay before the next try, or the
//! failure to give up with. Three loops call it: [`Retry::run_blocking`], `Retry::try_run` in
//! `remote/retry.rs`, and `remote/kinto/batch.rs`, which may also split a batch. Each server has
//! its own [`Policy`].

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::backoff::Backoff;
use crate::context::Context;
use crate::error::{Error, Kind, Result};
use crate::log::counted;

/// What a failed request means.
#[derive(Debug)]
pub enum Failure {
    /// A retry may succeed, but not before the time that the server asked for.
    Transient {
        reason: String,
        after: Option<Duration>,
        class: FailureClass,
    },
    NotFound,
    /// A retry cannot help, but requests for other things may succeed. Access to it is denied
    /// if the error is of [`Kind::Refused`].
    Object(Error),
    /// A retry cannot help.
    Permanent(Error),
}

/// What a server showed of itself when a request failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FailureClass {
    /// There was no response.
    Silent,
    /// There was no connection, which in HTTP concerns only one request.
    Unconnected,
    Answered,
    /// It asks for fewer requests.
    Throttled,
    /// The object is not there yet.
    Missing,
    /// A transaction was rolled back because of another one.
    Conflict,
    /// This process cannot open another file or connection.
    Exhausted,
}

impl Failure {
    /// Returns a failure that a retry may help.
    pub fn transient(class: FailureClass, reason: impl Into<String>) -> Self {
        Self::Transient {
            reason: reason.into(),
            after: None,
            class,
        }
    }

    /// Returns a failure that ends the run with the exit status of `kind`.
    pub fn permanent(kind: Kind, text: impl Display) -> Self {
        Self::Permanent(Error::message(kind, text))
    }

    /// Returns the error that ends the run; its exit status is 69 after too many retries.
    /// `what` names the request.
    pub fn into_error(self, what: &str) -> Error {
        match self {
            Self::Transient {
                reason,
                class: FailureClass::Exhausted,
                ..
            } => Error::message(Kind::LocalIo, reason),
            Self::Transient { reason, .. } => Error::unavailable(reason),
            Self::NotFound => Error::configuration(format!("{what}: not found")),
            Self::Object(error) | Self::Permanent(error) => error,
        }
    }
}

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

/// The failures of a server that is unavailable.
pub const UNAVAILABLE: &[FailureClass] = &[
    FailureClass::Silent,
    FailureClass::Unconnected,
    FailureClass::Answered,
    FailureClass::Throttled,
];

/// The failures by which a server shows nothing of itself.
pub const UNREACHABLE: &[FailureClass] = &[FailureClass::Silent, FailureClass::Unconnected];

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
const CONFLICTS: Policy = Policy {
    limit: Limit::Tries(100),
    backoff: Backoff::new(Duration::from_millis(50), Duration::from_millis(50)),
    announce: Announce::Never,
    counted_as: "batches again",
    waits_for: &[],
};

/// The failures of one request so far.
#[derive(Debug)]
pub struct Attempts {
    policy: Policy,
    started: Instant,
    failed: u32,
    conflicts: u32,
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
    fn next(&mut self, class: FailureClass, asked: Option<Duration>) -> Option<Duration> {
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
    fn should_announce(&mut self, class: FailureClass) -> bool {
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
    fn is_wait_unexplained(&mut self, wait: Duration, asked: Option<Duration>) -> bool {
        let is_asked = asked.is_some_and(|asked| asked >= SLOW);
        wait >= SLOW && (is_asked || !std::mem::replace(&mut self.announced, true))
    }
}

/// Retries the requests to one server; clones share the limit of its warnings.
#[derive(Clone)]
pub struct Retry {
    pub policy: Policy,
    pub context: Context,
    announced: Arc<Mutex<Option<Instant>>>,
    silence: Arc<Mutex<Silence>>,
    outage: Arc<Mutex<Option<Outage>>>,
}

/// After this long without an answer a person begins to wonder.
pub const SLOW: Duration = Duration::from_secs(2);

/// How long a server has sent nothing.
struct Silence {
    heard: Instant,
    is_reported: bool,
}

/// A time in which every request to a server that is waited for fails.
struct Outage {
    began: Instant,
    /// When it was logged last.
    reported: Option<Instant>,
}

/// The time between two warnings of one outage.
const REMINDER: Duration = Duration::from_mins(5);

/// The minimum time between two warnings: a server in trouble fails many requests at once.
/// The summary counts all.
const QUIET: Duration = Duration::from_secs(5);

impl Retry {
    pub fn new(policy: Policy, context: &Context) -> Self {
        let waits_for = match context.waits_for_servers {
            true if policy.waits_for.is_empty() => UNAVAILABLE,
            true => policy.waits_for,
            false => &[],
        };
        Self {
            policy: Policy {
                waits_for,
                ..policy
            },
            context: context.clone(),
            announced: Arc::default(),
            silence: Arc::new(Mutex::new(Silence {
                heard: Instant::now(),
                is_reported: false,
            })),
            outage: Arc::default(),
        }
    }

    /// Returns whether requests wait for the server without limit.
    pub fn waits(&self) -> bool {
        !self.policy.waits_for.is_empty()
    }

    /// Returns the same with a limited number of tries, for requests that may fail by themselves.
    pub fn limited(&self) -> Self {
        let mut limited = self.clone();
        limited.policy.waits_for = &[];
        limited
    }

    /// Notes that a request has succeeded; logs the end of an outage that was logged.
    pub fn note_success(&self, what: impl Display) {
        if !self.context.waits_for_servers {
            return;
        }
        if let Some(outage) = self.outage.lock().take()
            && outage.reported.is_some()
        {
            let time = counted(outage.began.elapsed().as_secs(), "second");
            let log = &self.context.log;
            log.info(format!("{what}: available again after {time}"));
        }
    }

    /// Logs a failure of a server that is waited for, once two seconds have passed.
    fn report_outage(&self, reason: &str, wait: Duration) {
        let mut outage = self.outage.lock();
        let outage = outage.get_or_insert_with(|| Outage {
            began: Instant::now(),
            reported: None,
        });
        let is_slow = outage.began.elapsed() + wait >= SLOW;
        let is_new = |reported: Instant| reported.elapsed() >= REMINDER;
        if is_slow && outage.reported.is_none_or(is_new) {
            outage.reported = Some(Instant::now());
            let log = &self.context.log;
            log.warn(format!("{reason}; waiting until it is available again"));
        }
    }

    /// Returns when the server was last heard.
    pub fn heard(&self) -> Instant {
        self.silence.lock().heard
    }

    /// Notes that the server has answered a request, and whether that took long.
    pub fn hear(&self, is_slow: bool) {
        *self.silence.lock() = Silence {
            heard: Instant::now(),
            is_reported: is_slow,
        };
    }

    /// Logs that the server sends nothing, unless its last answer was as slow. `what` names the
    /// request.
    pub fn report_silence(&self, what: impl Display) {
        if !std::mem::replace(&mut self.silence.lock().is_reported, true) {
            let time = SLOW.as_secs();
            let log = &self.context.log;
            log.info(format!("waiting for {what}: no answer for {time} s"));
        }
    }

    /// Returns the result of the first try that succeeds; waits on this thread. `what` names
    /// the request and its server in messages.
    ///
    /// # Errors
    /// A permanent failure, too many transient ones (69), or a signal.
    pub fn run_blocking<T>(
        &self,
        what: &str,
        mut request: impl FnMut() -> Result<T, Failure>,
    ) -> Result<T> {
        let mut attempts = Attempts::new(self.policy);
        loop {
            self.context.shutdown.check()?;
            let done = self.watch_blocking(what, &mut request);
            let wait = match done {
                Ok(done) => {
                    self.note_success(what);
                    return Ok(done);
                }
                Err(failure) => self.step(&mut attempts, what, failure),
            };
            let wait = wait.map_err(|failure| failure.into_error(what))?;
            self.context.shutdown.sleep(wait)?;
        }
    }

    /// Runs `request`. Logs if it takes more than two seconds, unless the last one did.
    fn watch_blocking<T>(&self, what: &str, request: impl FnOnce() -> T) -> T {
        let begun = Instant::now();
        let is_reported = self.silence.lock().is_reported;
        let notice = (!is_reported).then(|| {
            let message = format!("waiting for {what}: a request takes long");
            self.context.log.notify_after(SLOW, message)
        });
        let done = request();
        drop(notice);
        self.hear(begun.elapsed() >= SLOW);
        done
    }

    /// Counts and announces a failure; returns how long to wait before the next try.
    ///
    /// # Errors
    /// The failure to give up with, whose text names the request.
    pub fn step(
        &self,
        attempts: &mut Attempts,
        what: &str,
        failure: Failure,
    ) -> Result<Duration, Failure> {
        let (reason, after, class) = match failure {
            Failure::Transient {
                reason,
                after,
                class,
            } => (format!("{what}: {reason}"), after, class),
            Failure::NotFound => return Err(failure),
            Failure::Object(error) => return Err(Failure::Object(error.context(what))),
            Failure::Permanent(error) => return Err(Failure::Permanent(error.context(what))),
        };
        let wait = attempts.next(class, after);
        let (counted_as, failed, tries) = match class {
            FailureClass::Conflict => (CONFLICTS.counted_as, attempts.conflicts, "conflicts"),
            _ => (attempts.policy.counted_as, attempts.failed, "tries"),
        };
        let Some(wait) = wait else {
            let reason = format!("{reason}; gave up after {failed} {tries}");
            return Err(Failure::transient(class, reason));
        };
        self.context.counters.note(counted_as, 1);
        let again = match wait.as_secs() {
            seconds @ 2.. => format!("retrying in {}", counted(seconds, "second")),
            _ => "retrying".to_owned(),
        };
        if self.context.log.is_verbose() {
            self.context.log.warn(format!("{reason}; {again}"));
        } else if self.context.waits_for_servers && UNAVAILABLE.contains(&class) {
            if attempts.policy.announce != Announce::Never || self.waits() {
                self.report_outage(&reason, wait);
            }
        } else if attempts.should_announce(class) || attempts.is_wait_unexplained(wait, after) {
            self.announce(format!("{reason}; {again}"));
        }
        Ok(wait)
    }

    /// Logs a warning about the server, unless there was one just before.
    pub fn announce(&self, text: String) {
        if self.may_announce() {
            self.context.log.warn(text);
        }
    }

    fn may_announce(&self) -> bool {
        let mut last = self.announced.lock();
        let is_quiet = last.is_none_or(|last| last.elapsed() >= QUIET);
        if is_quiet {
            *last = Some(Instant::now());
        }
        is_quiet
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
