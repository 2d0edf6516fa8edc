//! The ranges of a plan as lines: written by --plan, read by --ranges.

use std::fs::File;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Args, Shard};
use crate::error::{Error, Result};
use crate::ndjson::{Framing, Input, Io};
use crate::record::coverage::{Coverage, Interval};

/// A line of a plan.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RangeLine {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bucket: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub after: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub through: Option<String>,
    /// The estimated number of keys.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keys: Option<u64>,
}

/// Returns the ranges that --ranges and --shard select; `None` for the whole listing.
pub fn wanted(args: &Args, io: &mut Io) -> Result<Option<Coverage>> {
    let Some(path) = &args.ranges else {
        return Ok(None);
    };
    let name = path.display().to_string();
    let ranges = if path == Path::new("-") {
        read("standard input", &mut io.input, args)?
    } else {
        let file = File::open(path).map_err(Error::local(&name))?;
        let mut input = Input::named(&name, file, &io.context);
        read(&name, &mut input, args)?
    };
    let ranges = match args.shard {
        None => ranges,
        Some(shard) => share(&name, ranges, shard)?,
    };
    let mut coverage = Coverage::default();
    for range in ranges {
        coverage.insert(range);
    }
    Ok(Some(coverage))
}

fn read(name: &str, input: &mut Input, args: &Args) -> Result<Vec<Interval>> {
    let mut ranges = Vec::new();
    input.set_framing(Framing::Bare);
    while let Some(block) = input.next()? {
        let read = block.parse(|line| range(line, args));
        ranges.extend(read.map_err(|why| Error::configuration(format!("{name}: {why}")))?);
    }
    if ranges.is_empty() {
        return Err(Error::configuration(format!(
            "{name}: contains no ranges; s3-list --plan N writes them"
        )));
    }
    Ok(ranges)
}

fn range(line: &[u8], args: &Args) -> Result<Interval, String> {
    let range: RangeLine = serde_json::from_slice(line)
        .map_err(|error| format!("not a range, as s3-list --plan writes it: {error}"))?;
    let is_other = |own: Option<String>, wanted: &str| own.is_some_and(|own| own != wanted);
    if is_other(range.bucket, &args.url().bucket) || is_other(range.prefix, &args.url().prefix) {
        return Err("a range of another listing, not of this URL".to_owned());
    }
    if is_reversed(range.after.as_deref(), range.through.as_deref()) {
        return Err("a range that ends before it begins".to_owned());
    }
    Ok(Interval::new(range.after, range.through))
}

/// Returns whether the interval is empty because its ends are in the wrong order.
pub fn is_reversed(after: Option<&str>, through: Option<&str>) -> bool {
    after
        .zip(through)
        .is_some_and(|(after, through)| after > through)
}

/// Returns every N-th range of a plan, which has to be complete: the other shards list the
/// rest.
fn share(name: &str, ranges: Vec<Interval>, shard: Shard) -> Result<Vec<Interval>> {
    let mut reached = None;
    let mut tiles = true;
    for range in &ranges {
        tiles &= range.after == reached;
        reached.clone_from(&range.through);
    }
    if !tiles || reached.is_some() {
        return Err(Error::configuration(format!(
            "{name}: the ranges have gaps or overlaps; --shard needs a whole plan, as s3-list \
             --plan writes it"
        )));
    }
    let skipped = usize::from(shard.number - 1);
    let step = usize::from(shard.of);
    Ok(ranges.into_iter().skip(skipped).step_by(step).collect())
}
