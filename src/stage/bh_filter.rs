//! bh-filter: keeps the records of wanted objects that are not known yet.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use clap::Parser;
use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter, memchr2, memrchr};
use regex::RegexSet;

use crate::cli::{InputArgs, Program, SharedArgs};
use crate::error::{Error, Kind, Result};
use crate::json;
use crate::ndjson::{self, Block, Emitted, Framing, Input, Io, Line, Polled, RecordLine};
use crate::record::known::{Entry, Known};
use crate::record::ledger::{KNOWN, KNOWN_BAD_KIND};
use crate::record::mark::Mark;
use crate::record::object::Object;
use crate::record::reject::Reject;
use crate::record::verdict;
use crate::schema::{self, SchemaArgs};
use crate::store::{self, DatabaseArgs, Store};
use crate::values;

/// Keep the records of wanted objects that are not known yet
#[derive(Debug, Parser)]
#[command(
    name = "bh-filter",
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-filter | bh-fetch | bh-validate | bh-load
  zcat keys.ndjson.gz | bh-filter --no-known > wanted.ndjson
  bh-filter --known yesterday.ndjson --key-regex '^pub/firefox/' < today.ndjson"
)]
pub struct Args {
    /// Keep only keys that end with this; repeatable
    #[arg(long, value_name = "TEXT", default_value = "buildhub.json", value_parser = values::suffix)]
    suffix: Vec<String>,

    /// Of these, keep only keys that match this regular expression; repeatable
    #[arg(long, value_name = "REGEX", value_parser = values::pattern)]
    key_regex: Vec<String>,

    /// The known objects: a file of records or a listing [default: those in the database]
    #[arg(long, value_name = "FILE")]
    known: Option<String>,

    /// Keep known objects too
    #[arg(long, conflicts_with = "known")]
    no_known: bool,

    /// Keep objects that were rejected before too
    #[arg(long)]
    retry_rejects: bool,

