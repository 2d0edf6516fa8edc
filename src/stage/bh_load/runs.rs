//! Prints the runs that a database has taken in.

use std::fmt::Write as _;

use serde_json::json;

use crate::error::{Error, Result};
use crate::log::printable;
use crate::ndjson::Io;
use crate::record::ledger::Ledger;
use crate::store::{Location, RunRecord};

/// Prints a table on a terminal, elsewhere a line of JSON a run.
pub fn print(location: &Location, io: &mut Io) -> Result<()> {
    let mut store = location.open_existing()?.ok_or_else(|| {
        Error::configuration(format!(
            "{}: no such database; name the one that holds the runs with --database or \
                 DATABASE_URL",
            location.name()
        ))
    })?;
    let runs = store.runs()?;
    let text = if io.output.stream().is_terminal() {
        table(&runs)
    } else {
        runs.iter().map(line).collect()
    };
    io.output.write(text.as_bytes())?;
    io.output.flush()
}

fn line(run: &RunRecord) -> String {
    let mut value = json!(run);
    value["ledger"] = json!(run.ledger());
    format!("{value}\n")
}

fn table(runs: &[RunRecord]) -> String {
    let mut text = format!(
        "{:<24}  {:<9}  {:>10}  {:>10}  {:>9}  {}\n",
        "STARTED", "OUTCOME", "LISTED", "THERE", "REJECTED", "SOURCE"
    );
    for run in runs {
        let ledger = run.ledger();
        let count = |of: fn(&Ledger) -> u64| {
            let count = ledger.as_ref().map(of);
            count.map_or_else(|| "-".to_owned(), |count| count.to_string())
        };
        let _ = writeln!(
            text,
            "{:<24}  {:<9}  {:>10}  {:>10}  {:>9}  {}",
            printable(run.started.as_deref().unwrap_or("-")),
            printable(&run.outcome),
            count(|ledger| ledger.listed),
            count(|ledger| ledger.there),
            count(|ledger| ledger.rejected),
            printable(&run.source)
        );
    }
    text
}
