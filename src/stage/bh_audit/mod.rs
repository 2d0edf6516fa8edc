//! bh-audit: compares a listing with the database, and passes the records that differ.

mod listed_part;
mod report;
mod table;

use std::time::Duration;

use clap::{Parser, ValueEnum};

use self::report::AuditReport;
use self::table::Table;
use crate::cli::{InputArgs, Program, SharedArgs, WaitArgs};
use crate::error::Result;
use crate::ndjson::{self, Framing, Io, Polled, Wanted, WantedArgs};
use crate::schema::SchemaArgs;
use crate::store::{AuditStore, DatabaseArgs, DryRun, Location};
use crate::values;

/// Compare a listing with the database, and print the records that differ
#[derive(Debug, Parser)]
#[command(
    name = "bh-audit",
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-audit
  s3-list s3://bucket/pub/ | bh-audit | bh-fetch | bh-validate | bh-load
  zcat keys.ndjson.gz | bh-audit --kind missing,changed,extra > differences.ndjson"
)]
pub struct Args {
    #[command(flatten)]
    wanted: WantedArgs,

    /// Print only these differences: missing (listed, but not in the database), changed (the
    /// database has another ETag), extra (in the database, but not in the listed part of the
    /// bucket); all are counted
    #[arg(long, value_enum, value_delimiter = ',', default_values = ["missing", "changed"])]
    kind: Vec<Difference>,

    /// Do not judge objects younger than this: they may be on their way into the database
    #[arg(long, value_name = "TIME", default_value = "0", value_parser = values::seconds)]
    settle: Duration,

    #[command(flatten)]
    schema: SchemaArgs,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    wait: WaitArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

/// How the bucket and the database differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Difference {
    Missing,
    Changed,
    Extra,
}

impl Difference {
    fn name(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Changed => "changed",
            Self::Extra => "extra",
        }
    }
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

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let wanted = Wanted::new(&args.wanted)?;
    let location = Location::new(&args.database, io)?;
    let mut store: Box<dyn AuditStore> = match location.open_audited()? {
        Some(store) => store,
        None => Box::new(DryRun::new(None)),
    };
    let next_id = store.next_id()?;
    let table = Table::read(args, wanted, &mut *store, io)?;
    io.input.set_framing(Framing::Listing);
    let mut report = AuditReport::new(args, &table, store, next_id, io.context.clone());
    let (output, shutdown) = (&mut io.output, &io.context.shutdown);
    let compare = |block: &ndjson::Block| table.compare(block);
    ndjson::par_map_ordered(&mut io.input, shutdown, compare, |results| {
        let mut next = results.ready();
        loop {
            next = match next {
                Polled::Item(compared) => {
                    report.take(compared, output)?;
                    results.ready()
                }
                Polled::Late => {
                    output.flush()?;
                    results.next(None)
                }
                Polled::End => return report.finish(output),
            };
        }
    })?;
    report.conclude(&location.name(), &mut io.output)
}
