//! bh-fetch: gets the object of each record and adds it as `build`.

use std::borrow::Cow;

use clap::Parser;

use crate::cli::{InputArgs, Program, SharedArgs, WaitArgs};
use crate::error::Result;
use crate::json;
use crate::log::Log;
use crate::ndjson::{self, Framing, Io, PendingQueue, Promise, RecordLine, StageOutput};
use crate::record::line::FetchedRecord;
use crate::record::object::Object;
use crate::record::reject::Reject;
use crate::remote;
use crate::remote::s3::fetch::{FetchAnswer, FetchLimits, FetchRequest, FetchTicket, Fetcher};
use crate::remote::s3::{S3, S3Args};
use crate::values;

/// Download the object of each record and add it as `build`
#[derive(Debug, Parser)]
#[command(
    name = "bh-fetch",
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-filter | bh-fetch | bh-validate | bh-load
  bh-fetch --rejects rejects.ndjson < wanted.ndjson > builds.ndjson
  rclone lsjson -R --files-only --hash remote:bucket | bh-filter | bh-fetch --bucket bucket"
)]
pub struct Args {
    /// Maximum number of concurrent requests
    #[arg(long, value_name = "N", default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..))]
    concurrency: u16,

    /// Reject larger objects: bytes, or with a unit, such as 16M, 16MiB or 16MB
    #[arg(long, value_name = "SIZE", default_value = "16M", value_parser = values::bytes)]
    max_size: u64,

    /// Bucket for lines that do not name one
    #[arg(long, value_name = "NAME")]
    bucket: Option<String>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn allow_drops(&self) -> bool {
        self.input.allow_drops
    }
}

/// A download, and the record that its document goes into.
struct Fetch {
    record: FetchedRecord,
    ticket: FetchTicket,
}

impl Promise for Fetch {
    type Answer = (FetchedRecord, FetchAnswer);

    fn poll(&mut self) -> Option<Result<Self::Answer>> {
        let answer = self.ticket.poll()?;
        Some(answer.map(|answer| (std::mem::take(&mut self.record), answer)))
    }

    fn wait(self) -> Result<Self::Answer> {
        Ok((self.record, self.ticket.wait()?))
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = remote::runtime("requests", Some(2))?;
    let s3 = runtime.block_on(S3::open(&args.s3, &io.context))?;
    let limits = FetchLimits {
        concurrency: usize::from(args.concurrency),
        max_size: args.max_size,
    };
    let fetcher = &Fetcher::new(runtime, s3, limits);
    let mut missing = Missing {
        log: io.context.log.clone(),
        count: 0,
        found: false,
    };
    let mut out = Vec::new();
    let ask = |record: RecordLine<'_>, queue: &mut PendingQueue<Fetch>| {
        match fetch_request(args, record.bytes) {
            Ok((request, fetched)) => {
                let ticket = fetcher.queue(request)?;
                let fetch = Fetch {
                    record: fetched,
                    ticket,
                };
                queue.ask(record, fetch);
            }
            Err(message) => queue.reject(record.reject("bad_line", message)),
        }
        Ok(())
    };
    let emit = |line: RecordLine<'_>,
                (record, answer): <Fetch as Promise>::Answer,
                output: &mut StageOutput| {
        match answer {
            FetchAnswer::Document(document) => {
                missing.found = true;
                out.clear();
                record.write(&document.etag, document.size, &document.text, &mut out);
                output.write_record(&out)
            }
            FetchAnswer::Gone => {
                missing.add(line, args.bucket.as_deref());
                output.drop("gone", 1);
                Ok(())
            }
            FetchAnswer::Refused(kind, message) => {
                missing.found = true;
                output.reject(&line.reject(kind, message))
            }
            FetchAnswer::ReplacedAndRefused(kind, message) => {
                missing.found = true;
                let verdict = None;
                output.reject(&Reject {
                    verdict,
                    ..line.reject(kind, message)
                })
            }
            FetchAnswer::Failed(message) => {
                missing.found = true;
                output.fail(&line.reject("failed", message))
            }
        }
    };
    io.input.set_framing(Framing::Listing);
    ndjson::ordered(io, 4 * limits.concurrency, ask, emit)?;
    missing.report();
    Ok(())
}

/// Returns the object of a line, and the record to complete.
fn fetch_request(args: &Args, line: &[u8]) -> Result<(FetchRequest, FetchedRecord), String> {
    let members = json::members(line).map_err(|error| error.to_string())?;
    let object = Object::parse(&members)?;
    let bucket = object.bucket.as_deref().or(args.bucket.as_deref());
    let bucket = bucket.ok_or("the line names no bucket; add --bucket NAME")?;
    if let Some(asked) = args
        .bucket
        .as_deref()
        .filter(|asked| object.foreign && *asked != bucket)
    {
        return Err(format!(
            "the line is of the bucket {bucket:?}, not of --bucket {asked:?}"
        ));
    }
    let record = FetchedRecord::new(line, &members, &object, bucket);
    let request = FetchRequest {
        bucket: bucket.to_owned(),
        key: object.key.into_owned(),
        size: object.size,
        etag: object.etag.map(Cow::into_owned),
    };
    Ok((request, record))
}

fn place(line: &[u8], bucket: Option<&str>) -> Option<String> {
    let members = json::members(line).ok()?;
    let object = Object::parse(&members).ok()?;
    let bucket = object.bucket.as_deref().or(bucket)?;
    Some(format!("s3://{bucket}/{}", object.key))
}

/// How many deleted objects are logged.
const NAMED: u64 = 10;

/// Objects that were deleted after they were listed.
struct Missing {
    log: Log,
    count: u64,
    /// Whether any other object was there.
    found: bool,
}

impl Missing {
    /// Logs the first ones; the summary counts all.
    fn add(&mut self, line: RecordLine<'_>, bucket: Option<&str>) {
        self.count += 1;
        if self.count <= NAMED || self.log.is_verbose() {
            let place = place(line.bytes, bucket).unwrap_or_default();
            self.log.info(format!(
                "line {}: not found: {place} (deleted since it was listed, or a wrong key)",
                line.number
            ));
        } else if self.count == NAMED + 1 {
            self.log
                .info("more objects were not found; the summary counts them");
        }
    }

    fn report(&self) {
        if self.count > 1 && !self.found {
            self.log.warn(format!(
                "none of the {} objects was found; do the keys lack a prefix, or is this the \
                 wrong bucket?",
                self.count
            ));
        }
    }
}
