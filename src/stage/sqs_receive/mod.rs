//! sqs-receive: writes the records of the objects that the messages of a queue announce, and a
//! mark for each message.

mod in_flight;
mod lambda;
mod receiver;
mod writer;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use crossbeam_channel::{Receiver, unbounded};

use self::in_flight::InFlight;
use self::receiver::{MessageReceiver, QueueEvent, ReceiveOptions};
use self::writer::MessageWriter;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::error::{Error, Result};
use crate::log::counted;
use crate::ndjson::{Io, Place, WriteMarks};
use crate::remote;
use crate::remote::sqs::report::ReportServer;
use crate::remote::sqs::{Queue, SqsArgs};
use crate::values;

/// Receive the messages of a queue, one record per created object
#[derive(Debug, Parser)]
#[command(
    name = "sqs-receive",
    before_help = "\
Examples:
  sqs-receive $QUEUE_URL | bh-filter --no-known | bh-fetch | bh-validate |
    bh-load --marks --flush-interval 100ms | sqs-delete $QUEUE_URL
  sqs-receive --drain $QUEUE_URL | bh-fetch | bh-validate | bh-load --marks | sqs-delete $QUEUE_URL
  sqs-receive --raw --no-marks $QUEUE_URL | jq ."
)]
pub struct Args {
    #[command(flatten)]
    sqs: SqsArgs,

    /// Write the bodies of the messages as lines, whatever they contain
    #[arg(long)]
    raw: bool,

    /// End when the queue is empty, and no receiver holds a message
    #[arg(long)]
    drain: bool,

    /// Read the messages of a Lambda event from this file instead of a queue; - reads standard input
    #[arg(long, value_name = "FILE", conflicts_with_all = ["queue", "drain"])]
    event: Option<PathBuf>,

    /// Maximum number of messages that are received, but neither deleted nor given up yet
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    in_flight: u32,

    /// Hide messages for this long at a time [default: as the queue does]
    #[arg(long, value_name = "TIME", value_parser = values::whole_seconds)]
    visibility: Option<Duration>,

    /// Give up a message after holding it for this long; SQS allows 12 hours
    #[arg(long, value_name = "TIME", default_value = "12h", value_parser = values::whole_seconds)]
    max_hold: Duration,

    /// Wait this long for messages, at most 20s
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = values::whole_seconds)]
    wait: Duration,

    /// Write only records, and no marks, for jq and wc: sqs-delete cannot delete their messages
    #[arg(long)]
    no_marks: bool,

    #[command(flatten)]
    servers: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const PLACE: Place = Place::Source;
    const READS_LINES: bool = false;
    const TERM_ENDS_INPUT: bool = true;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn waits_for_servers(&self) -> bool {
        self.servers.wait_for_servers
    }

    fn write_marks(&self) -> WriteMarks {
        if self.no_marks {
            WriteMarks::Never
        } else {
            WriteMarks::OffTerminal
        }
    }

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let event = self.event.iter();
        event.map(|path| ("the event", path.clone())).collect()
    }
}

/// The longest wait that SQS allows.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// The longest time that SQS keeps a message hidden.
const LONGEST_HOLD: Duration = Duration::from_hours(12);
/// How long the last requests of a run may take. The queue shows messages again without them.
const LAST: Duration = Duration::from_secs(5);

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    if args.wait > LONGEST_WAIT {
        return Err(Error::usage(
            "--wait is longer than 20s, which SQS allows at most",
        ));
    }
    if args.max_hold > LONGEST_HOLD {
        return Err(Error::usage(
            "--max-hold is longer than 12h, which SQS allows at most",
        ));
    }
    if let Some(path) = &args.event {
        return lambda::run(path, args.raw, io);
    }
    let runtime = remote::runtime("sqs-receive", Some(1))?;
    let queue = runtime.block_on(Queue::open(&args.sqs, args.wait, &io.context))?;
    let url = args.sqs.queue.as_ref().map(|queue| &*queue.text);
    let mut writer = MessageWriter::new(url.unwrap_or_default(), args.raw);
    // sqs-delete connects as soon as the run begins.
    let server = ReportServer::listen(writer.run());
    writer.begin(&mut io.output)?;
    let notice = io
        .context
        .log
        .notify_if_slow(format!("asking {}", queue.place()));
    let state = runtime.block_on(queue.state())?;
    drop(notice);
    let Some(state) = state else {
        return writer.end(&mut io.output);
    };
    let visibility = args.visibility.unwrap_or(state.visibility);
    if visibility.is_zero() {
        return Err(Error::configuration(format!(
            "{} hides no message that is received (its visibility timeout is 0): set the timeout, \
             or --visibility",
            queue.place()
        )));
    }
    let (sender, events) = unbounded();
    let in_flight = InFlight::new(args.in_flight as usize, visibility, args.max_hold);
    let options = ReceiveOptions {
        drain: args.drain,
        marks: !args.no_marks,
        visibility: args.visibility,
    };
    let receiver = MessageReceiver::new(queue, in_flight, options, sender.clone(), &io.context);
    let receiver = Arc::new(receiver);
    match &server {
        Ok(server) => receiver.take_reports(server)?,
        // As where sqs-delete runs on another machine.
        Err(error) => io.context.log.warn(error),
    }
    io.output.stream().when_reader_leaves(move |error| {
        drop(sender.send(QueueEvent::Failed(error)));
    });
    receiver.start(&runtime);
    write_all(&events, &receiver, &runtime, &mut writer, io)?;
    writer.end(&mut io.output)?;
    wait_for_reports(&events, &receiver, &runtime, io)
}

/// Writes messages until none are received any more. What comes after SIGTERM is returned to
/// the queue.
fn write_all(
    events: &Receiver<QueueEvent>,
    receiver: &MessageReceiver,
    runtime: &tokio::runtime::Runtime,
    writer: &mut MessageWriter,
    io: &mut Io,
) -> Result<()> {
    while let Some(event) = io.output.receive(events)? {
        match event {
            QueueEvent::Received(messages, _) if io.context.shutdown.is_input_over() => {
                let given_back = receiver.give_back(&messages);
                let given_back = async { tokio::time::timeout(LAST, given_back).await };
                runtime.block_on(given_back).unwrap_or(Ok(()))?;
            }
            QueueEvent::Received(messages, received) => {
                for message in messages {
                    receiver.number(&message.receipt_handle);
                    writer.write(message, &received, io)?;
                }
            }
            QueueEvent::Failed(error) => return Err(error),
            QueueEvent::Reported => {}
            QueueEvent::Ended => break,
        }
    }
    Ok(())
}

/// Waits until everything in flight is reported, as long as somebody may report it.
fn wait_for_reports(
    events: &Receiver<QueueEvent>,
    receiver: &Arc<MessageReceiver>,
    runtime: &tokio::runtime::Runtime,
    io: &mut Io,
) -> Result<()> {
    while receiver.in_flight() > 0 && receiver.is_connected() {
        match io.output.receive(events)? {
            Some(QueueEvent::Failed(error)) => return Err(error),
            Some(_) => io.context.shutdown.check()?,
            None => break,
        }
    }
    let left = receiver.in_flight();
    if left > 0 {
        let extended = async { tokio::time::timeout(LAST, receiver.extend(true)).await };
        runtime.block_on(extended).unwrap_or(Ok(()))?;
        io.context.log.info(format!(
            "{} not reported as deleted: what nobody deletes in time is received again",
            counted(left as u64, "message")
        ));
    }
    Ok(())
}
