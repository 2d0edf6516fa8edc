//! Prints the stagings of a database.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::gate::open_points;
use crate::error::Result;
use crate::log::printable;
use crate::ndjson::Io;
use crate::store::PromotionStore;

/// Prints a table on a terminal, elsewhere a line of JSON a staging.
pub fn print(store: &mut dyn PromotionStore, io: &mut Io) -> Result<()> {
    let mut stagings = Vec::new();
    for name in store.stagings()? {
        let Some(contents) = store.contents(name)? else {
            continue;
        };
        let mut open = open_points(&contents);
        let outcome = match (&contents.promotion, open.is_empty()) {
            (Some(_), _) => {
                open.clear();
                "promoted"
            }
            (None, true) => "complete",
            (None, false) => "open",
        };
        let promotion = contents.promotion.as_ref();
        stagings.push(json!({
            "staging": name.as_str(),
            "outcome": outcome,
            "rows": contents.rows,
            "objects": contents.objects,
            "rejects": contents.rejects.values().sum::<u64>(),
            "runs": contents.runs.len(),
            "promoted": promotion.and_then(|promotion| promotion.promoted.as_deref()),
            "open": open,
        }));
    }
    let line = |mut text: String, staging: &Value| {
        let _ = writeln!(text, "{staging}");
        text
    };
    let text = if io.output.stream().is_terminal() {
        table(&stagings)
    } else {
        stagings.iter().fold(String::new(), line)
    };
    io.output.write(text.as_bytes())?;
    io.output.flush()
}

fn table(stagings: &[Value]) -> String {
    let mut text = format!(
        "{:<24}  {:<9}  {:>10}  {:>10}  {:>9}  {:>5}  {}\n",
        "STAGING", "OUTCOME", "ROWS", "OBJECTS", "REJECTS", "RUNS", "OPEN"
    );
    for staging in stagings {
        let shown = |name: &str| match &staging[name] {
            Value::String(text) => printable(text),
            other => other.to_string(),
        };
        let open = staging["open"].as_array().into_iter().flatten();
        let open: Vec<&str> = open.filter_map(Value::as_str).collect();
        let _ = writeln!(
            text,
            "{:<24}  {:<9}  {:>10}  {:>10}  {:>9}  {:>5}  {}",
            shown("staging"),
            shown("outcome"),
            shown("rows"),
            shown("objects"),
            shown("rejects"),
            shown("runs"),
            printable(&open.join("; "))
        );
    }
    text
}
