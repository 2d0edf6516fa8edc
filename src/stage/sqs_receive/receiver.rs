//! Receives messages with several requests at once, and keeps them hidden.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use crossbeam_channel::Sender;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::task::JoinSet;

use super::in_flight::InFlight;
use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::{self, counted};
use crate::remote::sqs::report::{MessageReport, ReportServer};
use crate::remote::sqs::{BATCH, EntryOutcome, Message, Queue};

/// Receivers at work while there is a backlog; one while the queue is empty.
const RECEIVERS: usize = 8;
/// Requests at once that keep messages hidden.
const EXTENDING: usize = 8;
/// The time between two looks at the queue while as many are in flight as may be.
const FULL: Duration = Duration::from_secs(1);

/// What the receivers tell the writer.
pub enum QueueEvent {
    /// Messages, and when they were received.
    Received(Vec<Message>, String),
    /// A report came, or sqs-delete has connected or left.
    Reported,
    Failed(Error),
    /// Nothing more is received.
    Ended,
}

/// How messages are received.
pub struct ReceiveOptions {
    /// End when the queue is empty.
    pub drain: bool,
    /// Marks are written, so messages may be deleted.
    pub marks: bool,
    /// Replaces the queue's own.
    pub visibility: Option<Duration>,
}

pub struct MessageReceiver {
    queue: Queue,
    in_flight: InFlight,
    options: ReceiveOptions,
    events: Sender<QueueEvent>,
    context: Context,
    /// How many receivers may be at work, and when that grows.
    wanted: AtomicUsize,
    grown: Notify,
    drained: AtomicBool,
    /// How many programs are connected that report.
    connected: AtomicI64,
    /// Messages written.
    written: AtomicU64,
    has_warned: AtomicBool,
}

impl MessageReceiver {
    pub fn new(
        queue: Queue,
        in_flight: InFlight,
        options: ReceiveOptions,
        events: Sender<QueueEvent>,
        context: &Context,
    ) -> Self {
        Self {
            queue,
            in_flight,
            options,
            events,
            context: context.clone(),
            wanted: AtomicUsize::new(1),
            grown: Notify::new(),
            drained: AtomicBool::new(false),
            connected: AtomicI64::new(0),
            written: AtomicU64::new(0),
            has_warned: AtomicBool::new(false),
        }
    }

    /// Begins to receive, and to keep hidden what was received.
    pub fn start(self: &Arc<Self>, runtime: &Runtime) {
        let this = Arc::clone(self);
        runtime.spawn(async move {
            let mut receivers = JoinSet::new();
            for number in 0..RECEIVERS {
                let this = Arc::clone(&this);
                receivers.spawn(async move { this.receive(number).await });
            }
            while let Some(done) = receivers.join_next().await {
                if let Ok(Err(error)) = done {
                    this.tell(QueueEvent::Failed(error));
                }
            }
            this.tell(QueueEvent::Ended);
        });
        let this = Arc::clone(self);
        runtime.spawn(async move {
            loop {
                this.in_flight.until_due().await;
                if let Err(error) = this.extend(false).await {
                    this.tell(QueueEvent::Failed(error));
                    return;
                }
            }
        });
    }

    /// Takes the reports of sqs-delete from now on.
    ///
    /// # Errors
    /// There are no threads (74).
    pub fn take_reports(self: &Arc<Self>, server: &ReportServer) -> Result<()> {
        let (this, other) = (Arc::clone(self), Arc::clone(self));
        let report = move |report: MessageReport| {
            let (handle, is_given_up) = match report {
                MessageReport::Deleted(handle) => (handle, false),
                MessageReport::GivenUp(handle) => (handle, true),
            };
            if let Some(passed_over @ 1..) = this.in_flight.remove(&handle, is_given_up) {
                let messages = counted(passed_over as u64, "message");
                this.context
                    .counters
                    .note("messages passed over", passed_over as u64);
                this.context.log.warn(format!(
                    "the marks of {messages} did not arrive at sqs-delete: a program between has \
                     lost them; the queue delivers these messages again"
                ));
            }
            if this.in_flight() == 0 {
                this.tell(QueueEvent::Reported);
            }
        };
        server.serve(report, move |change| {
            other.connected.fetch_add(change, SeqCst);
            other.tell(QueueEvent::Reported);
        })
    }

    /// Returns whether a program is connected that reports.
    pub fn is_connected(&self) -> bool {
        self.connected.load(SeqCst) > 0
    }

