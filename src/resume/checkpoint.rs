//! Decides which part of an earlier run is taken as done: compares the sources, chooses where
//! to resume, and logs it.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::point::{describe_rest, resume_point};
use super::{Confirmed, ListingSource, RunState, StateFile, loaded_path, peek};
use crate::error::{Error, Result};
use crate::log::counted;
use crate::ndjson::{Io, WriteMarks};
use crate::record::coverage::{Coverage, Interval};

/// Where a run keeps its state, and how it is resumed.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Save the progress of the run to this file
    #[arg(long, value_name = "FILE")]
    pub resume_file: Option<PathBuf>,

    /// Resume the previous run, or start a new one if it has finished
    #[arg(long, requires = "resume_file")]
    pub resume: bool,

    /// Resume after what was written (listed), or after what bh-load confirmed (loaded) [default:
    /// loaded if bh-load takes part]
    #[arg(long, value_enum, requires = "resume")]
    pub checkpoint: Option<ResumeFrom>,

    /// Write only records, and no marks (receipts, see bh-pipes(7)), for jq, head, sort and wc; a
    /// loader after them confirms nothing
    #[arg(long)]
    pub no_marks: bool,
}

impl ResumeArgs {
    /// Returns when marks are written.
    pub fn write_marks(&self) -> WriteMarks {
        if self.no_marks {
            WriteMarks::Never
        } else {
            WriteMarks::OffTerminal
        }
    }
}

/// The part of a run that is taken as done when it is resumed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ResumeFrom {
    Listed,
    Loaded,
}

/// How long to wait for a loader's file to appear, and how often to look.
const LOADER_WAIT: Duration = Duration::from_secs(2);
const LOADER_POLL: Duration = Duration::from_millis(5);

/// What a run reads; it is saved with the state.
pub trait RunSource: Clone + PartialEq + Display + Serialize + DeserializeOwned {
    /// What such a run is called in messages.
    const RUN: &'static str;

    /// Returns the part of the key space that the run is of; `None` is everything.
    fn part(&self) -> Option<Vec<Interval>>;

    /// Returns the settings that decide what the source writes.
    fn criteria(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Returns the intervals that `done` does not cover, in order.
    fn gaps(&self, done: &Coverage) -> Vec<Interval> {
        done.gaps_of(self.part().as_deref())
    }

    /// Returns whether a run of `self` can be resumed as one of `now`.
    fn compare(&self, now: &Self) -> Compatibility {
        if self == now {
            Compatibility::Same
        } else {
            Compatibility::Other
        }
    }
}

/// Whether a saved run can be resumed.
pub enum Compatibility {
    Same,
    /// A new run has to begin, for this reason.
    Changed(&'static str),
    /// The state is of something else, and is kept.
    Other,
}

impl RunSource for ListingSource {
    const RUN: &'static str = "listing";

    fn part(&self) -> Option<Vec<Interval>> {
        match (&self.ranges, &self.after, &self.through) {
            (Some(ranges), ..) => Some(ranges.intervals().to_vec()),
            (None, None, None) => None,
            (None, after, through) => Some(vec![Interval::new(after.clone(), through.clone())]),
        }
    }

