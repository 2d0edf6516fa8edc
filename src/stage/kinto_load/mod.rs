//! kinto-load: stores records in a Kinto collection.

mod contents;
mod read;
mod send;
mod versions;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use self::contents::{KintoContents, digest};
use self::read::PendingPut;
use self::send::{BatchSender, LARGEST};
use self::versions::Versions;
use crate::cli::{InputArgs, Program, SharedArgs, SinkArgs, WaitArgs};
use crate::error::{Error, Kind, Result};
use crate::ndjson::{self, BatchLimits, Io, Place, RecordLine, WriteMarks};
use crate::remote::kinto::batch::Batches;
use crate::remote::kinto::manifest::{BUILT_IN, Manifest};
use crate::remote::kinto::{KintoArgs, KintoServer};
use crate::values;

/// Load records into a Kinto collection
#[derive(Debug, Parser)]
#[command(
    name = "kinto-load",
    before_help = "\
Examples:
  KINTO_AUTH=user:password kinto-load --initialize < records.ndjson
  … | kinto-load --skip-unchanged --rejects rejects.ndjson
  … | kinto-load --if-not-exists
  kinto-load --server https://kinto.example/v1 --auth-file secret < records.ndjson"
)]
pub struct Args {
    #[command(flatten)]
    kinto: KintoArgs,

    /// Create or update the bucket and the collection first
    #[arg(long)]
    initialize: bool,

    /// Use this kinto-wizard manifest instead of the built-in one
    #[arg(long, value_name = "FILE", requires = "initialize")]
    manifest: Option<PathBuf>,

    /// Do not overwrite existing records
    #[arg(long)]
    if_not_exists: bool,

    /// Send only records that differ from what the server has
    #[arg(long, conflicts_with = "if_not_exists")]
    skip_unchanged: bool,

    /// Folder in which --skip-unchanged remembers the records of the server
    #[arg(
        long,
        value_name = "FOLDER",
        env = "CACHE_FOLDER",
        hide_env_values = true,
        default_value = "."
    )]
    cache_folder: PathBuf,

    /// Maximum number of concurrent requests; Kinto processes one batch of a collection at a time
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=16))]
    concurrency: u16,

    /// Maximum number of records per batch; the server has its own limit
    #[arg(long, value_name = "N", env = "BATCH_MAX_REQUESTS", hide_env_values = true, default_value_t = 9999, value_parser = clap::value_parser!(u16).range(1..))]
    batch_size: u16,

    /// Maximum time that a record waits for its batch to fill up
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::seconds)]
    flush_interval: Duration,

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

    fn waits_for_servers(&self) -> bool {
        self.wait.wait_for_servers
    }

    fn out(&self) -> &'static str {
        "stored"
    }

    fn allow_drops(&self) -> bool {
        self.input.allow_drops
    }

    fn write_marks(&self) -> WriteMarks {
        self.sink.write_marks()
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let (bucket, collection) = (&*args.kinto.bucket, &*args.kinto.collection);
    let server = Arc::new(KintoServer::open(&args.kinto, io)?);
    if args.initialize {
        let (text, place) = match &args.manifest {
            None => (BUILT_IN.to_owned(), "the built-in manifest".to_owned()),
            Some(path) => {
                let place = path.display().to_string();
                let text = std::fs::read_to_string(path)
                    .map_err(Error::at(Kind::Configuration, &place))?;
                (text, place)
            }
        };
        let manifest = Manifest::parse(&text, &place, bucket, collection)?;
        for path in manifest.apply(&server)? {
            io.context
                .log
                .info(format!("{}{path}: initialized", server.address()));
        }
    }
    let batches = Batches::open(&server, args.if_not_exists)?;
    let known = if args.skip_unchanged {
        let waiting = format!("reading the records of {}", server.address());
        let _notice = io.context.log.notify_if_slow(waiting);
        let place = (&*args.cache_folder, bucket, collection);
        let known = KintoContents::read(&server, place, &io.context.log)?;
        io.context
            .counters
            .note("records in Kinto", known.len() as u64);
        Some(known)
    } else {
        None
    };
    let limits = BatchLimits {
        records: batches.size.min(usize::from(args.batch_size)),
        bytes: LARGEST,
        wait: args.flush_interval,
    };
    // Hashes of the paths of records that have a changed version.
    let mut changed = args.skip_unchanged.then(HashSet::new);
    let parse =
        |line: RecordLine<'_>| read::pending_put(line, (bucket, collection), known.as_ref());
    let weigh = |pending: &mut Box<PendingPut>| {
        if let Some(changed) = &mut changed {
            let path = digest(&pending.put.path);
            if pending.unchanged && !changed.contains(&path) {
                return (0, 64);
            }
            changed.insert(path);
        }
        (1, pending.put.line.len())
    };
    let superseded = std::thread::scope(|scope| {
        let mut sender = BatchSender::new(scope, &batches, args.concurrency.into(), &io.context);
        sender.versions = args.skip_unchanged.then(Versions::default);
        ndjson::batched(io, &limits, parse, weigh, &mut sender)?;
        sender.finish(limits.records, &mut io.output)
    })?;
    known.map_or(Ok(()), |known| known.keep(superseded))?;
    io.output.runs().check_confirmed(|_| false)
}
