//! bh-fetch: gets the object of each record and adds it as `build`.

use clap::Parser;
use crossbeam_channel::{Receiver, Sender, bounded};
use tokio::runtime::Builder;

use super::{AFTER_HELP, HELP};
use crate::cli::{Program, SharedArgs};
use crate::context::Context;
use crate::counters::Waiting;
use crate::error::{Error, Result};
use crate::json::{self, Members};
use crate::ndjson::{self, Input, Io, StageOutput};
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
        bucket: args.bucket.as_deref(),
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
                    Ok(Some(wanted)) => Pending::Get {
                        line: line.to_vec(),
                        number,
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

/// The object of a line; `None` for the frame of a foreign listing.
fn wanted(args: &Args, line: &[u8]) -> Result<Option<Wanted>, String> {
    let Some(line) = object::unframe(line) else {
        return Ok(None);
    };
    let members = json::members(line).map_err(|error| error.to_string())?;
    let object = Object::of(&members)?;
    let bucket = object.bucket.as_deref().or(args.bucket.as_deref());
    let bucket = bucket.ok_or("the line names no bucket: add --bucket NAME")?;
    Ok(Some(Wanted {
        bucket: bucket.to_owned(),
        key: object.key.clone().into_owned(),
        size: object.size,
    }))
}

/// Objects that are not there any more, and are named.
const NAMED: u64 = 10;

/// Writes the answers in the order of the lines.
struct Sink<'a> {
    fetcher: &'a Fetcher,
    bucket: Option<&'a str>,
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
                    ticket,
                } => {
                    let answer = self.answer(ticket, output)?;
                    found |= !matches!(answer, Answer::Gone);
                    self.counters.add_read(1);
                    match answer {
                        Answer::Document(document) => {
                            out.clear();
                            write_record(&line, self.bucket, &document, &mut out);
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

/// Appends the record of `line` with the document: what the GET answered
/// takes the place of what the listing said, all else stays as it came.
fn write_record(line: &[u8], bucket: Option<&str>, document: &Document, out: &mut Vec<u8>) {
    let line = object::unframe(line).unwrap_or(line);
    let Ok(members) = json::members(line) else {
        return;
    };
    let Ok(object) = Object::of(&members) else {
        return;
    };
    out.push(b'{');
    if object.foreign {
        write_own_names(&members, &object, bucket, out);
    } else {
        if object.bucket.is_none() {
            write_text("bucket", bucket.unwrap_or_default(), out);
        }
        for member in &members {
            match member.name.raw() {
                b"etag" => write_text("etag", &document.etag, out),
                b"size" => write_size(document.size, out),
                b"build" | b"error" => {}
                _ => {
                    out.extend_from_slice(&line[member.start..member.end]);
                    out.push(b',');
                }
            }
        }
    }
    if object.foreign || members.value("etag").is_none() {
        write_text("etag", &document.etag, out);
    }
    if object.foreign || members.value("size").is_none() {
        write_size(document.size, out);
    }
    out.extend_from_slice(b"\"build\":");
    out.extend_from_slice(&document.text);
    out.extend_from_slice(b"}\n");
}

/// A line of another tool in our own names; what has none of ours stays.
fn write_own_names(
    members: &Members<'_>,
    object: &Object<'_>,
    bucket: Option<&str>,
    out: &mut Vec<u8>,
) {
    let bucket = object.bucket.as_deref().or(bucket).unwrap_or_default();
    write_text("bucket", bucket, out);
    write_text("key", &object.key, out);
    for member in members {
        match member.name.raw() {
            b"LastModified" | b"ModTime" => out.extend_from_slice(b"\"last_modified\":"),
            b"Key" | b"Bucket" | b"key" | b"Path" | b"ETag" | b"etag" | b"Size" | b"size"
            | b"build" | b"error" => continue,
            name => {
                out.push(b'"');
                out.extend_from_slice(name);
                out.extend_from_slice(b"\":");
            }
        }
        out.extend_from_slice(member.value);
        out.push(b',');
    }
}

fn write_size(size: u64, out: &mut Vec<u8>) {
    out.extend_from_slice(format!("\"size\":{size},").as_bytes());
}

fn write_text(name: &str, text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend_from_slice(name.as_bytes());
    out.extend_from_slice(b"\":");
    json::write_str(text, out);
    out.push(b',');
}
