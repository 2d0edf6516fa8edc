//! bh-derive: makes release records of the archives in a listing, or in events.

mod cache;
mod derive;
mod event;
mod latest;
mod memo;
mod read;

use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use clap::builder::Resettable;
use jiff::{SignedDuration, Timestamp};

use self::cache::Cache;
use self::derive::{DeriveOutcome, Deriver};
use self::read::{BuildSelection, DeriveQueue, DeriveTicket};
use crate::archive::PRODUCTS;
use crate::cli::{InputArgs, Program, SharedArgs, WaitArgs};
use crate::error::Result;
use crate::ndjson::{self, Framing, Io, PendingQueue, RecordLine, StageOutput};
use crate::record::reject::Reject;
use crate::remote;
use crate::remote::archive::{Archive, ArchiveArgs, ArchiveOptions};
use crate::remote::s3::{S3, S3Args};
use crate::values;

/// Derive release records from a listing of Mozilla's archive
#[derive(Debug, Parser)]
#[command(
    name = "bh-derive",
    before_help = "\
Examples:
  zcat inventory/*.csv.gz | s3-inventory --raw-keys | bh-derive | kinto-load
  s3-list s3://archive/pub/firefox/releases/ | bh-derive --archive-bucket archive > records.ndjson
  bh-derive --event --rejects rejects.ndjson < events.ndjson | kinto-load --if-not-exists",
    mut_arg("tries", |tries| tries.env("NB_RETRY_REQUEST").hide_env_values(true)),
    mut_arg("timeout", |timeout| {
        let timeout = timeout.env("TIMEOUT_SECONDS").hide_env_values(true);
        let timeout = timeout.default_value(Resettable::Value("300s".into()));
        let timeout = timeout.long("request-timeout");
        timeout.help("Give up on a request that takes longer than this")
    }),
)]
pub struct Args {
    /// Read S3 events, bare or wrapped in SNS notifications, instead of a listing
    #[arg(long)]
    event: bool,

    /// Product folders to include, separated by spaces; not used with --event
    #[arg(
        long,
        value_name = "NAMES",
        env = "PRODUCTS",
        hide_env_values = true,
        default_value_t = PRODUCTS.join(" ")
    )]
    products: String,

    /// Skip objects last modified longer ago than this; a bare number means hours, 0 means no limit
    #[arg(
        long,
        value_name = "TIME",
        env = "MIN_AGE_LAST_MODIFIED_HOURS",
        hide_env_values = true,
        default_value = "0",
        value_parser = values::hours
    )]
    max_age: Duration,

    /// Maximum number of concurrent requests
    #[arg(
        long,
        value_name = "N",
        env = "NB_PARALLEL_REQUESTS",
        hide_env_values = true,
        default_value_t = 8,
        value_parser = clap::value_parser!(u16).range(1..)
    )]
    concurrency: u16,

    /// With --event, how long to reuse an answer of the archive
    #[arg(
        long,
        value_name = "TIME",
        default_value = "300s",
        value_parser = values::seconds,
        requires = "event"
    )]
    refresh: Duration,

    #[command(flatten)]
    archive: ArchiveArgs,

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

/// Builds in progress per concurrent request; many of them share their metadata.
const BUILDS_AHEAD: usize = 64;

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = remote::runtime("requests", Some(2))?;
    let s3 = match &args.archive.bucket {
        Some(_) => Some(runtime.block_on(S3::open(&args.s3, &io.context))?),
        None => None,
    };
    let options = ArchiveOptions {
        concurrency: usize::from(args.concurrency),
        timeout: args.s3.timeout,
        tries: args.s3.tries,
        context: io.context.clone(),
    };
    let archive = Archive::open(&args.archive, s3, &options)?;
    let base = archive.base.clone();
    let max_age = args.event.then_some(args.refresh);
    let cache = match max_age {
        Some(max_age) => Cache::in_memory(max_age),
        None => Cache::open(&args.archive.cache_folder)?,
    };
    let derive_queue = &DeriveQueue {
        runtime,
        deriver: Arc::new(Deriver::new(
            archive,
            cache,
            max_age,
            io.context.log.clone(),
        )),
    };
    let selection = BuildSelection {
        base: &base,
        products: args.products.split_whitespace().collect(),
        oldest: oldest(args.max_age),
    };
    let ahead = BUILDS_AHEAD * usize::from(args.concurrency);
    let ask = |record: RecordLine<'_>, queue: &mut PendingQueue<DeriveTicket>| {
        if args.event {
            read::ask_event(record, derive_queue, queue);
        } else {
            selection.ask(record, derive_queue, queue);
        }
        Ok(())
    };
    if !args.event {
        io.input.set_framing(Framing::Listing);
    }
    ndjson::ordered(io, ahead, ask, |line, outcomes, output| {
        output.add_made(outcomes.len().saturating_sub(1) as u64);
        let mut outcomes = outcomes.into_iter();
        outcomes.try_for_each(|outcome| write(outcome, line, output))
    })
}

/// Writes the outcome of a build of `line`.
fn write(outcome: DeriveOutcome, line: RecordLine<'_>, output: &mut StageOutput) -> Result<()> {
    let reject = |kind, message| Reject::new(line.bytes, line.number, kind, message);
    match outcome {
        DeriveOutcome::Record(record) => output.write_record(&record),
        DeriveOutcome::Dropped(reason) => {
            output.drop(reason, 1);
            Ok(())
        }
        DeriveOutcome::Refused(kind, message) => output.reject(&reject(kind, message)),
        DeriveOutcome::Failed(message) => output.fail(&reject("failed", message)),
    }
}

fn oldest(max_age: Duration) -> Option<Timestamp> {
    let age = SignedDuration::try_from(max_age).ok()?;
    (!age.is_zero()).then(|| Timestamp::now().checked_sub(age).unwrap_or(Timestamp::MIN))
}
