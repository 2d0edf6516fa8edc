//! Prints the state of a resume file.

use std::fmt::Write as _;
use std::path::Path;

use crate::error::{Error, Result};
use crate::log::{counted, printable};
use crate::ndjson::Io;
use crate::record::coverage::Coverage;
use crate::resume::{self, Confirmed, RunSource, RunState};

/// Gaps that are printed one by one.
const MAX_GAPS: usize = 10;

/// Prints the state of the resume file at `path` and of the loader's file beside it.
///
/// # Errors
/// The file does not exist, or is damaged (78).
pub fn show(path: &Path, io: &mut Io) -> Result<()> {
    let listed: RunState = resume::peek(path)?.ok_or_else(|| {
        Error::configuration(format!(
            "{}: no such file: no run has used it as its --resume-file yet",
            path.display()
        ))
    })?;
    let loaded: Option<Confirmed> = resume::peek(&resume::loaded_path(path))?;
    io.output.write(text(&listed, loaded.as_ref()).as_bytes())?;
    io.output.flush()
}

fn text(listed: &RunState, loaded: Option<&Confirmed>) -> String {
    let mut text = String::new();
    let mut row = |name: &str, what: String| {
        let _ = writeln!(text, "{name:<11}{}", printable(&what));
    };
    row("run", format!("{}, began {}", listed.run, listed.started));
    row("of", listed.source.to_string());
    let at = listed.finished_at.as_deref();
    let at = at.map_or_else(String::new, |at| format!(" at {at}"));
    let left = resume::describe_rest(listed, loaded, None);
    row(
        "state",
        match (left, listed.finished, listed.delivery_unknown) {
            (Some(left), true, _) => format!("listed completely{at}; {left}"),
            (None, ..) => format!("finished{at}"),
            (_, false, true) => "not finished; its output was closed early".to_owned(),
            (_, false, false) => "not finished".to_owned(),
        },
    );
    row(
        "listed",
        format!(
            "{} in {}{}{}",
            counted(listed.records, "key"),
            counted(listed.pages, "page"),
            if listed.records > listed.sample.keys() {
                ", some of them again"
            } else {
                ""
            },
            share(listed, &listed.coverage)
        ),
    );
    let confirmed = loaded.filter(|loaded| loaded.run.as_ref() == Some(&listed.run));
    row(
        "confirmed",
        match (confirmed, loaded) {
            (Some(loaded), _) if listed.source.gaps(&loaded.coverage).is_empty() => {
                "all of it, by bh-load".to_owned()
            }
            (Some(loaded), _) => format!(
                "by bh-load{}; {}",
                share(listed, &loaded.coverage),
                counted(listed.source.gaps(&loaded.coverage).len() as u64, "gap")
            ),
            (None, Some(_)) => "nothing of this run, by bh-load".to_owned(),
            (None, None) => "not used with bh-load".to_owned(),
        },
    );
    let (next, why) = resume::resume_point(listed, loaded, None);
    row("next", why);
    let done = match (next, confirmed, loaded) {
        (Some(done), ..) => done,
        (None, Some(loaded), _) => loaded.coverage.clone(),
        (None, None, Some(_)) => Coverage::default(),
        (None, None, None) => listed.coverage.clone(),
    };
    let gaps = listed.source.gaps(&done);
    row(
        "gaps",
        if gaps.is_empty() {
            "none".to_owned()
        } else {
            gaps.len().to_string()
        },
    );
    for gap in gaps.iter().take(MAX_GAPS) {
        row("", gap.to_string());
    }
    if gaps.len() > MAX_GAPS {
        row("", format!("and {} more", gaps.len() - MAX_GAPS));
    }
    if let Some(last) = &listed.last {
        row(
            "before it",
            format!(
                "run {}, began {}: {}",
                last.run,
                last.started,
                counted(last.sample.keys(), "key")
            ),
        );
    }
    text
}

/// Returns how much of the last finished run's keys is done.
fn share(listed: &RunState, done: &Coverage) -> String {
    let Some(last) = &listed.last else {
        return String::new();
    };
    let all = last.sample.keys();
    if all == 0 {
        return String::new();
    }
    #[expect(clippy::cast_precision_loss, reason = "a percentage")]
    let percent = 100.0 * last.sample.covered(done) as f64 / all as f64;
    format!(", {percent:.1} % of the {all} keys of the run before it")
}
