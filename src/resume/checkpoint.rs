//! Which part of an earlier run is taken as done.

use std::fmt::Display;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Confirmed, ListingSource, RunState, StateFile, loaded_path, peek};
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;

/// Where a run keeps its state, and how it goes on from there.
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
    pub checkpoint: Option<Checkpoint>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Checkpoint {
    Listed,
    Loaded,
}

/// How long a loader may take to begin, and how often is looked for it.
const LOADER: Duration = Duration::from_millis(500);
const LOOK: Duration = Duration::from_millis(5);

/// What a run is of.
pub trait RunSource: Clone + PartialEq + Display + Serialize + DeserializeOwned {
    /// What such a run is called.
    const RUN: &'static str;

    /// What the state of a run of `self` is to one of `now`.
    fn compare(&self, now: &Self) -> Compatibility;
}

pub enum Compatibility {
    Same,
    /// Another run has to begin: why.
    Changed(&'static str),
    /// It is the state of something else, and is kept.
    Other,
}

impl RunSource for ListingSource {
    const RUN: &'static str = "listing";

    fn compare(&self, now: &Self) -> Compatibility {
        if self == now {
            Compatibility::Same
        } else {
            Compatibility::Other
        }
    }
}

/// The state to go on with, and its file, which holds it once it is saved;
/// `trust` may take back some of what an earlier run has done.
pub fn open<S: RunSource>(
    args: &ResumeArgs,
    subject: S,
    trust: impl FnOnce(&mut RunState<S>),
    io: &Io,
) -> Result<(Option<StateFile>, RunState<S>)> {
    let fresh = RunState::new(subject);
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let place = path.display();
    let (file, mut listed) = StateFile::open(path, &fresh)?;
    if listed == fresh {
        io.context.log.info(format!("{place}: a new run begins"));
        return Ok((Some(file), listed));
    }
    let standing = listed.source.compare(&fresh.source);
    let again = |listed: &RunState<S>| listed.next_run(fresh.source.clone());
    match standing {
        Compatibility::Other => {
            return Err(Error::configuration(format!(
                "{place}: holds the state of another {} ({}); use another --resume-file, or \
                 remove it",
                S::RUN,
                listed.source
            )));
        }
        _ if !args.resume => {
            if !listed.finished {
                io.context.log.warn(format!(
                    "{place}: run {} was not finished, and without --resume a new one begins",
                    listed.run
                ));
            }
            listed = again(&listed);
        }
        Compatibility::Changed(why) => {
            io.context.log.info(format!(
                "{place}: {why} of run {}: a new run begins",
                listed.run
            ));
            listed = again(&listed);
        }
        Compatibility::Same => {
            // What was listed into a pipe may never have reached a loader.
            let in_doubt = args.checkpoint.is_none()
                && !io.output.is_file()
                && !listed.finished
                && !listed.delivery_unknown
                && !listed.coverage.is_empty();
            let patience = if in_doubt { LOADER } else { Duration::ZERO };
            let loaded = look_for_loader(path, patience, io)?;
            if in_doubt && loaded.is_none() {
                listed.unconfirmed = listed.records;
            }
            let (coverage, why) = resume_point(&listed, loaded.as_ref(), args.checkpoint);
            match coverage {
                Some(coverage) => {
                    listed.resume_from(coverage);
                    trust(&mut listed);
                }
                None => listed = again(&listed),
            }
            io.context.log.info(format!("{place}: {why}"));
            let trusts = loaded.is_none() && !listed.coverage.is_empty();
            if listed.unconfirmed > 0 {
                io.context.log.warn(format!(
                    "nobody has confirmed these {} records, and what their reader had not taken \
                     yet is missing: --checkpoint loaded lists them again",
                    listed.unconfirmed
                ));
            } else if trusts && args.checkpoint.is_none() && io.output.is_empty_file() {
                io.context.log.warn(
                    "standard output is an empty file: is what was listed before in another one? \
                     --checkpoint loaded lists it again",
                );
            }
        }
    }
    Ok((Some(file), listed))
}

/// What a loader keeps, which makes its file before anything else: one that was
/// killed in the run before may not have come to that, and is started together
/// with us.
fn look_for_loader(path: &Path, patience: Duration, io: &Io) -> Result<Option<Confirmed>> {
    let until = Instant::now() + patience;
    loop {
        let loaded = peek(&loaded_path(path))?;
        if loaded.is_some() || Instant::now() >= until {
            return Ok(loaded);
        }
        io.context.shutdown.sleep(LOOK)?;
    }
}

/// What of a run is taken as done, `None` for a new run; and why.
pub fn resume_point<S>(
    listed: &RunState<S>,
    loaded: Option<&Confirmed>,
    checkpoint: Option<Checkpoint>,
) -> (Option<Coverage>, String) {
    let run = &listed.run;
    if listed.finished {
        return (None, format!("run {run} is finished: a new run begins"));
    }
    if checkpoint == Some(Checkpoint::Listed) {
        let why = format!("run {run} goes on from what was listed, as asked");
        return (Some(listed.coverage.clone()), why);
    }
    let from_start = |because: &str| {
        let why = format!("run {run} goes on from its start: {because}");
        (Some(Coverage::default()), why)
    };
    match loaded {
        Some(loaded) if loaded.run.as_ref() == Some(run) => (
            Some(loaded.coverage.clone()),
            format!("run {run} goes on from what the loader has confirmed"),
        ),
        Some(_) => from_start("the loader has confirmed nothing of it"),
        None if checkpoint == Some(Checkpoint::Loaded) => {
            from_start("no loader has confirmed anything")
        }
        None if listed.delivery_unknown => {
            from_start("its reader left, and no loader has confirmed anything")
        }
        None if listed.coverage.is_empty() => from_start("nothing was listed yet"),
        None => (
            Some(listed.coverage.clone()),
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
        let mut listed = RunState::new(source());
        listed.coverage.insert(part("m"));
        listed
    }

    fn confirmed(run: &str) -> Confirmed {
        let mut loaded = Confirmed::default();
        loaded.fold(run, part("c"), "sqlite:/builds.db").unwrap();
        loaded
    }

    fn taken(
        listed: &RunState,
        loaded: Option<&Confirmed>,
        asked: Option<Checkpoint>,
    ) -> Option<Coverage> {
        resume_point(listed, loaded, asked).0
    }

    #[test]
    fn what_a_resumed_run_takes_as_done() {
        let run = listed();
        let nothing = Some(Coverage::default());
        let same = confirmed(&run.run);
        let other = confirmed("another");
        let untouched = Confirmed::default();
        assert_eq!(taken(&run, Some(&same), None), Some(same.coverage.clone()));
        assert_eq!(taken(&run, Some(&other), None), nothing);
        assert_eq!(taken(&run, Some(&untouched), None), nothing);
        assert_eq!(taken(&run, None, None), Some(run.coverage.clone()));
        assert_eq!(taken(&run, None, Some(Checkpoint::Loaded)), nothing);
        let asked = Some(Checkpoint::Listed);
        assert_eq!(taken(&run, Some(&same), asked), Some(run.coverage.clone()));
        let mut broken = listed();
        broken.delivery_unknown = true;
        assert_eq!(taken(&broken, None, None), nothing);
        assert_eq!(
            taken(&broken, Some(&confirmed(&broken.run)), None),
            Some(same.coverage)
        );
        let mut finished = listed();
        finished.finished = true;
        assert_eq!(
            taken(&finished, Some(&confirmed(&finished.run)), None),
            None
        );
    }
}
