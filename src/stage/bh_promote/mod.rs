//! bh-promote: makes what a staging holds part of the main database, in one transaction.

mod gate;
mod list;

use clap::Parser;
use serde_json::json;

use self::gate::Gate;
use crate::cli::{Program, SharedArgs};
use crate::error::{Error, Result};
use crate::log::counted;
use crate::ndjson::{Io, WriteMarks};
use crate::store::{
    DatabaseArgs, Location, Promotion, PromotionStore, StagingContents, StagingName, no_staging,
};

/// Make a staging part of the database, or list the stagings
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "flags")]
#[command(
    name = "bh-promote",
    before_help = "\
Examples:
  bh-promote
  bh-promote november --dry-run
  bh-promote november --note 'checked by two people'
  bh-promote november --drop"
)]
pub struct Args {
    /// The staging, as bh-load --into names it; without it, list the stagings
    #[arg(value_name = "NAME")]
    name: Option<StagingName>,

    /// Count what would change, and write nothing
    #[arg(long, requires = "name", conflicts_with_all = ["drop", "note"])]
    dry_run: bool,

    /// Promote it although its ledger does not say that it is complete
    #[arg(long, requires = "name", conflicts_with = "drop")]
    unaccounted: bool,

    /// Record this with the promotion
    #[arg(long, value_name = "TEXT", requires = "name", conflicts_with = "drop")]
    note: Option<String>,

    /// Remove the staging after its promotion
    #[arg(long, requires = "name")]
    drop: bool,

    /// Remove it although it was not promoted: what only it holds is lost
    #[arg(long, requires = "drop")]
    unpromoted: bool,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    const READS_LINES: bool = false;
    const COUNTS_READ: bool = false;

    fn shared(&self) -> &SharedArgs {
        &self.shared
    }

    fn write_marks(&self) -> WriteMarks {
        WriteMarks::Never
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let location = Location::new(&args.database, io)?;
    let writes = args.name.is_some() && !args.dry_run && !args.drop;
    let mut store = location.open_promoted(writes)?;
    let Some(name) = args.name else {
        return list::print(&mut *store, io);
    };
    let gate = Gate {
        name,
        is_unaccounted: args.unaccounted,
    };
    let Some(contents) = store.contents(name)? else {
        return match store.last_promotion(name)? {
            Some(promotion) if writes => {
                io.context
                    .log
                    .info(format!("the staging {name} was removed"));
                print_earlier(&promotion, io)
            }
            _ => Err(no_staging(name, store.address())),
        };
    };
    match &contents.promotion {
        _ if args.drop => drop_staging(args.unpromoted, name, &mut *store, io),
        Some(promotion) => print_earlier(promotion, io),
        None if args.dry_run => {
            let forecast = store.forecast(name)?;
            let mut record = json!(forecast);
            record["staging"] = json!(name.as_str());
            record["outcome"] = json!("forecast");
            record["open"] = json!(gate::open_points(&contents));
            print(&record, io)?;
            say_rejects(&contents, io);
            gate.check(&contents)
        }
        None => {
            let address = store.address();
            let notice = io.context.log.notify_if_slow(format!(
                "promoting {name} in {address}; loaders that write to it are waited for"
            ));
            let note = args.note.as_deref();
            let promotion = store.promote(name, note, &|contents| gate.check(contents))?;
            drop(notice);
            say_rejects(&contents, io);
            let queued = promotion.counts.queued;
            if queued > 0 {
                io.context.log.info(format!(
                    "{} are queued; to index them now, run bh-load </dev/null",
                    counted(queued, "document")
                ));
            }
            print_promotion(&promotion, io)
        }
    }
}

/// Says how many rejects the staging holds, by kind.
fn say_rejects(contents: &StagingContents, io: &Io) {
    let all: u64 = contents.rejects.values().sum();
    if all == 0 {
        return;
    }
    io.context.counters.note("rejects", all);
    let kinds = contents.rejects.iter();
    let kinds: Vec<String> = kinds
        .map(|(kind, count)| format!("{count} {kind}"))
        .collect();
    io.context.log.warn(format!(
        "the staging holds {}: {}",
        counted(all, "reject"),
        kinds.join(", ")
    ));
}

fn print_earlier(promotion: &Promotion, io: &mut Io) -> Result<()> {
    io.context.log.info(format!(
        "{} was promoted before, at {}; nothing was changed",
        promotion.staging,
        promotion.promoted.as_deref().unwrap_or("an unknown time")
    ));
    print_promotion(promotion, io)
}

fn print_promotion(promotion: &Promotion, io: &mut Io) -> Result<()> {
    let mut record = json!(promotion);
    record["outcome"] = json!("promoted");
    print(&record, io)
}

fn print(record: &serde_json::Value, io: &mut Io) -> Result<()> {
    io.output.write(format!("{record}\n").as_bytes())?;
    io.output.flush()
}

fn drop_staging(
    is_forced: bool,
    name: StagingName,
    store: &mut dyn PromotionStore,
    io: &mut Io,
) -> Result<()> {
    let is_whole = store.drop_staging(name, &|contents| {
        let is_unchanged = |promotion: &Promotion| {
            let counts = &promotion.counts;
            (counts.rows, counts.objects) == (contents.rows, contents.objects)
        };
        match &contents.promotion {
            _ if is_forced => Ok(()),
            Some(promotion) if is_unchanged(promotion) => Ok(()),
            Some(_) => Err(Error::configuration(format!(
                "cannot remove {name}: it was changed after its promotion; to lose that, use \
                 --drop --unpromoted"
            ))),
            None => Err(Error::configuration(format!(
                "cannot remove {name}: it was not promoted; run bh-promote {name}, or, to lose \
                 what it holds, use --drop --unpromoted"
            ))),
        }
    })?;
    let rest = if is_whole {
        ""
    } else {
        "; its schema stays, because something else is in it"
    };
    io.context
        .log
        .info(format!("the staging {name} is removed{rest}"));
    print(&json!({"staging": name.as_str(), "outcome": "removed"}), io)
}
