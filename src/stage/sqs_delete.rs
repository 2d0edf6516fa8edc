//! sqs-delete: deletes the messages whose marks arrive, and reports to sqs-receive what became
//! of each.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::runtime::Runtime;

use crate::address::without_password;
use crate::cli::{InputArgs, Program, SharedArgs, WaitArgs};
use crate::context::Context;
use crate::error::Result;
use crate::ndjson::{
    BatchLimits, BatchSink, Io, Parsed, Place, RecordLine, StageOutput, WriteMarks, batched,
};
use crate::record::mark::Mark;
use crate::record::message_mark::MessageMark;
use crate::remote;
use crate::remote::sqs::report::{MessageReport, Reporter};
use crate::remote::sqs::{Action, Queue, SqsArgs};

/// Delete the messages of a queue whose marks arrive
#[derive(Debug, Parser)]
#[command(
    name = "sqs-delete",
    before_help = "\
Examples:
  sqs-receive $QUEUE_URL | bh-fetch | bh-validate | bh-load --marks | sqs-delete $QUEUE_URL
  sqs-receive --raw --drain $QUEUE_URL | tee bodies.ndjson | sqs-delete $QUEUE_URL"
)]
pub struct Args {
    #[command(flatten)]
    sqs: SqsArgs,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const PLACE: Place = Place::Sink;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn out(&self) -> &'static str {
        "deleted"
    }

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn write_marks(&self) -> WriteMarks {
        WriteMarks::Never
    }

    fn allow_drops(&self) -> bool {
        self.input.allow_drops
    }
}

/// A message is deleted at the latest this long after its mark.
const WAIT: Duration = Duration::from_millis(100);
/// Bytes of marks that are handled together.
const BYTES: usize = 64 * 1024;
/// Requests at once.
const REQUESTS: usize = 8;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(10);

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = remote::runtime("sqs-delete", Some(1))?;
    let queue = runtime.block_on(Queue::open(&args.sqs, PATIENCE, &io.context))?;
    let url = args.sqs.queue.as_ref().map(|queue| &*queue.text);
    let mut deleter = Deleter {
        runtime,
        queue: Arc::new(queue),
        url: without_password(url.unwrap_or_default()),
        reporter: Reporter::default(),
        blocked: HashMap::new(),
        has_warned: false,
        context: io.context.clone(),
    };
    let limits = BatchLimits {
        records: usize::MAX,
        bytes: BYTES,
        wait: WAIT,
    };
    let parse = |_: RecordLine<'_>| Parsed::<()>::Dropped("records", 1);
    batched(io, &limits, parse, |()| (0, 0), &mut deleter)
}

/// Deletes messages, in batches.
struct Deleter {
    runtime: Runtime,
    queue: Arc<Queue>,
    url: String,
    reporter: Reporter,
    /// The groups of FIFO queues of which a message was given up, and when it was received.
    blocked: HashMap<String, Option<String>>,
    has_warned: bool,
    context: Context,
}

impl BatchSink<()> for Deleter {
    fn submit(&mut self, batch: Vec<Parsed<()>>, output: &mut StageOutput) -> Result<()> {
        let mut messages = Vec::new();
        for item in batch {
            let Parsed::Mark(mark) = item else {
                output.take_record(item)?;
                continue;
            };
            let closed = output.close_unit(&mark.0, &mark.1)?;
            if let Mark::Begin(begin) = &mark.0 {
                // So that the receiver knows who reports.
                self.reporter.connect(&begin.run);
            }
            if let Some(message) = MessageMark::parse(&mark.1) {
                self.context.counters.add_read(1);
                let given_up = if self.is_own(&message) {
                    self.give_up(&message, closed.is_held)
                } else {
                    Some("of another queue")
                };
                messages.push((message, given_up));
            }
        }
        self.delete(messages)
    }

    fn wait_for_all(&mut self, _output: &mut StageOutput) -> Result<()> {
        Ok(())
    }
}

impl Deleter {
    /// Returns whether a message is of this queue.
    fn is_own(&mut self, message: &MessageMark) -> bool {
        let is_own = message.queue == self.url;
        if !is_own && !std::mem::replace(&mut self.has_warned, true) {
            self.context.log.warn(format!(
                "messages of the queue {} are not deleted, since this program deletes those of {}: \
                 give both programs the same URL",
                message.queue, self.url
            ));
        }
        is_own
    }

    /// Returns why a message is not deleted. Neither are those of its group that were received
    /// with it: the queue has to deliver them again after it.
    fn give_up(&mut self, message: &MessageMark, is_held: bool) -> Option<&'static str> {
        let Some(group) = &message.group else {
            return is_held.then_some("held");
        };
        if is_held {
            self.blocked.insert(group.clone(), message.received.clone());
            return Some("held");
        }
        let blocked = self.blocked.get(group)?;
        if message.received <= *blocked {
            return Some("after a held one of their group");
        }
        // The queue has delivered the group anew, in its order.
        self.blocked.remove(group);
        None
    }

    /// Deletes the messages that are not given up, and reports each, in order.
    fn delete(&mut self, messages: Vec<(MessageMark, Option<&'static str>)>) -> Result<()> {
        let wanted = messages.iter().filter(|(_, given_up)| given_up.is_none());
        let handles: Vec<String> = wanted
            .map(|(message, _)| message.receipt_handle.clone())
            .collect();
        let deleted = Queue::settle_all(&self.queue, &Action::Delete, &handles, REQUESTS);
        let outcomes = self.runtime.block_on(deleted)?;
        let mut outcomes = outcomes.into_iter();
        let counters = Arc::clone(&self.context.counters);
        let mut reports: Vec<(String, Vec<MessageReport>)> = Vec::new();
        for (message, given_up) in messages {
            let handle = message.receipt_handle;
            let refused = match given_up {
                None => outcomes.next().and_then(Result::err),
                Some(_) => None,
            };
            if let Some(reason) = &refused {
                self.context.log.warn(format!(
                    "cannot delete message {}: {reason}; it was visible again before its mark \
                     came, so it is done twice: raise --visibility of sqs-receive if this is \
                     frequent",
                    message.message_id.as_deref().unwrap_or("without an id")
                ));
            }
            let report = if let Some(reason) = given_up.or(refused.map(|_| "stale")) {
                counters.add_dropped(reason, 1);
                MessageReport::GivenUp(handle)
            } else {
                counters.add_written(1);
                MessageReport::Deleted(handle)
            };
            let Some(run) = message.run else { continue };
            match reports.last_mut() {
                Some((last, of_run)) if *last == run => of_run.push(report),
                _ => reports.push((run, vec![report])),
            }
        }
        for (run, reports) in reports {
            self.reporter.send(&run, &reports);
        }
        Ok(())
    }
}
