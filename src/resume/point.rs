//! Where a run is resumed: what of it is taken as done.

use std::path::Path;

use super::{Confirmed, ResumeFrom, RunSource, RunState, loaded_path, peek};
use crate::error::Result;
use crate::log::counted;
use crate::record::coverage::Coverage;

/// Returns how many ranges of a listed run no loader has confirmed; 0 if no loader takes part.
fn count_open<S: RunSource>(
    state: &RunState<S>,
    confirmed: Option<&Confirmed>,
    checkpoint: Option<ResumeFrom>,
) -> u64 {
    let gaps = |done: &Coverage| state.source.gaps(done).len() as u64;
    match confirmed {
        Some(_) if checkpoint == Some(ResumeFrom::Listed) => 0,
        Some(confirmed) if confirmed.run.as_ref() == Some(&state.run) => gaps(&confirmed.coverage),
        Some(_) => gaps(&Coverage::default()),
        None => 0,
    }
}

/// Returns the run in a resume file, and whether all of it is listed and, where a loader takes
/// part, confirmed; `None` if there is no such file.
pub fn last_run<S: RunSource>(path: &Path) -> Result<Option<(RunState<S>, bool)>> {
    let Some(state) = peek::<RunState<S>>(path)? else {
        return Ok(None);
    };
    let confirmed: Option<Confirmed> = peek(&loaded_path(path))?;
    // A run that is only given up has no such time.
    let is_listed = state.finished && state.finished_at.is_some();
    let is_done = is_listed && count_open(&state, confirmed.as_ref(), None) == 0;
    Ok(Some((state, is_done)))
}

/// Returns what is left of a run, for a message; `None` if it is finished.
pub fn describe_rest<S: RunSource>(
    state: &RunState<S>,
    confirmed: Option<&Confirmed>,
    checkpoint: Option<ResumeFrom>,
) -> Option<String> {
    if !state.finished {
        return Some("its listing was not finished".to_owned());
    }
    let open = count_open(state, confirmed, checkpoint);
    (open > 0 && !state.closed).then(|| format!("{} not yet stored", counted(open, "range")))
}

/// Why nothing of the run is stored, and what to do if that is no wonder.
const NOTHING: &str = "the loader has confirmed nothing of this run (if none takes part any more, \
                       delete its file FILE.loaded)";

/// Returns the part of a run that is taken as done, `None` for a new run; and why.
pub fn resume_point<S: RunSource>(
    state: &RunState<S>,
    confirmed: Option<&Confirmed>,
    checkpoint: Option<ResumeFrom>,
) -> (Option<Coverage>, String) {
    let run = &state.run;
    if state.finished {
        let open = count_open(state, confirmed, checkpoint);
        let stored = confirmed.filter(|confirmed| confirmed.run.as_ref() == Some(run));
        let because = stored.map_or_else(|| format!(": {NOTHING}"), |_| String::new());
        return match (open, state.closed) {
            (0, _) => (None, format!("run {run} is finished: starting a new run")),
            (_, true) => {
                let why = format!(
                    "run {run} is closed with {} that could not be stored: starting a new run, \
                     which lists everything{because}",
                    counted(open, "range")
                );
                (None, why)
            }
            (_, false) => {
                let why = format!(
                    "run {run} is listed completely, with {} not yet stored; listing the missing part \
                     again{because}",
                    counted(open, "range")
                );
                (
                    Some(stored.map_or_else(Coverage::default, |stored| stored.coverage.clone())),
                    why,
                )
            }
        };
    }
    if checkpoint == Some(ResumeFrom::Listed) {
        let why = format!("run {run} resumes after what was listed, as requested");
        return (Some(state.coverage.clone()), why);
    }
    let from_start = |because: &str| {
        let why = format!("run {run} restarts: {because}");
        (Some(Coverage::default()), why)
    };
    match confirmed {
        Some(confirmed) if confirmed.run.as_ref() == Some(run) => (
            Some(confirmed.coverage.clone()),
            format!("run {run} resumes after what the loader has confirmed"),
        ),
        Some(_) => from_start(NOTHING),
        None if checkpoint == Some(ResumeFrom::Loaded) => {
            from_start("no loader has confirmed anything")
        }
        None if state.delivery_unknown => {
            from_start("its output was closed early, and no loader has confirmed anything")
        }
        None if state.coverage.is_empty() => from_start("nothing was listed yet"),
        None => (
            Some(state.coverage.clone()),
            format!("run {run} resumes after what was listed"),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::coverage::Interval;
    use crate::resume::{ConfirmedUnit, ListingSource};

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
        let unit = ConfirmedUnit {
            run,
            keys: part("c"),
            counts: Vec::new(),
        };
        confirmed.fold(unit, ("sqlite:/builds.db", None)).unwrap();
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
    }

    #[test]
    fn unconfirmed_ranges_are_listed_once_more() {
        let mut run = listed();
        run.finish();
        assert_eq!(taken(&run, None, None), None);
        let mut partly = confirmed_by(&run.run);
        let covered = Some(partly.coverage.clone());
        assert_eq!(taken(&run, Some(&partly), None), covered);
        assert_eq!(taken(&run, Some(&partly), Some(ResumeFrom::Listed)), None);
        assert_eq!(
            taken(&run, Some(&confirmed_by("another")), None),
            Some(Coverage::default())
        );
        run.resume_from(partly.coverage.clone());
        run.finish();
        assert_eq!(taken(&run, Some(&partly), None), None);
        run.closed = false;
        partly.coverage.insert(Interval::new(None, None));
        assert_eq!(taken(&run, Some(&partly), None), None);
    }
}
