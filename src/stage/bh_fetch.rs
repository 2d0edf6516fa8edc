//! bh-fetch: gets the object of each record and adds it as `build`.

use clap::Parser;
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::runtime::Builder;

use super::{AFTER_HELP, HELP};
use crate::cli::{Program, SharedArgs};
use crate::context::Context;
use crate::counters::Waiting;
use crate::error::{Error, Result};
use crate::json;
use crate::ndjson::{self, Input, Io, StageOutput};
use crate::record::line::FetchedRecord;
use crate::record::mark::Mark;
use crate::record::object::{self, Object};
use crate::record::reject::Reject;
use crate::remote::fetch::{Answer, Document, Fetcher, Limits, Ticket, Wanted};
use crate::remote::s3::{S3, S3Args};

/// Get the object of each record and add it as `build`
#[derive(Debug, Parser)]
#[command(
    name = "bh-fetch",
    version,
    help_template = HELP,
    after_help = AFTER_HELP,
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-filter | bh-fetch | bh-validate | bh-load
  bh-fetch --rejects refused.ndjson < wanted.ndjson > builds.ndjson
  rclone lsjson -R --files-only --hash remote:bucket | bh-filter | bh-fetch --bucket bucket"
)]
pub struct Args {
    /// Downloads at the same time
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Refuse larger objects; bytes, or with K, M or G
    #[arg(long, value_name = "BYTES", default_value = "16M", value_parser = bytes)]
    max_size: u64,

    /// Bucket of the lines that name none
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    fn shared(&self) -> &SharedArgs {
        &self.shared
    }
}

/// A number of bytes, with a binary suffix if any.
fn bytes(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let factor = match &text[digits.len()..] {
        "" | "B" => 1,
        "K" | "KiB" => 1 << 10,
        "M" | "MiB" => 1 << 20,
        "G" | "GiB" => 1 << 30,
        _ => return Err("expected bytes, such as 1000000, 16M or 1G".to_owned()),
    };
    let number: u64 = digits.parse().map_err(|_| "expected a number".to_owned())?;
    number
        .checked_mul(factor)
        .filter(|bytes| *bytes > 0)
        .ok_or_else(|| "out of range".to_owned())
}

/// What stands for a line between its reading and its writing.
enum Pending {
    Get {
        line: Vec<u8>,
        number: u64,
        record: FetchedRecord,
        ticket: Ticket,
    },
    Mark(Mark, Vec<u8>),
    Reject(Reject),
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Error::local("threads", &error))?;
    let s3 = runtime.block_on(S3::open(&args.s3, &io.context))?;
    let limits = Limits {
        concurrency: usize::from(args.concurrency),
        max_size: args.max_size,
    };
    let fetcher = &Fetcher::new(runtime, s3, limits);
    let (sender, pending) = bounded(4 * limits.concurrency);
    let Io {
        input,
        output,
        context,
    } = io;
    let Context {
        log,
        counters,
        shutdown,
    } = context;
    let sink = Sink {
        fetcher,
        log,
        counters,
    };
    ndjson::with_reader(
        shutdown,
        move || read(args, input, fetcher, &sender),
        move || sink.write(&pending, output),
    )
}

fn read(args: &Args, input: &mut Input, fetcher: &Fetcher, sender: &Sender<Pending>) -> Result<()> {
    while let Some(block) = input.next()? {
        for (number, line) in block.lines() {
            let next = match Mark::parse(line) {
                Some(mark) => Pending::Mark(mark, line.to_vec()),
                None => match wanted(args, line) {
                    Ok(None) => continue,
                    Ok(Some((wanted, record))) => Pending::Get {
                        line: line.to_vec(),
                        number,
                        record,
                        ticket: fetcher.queue(wanted)?,
                    },
                    Err(message) => Pending::Reject(Reject::new(line, number, "bad_line", message)),
                },
            };
            if sender.send(next).is_err() {
                return Ok(());
            }
        }
    }
    Ok(())
}

/// Returns what to get for a line, and its record; `None` for the frame of a
/// foreign listing.
fn wanted(args: &Args, line: &[u8]) -> Result<Option<(Wanted, FetchedRecord)>, String> {
    let Some(line) = object::unframe(line) else {
        return Ok(None);
    };
    let members = json::members(line).map_err(|error| error.to_string())?;
    let object = Object::parse(&members)?;
    let bucket = object.bucket.as_deref().or(args.bucket.as_deref());
    let bucket = bucket.ok_or("the line names no bucket: add --bucket NAME")?;
    let record = FetchedRecord::new(line, &members, &object, bucket);
    let wanted = Wanted {
        bucket: bucket.to_owned(),
        key: object.key.into_owned(),
        size: object.size,
    };
    Ok(Some((wanted, record)))
}

/// Objects that are not there any more, and are named.
const NAMED: u64 = 10;

/// Writes the answers in the order of the lines.
struct Sink<'a> {
    fetcher: &'a Fetcher,
    log: &'a crate::log::Log,
    counters: &'a crate::counters::Counters,
}

impl Sink<'_> {
    fn write(&self, pending: &Receiver<Pending>, output: &mut StageOutput) -> Result<()> {
        let mut out = Vec::new();
        let (mut gone, mut found) = (0, false);
        while let Some(next) = output.receive(pending)? {
            match next {
                Pending::Mark(mark, line) => output.mark(&mark, &line)?,
                Pending::Reject(reject) => {
                    self.counters.add_read(1);
                    output.reject(&reject)?;
                }
                Pending::Get {
                    line,
                    number,
                    record,
                    ticket,
                } => {
                    let answer = self.answer(ticket, output)?;
                    found |= !matches!(answer, Answer::Gone);
                    self.counters.add_read(1);
                    match answer {
                        Answer::Document(document) => {
                            out.clear();
                            let Document {
                                etag, size, text, ..
                            } = &document;
                            record.write(etag, *size, text, &mut out);
                            output.write(&out)?;
                            self.counters.add_written(1);
                        }
                        Answer::Gone => {
                            gone += 1;
                            self.tell_gone(gone, number, &line);
                            self.counters.dropped("gone", 1);
                        }
                        Answer::Refused(kind, message) => {
                            output.reject(&Reject::new(&line, number, kind, message))?;
                        }
                        Answer::Failed(message) => {
                            output.reject(&Reject::new(&line, number, "failed", message))?;
                            output.hold_unit();
                        }
                    }
                }
            }
        }
        if gone > 1 && !found {
            self.log.warn(format!(
                "none of {gone} objects is there: do their keys lack a prefix, or is it another \
                 bucket?"
            ));
        }
        Ok(())
    }

    /// Names the first objects that are not there; the summary counts all.
    fn tell_gone(&self, gone: u64, number: u64, line: &[u8]) {
        if gone <= NAMED {
            let line = String::from_utf8_lossy(line);
            self.log
                .info(format!("line {number}: not there any more: {line}"));
        } else if gone == NAMED + 1 {
            self.log
                .info("others are not there any more; the summary counts them");
        }
    }

    fn answer(&self, mut ticket: Ticket, output: &mut StageOutput) -> Result<Answer> {
        if let Some(answer) = self.fetcher.ready(&mut ticket) {
            return answer;
        }
        output.flush()?;
        self.counters.waits(Waiting::Server);
        let answer = self.fetcher.wait(ticket);
        self.counters.waits(Waiting::Nothing);
        answer
    }
}
