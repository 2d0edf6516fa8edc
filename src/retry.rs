//! When a failed request is retried, and when it is given up.
//!
//! A client maps what went wrong to a [`Failure`]. [`Retry::step`] decides: it counts the
//! failure in [`Attempts`], warns once, and returns the delay before the next try, or the
//! failure to give up with. Three loops call it: [`Retry::run_blocking`], `Retry::try_run` in
//! `remote/retry.rs`, and `remote/kinto/batch.rs`, which may also split a batch. Each server has
//! its own [`Policy`].

mod attempts;
mod failure;

use std::fmt::Display;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use self::attempts::CONFLICTS;
pub use self::attempts::{Announce, Attempts, Limit, Policy};
pub use self::failure::{Failure, FailureClass, UNAVAILABLE, UNREACHABLE};
use crate::context::Context;
use crate::error::Result;
use crate::log::counted;

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
            _ => (attempts.policy.counted_as, attempts.failed(), "tries"),
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
