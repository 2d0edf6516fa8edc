//! s3-list: a record for each key of a bucket, a mark for each page.

mod lister;
mod state;

use std::path::PathBuf;

use clap::Parser;
use tokio::runtime::Builder;

use self::lister::Lister;
use self::state::Checkpoint;
use super::{AFTER_HELP, HELP};
use crate::cli::{Program, SharedArgs};
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::remote::s3::{S3, S3Args};
use crate::resume::Source;

/// List the keys of a bucket, a record each
#[derive(Debug, Parser)]
#[command(
    name = "s3-list",
    version,
    help_template = HELP,
    after_help = AFTER_HELP,
    before_help = "\
Examples:
  s3-list --no-sign-request s3://bucket/pub/firefox/ | jq -r .key
  s3-list --resume-file list.json --resume s3://bucket/ | bh-filter | bh-fetch |
    bh-validate | bh-load --resume-file list.json
  s3-list --resume-file list.json --resume s3://bucket/ | gzip >> keys.ndjson.gz"
)]
pub struct Args {
    /// What to list: s3://bucket or s3://bucket/prefix
    #[arg(value_name = "URL", value_parser = address)]
    url: Address,

    /// Keep the state of the listing here, after each page
    #[arg(long, value_name = "FILE")]
    resume_file: Option<PathBuf>,

    /// Go on where an earlier run stopped; begin anew when it had finished
    #[arg(long, requires = "resume_file")]
    resume: bool,

    /// Go on from what was listed, or from what bh-load confirmed
    #[arg(long, value_enum, requires = "resume")]
    checkpoint: Option<Checkpoint>,

    /// List only keys behind this one, in byte order
    #[arg(long, value_name = "KEY")]
    after: Option<String>,

    /// List only keys up to and with this one
    #[arg(long, value_name = "KEY")]
    through: Option<String>,

    /// Keys to ask for at once
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=1000))]
    page_size: u16,

    /// Requests a second at most
    #[arg(long, value_name = "N", value_parser = rate)]
    max_rps: Option<f64>,

    #[command(flatten)]
    s3: S3Args,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const READS_LINES: bool = false;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }
}

#[derive(Debug, Clone)]
struct Address {
    bucket: String,
    prefix: String,
}

fn address(url: &str) -> Result<Address, String> {
    let rest = url
        .strip_prefix("s3://")
        .ok_or("expected s3://bucket or s3://bucket/prefix")?;
    let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
    if bucket.is_empty() {
        return Err("the bucket's name is missing".to_owned());
    }
    Ok(Address {
        bucket: bucket.to_owned(),
        prefix: prefix.to_owned(),
    })
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if f64::is_finite(rate) && rate > 0.0 => Ok(rate),
        _ => Err("expected a number above 0".to_owned()),
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Error::local("threads", &error))?;
    let s3 = runtime.block_on(S3::open(&args.s3, &io.log, &io.stop, &io.tally))?;
    let source = Source {
        endpoint: s3.endpoint().map(str::to_owned),
        bucket: args.url.bucket.clone(),
        prefix: args.url.prefix.clone(),
        after: args.after.clone(),
        through: args.through.clone(),
    };
    let (file, listed) = state::open(args, &source, io)?;
    let mut lister = Lister::new(args, runtime, s3, file, listed);
    let done = lister.list(io);
    if let Err(error) = &done {
        lister.explain(error, io)?;
    }
    done
}
