//! bh-index: compares the documents of the index with the rows of the database, and mends what
//! differs.

mod compare;
mod orphans;
mod rebuild;
mod report;

use std::sync::Arc;

use clap::Parser;

use self::report::Report;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::error::{Error, Result};
use crate::indexing::{IndexerThread, follow, report_refused};
use crate::ndjson::{Io, Place};
use crate::remote::elastic::{ElasticArgs, Index};
use crate::store::{Connector, DatabaseArgs, IndexedStore, Location, Store};

/// Compare the index with the database, and repair what differs
#[expect(clippy::struct_excessive_bools, reason = "flags of a command line")]
#[derive(Debug, Parser)]
#[command(
    name = "bh-index",
    before_help = "\
Examples:
  bh-index --check | jq -r .index | sort | uniq -c
  bh-index > repaired.ndjson
  bh-index --delete-orphans
  bh-index --new-index"
)]
pub struct Args {
    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    elastic: ElasticArgs,

    /// Print what differs, and change nothing
    #[arg(long, conflicts_with_all = ["delete_orphans", "retry_refused"])]
    check: bool,

    /// Fill a new index beside the one that is searched, and give it the name
    #[arg(long, conflicts_with_all = ["check", "delete_orphans", "retry_refused"])]
    new_index: bool,

    /// With --new-index: delete the index that has the name, if it is not an alias
    #[arg(long, requires = "new_index")]
    replace: bool,

    /// Delete documents that have no row
    #[arg(long)]
    delete_orphans: bool,

    /// Retry documents that Elasticsearch rejected permanently
    #[arg(long)]
    retry_refused: bool,

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
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let location = Location::new(&args.database, io)?;
    if args.check {
        return check(args, &location, io);
    }
    let connector = location.connector()?;
    if args.new_index {
        rebuild::run(args, &connector, io)
    } else {
        mend(args, &connector, io)
    }
}

fn open_index(args: &Args, store: &mut dyn Store, io: &Io) -> Result<Index> {
    let identity = store.identity()?;
    let tries = args.database.tries;
    let index = Index::open(&args.elastic, tries, &identity.id, &io.context)?;
    index.ok_or_else(|| {
        Error::usage("no index is named; set --elasticsearch or ELASTICSEARCH_URL to its server")
    })
}

fn check(args: &Args, location: &Location, io: &mut Io) -> Result<()> {
    let found = location.open_indexed()?;
    let has_tables = |mut store: Box<dyn IndexedStore>| -> Result<_> {
        Ok(store.has_tables()?.then_some(store))
    };
    let mut store = found.map_or(Ok(None), has_tables)?.ok_or_else(|| {
        Error::configuration(format!(
            "{}: bh-load has stored nothing here; name its database with --database or \
             DATABASE_URL",
            location.name()
        ))
    })?;
    let index = open_index(args, &mut *store, io)?;
    follow::check(&index, &mut *store)?;
    let mut report = Report::new(io);
    let found = compare::each_row(&index, &mut *store, &mut report, None)?;
    orphans::find(&index, &mut *store, found, &mut report, false)?;
    report.conclude(&index, &*store);
    Ok(())
}

fn mend(args: &Args, connector: &Connector, io: &mut Io) -> Result<()> {
    let mut store = connector.connect_indexed()?;
    store.check_queue()?;
    let index = open_index(args, &mut *store, io)?;
    let generation = follow::begin_mending(&index, &mut *store, &io.context.log)?;
    if args.retry_refused {
        let again = store.retry_refused()?;
        io.context
            .counters
            .note("refused documents queued again", again);
    }
    follow::warn_of_orphans(&mut *store, &io.context)?;
    let context = io.context.clone();
    let drain = || -> Result<()> {
        let mut queue = connector.connect()?;
        let last = queue.last_queued()?;
        let none = Arc::default();
        let mut thread = IndexerThread::new(&index, generation, queue, connector, none, &context)?;
        thread.drain(last)
    };
    drain()?;
    let mut queue = connector.connect_indexed()?;
    let mut report = Report::new(io);
    let found = compare::each_row(&index, &mut *store, &mut report, Some(&mut *queue))?;
    orphans::find(&index, &mut *store, found, &mut report, args.delete_orphans)?;
    drain()?;
    report.conclude_mending(&index);
    report_refused(&mut *store, &mut io.output)
}
