//! bh-filter: keeps the records of wanted objects that are not known yet.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Parser;
use jiff::Timestamp;

use crate::cli::{InputArgs, Program, SharedArgs, WaitArgs};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::ndjson::{
    self, Block, Emitted, Framing, Input, Io, OTHER, Polled, RecordLine, Selected, Wanted,
    WantedArgs,
};
use crate::record::known::{Entry, Known};
use crate::record::ledger::{IN_MAIN, KNOWN, KNOWN_BAD_KIND};
use crate::record::object::{Object, last_modified};
use crate::schema::{self, SchemaArgs};
use crate::store::{DatabaseArgs, IntoArgs, Location};
use crate::values;

/// Keep the records of wanted objects that are not known yet
#[derive(Debug, Parser)]
#[command(
    name = "bh-filter",
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-filter | bh-fetch | bh-validate | bh-load
  zcat keys.ndjson.gz | bh-filter --no-known > wanted.ndjson
  … | bh-filter --into november | … | bh-load --into november
  bh-filter --known yesterday.ndjson --key-regex '^pub/firefox/' < today.ndjson"
)]
pub struct Args {
    #[command(flatten)]
    wanted: WantedArgs,

    /// Read the known objects from this file of records, or listing [default: from the database]
    #[arg(long, value_name = "FILE")]
    known: Option<String>,

    /// Keep known objects too
    #[arg(long, conflicts_with = "known")]
    no_known: bool,

    /// Keep objects that were rejected before too
    #[arg(long)]
    retry_rejects: bool,

    /// Of the objects that are not known, keep those that were modified at this time or later: a
    /// date, or RFC 3339
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    since: Option<Timestamp>,

    /// Of the objects that are not known, keep those that were modified before this time
    #[arg(long, value_name = "TIME", value_parser = values::instant)]
    until: Option<Timestamp>,

    #[command(flatten)]
    schema: SchemaArgs,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    into: IntoArgs,

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

    fn files(&self) -> Vec<(&'static str, PathBuf)> {
        let known = self.known.iter().filter(|_| !self.keeps_known());
        known
            .map(|path| ("what is known", PathBuf::from(path)))
            .collect()
    }
}

impl Args {
    /// Returns whether nothing is known: `--known none` is the former name.
    fn keeps_known(&self) -> bool {
        self.no_known || self.known.as_deref() == Some("none")
    }
}

/// The reasons of records that are left out for their time.
const OLDER: &str = "modified before --since";
const NEWER: &str = "modified after --until";

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        return Err(Error::usage(format!(
            "no object is modified at {since} or later and before {until}; give --until a later \
             time than --since"
        )));
    }
    let wanted = Wanted::new(&args.wanted)?;
    let filter = Filter {
        wanted,
        objects: Objects::read(args, io)?,
        known_reason: match args.known {
            Some(_) => "known from a file",
            None => KNOWN,
        },
        since: args.since,
        until: args.until,
    };
    io.input.set_framing(Framing::Listing);
    ndjson::par_filter(io, |block| filter.filter_block(block))
}

/// The objects that are left out.
#[derive(Default)]
struct Objects {
    known: Known,
    /// Known to the main database, where another one, a staging, is filled.
    in_main: Known,
    known_bad: Known,
}

impl Objects {
    fn read(args: &Args, io: &Io) -> Result<Self> {
        let mut objects = Self::default();
        match args.known.as_deref() {
            _ if args.keeps_known() => return Ok(objects),
            Some(path) => read_known(Path::new(path), &mut objects.known, io)?,
            None => objects.read_databases(args, io)?,
        }
        let Self {
            known,
            in_main,
            known_bad,
        } = &mut objects;
        for known in [&mut *known, in_main, known_bad] {
            known.seal();
        }
        let counters = &io.context.counters;
        counters.note("keys known before", known.len() as u64);
        if args.into.into.is_some() {
            counters.note("keys known in the main database", in_main.len() as u64);
        }
        Ok(objects)
    }

    /// Reads the database, or the main one and the staging that is filled.
    fn read_databases(&mut self, args: &Args, io: &Io) -> Result<()> {
        let main = Location::new(&args.database, io)?;
        if args.into.into.is_some() {
            let staging = main.clone().into_staging(&args.into)?;
            read_database(&staging, &mut self.known, &mut self.known_bad, args, io)?;
            read_database(&main, &mut self.in_main, &mut self.known_bad, args, io)
        } else {
            read_database(&main, &mut self.known, &mut self.known_bad, args, io)
        }
    }
}

