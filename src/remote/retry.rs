//! The asynchronous driver of [`Retry`].

use std::fmt::Display;
use std::pin::pin;

use tokio::time::{Instant, timeout_at};

use crate::error::Result;
use crate::retry::{Attempts, Failure, Retry, SLOW};

impl Retry {
    /// Returns the response of the first try of `request` that gives one. `what` names the
    /// request and its server in messages.
    ///
    /// # Errors
    /// A permanent failure, too many transient ones (69), or a signal.
    pub async fn run<T, F>(&self, what: &str, request: impl FnMut() -> F) -> Result<T>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let response = self.try_run(what, request).await;
        response.map_err(|failure| failure.into_error(what))
    }

    /// Does the same, for a caller that handles the last failure itself.
    pub async fn try_run<T, F>(
        &self,
        what: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<T, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = Attempts::new(self.policy);
        loop {
            let response = tokio::select! {
                response = request() => response,
                stop = self.context.shutdown.cancelled() => return Err(Failure::Permanent(stop)),
            };
            match response {
                Ok(response) => {
                    self.note_success(what);
                    return Ok(response);
                }
                Err(failure) => self.pause(&mut attempts, what, failure).await?,
            }
        }
    }

    /// Does the same for a request for input: once no more is wanted, the try in progress is the
    /// last one, and `None` means that it failed.
    pub async fn try_run_for_input<T, F>(
        &self,
        what: &str,
        mut request: impl FnMut() -> F,
    ) -> Result<Option<T>, Failure>
    where
        F: Future<Output = Result<T, Failure>>,
    {
        let mut attempts = Attempts::new(self.policy);
        loop {
            let response = tokio::select! {
                response = Box::pin(request()) => response,
                stop = self.context.shutdown.cancelled() => return Err(Failure::Permanent(stop)),
            };
            let failure = match response {
                Ok(response) => {
                    self.note_success(what);
                    return Ok(Some(response));
                }
                Err(failure) => failure,
            };
            tokio::select! {
                biased;
                () = self.context.shutdown.until_input_over() => return Ok(None),
                paused = self.pause(&mut attempts, what, failure) => paused?,
            }
        }
    }

    /// Waits for the answer to `request`. Logs once if the server sends nothing for two seconds,
    /// to this request or another one. `what` names the request and its server.
    pub async fn watch<T>(&self, what: impl Display, request: impl Future<Output = T>) -> T {
        let mut request = pin!(request);
        let begun = std::time::Instant::now();
        loop {
            let silent_since = self.heard().max(begun);
            let slow = Instant::from_std(silent_since + SLOW);
            if let Ok(answer) = timeout_at(slow, &mut request).await {
                self.hear(false);
                return answer;
            }
            if self.heard() <= silent_since {
                break;
            }
        }
        self.report_silence(what);
        let answer = request.await;
        self.hear(true);
        answer
    }

    /// Waits before the next try after `failure`.
    ///
    /// # Errors
    /// The failure to give up with, or a signal.
    pub async fn pause(
        &self,
        attempts: &mut Attempts,
        what: &str,
        failure: Failure,
    ) -> Result<(), Failure> {
        let wait = self.step(attempts, what, failure)?;
        tokio::select! {
            () = tokio::time::sleep(wait) => Ok(()),
            stop = self.context.shutdown.cancelled() => Err(Failure::Permanent(stop)),
        }
    }
}