    #[command(flatten)]
    schema: SchemaArgs,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    input: InputArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    fn shared(&self) -> &SharedArgs {
        &self.shared
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

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let wanted = Wanted::new(args)?;
    let (known, known_bad) = known(args, io)?;
    let filter = Filter {
        wanted,
        known,
        known_bad,
        known_reason: match args.known {
            Some(_) => "known from a file",
            None => KNOWN,
        },
    };
    io.input.set_framing(Framing::Listing);
    ndjson::par_filter(io, |block| filter.filter_block(block))
}

/// Returns what is known, and what is known to be bad.
fn known(args: &Args, io: &Io) -> Result<(Known, Known)> {
    let (mut known, mut known_bad) = (Known::default(), Known::default());
    match args.known.as_deref() {
        _ if args.keeps_known() => {}
        Some(path) => read_known(Path::new(path), &mut known, io)?,
        None => {
            if let Some(mut store) = store::Location::new(&args.database, io)?.open_existing()? {
                let _notice = io
                    .context
                    .log
                    .notify_if_slow(format!("reading the known keys of {}", store.address()));
                store.for_each_known(&mut |key, etag| known.insert(key, etag))?;
                if !args.retry_rejects {
                    read_rejects(&args.schema, &mut *store, &mut known_bad)?;
                }
            }
        }
    }
    known.seal();
    known_bad.seal();
    if !args.keeps_known() {
        io.context
            .counters
            .note("keys known before", known.len() as u64);
    }
    Ok((known, known_bad))
}

/// Reads the objects that would be rejected again.
fn read_rejects(schema: &SchemaArgs, store: &mut dyn Store, known_bad: &mut Known) -> Result<()> {
    let by_schema = schema::verdict(schema)?;
    store.for_each_reject(&mut |reject| {
        if verdict::is_repeated(reject.kind, reject.verdict, &by_schema) {
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
    known: Known,
    known_bad: Known,
    /// The reason of what is known: only the database says that it is stored.
    known_reason: &'static str,
}

/// Which keys are wanted, and how to find the lines that may contain one without parsing
/// all as JSON.
struct Wanted {
    suffixes: Vec<String>,
    patterns: RegexSet,
    /// A line with a wanted key contains one of these, or a backslash.
    needles: Vec<Finder<'static>>,
}

impl Wanted {
    fn new(args: &Args) -> Result<Self> {
        let patterns = RegexSet::new(&args.key_regex)
            .map_err(|error| Error::usage(format!("--key-regex: {error}")))?;
        let needles = args.suffix.iter().map(|suffix| {
            let mut needle = Vec::new();
            json::write_str(suffix, &mut needle);
            Finder::new(&needle[1..]).into_owned()
        });
        Ok(Self {
            needles: needles.collect(),
            suffixes: args.suffix.clone(),
            patterns,
        })
    }

    fn matches(&self, key: &str) -> bool {
        self.suffixes.iter().any(|suffix| key.ends_with(suffix))
            && (self.patterns.is_empty() || self.patterns.is_match(key))
    }

    /// Returns the start and end of the lines of a block that are a mark, may contain a
    /// wanted key, or are damaged, in order.
    fn candidates(&self, block: &Block) -> Vec<(usize, usize)> {
        let bytes = block.bytes();
        let mut lines = Vec::new();
        let is_listing = is_listing(bytes);
        let mut start = 0;
        for (number, end) in (block.first_line..).zip(memchr_iter(b'\n', bytes)) {
            let line = &bytes[start..end];
            // The first lines show whether it is a listing at all.
            let is_other = number <= LOOKED_AT && !names_a_key(line);
            if !is_listing || is_other || !is_flat_object(line) {
                lines.push((start, end));
            }
            start = end + 1;
        }
        if !is_listing {
            return lines;
        }
        if block.unterminated {
            // It may be half a line, whose key was a wanted one.
            let end = bytes.len() - 1;
            let start = memrchr(b'\n', &bytes[..end]).map_or(0, |newline| newline + 1);
            lines.push((start, end));
        }
        for needle in &self.needles {
            collect(bytes, &mut lines, |rest| needle.find(rest));
        }
        collect(bytes, &mut lines, |rest| memchr(b'\\', rest));
        lines.sort_unstable();
        lines.dedup();
        lines
    }
}

/// So many of the first lines have to name a key.
const LOOKED_AT: u64 = 1000;

/// Returns whether a line may have a key, as [`Object::parse`] reads it.
fn names_a_key(line: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"\"key\"", b"\"Key\"", b"\"Path\""];
    names.iter().any(|name| memmem::find(line, name).is_some())
}

/// Returns whether the first line is that of a listing. Otherwise bare keys, say, would be
/// counted as other keys.
fn is_listing(bytes: &[u8]) -> bool {
    matches!(bytes.trim_ascii_start(), [] | [b'{' | b'[' | b']', ..])
}

/// Returns whether a line is an object without nested objects, by its braces. Half a line,
/// and a line after half a line, are not: a killed program leaves these, and the key may
/// have been a wanted one.
fn is_flat_object(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    match line.strip_suffix(b",").unwrap_or(line) {
        [b'{', members @ .., b'}'] => memchr2(b'{', b'}', members).is_none(),
        _ => false,
    }
}

/// Adds the lines in which `find` has a hit.
fn collect(bytes: &[u8], lines: &mut Vec<(usize, usize)>, find: impl Fn(&[u8]) -> Option<usize>) {
    let mut from = 0;
    while let Some(hit) = find(&bytes[from..]) {
        let hit = from + hit;
        let start = memrchr(b'\n', &bytes[..hit]).map_or(0, |newline| newline + 1);
        let end = memchr(b'\n', &bytes[hit..]).map_or(bytes.len(), |newline| hit + newline);
        lines.push((start, end));
        from = end;
    }
}

impl Filter {
    fn filter_block(&self, block: &Block) -> Emitted {
        let bytes = block.bytes();
        let (mut found, mut entries) = (Vec::new(), Vec::new());
        let mut emitted = Emitted::default();
        // Lines that are passed over are records.
        let (mut passed, mut rest) = (0, 0);
        for (at, (start, end)) in (0..).zip(self.wanted.candidates(block)) {
            let others = count_lines(&bytes[rest..start]);
            if others > 0 {
                found.push(Found::Others(others));
            }
            passed += others;
            rest = end + 1;
            let number = block.first_line + passed + at;
            found.push(match block.framing.parse(number, &bytes[start..end]) {
                Some(Line::Record(line)) => self
                    .classify(line, &mut entries)
                    .unwrap_or_else(|message| Found::Bad(line.reject("bad_line", message))),
                Some(Line::Mark(mark, line)) => Found::Mark(mark, line),
                None => continue,
            });
        }
        found.push(Found::Others(count_lines(&bytes[rest..])));
        let mut known = self.known.contains(&entries).into_iter();
        let mut known_bad = self.known_bad.contains(&entries).into_iter();
        for found in found {
            match found {
                Found::Mark(mark, line) => emitted.mark(mark, line),
                Found::Bad(reject) => emitted.reject(reject),
                Found::Others(records) => emitted.drop(OTHER, records),
                Found::Wanted(line) => emitted.keep(block, line.bytes),
                Found::UnlessKnown(line) => match (known.next(), known_bad.next()) {
                    (Some(true), _) => emitted.drop(self.known_reason, 1),
                    (_, Some(true)) => emitted.known_bad(line.reject(KNOWN_BAD_KIND, AGAIN)),
                    _ => emitted.keep(block, line.bytes),
                },
            }
        }
        emitted
    }

    /// Classifies a record; adds to `entries` what has to be looked up.
    fn classify<'l>(
        &self,
        line: RecordLine<'l>,
        entries: &mut Vec<Entry>,
    ) -> Result<Found<'l>, String> {
        let members = json::members(line.bytes).map_err(|error| error.to_string())?;
        let object = Object::parse(&members)?;
        if !self.wanted.matches(&object.key) {
            return Ok(Found::Others(1));
        }
        Ok(match &object.etag {
            Some(etag) if !(self.known.is_empty() && self.known_bad.is_empty()) => {
                entries.push(Entry::new(&object.key, etag));
                Found::UnlessKnown(line)
            }
            _ => Found::Wanted(line),
        })
    }
}

fn count_lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}

const OTHER: &str = "other keys";

/// The message of an object that is known to be bad.
const AGAIN: &str = "it was rejected before with this ETag, and would be again; to fetch it again, \
                     use --retry-rejects";

enum Found<'a> {
    Mark(Mark, &'a [u8]),
    Bad(Reject),
    /// So many records that are not wanted.
    Others(u64),
    Wanted(RecordLine<'a>),
    /// Wanted, unless the next entry is known.
    UnlessKnown(RecordLine<'a>),
}
