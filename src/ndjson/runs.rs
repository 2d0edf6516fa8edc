//! The runs that the marks of an input speak of: each must begin, and end with all its
//! units.

use crate::error::{Error, Result};
use crate::log::{again_or, counted};
use crate::record::mark::{Begin, End};

/// The runs of the marks so far.
#[derive(Default)]
pub struct Runs {
    known: Vec<Run>,
    /// What was wrong first.
    fault: Option<String>,
    /// How many units came to this stage with other records than were sent.
    lost: u64,
    /// Whether one of them had more records than were sent.
    has_surplus: bool,
    /// How many units a stage before this one has held for lost or doubled lines.
    lost_before: u64,
    /// Whether a source keeps a resume file.
    resumable: bool,
}

struct Run {
    /// `None` where its marks do not say it.
    id: Option<String>,
    /// For people; `None` before the run began here.
    source: Option<String>,
    /// Unit marks since it began.
    units: u64,
    /// Records that the source wrote in the units that came.
    listed: u64,
    /// Records of which only the source knows that they were written once.
    unconfirmed: u64,
    ended: bool,
}

impl Run {
    fn name(&self) -> String {
        let id = self.id.as_deref().unwrap_or("without a name");
        match &self.source {
            Some(source) => format!("run {id} of {source}"),
            None => format!("run {id}"),
        }
    }
}

/// What to do when marks are missing or come in another order.
const ORDER: &str = "a filter between two programs must pass lines that begin with {\"mark\": in \
                     their place, as grep -e '^{\"mark\":' -e PATTERN does; for sort, shuf, split \
                     and parallel --pipe, use --no-marks at the source";

impl Runs {
    pub fn begin(&mut self, begin: &Begin) {
        self.resumable |= begin.resumable;
        let run = self.run(Some(&begin.run));
        run.source = Some(begin.source.clone());
        // They are here if a file was appended to.
        let unconfirmed = begin.unconfirmed.filter(|records| *records > run.listed);
        run.unconfirmed = unconfirmed.unwrap_or(0);
        (run.units, run.ended) = (0, false);
    }

    /// Closes a unit of `run`, of which the source wrote `listed` records; programs that count
    /// in their marks write a `begin` too.
    pub fn unit(&mut self, run: &str, is_counted: bool, listed: u64) {
        let run = self.run(Some(run));
        run.units += 1;
        run.listed += listed;
        let fault = if run.ended {
            format!("a mark of {} came after its end: {ORDER}", run.name())
        } else if is_counted && run.source.is_none() {
            format!("{} has no begin mark: {ORDER}", run.name())
        } else {
            return;
        };
        self.fault(fault);
    }

    /// Records a mark that names no run: it belongs to the current one.
    pub fn receipt(&mut self) {
        match self.known.iter_mut().rfind(|run| !run.ended) {
            Some(run) => run.units += 1,
            None => self.run(None).ended = false,
        }
    }

    /// Records the end of a run, with `left` records after its last unit mark.
    pub fn end(&mut self, end: &End, left: u64) {
        let run = self.run(end.run.as_deref());
        run.ended = true;
        run.unconfirmed = run.unconfirmed.max(end.unconfirmed);
        let (name, came) = (run.name(), run.units);
        let has_begun = run.source.is_some();
        // An end without a name is that of all runs of older programs, and each is that of a
        // run without one.
        let is_old = |run: &Run| run.source.is_none();
        let ends = |run: &&mut Run| run.id.is_none() || end.run.is_none() && is_old(run);
        self.known
            .iter_mut()
            .filter(ends)
            .for_each(|run| run.ended = true);
        let Some(units) = end.units else { return };
        if !has_begun {
            self.fault(format!("{name} has no begin mark: {ORDER}"));
        } else if units != came {
            self.fault(format!("{came} of {units} marks of {name} came: {ORDER}"));
        } else if left > 0 {
            let left = counted(left, "record");
            self.fault(format!(
                "{left} came after the last mark of {name}: {ORDER}"
            ));
        }
    }

    /// Returns how many units of `run` were closed since it began.
    pub fn units(&self, run: &str) -> u64 {
        let run = (self.known.iter()).rfind(|own| own.id.as_deref() == Some(run));
        run.map_or(0, |run| run.units)
    }

    /// Lines of a unit were lost or doubled, right before this stage or before another one;
    /// returns how many such units were seen here.
    pub fn lose(&mut self, is_here: bool, has_surplus: bool) -> u64 {
        let lost = if is_here {
            &mut self.lost
        } else {
            &mut self.lost_before
        };
        *lost += 1;
        self.has_surplus |= has_surplus;
        self.lost
    }

    /// Checks that nothing is taken as done since it was written into a pipe once, but of runs
    /// that `is_stored` knows to be whole.
    ///
    /// # Errors
    /// Some records are, and no loader has confirmed them (75).
    pub fn check_confirmed(&self, is_stored: impl Fn(&str) -> bool) -> Result<()> {
        let is_whole = |run: &&Run| run.id.as_deref().is_some_and(&is_stored);
        let in_doubt = |run: &&Run| run.unconfirmed > 0 && !is_whole(run);
        match self.known.iter().find(in_doubt) {
            None => Ok(()),
            Some(run) => Err(Error::ended_early(format!(
                "the listing continued after {} that no loader has confirmed: run the pipeline \
                 again to list everything",
                counted(run.unconfirmed, "record")
            ))),
        }
    }

    pub fn has_any(&self) -> bool {
        !self.known.is_empty()
    }

    pub fn is_resumable(&self) -> bool {
        self.resumable
    }

    /// Judges an input that has ended.
    ///
    /// # Errors
    /// A run has not ended, or not all of it came (75).
    pub fn finish(&mut self) -> Result<()> {
        let next = if self.resumable {
            "the same pipeline again with --resume"
        } else {
            "the pipeline again"
        };
        let open = self.known.iter().find(|run| !run.ended).map(|run| {
            format!(
                "input ended early: {} has no end mark: a program before this one failed, or a \
                 filter dropped the mark",
                run.name()
            )
        });
        let lost = match (self.lost, self.lost_before) {
            (0, 0) => None,
            (0, lost) => Some(format!(
                "lines were lost before another program of this pipeline, which holds {}",
                counted(lost, "unit")
            )),
            (lost, _) => Some(format!(
                "lines of {} did not come as sent, and are not confirmed: {}{ORDER}",
                counted(lost, "unit"),
                if self.has_surplus {
                    ""
                } else {
                    "if a filter of yours drops records, add --allow-drops; "
                }
            )),
        };
        let again = again_or(next);
        // Where lines came in another order, the end may have come before its begin.
        let advice = match (self.fault.take(), open) {
            (Some(fault), _) => format!("{fault}; run {again}"),
            // That program may have failed for good, and has said so then.
            (None, Some(open)) => format!("{open}; unless its message says otherwise, run {again}"),
            (None, None) => match lost {
                Some(lost) => format!("{lost}; run {again}"),
                None => return Ok(()),
            },
        };
        Err(Error::ended_early(advice))
    }

    fn fault(&mut self, fault: String) {
        self.fault.get_or_insert(fault);
    }

    fn run(&mut self, id: Option<&str>) -> &mut Run {
        let known = self.known.iter().rposition(|run| run.id.as_deref() == id);
        let at = known.unwrap_or_else(|| {
            self.known.push(Run {
                id: id.map(str::to_owned),
                source: None,
                units: 0,
                listed: 0,
                unconfirmed: 0,
                ended: false,
            });
            self.known.len() - 1
        });
        &mut self.known[at]
    }
}
