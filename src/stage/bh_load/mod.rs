//! bh-load: stores the builds, indexes them, and confirms what is stored.

mod batch;
mod checkpoint;
mod index;
mod read;
mod rejects;
mod runs;

use std::collections::HashSet;
use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

use self::batch::{LARGEST, Loader};
use self::checkpoint::{CUT, Checkpoint, Settlement};
use self::index::Indexer;
use self::read::RowOptions;
use self::rejects::RejectFiles;
use crate::cli::{InputArgs, Program, SharedArgs, SinkArgs, WaitArgs};
use crate::context::Context;
use crate::error::{Error, Result};
use crate::log::Log;
use crate::ndjson::{self, BatchLimits, Io, Place, RecordLine, WriteMarks};
use crate::remote::elastic::ElasticArgs;
use crate::resume;
use crate::store::{
    DEFAULT_FILE, DatabaseArgs, DryRun, IntoArgs, Location, Provenance, Replaced, Store,
};
use crate::values;

/// Store builds in the database, and index them
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Parser)]
#[command(
    name = "bh-load",
    before_help = "\
Examples:
  … | bh-validate | bh-load
  … | bh-validate | bh-load --resume-file list.json --rejects rejects.ndjson
  DATABASE_URL=postgres://me@db/buildhub ELASTICSEARCH_URL=http://search:9200 \\
    bh-load < builds.ndjson
  … | bh-filter --into november | … | bh-load --into november
  bh-load --dry-run < builds.ndjson | jq -r .action | sort | uniq -c"
)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    into: IntoArgs,

    #[command(flatten)]
    elastic: ElasticArgs,

    /// Retry documents that Elasticsearch rejected permanently
    #[arg(long, conflicts_with = "into", help_heading = "Elasticsearch")]
    retry_refused: bool,

    // The former way to mend an index; bh-index sends only what it lacks.
    #[arg(long, hide = true, conflicts_with_all = ["dry_run", "into"])]
    requeue: bool,

    /// Maximum number of rows per transaction
    #[arg(long, value_name = "ROWS", default_value_t = 4000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    batch_size: u32,

    /// Maximum time that a row waits for its batch to fill up
    #[arg(long, value_name = "TIME", default_value = "1s", value_parser = values::seconds)]
    flush_interval: Duration,

    /// The --resume-file of the source: record next to it what has been stored
    #[arg(long, value_name = "FILE")]
    resume_file: Option<PathBuf>,

    /// At the end of a run, record in the database what these --rejects files of its programs
    /// hold, so that bh-filter leaves it out
    #[arg(long, value_name = "FILE", num_args = 1.., conflicts_with = "dry_run")]
    record_rejects: Vec<PathBuf>,

    /// Mark rows as not validated (metadata only; bh-load itself never validates)
    #[arg(long, alias = "skip-validation")]
    mark_unvalidated: bool,

    /// Store each release of Firefox a second time, in the channel beta
    #[arg(long)]
    beta_twin: bool,

    /// Mark rows as migrated from Kinto, and count them as kinto_inserted
    #[arg(long)]
    kinto_migration: bool,

    /// Print the runs stored in the database, and load nothing
    #[arg(long, conflicts_with_all = ["dry_run", "resume_file", "requeue", "record_rejects"])]
    runs: bool,

    /// Print what would happen to each record, and write nothing
    #[arg(long)]
    dry_run: bool,

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
        if self.dry_run {
            "would be inserted (dry run, nothing written)"
        } else {
            "inserted"
        }
    }

    fn reads_lines(&self) -> bool {
        !self.runs
    }

    fn allow_drops(&self) -> bool {
        self.input.allow_drops
    }

    fn write_marks(&self) -> WriteMarks {
        self.sink.write_marks()
    }

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        resume::files(self.resume_file.as_deref())
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    if args.runs {
        let location = Location::new(&args.database, io)?;
        return runs::print(&location.into_staging(&args.into)?, io);
    }
    let resume_file = args.resume_file.as_deref().filter(|_| !args.dry_run);
    if args.requeue {
        io.context.log.info(
            "--requeue sends every row again; bh-index compares the index with the database, and \
             sends only what it lacks",
        );
    }
    let mut checkpoint = Checkpoint::open(resume_file)?;
    let location = Location::new(&args.database, io)?;
    let is_default = location.is_default && args.into.into.is_none();
    if is_default && !args.dry_run {
        io.context.log.info(format!(
            "storing in {DEFAULT_FILE} (set DATABASE_URL to change)"
        ));
    }
    let location = location.into_staging(&args.into)?;
    let (store, indexer): (Box<dyn Store>, _) = if args.dry_run {
        (Box::new(DryRun::new(location.open_existing()?)), None)
    } else {
        // Before the tables are made again: a kill in between would hide it.
        if checkpoint.relies_on_old(&location.name()) && !location.has_tables()? {
            checkpoint.forget()?;
        }
        let connector = location.connector()?;
        let mut store = connector.connect()?;
        if checkpoint.is_lost(&mut *store)? {
            checkpoint.forget()?;
        }
        let indexer = match args.into.into {
            // bh-promote queues the documents of a staging.
            Some(_) => None,
            None => Indexer::start(args, &connector, io)?,
        };
        (store, indexer)
    };
    let documents = indexer.is_some();
    let mut loader = Loader {
        store,
        indexer,
        rejects: RejectFiles {
            paths: args.record_rejects.clone(),
            context: io.context.clone(),
        },
        checkpoint,
        dry_run: args.dry_run,
        settlements: Vec::new(),
        kinto: args.kinto_migration.then(|| io.context.metrics.clone()),
    };
    let options = RowOptions {
        documents,
        beta_twin: args.beta_twin,
        provenance: Provenance {
            skip_validation: args.mark_unvalidated,
            kinto_migration: args.kinto_migration,
        },
    };
    let limits = BatchLimits {
        records: args.batch_size as usize,
        bytes: LARGEST,
        wait: args.flush_interval,
    };
    let parse = |record: RecordLine<'_>| read::pending_row(record, options);
    let loaded = ndjson::batched(io, &limits, parse, |row| row.weight(), &mut loader);
    let loaded = loaded.and_then(|()| loader.store.verify());
    match &loaded {
        Ok(()) => loader.checkpoint.stop(CUT, &mut *loader.store),
        Err(error) => loader.checkpoint.stop(error, &mut *loader.store),
    }
    if loaded.as_ref().is_err_and(Error::is::<Replaced>) {
        loader.checkpoint.forget()?;
    }
    report(&loader.settlements, &io.context);
    let indexed = match loader.indexer.take() {
        Some(indexer) => indexer.finish(loaded.is_ok(), &mut *loader.store, &mut io.output),
        None => Ok(()),
    };
    loaded.and(indexed)?;
    if !documents && !args.dry_run {
        warn_of_queue(&mut *loader.store, &io.context.log)?;
    }
    io.output.check_runs()?;
    loader.checkpoint.finish()?;
    if !args.dry_run {
        let complete = |settled: &Settlement| settled.complete_run.clone();
        let complete: HashSet<String> = loader.settlements.iter().filter_map(complete).collect();
        io.output
            .runs()
            .check_confirmed(|run| complete.contains(run))?;
    }
    if resume_file.is_some() && !io.output.runs().has_any() && !io.input.is_null() {
        return Err(Error::ended_early(
            "the input had no marks, so nothing is confirmed in the resume file: the program \
             before this one died, or a filter dropped the marks; run the pipeline again with \
             marks, or without --resume-file",
        ));
    }
    Ok(())
}

/// Says what became of the runs that have ended.
fn report(settlements: &[Settlement], context: &Context) {
    for settlement in settlements {
        context.log.info(&settlement.text);
    }
    let runs = settlements.iter().map(|settlement| settlement.json.clone());
    context.counters.set_runs(runs.collect());
}

/// Warns of documents that are queued, if this run has no Elasticsearch.
fn warn_of_queue(store: &mut dyn Store, log: &Log) -> Result<()> {
    let waiting = store.waiting()?;
    if waiting > 0 {
        let index = store.identity()?.index.unwrap_or_default();
        log.warn(format!(
            "{waiting} documents are queued in {} for {index}; run again with --elasticsearch to \
             index them",
            store.address()
        ));
    }
    Ok(())
}