fn read_database(
    location: &Location,
    known: &mut Known,
    known_bad: &mut Known,
    args: &Args,
    io: &Io,
) -> Result<()> {
    let Some(mut store) = location.open_existing()? else {
        return Ok(());
    };
    let waiting = format!("reading the known keys of {}", store.address());
    let _notice = io.context.log.notify_if_slow(waiting);
    store.for_each_known(&mut |key, etag| known.insert(key, etag))?;
    if args.retry_rejects {
        return Ok(());
    }
    let by_schema = schema::verdict(&args.schema)?;
    store.for_each_reject(&mut |reject| {
        if reject.is_repeated(&by_schema) {
            known_bad.insert(reject.key, reject.etag);
        }
    })
}

fn read_known(path: &Path, known: &mut Known, io: &Io) -> Result<()> {
    let place = path.display();
    let file = File::open(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => Error::configuration(format!(
            "--known {place}: no such file; make it, for example with s3-list s3://… > {place}"
        )),
        _ => Error::at(Kind::Configuration, format!("cannot read --known {place}"))(error),
    })?;
    let mut input = Input::named(&place, file, &io.context);
    input.set_framing(Framing::Listing);
    let entries = |block: &Block| block.parse(entry);
    ndjson::par_map_ordered(&mut input, &io.context.shutdown, entries, |results| {
        while let Polled::Item(entries) = results.next(None) {
            let entries =
                entries.map_err(|error| Error::configuration(format!("{place}, {error}")))?;
            for entry in entries.into_iter().flatten() {
                known.add(entry);
            }
        }
        Ok(())
    })
}

/// Parses a line of the file of known records; `None` without an ETag.
fn entry(line: &[u8]) -> Result<Option<Entry>, String> {
    let members = json::members(line).map_err(|error| error.to_string())?;
    let object = Object::parse(&members)?;
    let etag = object.etag.as_ref();
    Ok(etag.map(|etag| Entry::new(&object.key, etag)))
}

struct Filter {
    wanted: Wanted,
    objects: Objects,
    /// The reason of what is known: only the database says that it is stored.
    known_reason: &'static str,
    since: Option<Timestamp>,
    until: Option<Timestamp>,
}

impl Filter {
    fn filter_block(&self, block: &Block) -> Emitted {
        let selected = self.wanted.select(block);
        let Objects {
            known,
            in_main,
            known_bad,
        } = &self.objects;
        let is_empty = known.is_empty() && in_main.is_empty() && known_bad.is_empty();
        let entries: Vec<Entry> = if is_empty {
            Vec::new()
        } else {
            selected.iter().filter_map(lookup).collect()
        };
        let mut known = known.contains(&entries).into_iter();
        let mut in_main = in_main.contains(&entries).into_iter();
        let mut known_bad = known_bad.contains(&entries).into_iter();
        let mut emitted = Emitted::default();
        for selected in selected {
            match selected {
                Selected::Mark(mark, line) => emitted.mark(mark, line),
                Selected::Bad(reject) => emitted.reject(reject),
                Selected::Others(records) => emitted.drop(OTHER, records),
                Selected::Wanted(line, Object { etag: None, .. }) => {
                    self.keep(line, block, &mut emitted);
                }
                // What is known to be bad is met, whatever its time, so that it is not forgotten.
                Selected::Wanted(line, _) => match (known.next(), in_main.next(), known_bad.next())
                {
                    (Some(true), ..) => emitted.drop(self.known_reason, 1),
                    (_, Some(true), _) => emitted.drop(IN_MAIN, 1),
                    (.., Some(true)) => emitted.known_bad(line.reject(KNOWN_BAD_KIND, AGAIN)),
                    _ => self.keep(line, block, &mut emitted),
                },
            }
        }
        emitted
    }

    /// Keeps a line whose object was modified in time, or does not say when.
    fn keep(&self, line: RecordLine<'_>, block: &Block, emitted: &mut Emitted) {
        match self.time_outside(line) {
            Some(reason) => emitted.drop(reason, 1),
            None => emitted.keep(block, line.bytes),
        }
    }

    fn time_outside(&self, line: RecordLine<'_>) -> Option<&'static str> {
        if self.since.is_none() && self.until.is_none() {
            return None;
        }
        let modified = last_modified(&json::members(line.bytes).ok()?)?;
        if self.since.is_some_and(|since| modified < since) {
            return Some(OLDER);
        }
        let is_newer = self.until.is_some_and(|until| modified >= until);
        is_newer.then_some(NEWER)
    }
}

/// Returns what has to be looked up.
fn lookup(selected: &Selected<'_>) -> Option<Entry> {
    match selected {
        Selected::Wanted(_, object) => {
            let etag = object.etag.as_ref()?;
            Some(Entry::new(&object.key, etag))
        }
        _ => None,
    }
}

/// The message of an object that is known to be bad.
const AGAIN: &str = "it was rejected before with this ETag, and would be again; to fetch it again, \
                     use --retry-rejects";
