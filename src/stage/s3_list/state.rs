//! Which part of an earlier run is taken as done.

use super::Args;
use crate::error::{Error, Result};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;
use crate::resume::{self, Listed, Loaded, Source, StateFile};

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Checkpoint {
    Listed,
    Loaded,
}

/// The state to go on with, and its file.
pub fn open(args: &Args, source: &Source, io: &Io) -> Result<(Option<StateFile>, Listed)> {
    let fresh = Listed::new(source.clone());
    let Some(path) = &args.resume_file else {
        return Ok((None, fresh));
    };
    let (mut file, mut listed) = StateFile::open(path, &fresh)?;
    if listed.source != *source {
        return Err(Error::configuration(format!(
            "{}: holds the state of another listing ({}); use another --resume-file, or remove it",
            path.display(),
            listed.source
        )));
    }
    if listed == fresh {
        io.log.info(format!("{}: a new run begins", path.display()));
        return Ok((Some(file), listed));
    }
    if args.resume {
        let loaded = resume::peek(&resume::loaded_path(path))?;
        let (coverage, why) = decide(&listed, loaded.as_ref(), args.checkpoint);
        match coverage {
            Some(coverage) => listed.go_on(coverage),
            None => listed = listed.again(),
        }
        io.log.info(format!("{}: {why}", path.display()));
    } else {
        listed = listed.again();
    }
    file.save(&listed)?;
    Ok((Some(file), listed))
}

/// What of a run is taken as done, `None` for a new run; and why.
pub fn decide<S>(
    listed: &Listed<S>,
    loaded: Option<&Loaded>,
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
        None if listed.broken_pipe => {
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

    fn source() -> Source {
        Source {
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

    fn listed() -> Listed {
        let mut listed = Listed::new(source());
        listed.coverage.insert(part("m"));
        listed
    }

    fn confirmed(run: &str) -> Loaded {
        let mut loaded = Loaded::default();
        loaded.fold(run, part("c"), "sqlite:/builds.db").unwrap();
        loaded
    }

    fn taken(
        listed: &Listed,
        loaded: Option<&Loaded>,
        asked: Option<Checkpoint>,
    ) -> Option<Coverage> {
        decide(listed, loaded, asked).0
    }

    #[test]
    fn what_a_resumed_run_takes_as_done() {
        let run = listed();
        let nothing = Some(Coverage::default());
        let same = confirmed(&run.run);
        let other = confirmed("another");
        let untouched = Loaded::default();
        assert_eq!(taken(&run, Some(&same), None), Some(same.coverage.clone()));
        assert_eq!(taken(&run, Some(&other), None), nothing);
        assert_eq!(taken(&run, Some(&untouched), None), nothing);
        assert_eq!(taken(&run, None, None), Some(run.coverage.clone()));
        assert_eq!(taken(&run, None, Some(Checkpoint::Loaded)), nothing);
        let asked = Some(Checkpoint::Listed);
        assert_eq!(taken(&run, Some(&same), asked), Some(run.coverage.clone()));
        let mut broken = listed();
        broken.broken_pipe = true;
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
