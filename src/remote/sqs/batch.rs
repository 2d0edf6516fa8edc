//! Requests for several messages: each entry has an outcome of its own.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use aws_sdk_sqs::error::BuildError;
use aws_sdk_sqs::types::{
    BatchResultErrorEntry, ChangeMessageVisibilityBatchRequestEntry,
    DeleteMessageBatchRequestEntry, SendMessageBatchRequestEntry,
};
use tokio::task::JoinSet;

use super::{BATCH, LARGEST, Queue, seconds};
use crate::error::{Error, Result};
use crate::retry::{Attempts, Failure, FailureClass};

/// What became of an entry of a batch.
#[derive(Debug)]
pub enum EntryOutcome {
    Done,
    /// Another try may succeed.
    Failed(String),
    /// Another try cannot succeed.
    Refused(String),
}

impl Queue {
    /// Hides messages for a time from now on, each named by its handle; at most [`BATCH`].
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn hide(&self, messages: &[(String, Duration)]) -> Result<Vec<EntryOutcome>> {
        let entry = |(id, (handle, time)): (usize, &(String, Duration))| {
            ChangeMessageVisibilityBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(handle)
                .visibility_timeout(seconds(*time))
                .build()
        };
        let entries = complete(messages.iter().enumerate().map(entry))?;
        let answer = self.ask("extend messages of", || {
            let request = self.client.change_message_visibility_batch();
            let request = request.queue_url(&self.url);
            request.set_entries(Some(entries.clone())).send()
        });
        let answer = answer.await?;
        let done = answer.successful.iter().map(|entry| &*entry.id);
        Ok(outcomes(messages.len(), done, &answer.failed))
    }

    async fn delete(&self, handles: &[String]) -> Result<Vec<EntryOutcome>> {
        let entry = |(id, handle): (usize, &String)| {
            DeleteMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .receipt_handle(handle)
                .build()
        };
        let entries = complete(handles.iter().enumerate().map(entry))?;
        let answer = self.ask("delete messages of", || {
            let request = self.client.delete_message_batch().queue_url(&self.url);
            request.set_entries(Some(entries.clone())).send()
        });
        let answer = answer.await?;
        let done = answer.successful.iter().map(|entry| &*entry.id);
        Ok(outcomes(handles.len(), done, &answer.failed))
    }

    async fn send(&self, bodies: &[String], group: Option<&str>) -> Result<Vec<EntryOutcome>> {
        let entry = |(id, body): (usize, &String)| {
            SendMessageBatchRequestEntry::builder()
                .id(id.to_string())
                .message_body(body)
                .set_message_group_id(group.map(str::to_owned))
                .build()
        };
        let entries = complete(bodies.iter().enumerate().map(entry))?;
        let answer = self.ask("send to", || {
            let request = self.client.send_message_batch().queue_url(&self.url);
            request.set_entries(Some(entries.clone())).send()
        });
        let answer = answer.await?;
        let done = answer.successful.iter().map(|entry| &*entry.id);
        Ok(outcomes(bodies.len(), done, &answer.failed))
    }

    /// Deletes messages, each named by its handle, or sends them, by several `requests` at once.
    /// An entry that fails is tried again alone. Returns why an entry is refused.
    ///
    /// # Errors
    /// The queue cannot be asked, or an entry failed too often (69).
    pub async fn settle_all(
        queue: &Arc<Self>,
        action: &Action,
        entries: &[String],
        requests: usize,
    ) -> Result<Vec<Result<(), String>>> {
        let mut outcomes = vec![Ok(()); entries.len()];
        let mut running = JoinSet::new();
        let mut batches = batches(entries).into_iter();
        loop {
            while running.len() < requests
                && let Some(range) = batches.next()
            {
                let (queue, action) = (Arc::clone(queue), action.clone());
                let batch = entries[range.clone()].to_vec();
                running.spawn(async move { (range, queue.settle(&action, &batch).await) });
            }
            let Some(done) = running.join_next().await else {
                return Ok(outcomes);
            };
            let (range, settled) = done.map_err(Error::internal)?;
            outcomes[range].clone_from_slice(&settled?);
        }
    }

    /// Deletes or sends at most [`BATCH`] messages.
    async fn settle(&self, action: &Action, entries: &[String]) -> Result<Vec<Result<(), String>>> {
        let mut attempts = Attempts::new(self.retry.policy);
        let mut settled = vec![Ok(()); entries.len()];
        let mut left: Vec<usize> = (0..entries.len()).collect();
        loop {
            let batch: Vec<String> = left.iter().map(|at| entries[*at].clone()).collect();
            let outcomes = match action {
                Action::Delete => self.delete(&batch).await?,
                Action::Send { group } => self.send(&batch, group.as_deref()).await?,
            };
            let (mut failed, mut reason) = (Vec::new(), None);
            for (at, outcome) in left.into_iter().zip(outcomes) {
                match outcome {
                    EntryOutcome::Done => {}
                    EntryOutcome::Refused(why) => settled[at] = Err(why),
                    EntryOutcome::Failed(why) => {
                        failed.push(at);
                        reason = Some(why);
                    }
                }
            }
            let Some(reason) = reason else {
                return Ok(settled);
            };
            left = failed;
            let failure = Failure::transient(FailureClass::Answered, reason);
            let paused = self.retry.pause(&mut attempts, &self.place, failure).await;
            paused.map_err(|failure| failure.into_error(&self.place))?;
        }
    }
}

/// Divides entries into requests of at most [`BATCH`], and of [`LARGEST`] bytes in all.
fn batches(entries: &[String]) -> Vec<Range<usize>> {
    let mut batches = Vec::new();
    let (mut start, mut bytes) = (0, 0);
    for (at, entry) in entries.iter().enumerate() {
        if at - start == BATCH || (at > start && bytes + entry.len() > LARGEST) {
            batches.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += entry.len();
    }
    if start < entries.len() {
        batches.push(start..entries.len());
    }
    batches
}

/// What is done with the entries of a batch.
#[derive(Debug, Clone)]
pub enum Action {
    Delete,
    Send {
        /// The group of a FIFO queue.
        group: Option<String>,
    },
}

/// Returns the entries of a request.
///
/// # Errors
/// One has no id or handle, which cannot be.
fn complete<T>(entries: impl Iterator<Item = Result<T, BuildError>>) -> Result<Vec<T>> {
    let entries: Result<Vec<T>, BuildError> = entries.collect();
    entries.map_err(Error::internal)
}

/// Returns what became of each entry; one that the answer leaves out has failed.
fn outcomes<'a>(
    entries: usize,
    done: impl Iterator<Item = &'a str>,
    failed: &[BatchResultErrorEntry],
) -> Vec<EntryOutcome> {
    let unanswered = || EntryOutcome::Failed("the answer leaves it out".to_owned());
    let mut outcomes: Vec<EntryOutcome> =
        std::iter::repeat_with(unanswered).take(entries).collect();
    let failed = failed.iter().map(|entry| {
        let message = entry.message().unwrap_or_default();
        let reason = format!("{} {message}", entry.code()).trim_end().to_owned();
        let outcome = if entry.sender_fault() {
            EntryOutcome::Refused(reason)
        } else {
            EntryOutcome::Failed(reason)
        };
        (entry.id(), outcome)
    });
    for (id, outcome) in done.map(|id| (id, EntryOutcome::Done)).chain(failed) {
        let place = id.parse::<usize>().ok();
        if let Some(entry) = place.and_then(|at| outcomes.get_mut(at)) {
            *entry = outcome;
        }
    }
    outcomes
}
