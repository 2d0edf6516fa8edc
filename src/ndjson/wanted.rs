//! Selects the lines of a listing that name a wanted object.

use memchr::memmem::{self, Finder};
use memchr::{memchr, memchr_iter, memchr2, memrchr};
use regex::RegexSet;

use super::{Block, Line, RecordLine};
use crate::error::{Error, Result};
use crate::json;
use crate::record::mark::Mark;
use crate::record::object::Object;
use crate::record::reject::Reject;
use crate::values;

/// Which keys are wanted.
#[derive(Debug, Clone, clap::Args)]
pub struct WantedArgs {
    /// Keep only keys that end with this; repeatable
    #[arg(long, value_name = "TEXT", default_value = "buildhub.json", value_parser = values::suffix)]
    pub suffix: Vec<String>,

    /// Of these, keep only keys that match this regular expression; repeatable
    #[arg(long, value_name = "REGEX", value_parser = values::pattern)]
    pub key_regex: Vec<String>,
}

/// The reason by which records that are not wanted are counted.
pub const OTHER: &str = "other keys";

/// A line of a listing, or several that are not wanted.
pub enum Selected<'b> {
    Mark(Mark, &'b [u8]),
    Bad(Reject),
    /// The number of consecutive records that are not wanted.
    Others(u64),
    Wanted(RecordLine<'b>, Object<'b>),
}

/// Which keys are wanted, and how to find the lines that may contain one without parsing
/// all as JSON.
pub struct Wanted {
    suffixes: Vec<String>,
    patterns: RegexSet,
    /// A line with a wanted key contains one of these, or a backslash.
    needles: Vec<Finder<'static>>,
}

impl Wanted {
    /// Compiles the patterns.
    ///
    /// # Errors
    /// A pattern that is too large (2).
    pub fn new(args: &WantedArgs) -> Result<Self> {
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

    /// Returns whether a key is wanted.
    pub fn matches(&self, key: &str) -> bool {
        self.suffixes.iter().any(|suffix| key.ends_with(suffix))
            && (self.patterns.is_empty() || self.patterns.is_match(key))
    }

    /// Classifies the lines of a block, in order.
    pub fn select<'b>(&self, block: &'b Block) -> Vec<Selected<'b>> {
        let bytes = block.bytes();
        let mut selected = Vec::new();
        // Lines between the candidates are records.
        let (mut passed, mut rest) = (0, 0);
        for (at, (start, end)) in (0..).zip(self.candidates(block)) {
            let others = count_lines(&bytes[rest..start]);
            if others > 0 {
                selected.push(Selected::Others(others));
            }
            passed += others;
            rest = end + 1;
            let number = block.first_line + passed + at;
            selected.push(match block.framing.parse(number, &bytes[start..end]) {
                Some(Line::Record(line)) => self
                    .classify(line)
                    .unwrap_or_else(|message| Selected::Bad(line.reject("bad_line", message))),
                Some(Line::Mark(mark, line)) => Selected::Mark(mark, line),
                None => continue,
            });
        }
        selected.push(Selected::Others(count_lines(&bytes[rest..])));
        selected
    }

    fn classify<'b>(&self, line: RecordLine<'b>) -> Result<Selected<'b>, String> {
        let members = json::members(line.bytes).map_err(|error| error.to_string())?;
        let object = Object::parse(&members)?;
        Ok(if self.matches(&object.key) {
            Selected::Wanted(line, object)
        } else {
            Selected::Others(1)
        })
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

/// How many of the first lines must name a key.
const LOOKED_AT: u64 = 1000;

/// Returns whether a line may have a key, as [`Object::parse`] reads it.
fn names_a_key(line: &[u8]) -> bool {
    let names: [&[u8]; 3] = [b"\"key\"", b"\"Key\"", b"\"Path\""];
    names.iter().any(|name| memmem::find(line, name).is_some())
}

/// Returns whether the first line is that of a listing. Without this check, bare keys would be
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

fn count_lines(bytes: &[u8]) -> u64 {
    memchr_iter(b'\n', bytes).count() as u64
}
