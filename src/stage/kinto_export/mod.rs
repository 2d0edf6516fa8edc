//! kinto-export: writes a line for each record of a Kinto collection, and a mark for each
//! page.

mod export;
mod pages;
mod ranges;
mod since;
mod write;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;

use self::export::Export;
use self::pages::{Database, Http, Pages};
use self::since::{LastExport, Since};
use self::write::ExportWriter;
use crate::address::without_password;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::error::Result;
use crate::ndjson::{Io, Place, WriteMarks};
use crate::record::coverage::Interval;
use crate::remote::kinto::database::KintoDatabase;
use crate::remote::kinto::pages::Collection;
use crate::remote::kinto::{KintoArgs, KintoServer};
use crate::resume::{self, Recorder, ResumeArgs};
use crate::values;

/// Export the records of a Kinto collection as builds
#[derive(Debug, Parser)]
#[command(
    name = "kinto-export",
    before_help = "\
Examples:
  kinto-export --server https://kinto.example/v1 | bh-validate | bh-load
  kinto-export --resume-file kinto.json --resume | bh-validate |
    bh-load --resume-file kinto.json
  KINTO_DATABASE_URL=postgres://me@db/kinto kinto-export | gzip > builds.ndjson.gz
  kinto-export --resume-file kinto.json --resume --since last > newer.ndjson
  kinto-export --no-marks --since 2026-01-31 | jq -c .build"
)]
pub struct Args {
    #[command(flatten)]
    kinto: KintoArgs,

    /// Read from Kinto's own PostgreSQL database instead: postgres://…
    #[arg(
        long = "kinto-database",
        alias = "database",
        value_name = "URL",
        env = "KINTO_DATABASE_URL",
        hide_env_values = true,
        help_heading = "Kinto"
    )]
    database: Option<String>,

    /// Only what has changed since then: a date in RFC 3339, milliseconds since 1970, an ETag of Kinto's, or last: what has changed since the last run of the --resume-file
    #[arg(long, value_name = "TIME|last", value_parser = since::parse)]
    since: Option<Since>,

    /// With --since last, also what has changed this long before: it may not have been visible then
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = values::seconds)]
    margin: Duration,

    /// Keep id, last_modified and schema next to the build
    #[arg(long)]
    keep_meta: bool,

    #[command(flatten)]
    state: ResumeArgs,

    /// Maximum number of concurrent requests, or connections; with more than 1 records come in no order
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=64))]
    concurrency: u16,

    /// Records per request
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u16).range(1..=5000))]
    page_size: u16,

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
        resume::files(self.state.resume_file.as_deref())
    }
}

/// Where the records are read from.
enum RecordSource {
    Http(Arc<KintoServer>),
    Database(String),
}

impl RecordSource {
    fn open(args: &Args, io: &Io) -> Result<Self> {
        let url = args.database.as_deref().map(str::trim);
        match url.filter(|url| !url.is_empty()) {
            Some(url) => Ok(Self::Database(url.to_owned())),
            None => Ok(Self::Http(Arc::new(KintoServer::open(&args.kinto, io)?))),
        }
    }

    fn address(&self) -> String {
        match self {
            Self::Http(server) => server.address().to_owned(),
            Self::Database(url) => without_password(url),
        }
    }

    fn pages(&self, args: &Args, io: &Io) -> Result<Box<dyn Pages>> {
        let (bucket, collection) = (&*args.kinto.bucket, &*args.kinto.collection);
        Ok(match self {
            Self::Http(server) => {
                let server = Arc::clone(server);
                let collection = Collection::new(server, bucket, collection, args.page_size);
                Box::new(Http::new(collection, args.keep_meta))
            }
            Self::Database(url) => {
                let limits = (args.page_size, args.kinto.tries());
                let records = KintoDatabase::new(url, (bucket, collection), limits, &io.context)?;
                let keep_meta = args.keep_meta;
                Box::new(Database { records, keep_meta })
            }
        })
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let source = RecordSource::open(args, io)?;
    let mut pages = source.pages(args, io)?;
    let unit = pages.unit();
    let last = LastExport::read(args)?;
    let mut export = Export {
        server: source.address(),
        bucket: args.kinto.bucket.clone(),
        collection: args.kinto.collection.clone(),
        since: match args.since {
            Some(Since::At(time)) => Some(unit.since(time)),
            // Until its run is known to be done.
            _ => last
                .as_ref()
                .and_then(|last| last.state.source.since.clone()),
        },
        through: None,
        changed: None,
    };
    let (mut file, mut exported) = resume::open(&args.state, export.clone(), |_| {}, io)?;
    let waiting = format!("asking {}", pages.place());
    let notice = io.context.log.notify_if_slow(waiting);
    let changed = pages.changed()?;
    if let Some(last) = &last {
        export.since = last.follow(&mut exported, changed, (unit, args.margin), io)?;
    }
    if exported.source.is_before(changed) {
        io.context.log.info(format!(
            "{}: it was recreated, or its settings were changed, since run {} began: starting a \
             new run",
            pages.place(),
            exported.run
        ));
        exported = exported.next_run(export);
    }
    exported.source.changed = changed.or(exported.source.changed);
    let through = if let Some(through) = &exported.source.through {
        through.clone()
    } else {
        let latest = pages.latest()?;
        let changed = unit.milliseconds(latest);
        if let Some(Since::At(since)) = args.since
            && changed < since
        {
            let place = pages.place();
            io.context.log.info(format!(
                "{place}: no record has changed since {since}; the last change was at {changed}"
            ));
        }
        let latest = unit.format(latest);
        let since = exported.source.since.clone();
        since.map_or(latest.clone(), |since| since.max(latest))
    };
    drop(notice);
    exported.source.through = Some(through.clone());
    // Only now, so that the state of an earlier run stays if the server is away.
    if let Some(file) = &mut file {
        file.save(&exported)?;
    }
    let whole = Interval::new(exported.source.since.clone(), Some(through));
    let gaps = unit.spans(&exported.coverage.gaps(&whole))?;
    let before = write::count(pages.as_mut(), &gaps)?;
    let mut workers = vec![pages];
    for _ in 1..args.concurrency {
        workers.push(source.pages(args, io)?);
    }
    let recorder = Recorder::new(exported, file, io.output.stream().file()?);
    let mut writer = ExportWriter::new(recorder, unit);
    let done = writer.write(workers, &gaps, before, io);
    let path = args.state.resume_file.as_deref();
    writer.publisher.recorder.conclude(done, path, io)
}
