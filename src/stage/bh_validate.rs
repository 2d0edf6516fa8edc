//! bh-validate: passes the records whose build matches the schema.

use std::path::PathBuf;

use clap::Parser;

use crate::cli::{InputArgs, Program, SharedArgs};
use crate::error::Result;
use crate::json::{self, Value};
use crate::ndjson::{self, Block, Emitted, Framing, Io, Line, RecordLine};
use crate::record::misfit::Misfit;
use crate::record::reject::{Reject, cleared};
use crate::record::verdict;
use crate::schema::{Schema, SchemaArgs};

/// Pass the records whose build matches the schema
#[derive(Debug, Parser)]
#[command(
    name = "bh-validate",
    before_help = "\
Examples:
  … | bh-fetch | bh-validate --rejects rejects.ndjson | bh-load
  bh-validate --bare < builds.ndjson > valid.ndjson
  jq -cR 'fromjson? | del(.build.build.extra)' rejects.ndjson | bh-validate | bh-load"
)]
pub struct Args {
    /// Each line is a bare build, not a record with a `build`
    #[arg(long)]
    bare: bool,

    /// Drop invalid records: count them, but do not treat them as rejects
    #[arg(long)]
    skip_invalid: bool,

    #[command(flatten)]
    schema: SchemaArgs,

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
        let schema = self.schema.schema.iter();
        schema.map(|path| ("the schema", path.clone())).collect()
    }
}

pub fn run(args: &Args, io: &mut Io) -> Result<()> {
    let schema = Schema::load(&args.schema)?;
    if args.bare {
        io.input.set_framing(Framing::Bare);
    }
    ndjson::par_filter(io, |block| validate(&schema, args, block))
}

fn validate(schema: &Schema, args: &Args, block: &Block) -> Emitted {
    let mut emitted = Emitted::default();
    for line in block.lines() {
        let RecordLine { number, bytes } = match line {
            Line::Mark(mark, line) => {
                emitted.mark(mark, line);
                continue;
            }
            Line::Record(record) => record,
        };
        let line = &*cleared(bytes);
        match check(schema, args.bare, line, number) {
            None => emitted.keep(block, line),
            // A line of another kind is no invalid build.
            Some(reject)
                if args.skip_invalid
                    && reject.kind == verdict::SCHEMA
                    && Misfit::recognize("bh-validate", &reject).is_none() =>
            {
                emitted.drop("invalid", 1);
            }
            Some(reject) => emitted.reject(reject),
        }
    }
    emitted
}

/// Returns the reject of a line that is not valid.
fn check(schema: &Schema, bare: bool, line: &[u8], number: u64) -> Option<Reject> {
    let bad_line = |message: String| Some(Reject::new(line, number, "bad_line", message));
    let text = if bare {
        line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line)
    } else {
        line
    };
    let value = match json::parse(text) {
        Ok(value) => value,
        Err(error) => return bad_line(error.to_string()),
    };
    let build = match (&value, bare) {
        (_, true) => &value,
        (Value::Object(_), false) => match value.get("build") {
            Some(build) => build,
            None => return bad_line("no member \"build\"".to_owned()),
        },
        _ => return bad_line("expected an object".to_owned()),
    };
    let violations = schema.violations(build);
    let first = violations.first()?;
    let more = match violations.len() - 1 {
        0 => String::new(),
        others => format!(" (and {others} more)"),
    };
    let message = format!("{}{more}", first.message);
    let mut reject = Reject::new(line, number, verdict::SCHEMA, message).at(first.pointer.clone());
    reject.violations = violations.into();
    reject.verdict = Some(schema.verdict);
    Some(reject)
}
