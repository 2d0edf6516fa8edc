//! Which part of an earlier run is taken as done: compare its source, choose
//! where to resume, and tell the user.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Confirmed, ListingSource, RunState, StateFile, loaded_path, peek};
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;

/// Where a run keeps its state, and how it is resumed.
#[derive(Debug, clap::Args)]
pub struct ResumeArgs {
    /// Keep the state of the run here, as it goes
    #[arg(long, value_name = "FILE")]
    pub resume_file: Option<PathBuf>,

    /// Go on where an earlier run stopped; begin anew when it had finished, or the files of an inventory are others
    #[arg(long, requires = "resume_file")]
    pub resume: bool,

    /// Go on from what was written (listed), or from what bh-load confirmed (loaded)
    #[arg(long, value_enum, requires = "resume")]
    pub checkpoint: Option<ResumeFrom>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ResumeFrom {
    Listed,
    Loaded,
}

/// How long to wait for a loader's file to appear, and how often to look.
const LOADER: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// What a run reads: a part of its state.
pub trait RunSource: Clone + PartialEq + Display + Serialize + DeserializeOwned {
    /// What such a run is called in messages.
    const RUN: &'static str;

    /// Returns whether a run of `self` can be resumed as one of `now`.
    fn compare(&self, now: &Self) -> Compatibility {
        if self == now {
            Compatibility::Same
        } else {
            Compatibility::Other
        }
    }
}

pub enum Compatibility {
    Same,
    /// A new run has to begin; the reason.
    Changed(&'static str),
    /// The state is of something else, and is kept.
    Other,
}

impl RunSource for ListingSource {
    const RUN: &'static str = "listing";
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
    let (file, state) = StateFile::open(path, &fresh)?;
    if state == fresh {
        log.info(format!("{place}: a new run begins"));
        return Ok((Some(file), state));
    }
    let run = &state.run;
    let state = match state.source.compare(&fresh.source) {
        Compatibility::Other => {
            return Err(Error::configuration(format!(
                "{place}: holds the state of another {} ({}); use another --resume-file, or \
                 remove it",
                S::RUN,
                state.source
            )));
        }
        _ if !args.resume => {
            if !state.finished {
                log.warn(format!(
                    "{place}: run {run} was not finished, and without --resume a new one begins"
                ));
            }
            state.next_run(fresh.source)
        }
        Compatibility::Changed(why) => {
            log.info(format!("{place}: {why} of run {run}: a new run begins"));
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

/// Returns whether the run wrote into a pipe, from which perhaps nobody loaded
/// its records.
fn is_in_doubt<S>(args: &ResumeArgs, state: &RunState<S>, io: &Io) -> bool {
    args.checkpoint.is_none()
        && !io.output.stream().is_file()
        && !state.finished
        && !state.delivery_unknown
        && !state.coverage.is_empty()
}

/// Returns what a loader has confirmed. It creates its file before anything
/// else, but one that was killed in the run before may not have come to that,
/// and is started at the same time as this program: it is waited for.
fn find_confirmed<S>(
    args: &ResumeArgs,
    path: &Path,
    state: &RunState<S>,
    io: &Io,
) -> Result<Option<Confirmed>> {
    let began = Instant::now();
    loop {
        let confirmed = peek(&loaded_path(path))?;
        let waits = is_in_doubt(args, state, io) && began.elapsed() < LOADER;
        if confirmed.is_some() || !waits {
            return Ok(confirmed);
        }
        io.context.shutdown.sleep(LOOK)?;
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
    if confirmed.is_none() && is_in_doubt(args, &state, io) {
        state.unconfirmed = state.records;
    }
    let (coverage, why) = resume_point(&state, confirmed, args.checkpoint);
    match coverage {
        Some(coverage) => {
            state.resume_from(coverage);
            trust(&mut state);
            (state, why)
        }
        None => (state.next_run(next), why),
    }
}

/// Warns of records that are taken as done, though perhaps nobody has them.
fn warn_of_loss<S>(args: &ResumeArgs, state: &RunState<S>, confirmed: Option<&Confirmed>, io: &Io) {
    let relies_on_listing =
        confirmed.is_none() && args.checkpoint.is_none() && !state.coverage.is_empty();
    if state.unconfirmed > 0 {
        io.context.log.warn(format!(
            "nobody has confirmed these {} records, and what their reader had not taken \
             yet is missing: --checkpoint loaded lists them again",
            state.unconfirmed
        ));
    } else if relies_on_listing && io.output.stream().is_empty_file() {
        io.context.log.warn(
            "standard output is an empty file: is what was listed before in another one? \
             --checkpoint loaded lists it again",
        );
    }
}

/// Returns the part of a run that is taken as done, `None` for a new run; and why.
pub fn resume_point<S>(
    state: &RunState<S>,
    confirmed: Option<&Confirmed>,
    checkpoint: Option<ResumeFrom>,
) -> (Option<Coverage>, String) {
    let run = &state.run;
    if state.finished {
        return (None, format!("run {run} is finished: a new run begins"));
    }
    if checkpoint == Some(ResumeFrom::Listed) {
        let why = format!("run {run} goes on from what was listed, as asked");
        return (Some(state.coverage.clone()), why);
    }
    let from_start = |because: &str| {
        let why = format!("run {run} goes on from its start: {because}");
        (Some(Coverage::default()), why)
    };
    match confirmed {
        Some(confirmed) if confirmed.run.as_ref() == Some(run) => (
            Some(confirmed.coverage.clone()),
            format!("run {run} goes on from what the loader has confirmed"),
        ),
        Some(_) => from_start("the loader has confirmed nothing of it"),
        None if checkpoint == Some(ResumeFrom::Loaded) => {
            from_start("no loader has confirmed anything")
        }
        None if state.delivery_unknown => {
            from_start("its reader left, and no loader has confirmed anything")
        }
        None if state.coverage.is_empty() => from_start("nothing was listed yet"),
        None => (
            Some(state.coverage.clone()),
            format!("run {run} goes on from what was listed"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::coverage::Interval;

    fn source() -> ListingSource {
        ListingSource {
            endpoint: None,
            bucket: "b".to_owned(),
            prefix: String::new(),
            after: None,
            through: None,
            ranges: None,
            shard: None,
        }
    }

    fn part(through: &str) -> Interval {
        Interval::new(None, Some(through.to_owned()))
    }

    fn listed() -> RunState {
        let mut state = RunState::new(source());
        state.coverage.insert(part("m"));
        state
    }

    fn confirmed_by(run: &str) -> Confirmed {
        let mut confirmed = Confirmed::default();
        confirmed.fold(run, part("c"), "sqlite:/builds.db").unwrap();
        confirmed
    }

    fn taken(
        state: &RunState,
        confirmed: Option<&Confirmed>,
        asked: Option<ResumeFrom>,
    ) -> Option<Coverage> {
        resume_point(state, confirmed, asked).0
    }

    #[test]
    fn resume_starts_from_the_confirmed_or_the_listed_coverage() {
        let run = listed();
        let nothing = Some(Coverage::default());
        let same = confirmed_by(&run.run);
        let other = confirmed_by("another");
        let untouched = Confirmed::default();
        assert_eq!(taken(&run, Some(&same), None), Some(same.coverage.clone()));
        assert_eq!(taken(&run, Some(&other), None), nothing);
        assert_eq!(taken(&run, Some(&untouched), None), nothing);
        assert_eq!(taken(&run, None, None), Some(run.coverage.clone()));
        assert_eq!(taken(&run, None, Some(ResumeFrom::Loaded)), nothing);
        let asked = Some(ResumeFrom::Listed);
        assert_eq!(taken(&run, Some(&same), asked), Some(run.coverage.clone()));
        let mut broken = listed();
        broken.delivery_unknown = true;
        assert_eq!(taken(&broken, None, None), nothing);
        assert_eq!(
            taken(&broken, Some(&confirmed_by(&broken.run)), None),
            Some(same.coverage)
        );
        let mut finished = listed();
        finished.finished = true;
        assert_eq!(
            taken(&finished, Some(&confirmed_by(&finished.run)), None),
            None
        );
    }
}
