//! bh-filter: keeps the records of wanted objects that are not known yet.

use std::borrow::Cow;
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use clap::Parser;
use memchr::memmem::Finder;
use memchr::{memchr, memchr_iter, memrchr};
use regex::RegexSet;

use super::{AFTER_HELP, HELP};
use crate::cli::{Program, SharedArgs};
use crate::error::{Error, Result};
use crate::json;
use crate::ndjson::{Block, Chunk, Io};
use crate::record::known::Known;
use crate::record::mark::Mark;
use crate::record::object::{self, Object};
use crate::record::reject::Reject;
use crate::store::{self, DatabaseArgs};

/// Keep the records of wanted objects that are not known yet
#[derive(Debug, Parser)]
#[command(
    name = "bh-filter",
    version,
    help_template = HELP,
    after_help = AFTER_HELP,
    before_help = "\
Examples:
  s3-list s3://bucket/pub/ | bh-filter | bh-fetch | bh-validate | bh-load
  zcat keys.ndjson.gz | bh-filter --known none > wanted.ndjson
  bh-filter --known yesterday.ndjson --key-regex '^pub/firefox/' < today.ndjson"
)]
pub struct Args {
    /// Keep keys that end with this; repeatable
    #[arg(long, value_name = "TEXT", default_value = "buildhub.json")]
    suffix: Vec<String>,

    /// Of these, keep keys that match; repeatable
    #[arg(long, value_name = "REGEX")]
    key_regex: Vec<String>,

    /// What is known: a file of records or a listing, or `none`; else the database
    #[arg(long, value_name = "FILE")]
    known: Option<String>,

    #[command(flatten)]
    database: DatabaseArgs,

    #[command(flatten)]
    shared: SharedArgs,
}

impl Program for Args {
    fn shared(&self) -> &SharedArgs {
        &self.shared
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let filter = Filter {
        wanted: Wanted::new(args)?,
        known: known(args, io)?,
    };
    while let Some(block) = io.input.next()? {
        io.seam.pass(filter.sift(block))?;
        io.seam.flush()?;
    }
    Ok(())
}

fn known(args: &Args, io: &Io) -> Result<Known> {
    let mut known = Known::default();
    match args.known.as_deref() {
        Some("none") => {}
        Some(path) => read_known(Path::new(path), &mut known)?,
        None => {
            if let Some(mut store) = store::open_existing(&args.database, io)? {
                let _patience = io
                    .log
                    .patience(format!("reading what {} holds", store.address()));
                store.known(&mut |key, etag| known.insert(key, etag))?;
            }
        }
    }
    known.seal();
    if args.known.as_deref() != Some("none") {
        io.tally.note("keys known before", known.len() as u64);
    }
    Ok(known)
}

fn read_known(path: &Path, known: &mut Known) -> Result<()> {
    let failed =
        |error: &std::io::Error| Error::configuration(format!("{}: {error}", path.display()));
    let mut file = BufReader::new(File::open(path).map_err(|error| failed(&error))?);
    let mut line = Vec::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        if file
            .read_until(b'\n', &mut line)
            .map_err(|error| failed(&error))?
            == 0
        {
            return Ok(());
        }
        let Some(line) = object::unframe(&line).filter(|line| !line.is_empty()) else {
            continue;
        };
        if Mark::parse(line).is_some() {
            continue;
        }
        let object = json::members(line)
            .map_err(|error| error.to_string())
            .and_then(|members| {
                let object = Object::of(&members)?;
                Ok((object.key.into_owned(), object.etag.map(Cow::into_owned)))
            });
        match object {
            Ok((key, Some(etag))) => known.insert(&key, &etag),
            Ok((_, None)) => {}
            Err(error) => {
                return Err(Error::configuration(format!(
                    "{}, line {number}: {error}",
                    path.display()
                )));
            }
        }
    }
}

struct Filter {
    wanted: Wanted,
    known: Known,
}

/// Which keys are wanted, and how lines that cannot hold one are told
/// without reading them as JSON.
struct Wanted {
    suffixes: Vec<String>,
    patterns: RegexSet,
    /// A line with a wanted key holds one of these, or a backslash.
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
        let marks = Finder::new(b"{\"mark\":").into_owned();
        Ok(Self {
            needles: needles.chain([marks]).collect(),
            suffixes: args.suffix.clone(),
            patterns,
        })
    }

    fn is(&self, key: &str) -> bool {
        self.suffixes.iter().any(|suffix| key.ends_with(suffix))
            && (self.patterns.is_empty() || self.patterns.is_match(key))
    }

    /// The lines of a block that are a mark or may hold a wanted key, in
    /// order: where each begins and ends.
    fn candidates(&self, block: Block<'_>) -> Vec<(usize, usize)> {
        let bytes = block.bytes;
        let mut lines = Vec::new();
        if block.unterminated {
            // It may be half of a line that held a wanted key.
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

/// Adds the lines in which `find` finds something.
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
    fn sift(&self, block: Block<'_>) -> Chunk {
        let bytes = block.bytes;
        let mut chunk = Chunk::default();
        let candidates = self.wanted.candidates(block);
        let mut looked_at = 0;
        let mut counted = (0, block.first_line);
        for (start, end) in candidates {
            let line = &bytes[start..end];
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            if line.trim_ascii().is_empty() {
                continue;
            }
            looked_at += 1;
            if let Some(mark) = Mark::parse(line) {
                chunk.mark(mark, line);
                continue;
            }
            match self.judge(line) {
                Ok(Verdict::Keep(line)) => chunk.line(line),
                Ok(Verdict::Drop(reason)) => chunk.dropped(reason, 1),
                Err(message) => {
                    let newlines = memchr_iter(b'\n', &bytes[counted.0..start]).count();
                    counted = (start, counted.1 + newlines as u64);
                    chunk.reject(Reject::new(line, counted.1, "bad_line", message));
                }
            }
        }
        let others = filled_lines(block) - looked_at;
        chunk.dropped(OTHER, others);
        chunk
    }

    fn judge<'l>(&self, line: &'l [u8]) -> Result<Verdict<'l>, String> {
        let Some(line) = object::unframe(line) else {
            return Ok(Verdict::Drop(OTHER));
        };
        let members = json::members(line).map_err(|error| error.to_string())?;
        let object = Object::of(&members)?;
        if !self.wanted.is(&object.key) {
            return Ok(Verdict::Drop(OTHER));
        }
        match &object.etag {
            Some(etag) if self.known.has(&object.key, etag) => Ok(Verdict::Drop("known")),
            _ => Ok(Verdict::Keep(line)),
        }
    }
}

const OTHER: &str = "other keys";

enum Verdict<'a> {
    Keep(&'a [u8]),
    Drop(&'static str),
}

/// How many lines of a block are records, the frame of a foreign listing apart.
fn filled_lines(block: Block<'_>) -> u64 {
    let bytes = block.bytes;
    let opens = bytes.starts_with(b"[\n");
    let closes = bytes.ends_with(b"\n]\n") || bytes == b"]\n";
    all_lines(block) - u64::from(opens) - u64::from(closes)
}

fn all_lines(block: Block<'_>) -> u64 {
    let bytes = block.bytes;
    if memchr(b'\r', bytes).is_some() || bytes.first() == Some(&b'\n') {
        return block.lines().count() as u64;
    }
    let newlines = memchr_iter(b'\n', bytes).count();
    let blank = memchr::memmem::find_iter(bytes, b"\n\n").count();
    match blank {
        0 => newlines as u64,
        // Overlapping runs of blank lines are found once only.
        _ => block.lines().count() as u64,
    }
}