    /// Returns how many messages are in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight.len()
    }

    /// Records that a message is the next of the output.
    pub fn number(&self, handle: &str) {
        let number = self.written.fetch_add(1, SeqCst);
        self.in_flight.number(handle, number);
    }

    fn tell(&self, event: QueueEvent) {
        // The writer may have ended.
        drop(self.events.send(event));
    }

    fn is_over(&self) -> bool {
        self.drained.load(SeqCst) || self.context.shutdown.is_input_over()
    }

    /// Receives until the end; the receiver with number 0 waits for messages of an empty queue.
    async fn receive(&self, number: usize) -> Result<()> {
        let shutdown = &self.context.shutdown;
        loop {
            let grown = self.grown.notified();
            if self.is_over() {
                return Ok(());
            }
            if number >= self.wanted.load(SeqCst) {
                tokio::select! {
                    () = grown => {}
                    () = shutdown.until_input_over() => {}
                }
                continue;
            }
            let reserved = tokio::select! {
                reserved = self.in_flight.reserve(BATCH) => reserved,
                () = grown => continue,
                () = shutdown.until_input_over() => return Ok(()),
                stop = shutdown.cancelled() => return Err(stop),
                () = tokio::time::sleep(FULL), if self.options.drain && number == 0 => {
                    self.end_if_drained().await?;
                    continue;
                }
            };
            let visibility = self.options.visibility;
            let messages = self
                .queue
                .receive(reserved, number == 0, visibility)
                .await?;
            self.in_flight
                .release(reserved.saturating_sub(messages.len()));
            self.adapt(reserved, messages.len());
            let mut is_new = false;
            for message in &messages {
                is_new |= !self.in_flight.add(&message.id, &message.receipt_handle);
            }
            if !messages.is_empty() {
                self.context
                    .counters
                    .note("messages", messages.len() as u64);
                self.tell(QueueEvent::Received(messages, log::now()));
            }
            if self.options.drain && number == 0 && !is_new {
                self.end_if_drained().await?;
            }
        }
    }

    /// Ends the run if no message is waiting, and none is hidden that somebody may still delete,
    /// or has to do again if its worker dies. Messages that were given up are not waited for, and
    /// neither are those that nobody reports, once their visibility timeout has passed.
    async fn end_if_drained(&self) -> Result<()> {
        let longest = match self.options.marks {
            true if self.is_connected() => None,
            true => Some(self.in_flight.visibility()),
            false => Some(Duration::ZERO),
        };
        let Some(state) = self.queue.state().await? else {
            return Ok(());
        };
        let not_awaited = self.in_flight.not_awaited(longest) as u64;
        if state.waiting == 0 && state.hidden <= not_awaited {
            self.drained.store(true, SeqCst);
            self.grown.notify_waiters();
        }
        Ok(())
    }

    /// Decides how many receivers are at work, by an answer with so many of the messages that
    /// were asked for.
    fn adapt(&self, asked: usize, came: usize) {
        if came == 0 {
            self.wanted.store(1, SeqCst);
        } else if came >= asked {
            self.wanted.store(RECEIVERS, SeqCst);
            self.grown.notify_waiters();
        }
    }

    /// Hides anew the messages that are due, or all of them.
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn extend(self: &Arc<Self>, all: bool) -> Result<()> {
        let (due, expired) = self.in_flight.take_due(all);
        if expired > 0 {
            self.context
                .counters
                .note("messages held too long", expired as u64);
            self.context.log.warn(format!(
                "{} held for as long as --max-hold allows, and not kept hidden any more: the queue \
                 delivers what is not deleted in time again",
                counted(expired as u64, "message")
            ));
        }
        let mut requests = JoinSet::new();
        for batch in due.chunks(BATCH) {
            if requests.len() >= EXTENDING
                && let Some(done) = requests.join_next().await
            {
                done.map_err(Error::internal)??;
            }
            let (this, batch) = (Arc::clone(self), batch.to_vec());
            requests.spawn(async move {
                let outcomes = this.queue.hide(&batch).await?;
                for ((handle, _), outcome) in batch.iter().zip(outcomes) {
                    this.judge(handle, &outcome);
                }
                Ok::<(), Error>(())
            });
        }
        while let Some(done) = requests.join_next().await {
            done.map_err(Error::internal)??;
        }
        Ok(())
    }

    fn judge(&self, handle: &str, outcome: &EntryOutcome) {
        match outcome {
            EntryOutcome::Failed(_) => self.in_flight.retry(handle),
            // Without a report of its own: sqs-delete runs on another machine, or the message is
            // visible again.
            EntryOutcome::Refused(reason) if self.in_flight.forget(handle) => {
                self.context.counters.note("handles refused", 1);
                if !self.has_warned.swap(true, SeqCst) {
                    self.context.log.warn(format!(
                        "{}: cannot extend a message: {reason}; another program has deleted it, or \
                         it is visible again and is received twice",
                        self.queue.place()
                    ));
                }
            }
            EntryOutcome::Done | EntryOutcome::Refused(_) => {}
        }
    }

    /// Returns messages to the queue, which delivers them again at once.
    ///
    /// # Errors
    /// The queue cannot be asked.
    pub async fn give_back(&self, messages: &[Message]) -> Result<()> {
        for batch in messages.chunks(BATCH) {
            let shown = |message: &Message| (message.receipt_handle.clone(), Duration::ZERO);
            let shown: Vec<_> = batch.iter().map(shown).collect();
            self.queue.hide(&shown).await?;
            for (handle, _) in &shown {
                self.in_flight.forget(handle);
            }
        }
        self.context
            .counters
            .note("messages returned", messages.len() as u64);
        Ok(())
    }
}
