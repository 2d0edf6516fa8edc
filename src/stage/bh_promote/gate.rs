//! Whether a staging may be promoted: its runs are complete, and it holds what they say.

use crate::error::{Error, Result};
use crate::log::{counted, printable};
use crate::record::ledger::Ledger;
use crate::store::{RunRecord, StagingContents, StagingName};

pub struct Gate {
    pub name: StagingName,
    /// Whether it passes although something is open.
    pub is_unaccounted: bool,
}

const COMPLETE: &str = "complete";

impl Gate {
    /// Checks a staging.
    ///
    /// # Errors
    /// What is open, and how it is finished (78).
    pub fn check(&self, contents: &StagingContents) -> Result<()> {
        let name = self.name;
        let open = open_points(contents);
        if open.is_empty() || self.is_unaccounted && !is_empty(contents) {
            return Ok(());
        }
        let next = if is_empty(contents) {
            format!("load into it with bh-filter --into {name} and bh-load --into {name}")
        } else {
            let again = again(contents, name);
            format!("{again}; or promote what is there with bh-promote {name} --unaccounted")
        };
        let open = open.join("; ");
        Err(Error::configuration(format!(
            "cannot promote {name}: {open}; {next}"
        )))
    }
}

/// Returns why a staging is not known to be complete.
pub fn open_points(contents: &StagingContents) -> Vec<String> {
    if is_empty(contents) {
        return vec!["it is empty".to_owned()];
    }
    let mut open = Vec::new();
    let mut ledgers = Vec::new();
    for run in &contents.runs {
        let ledger = run.ledger().filter(Ledger::adds_up);
        match (run.outcome == COMPLETE, ledger) {
            (true, Some(ledger)) => ledgers.push(ledger),
            (true, None) => open.push(format!("{} has no ledger that adds up", named(run))),
            (false, _) if is_superseded(run, &contents.runs) => {}
            (false, _) => open.push(is_open(run)),
        }
    }
    if contents.foreign_rows > 0 {
        let rows = counted(contents.foreign_rows, "row");
        open.push(format!("{rows} came with none of its runs"));
    }
    open.extend(difference(contents, &ledgers));
    open
}

/// Returns how the objects differ from the ledgers, if they do. Several runs may have met
/// the same object, so then only bounds are known.
fn difference(contents: &StagingContents, ledgers: &[Ledger]) -> Option<String> {
    let there = ledgers.iter().map(|ledger| ledger.there);
    let (least, most) = (there.clone().max()?, there.sum::<u64>());
    let objects = contents.objects;
    if (least..=most).contains(&objects) {
        return None;
    }
    let said = if objects < least { least } else { most };
    Some(format!(
        "it holds {}, and its runs say {said}",
        counted(objects, "object")
    ))
}
fn is_empty(contents: &StagingContents) -> bool {
    contents.rows == 0 && contents.objects == 0 && contents.rejects.is_empty()
}

/// Returns whether a later run of the same source was complete.
fn is_superseded(run: &RunRecord, all: &[RunRecord]) -> bool {
    all.iter().any(|other| {
        other.outcome == COMPLETE
            && (&other.source, &other.criteria) == (&run.source, &run.criteria)
            && other.started >= run.started
    })
}

fn named(run: &RunRecord) -> String {
    format!("run {} of {}", printable(&run.run), printable(&run.source))
}

fn is_open(run: &RunRecord) -> String {
    let why = run.error.as_deref().map(printable);
    let why = why.map_or_else(String::new, |why| format!(" ({why})"));
    format!("{} is {}{why}", named(run), printable(&run.outcome))
}

/// Returns what to run again.
fn again(contents: &StagingContents, name: StagingName) -> String {
    let open = contents.runs.iter().find(|run| run.outcome != COMPLETE);
    let bucket = open.map(|run| run.source.split(" at ").next().unwrap_or_default());
    match bucket.filter(|source| source.starts_with("s3://")) {
        Some(source) => format!(
            "run its pipeline again: s3-list {} --resume-file FILE --resume | bh-filter --into {name} \
             | bh-fetch | bh-validate | bh-load --into {name} --resume-file FILE",
            printable(source)
        ),
        None => format!("run its pipeline again, with --into {name}"),
    }
}
