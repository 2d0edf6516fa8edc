//! s3-list: writes a record for each key of a bucket, and a mark for each page.

mod ordered;
mod plan;
mod ranges;
mod show;
mod worker_pool;
mod writer;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use clap::Parser;
use tokio::runtime::Runtime;

use self::worker_pool::{BucketClient, Shared, WorkerPool};
use self::writer::ListingWriter;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::error::Result;
use crate::listing::{ListingOptions, Planner};
use crate::ndjson::{Io, Place, WriteMarks};
use crate::record::s3::split_url;
use crate::remote::s3::{Bucket, S3, S3Args};
use crate::remote::{self, concurrency::ConcurrencyLimit};
use crate::resume::{self, ListingSource, Recorder, ResumeArgs, RunSource};
use crate::values;

/// List the keys of a bucket, one record per key
#[derive(Debug, Parser)]
#[command(
    name = "s3-list",
    before_help = "\
Examples:
  s3-list --no-marks --no-sign-request s3://bucket/pub/firefox/ | jq -r .key
  s3-list --resume-file list.json --resume s3://bucket/ | bh-filter | bh-fetch |
    bh-validate | bh-load --resume-file list.json
  s3-list --resume-file list.json --resume s3://bucket/ >> keys.ndjson"
)]
pub struct Args {
    /// What to list: s3://bucket or s3://bucket/prefix
    #[arg(value_name = "URL", value_parser = address, required_unless_present = "show_state")]
    url: Option<Address>,

    #[command(flatten)]
    state: ResumeArgs,

    /// Start after this key (exclusive, in byte order)
    #[arg(long, value_name = "KEY")]
    after: Option<String>,

    /// Stop at this key (inclusive)
    #[arg(long, value_name = "KEY")]
    through: Option<String>,

    /// Maximum number of concurrent requests; 1 lists pages sequentially
    #[arg(long, value_name = "N", default_value_t = 64, value_parser = clap::value_parser!(u16).range(1..=1024))]
    concurrency: u16,

    /// Write keys in sorted order; pages that arrive early are buffered in memory, then in TMPDIR
    #[arg(long)]
    ordered: bool,

    /// Keys per request
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    page_size: u16,

    /// Maximum number of requests per second
    #[arg(long, value_name = "N", value_parser = values::rate)]
    max_rps: Option<f64>,

    /// Split the listing into N ranges of about equal size; print them, and list nothing
    #[arg(long, value_name = "N", help_heading = "Sharing", value_parser = clap::value_parser!(u16).range(1..), conflicts_with_all = ["resume", "ranges", "shard", "ordered", "after", "through"])]
    plan: Option<u16>,

    /// List only the ranges in this file; - reads standard input
    #[arg(long, value_name = "FILE", help_heading = "Sharing", conflicts_with_all = ["after", "through"])]
    ranges: Option<PathBuf>,

    /// List only every N-th range of the plan in --ranges, starting with the I-th; without --ranges, of a plan made now
    #[arg(long, value_name = "I/N", help_heading = "Sharing", value_parser = shard, conflicts_with_all = ["after", "through"])]
    shard: Option<Shard>,

    /// Print how far the listing of this resume file has come, and exit
    #[arg(long, value_name = "FILE", help_heading = "State", conflicts_with_all = ["url", "resume_file", "plan", "ranges", "shard"])]
    show_state: Option<PathBuf>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const PLACE: Place = Place::Source;
    const READS_LINES: bool = false;
    const COUNTS_READ: bool = false;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn write_marks(&self) -> WriteMarks {
        self.state.write_marks()
    }

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let ranges = self.ranges.iter().map(|path| ("the ranges", path.clone()));
        let state = self.state.resume_file.as_ref().or(self.show_state.as_ref());
        let state = resume::files(state.map(PathBuf::as_path));
        state.into_iter().chain(ranges).collect()
    }
}

#[derive(Debug, Clone)]
struct Address {
    bucket: String,
    prefix: String,
}

