//! bh-export: writes the rows of a database as records, from one snapshot.

mod line;
mod pages;
mod since;

use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

use clap::Parser;
use serde::{Deserialize, Serialize};

use self::pages::PageWriter;
use crate::cli::{Program, SharedArgs, WaitArgs};
use crate::error::{Error, Result};
use crate::ndjson::{Io, Place, WriteMarks};
use crate::record::coverage::Interval;
use crate::record::reject::Reject;
use crate::record::s3;
use crate::resume::{Recorder, RunSource, RunState};
use crate::store::{DatabaseArgs, ExportTable, ExportedRow, Location, Selection};

/// Write the rows of the database as records
#[derive(Debug, Parser)]
#[command(
    name = "bh-export",
    before_help = "\
Examples:
  bh-export | jq -r '.build.target.channel?' | sort | uniq -c
  bh-export > builds.ndjson && bh-export --since builds.ndjson > newer.ndjson
  bh-export | bh-validate --schema next.yaml | bh-load --database sqlite:next.db
  bh-export --table rejects | jq -r .error.kind | sort | uniq -c"
)]
pub struct Args {
    /// What to export: rows (the builds, as records that bh-load takes), objects (those that were
    /// loaded, with the hash of their build), rejects (as in a file of rejects)
    #[arg(long, value_enum, default_value = "rows")]
    table: ExportTable,

    /// Only what an earlier export has not seen: its output, or a file with its last line, or the
    /// snapshot in that line
    #[arg(long, value_name = "FILE|SNAPSHOT")]
    since: Option<String>,

    /// Write only records, for jq, head, sort and wc; --since needs the end mark
    #[arg(long)]
    no_marks: bool,

    #[command(flatten)]
    database: DatabaseArgs,

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
        if self.no_marks {
            WriteMarks::Never
        } else {
            WriteMarks::OffTerminal
        }
    }

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let file = self.since.iter().filter(|text| !since::is_snapshot(text));
        file.map(|path| ("the earlier export", PathBuf::from(path)))
            .collect()
    }
}

/// What a run exports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct DatabaseExport {
    database: String,
    table: String,
    since: Option<String>,
}

impl RunSource for DatabaseExport {
    const RUN: &'static str = "export";

    fn part(&self) -> Option<Vec<Interval>> {
        None
    }
}

impl fmt::Display for DatabaseExport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {}", self.table, self.database)
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let since = args.since.as_deref().map(since::read).transpose()?;
    let location = Location::new(&args.database, io)?;
    let source = DatabaseExport {
        database: location.name(),
        table: args.table.name().to_owned(),
        since: since.clone(),
    };
    let recorder = Recorder::new(RunState::new(source), None, None);
    let mut pages = PageWriter::new(recorder);
    pages.begin(&mut io.output)?;
    let mut store = location.open_exported()?.ok_or_else(|| {
        Error::configuration(format!(
            "cannot export {}: no such file; name the database with --database or DATABASE_URL",
            location.name()
        ))
    })?;
    let notice = io.context.log.notify_if_slow(format!(
        "reading the table {} of {}",
        args.table.name(),
        location.name()
    ));
    let mut notice = Some(notice);
    let selection = Selection {
        table: args.table,
        since: since.as_deref(),
    };
    let mut buckets = HashMap::new();
    let snapshot = store.export(selection, &mut |row| {
        if let ExportedRow::Run { id, source } = row {
            let bucket = s3::split_url(source).map(|(bucket, _)| bucket.to_owned());
            buckets.extend(bucket.map(|bucket| ((*id).to_owned(), bucket)));
            return Ok(());
        }
        notice = None;
        io.context.shutdown.check()?;
        pages.make_room(&mut io.output)?;
        io.context.counters.add_read(1);
        match line::write(row, &buckets, &mut pages.lines) {
            Ok(()) => pages.records += 1,
            Err(error) => {
                let (text, number) = line::source(row);
                let message = format!("the table {} has no JSON there: {error}", args.table.name());
                io.output
                    .reject(&Reject::new(text.as_bytes(), number, "not_json", message))?;
            }
        }
        Ok(())
    })?;
    pages.end(snapshot, &mut io.output)
}