    /// Returns the source without its ranges, which are the part of the run.
    fn criteria(&self) -> Value {
        let criteria = Self {
            ranges: None,
            ..self.clone()
        };
        serde_json::to_value(criteria).unwrap_or_default()
    }
}

/// Returns the state that the run begins with, and its file, which holds that
/// state only once it is saved; `trust` may take back some of what an earlier
/// run has done.
///
/// # Errors
/// The file is of another source, or damaged (78); another run holds it (75);
/// it cannot be written (74).
pub fn open<S: RunSource>(
    args: &ResumeArgs,
    source: S,
    trust: impl FnOnce(&mut RunState<S>),
    io: &Io,
) -> Result<(Option<StateFile>, RunState<S>)> {
    let fresh = RunState::new(source);
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let (place, log) = (path.display(), &io.context.log);
    let loaded = loaded_path(path);
    if args.no_marks && loaded.exists() {
        return Err(Error::usage(format!(
            "--no-marks: {} exists, so bh-load takes part in this run and needs marks; leave out \
             --no-marks, or use another --resume-file",
            loaded.display()
        )));
    }
    let (file, state) = StateFile::open(path, &fresh)?;
    if state == fresh {
        log.info(format!("{place}: starting a new run"));
        return Ok((Some(file), state));
    }
    let run = &state.run;
    let state = match state.source.compare(&fresh.source) {
        Compatibility::Other => {
            return Err(Error::configuration(format!(
                "{place}: belongs to another {} ({}); use another --resume-file, or delete this \
                 one",
                S::RUN,
                state.source
            )));
        }
        _ if !args.resume => {
            let confirmed: Option<Confirmed> = peek(&loaded)?;
            if let Some(left) = describe_rest(&state, confirmed.as_ref(), args.checkpoint) {
                log.warn(format!(
                    "{place}: run {run} is abandoned ({} listed; {left}): starting over; \
                     to continue a run, use --resume",
                    counted(state.records, "record")
                ));
            }
            state.next_run(fresh.source)
        }
        Compatibility::Changed(why) => {
            log.info(format!("{place}: {why} of run {run}: starting a new run"));
            state.next_run(fresh.source)
        }
        Compatibility::Same => {
            let confirmed = find_confirmed(args, path, &state, io)?;
            let next = fresh.source;
            let (state, why) = choose(args, (state, next), confirmed.as_ref(), trust, io);
            log.info(format!("{place}: {why}"));
            warn_of_loss(args, &state, confirmed.as_ref(), io);
            state
        }
    };
    Ok((Some(file), state))
}

/// Returns whether the run wrote into a pipe, whose reader may not have loaded its records.
fn is_in_doubt<S>(args: &ResumeArgs, state: &RunState<S>, io: &Io) -> bool {
    args.checkpoint.is_none()
        && (state.piped || !io.output.stream().is_file())
        && !state.finished
        && !state.delivery_unknown
        && !state.coverage.is_empty()
}

/// Returns whether the output is an empty file, which does not have what was listed before.
fn is_emptied<S>(args: &ResumeArgs, state: &RunState<S>, io: &Io) -> bool {
    let relies_on_listing =
        args.checkpoint.is_none() && !state.finished && !state.coverage.is_empty();
    relies_on_listing && !state.delivery_unknown && io.output.stream().is_empty_file()
}

/// Returns what a loader has confirmed. A loader creates its file first of all; one that is
/// started together with this program may not have done so yet, so this waits for it.
fn find_confirmed<S>(
    args: &ResumeArgs,
    path: &Path,
    state: &RunState<S>,
    io: &Io,
) -> Result<Option<Confirmed>> {
    let began = Instant::now();
    loop {
        let confirmed = peek(&loaded_path(path))?;
        let waits = is_in_doubt(args, state, io) && began.elapsed() < LOADER_WAIT;
        if confirmed.is_some() || !waits {
            return Ok(confirmed);
        }
        io.context.shutdown.sleep(LOADER_POLL)?;
    }
}

/// Returns the state to begin with, and why; a new run is of the source `next`, with
/// which that of `state` can be resumed.
fn choose<S: RunSource>(
    args: &ResumeArgs,
    (mut state, next): (RunState<S>, S),
    confirmed: Option<&Confirmed>,
    trust: impl FnOnce(&mut RunState<S>),
    io: &Io,
) -> (RunState<S>, String) {
    let may_be_lost = is_in_doubt(args, &state, io) || is_emptied(args, &state, io);
    if confirmed.is_none() && may_be_lost {
        state.unconfirmed = state.records;
    }
    let (coverage, why) = resume_point(&state, confirmed, args.checkpoint);
    match coverage {
        Some(coverage) => {
            state.resume_from(coverage);
            state.is_trusted = args.checkpoint == Some(ResumeFrom::Listed);
            trust(&mut state);
            (state, why)
        }
        None => (state.next_run(next), why),
    }
}

/// Warns of records that are taken as done, although they may be lost.
fn warn_of_loss<S>(args: &ResumeArgs, state: &RunState<S>, confirmed: Option<&Confirmed>, io: &Io) {
    if confirmed.is_none() && !state.piped && is_emptied(args, state, io) {
        io.context.log.warn(
            "standard output is an empty file, but a part of the run was listed before; if that \
             part is not in another file, use --checkpoint loaded to list it again",
        );
    } else if state.unconfirmed > 0 {
        io.context.log.warn(format!(
            "{} written before and never confirmed by bh-load, so some may be lost; use \
             --checkpoint loaded to list them again",
            counted(state.unconfirmed, "record")
        ));
    }
}