/// Parses the URL of a bucket or a prefix.
fn address(url: &str) -> Result<Address, String> {
    let (bucket, prefix) = split_url(url).ok_or(match url {
        "s3://" => "the name of the bucket is missing",
        _ => "expected s3://bucket or s3://bucket/prefix",
    })?;
    Ok(Address {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

/// One shard of a plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shard {
    /// Counted from 1.
    number: u16,
    of: u16,
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.of)
    }
}

fn shard(text: &str) -> Result<Shard, String> {
    let parsed = text
        .split_once('/')
        .and_then(|(number, of)| Some((number.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((number, of)) if 1 <= number && number <= of => Ok(Shard { number, of }),
        _ => Err("expected I/N with 1 <= I <= N, such as 3/16".to_owned()),
    }
}

impl Args {
    /// Returns what to list; empty with `--show-state`.
    fn url(&self) -> &Address {
        static NONE: Address = Address {
            bucket: String::new(),
            prefix: String::new(),
        };
        self.url.as_ref().unwrap_or(&NONE)
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    if let Some(path) = &args.show_state {
        return show::show(path, io);
    }
    if ranges::is_reversed(args.after.as_deref(), args.through.as_deref()) {
        io.context
            .log
            .warn("--after comes after --through in byte order, so the range is empty");
    }
    let runtime = remote::runtime("s3-list", None)?;
    let s3 = runtime.block_on(S3::open(&args.s3, &io.context))?;
    let url = args.url();
    let workers = usize::from(args.concurrency);
    let mut source = ListingSource {
        endpoint: s3.endpoint().map(str::to_owned),
        bucket: url.bucket.clone(),
        prefix: url.prefix.clone(),
        after: args.after.clone(),
        through: args.through.clone(),
        ranges: ranges::wanted(args, io)?,
        shard: None,
    };
    let client = Arc::new(BucketClient {
        bucket: Bucket::new(&url.bucket, ConcurrencyLimit::new(workers, args.max_rps)),
        s3,
        prefix: url.prefix.clone(),
        page_size: args.page_size,
    });
    if let Some(parts) = args.plan {
        let histogram = plan::histogram(args.state.resume_file.as_deref(), &source)?;
        let parts = plan::survey(&runtime, &client, parts, &histogram, io)?;
        return plan::write(&client, parts, io);
    }
    if let Some(shard) = args.shard.filter(|_| args.ranges.is_none()) {
        plan::select_shard(args, shard, &runtime, &client, &mut source, io)?;
    }
    list(args, runtime, &client, source, io)
}

/// Lists `source`, or what an earlier run has left of it.
fn list(
    args: &Args,
    runtime: Runtime,
    client: &Arc<BucketClient>,
    source: ListingSource,
    io: &mut Io,
) -> Result<()> {
    let (mut file, listed) = resume::open(&args.state, source, |_| {}, io)?;
    if let Some(file) = &mut file {
        file.save(&listed)?;
    }
    let gaps = listed.source.gaps(&listed.coverage);
    let settings = ListingOptions {
        prefix: client.prefix.clone(),
        page_size: usize::from(args.page_size),
        connections: usize::from(args.concurrency),
    };
    let histogram = listed.last.as_ref().map(|last| last.sample.points());
    if let Some(last) = &listed.last {
        let sample = &last.sample;
        let left = sample
            .keys()
            .saturating_sub(sample.covered(&listed.coverage));
        io.context.counters.expect(left);
    }
    let planner = Planner::new(settings, gaps.clone(), histogram.unwrap_or_default());
    let shared = Shared::new(Arc::clone(client), planner, io);
    let mut writer = ListingWriter::new(
        args,
        Recorder::new(listed, file, io.output.stream().file()?),
    );
    let done = writer.begin(io).and_then(|()| {
        let workers = usize::from(args.concurrency);
        let pool = WorkerPool::start(runtime, shared, workers, io.output.stream());
        writer.list(pool, &gaps, io)
    });
    let (counters, unreadable) = (&io.context.counters, client.bucket.unreadable());
    if unreadable > 0 {
        counters.add_read(unreadable);
        counters.add_rejected("unreadable_key", unreadable);
    }
    writer.conclude(done, io)
}
