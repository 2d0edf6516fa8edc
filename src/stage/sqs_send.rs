//! sqs-send: sends each line of its input as a message.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use serde::de::IgnoredAny;
use tokio::runtime::Runtime;

use crate::cli::{InputArgs, Program, SharedArgs, SinkArgs, WaitArgs};
use crate::error::Result;
use crate::ndjson::{
    BatchLimits, BatchSink, Io, Parsed, Place, RecordLine, StageOutput, WriteMarks, batched,
};
use crate::record::reject::Reject;
use crate::remote;
use crate::remote::sqs::{Action, BATCH, LARGEST, Queue, SqsArgs};

/// Send each line as a message to a queue
#[derive(Debug, Parser)]
#[command(
    name = "sqs-send",
    before_help = "\
Examples:
  s3-list --plan 1000 s3://bucket | sqs-send $QUEUE_URL
  jq -c .Records rejects.ndjson | sqs-send $QUEUE_URL"
)]
pub struct Args {
    #[command(flatten)]
    sqs: SqsArgs,

    /// Group of the messages, for a FIFO queue; its lines are sent in order
    #[arg(long, value_name = "NAME")]
    group: Option<String>,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    sink: SinkArgs,

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
        "sent"
    }

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn write_marks(&self) -> WriteMarks {
        self.sink.write_marks()
    }

    fn allow_drops(&self) -> bool {
        self.input.allow_drops
    }
}

/// A line is sent at the latest this long after it was read.
const WAIT: Duration = Duration::from_millis(100);
/// Requests at once, unless the lines have an order.
const REQUESTS: usize = 8;
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(30);

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = remote::runtime("sqs-send", Some(1))?;
    let queue = runtime.block_on(Queue::open(&args.sqs, PATIENCE, &io.context))?;
    let mut sender = Sender {
        runtime,
        queue: Arc::new(queue),
        requests: if args.group.is_some() { 1 } else { REQUESTS },
        action: Action::Send {
            group: args.group.clone(),
        },
    };
    let limits = BatchLimits {
        records: BATCH * REQUESTS,
        bytes: LARGEST * REQUESTS,
        wait: WAIT,
    };
    let weigh = |line: &mut MessageLine| (1, line.bytes.len());
    batched(io, &limits, parse, weigh, &mut sender)
}

/// A line that can be sent.
struct MessageLine {
    number: u64,
    bytes: Vec<u8>,
    body: String,
}

fn parse(line: RecordLine<'_>) -> Parsed<MessageLine> {
    match body(line.bytes) {
        Ok(body) => Parsed::Record(MessageLine {
            number: line.number,
            bytes: line.bytes.to_vec(),
            body,
        }),
        Err((kind, reason)) => Parsed::reject(line.reject(kind, reason)),
    }
}

/// Returns the body of the message for a line: what SQS does not take is escaped in JSON.
fn body(line: &[u8]) -> Result<String, (&'static str, String)> {
    let text = std::str::from_utf8(line)
        .map_err(|error| ("not_sendable", format!("not UTF-8: {error}")))?;
    let body: Cow<'_, str> = if text.chars().all(is_sendable) {
        text.into()
    } else if serde_json::from_str::<IgnoredAny>(text).is_ok() {
        // They can only be in strings.
        let escape = |character: char| {
            let code = character as u32;
            let plain = is_sendable(character).then(|| character.to_string());
            plain.unwrap_or_else(|| format!("\\u{code:04x}"))
        };
        text.chars().map(escape).collect()
    } else {
        let bad = text.chars().find(|character| !is_sendable(*character));
        let code = bad.map_or(0, |character| character as u32);
        let reason = format!("SQS does not take the character U+{code:04X}; write it as JSON does");
        return Err(("not_sendable", reason));
    };
    if body.len() > LARGEST {
        let reason = format!("{} bytes; a message has at most {LARGEST}", body.len());
        return Err(("too_long", reason));
    }
    Ok(body.into_owned())
}

fn is_sendable(character: char) -> bool {
    matches!(character, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

struct Sender {
    runtime: Runtime,
    queue: Arc<Queue>,
    requests: usize,
    action: Action,
}

impl BatchSink<MessageLine> for Sender {
    fn submit(&mut self, batch: Vec<Parsed<MessageLine>>, output: &mut StageOutput) -> Result<()> {
        let body = |item: &Parsed<MessageLine>| match item {
            Parsed::Record(line) => Some(line.body.clone()),
            _ => None,
        };
        let bodies: Vec<String> = batch.iter().filter_map(body).collect();
        let sent = Queue::settle_all(&self.queue, &self.action, &bodies, self.requests);
        let mut outcomes = self.runtime.block_on(sent)?.into_iter();
        for item in batch {
            let Some(line) = output.take_record(item)? else {
                continue;
            };
            match outcomes.next() {
                Some(Err(reason)) => {
                    let reject = Reject::new(&line.bytes, line.number, "refused", reason);
                    output.reject(&reject)?;
                }
                _ => output.add_written(1),
            }
        }
        Ok(())
    }

    fn wait_for_all(&mut self, _output: &mut StageOutput) -> Result<()> {
        Ok(())
    }
}
