//! The ledger: what became of every key of a run, in the loader's file and in the
//! database.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::place::{self, BUILDS, DERIVING, Derived, KEYS, LOADING, Place};
use crate::harness::faulty::{Faulty, object};
use crate::harness::ledger::Ledger;
use crate::harness::sample::{build, key};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, left_out, program};
use crate::pipeline::on_each_store;

on_each_store! {
    every_key_of_a_run_has_one_outcome
    a_run_is_a_row_of_the_database
    inserted_rows_name_their_run
}

/// A bucket in which keys come to every end: 40 keys, of which 20 are builds.
fn bucket() -> Faulty {
    let mut objects: Vec<Value> = (0..20)
        .map(|n| {
            let mut build = build(if n == 7 { 6 } else { n });
            match n {
                3 => build["target"]["os"] = json!("beos"),
                4 => build["source"]["tree"] = json!("a\0b"),
                _ => {}
            }
            let text = build.to_string();
            object(&key(n), if n == 5 { &text[1..] } else { &text })
        })
        .collect();
    objects.extend((0..20).map(|n| object(&format!("{}.txt", key(n)), "x")));
    Faulty::start(&objects, &["--bucket", "b", "--gone", &key(9)])
}

fn place(kind: Kind) -> Option<Place> {
    Place::of(bucket(), kind)
}

/// Runs the pipeline with a file of rejects.
fn run(place: &Place, statuses: &[i32]) -> Vec<Run> {
    let rejects = place.folder.path().join("rejects");
    let tool = |stage: &str| place.tool(stage).arg("--rejects").arg(&rejects);
    let runs = place::run(&LOADING, tool, |_, lines| lines);
    place::exit(&runs, statuses);
    runs
}

/// Returns what bh-load says of the runs of a database.
#[track_caller]
fn runs_of(store: &Store) -> Vec<Value> {
    let tool = Tool::new("bh-load").args(["--database", &store.url(), "--runs"]);
    tool.start_with(Stdio::null(), Stdio::piped())
        .finish()
        .exits(0)
        .lines()
}

fn every_key_of_a_run_has_one_outcome(kind: Kind) {
    let Some(place) = place(kind) else { return };
    let first = run(&place, &[0, 0, 65, 65, 65]);
    let expected = Ledger {
        listed: 40,
        other_keys: 20,
        gone: 1,
        rejected: 3,
        // One content twice.
        there: 16,
        exact: true,
        ..Ledger::default()
    };
    assert_eq!(place.ledger(), expected, "{}", place.loaded());
    assert!(expected.adds_up());
    assert_eq!(first[4].count("/out"), 15, "{}", first[4]);
    // In words, on one line.
    let line = "40 listed = 16 there + 1 gone + 20 other keys + 3 rejected";
    assert!(first[4].stderr.contains(line), "{}", first[4]);
    // Each stage has its own sums.
    let loaded = place.loaded();
    let stages: Vec<_> = loaded["counts"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["stage"])
        .collect();
    assert_eq!(stages, LOADING);
    for entry in loaded["counts"].as_array().unwrap().iter().skip(1) {
        let number = |value: &Value| value.as_u64().unwrap_or(0);
        let sum = |value: &Value| -> u64 {
            value
                .as_object()
                .into_iter()
                .flatten()
                .map(|(_, n)| number(n))
                .sum()
        };
        let finished = number(&entry["out"]) + sum(&entry["dropped"]) + sum(&entry["rejected"]);
        assert_eq!(
            number(&entry["in"]) + number(&entry["made"]),
            finished,
            "{entry}"
        );
    }

    // A second run finds everything there, and the bad ones again.
    run(&place, &[0, 0, 65, 65, 65]);
    assert_eq!(place.ledger(), expected, "{}", place.loaded());
}

fn a_run_is_a_row_of_the_database(kind: Kind) {
    let Some(place) = place(kind) else { return };
    let first = run(&place, &[0, 0, 65, 65, 65]);
    let listed = place.listed();
    let all = runs_of(&place.store);
    let [row] = &all[..] else { panic!("{all:?}") };
    assert_eq!(row["run"], listed["run"], "{row}");
    assert!(
        row["source"].as_str().unwrap().starts_with("s3://b/"),
        "{row}"
    );
    assert_eq!(row["outcome"], "complete", "{row}");
    // What was inserted is asked of the table.
    let ended = &first[4].summary["runs"][0];
    assert_eq!(
        (&ended["run"], &ended["inserted"]),
        (&listed["run"], &json!(15)),
        "{}",
        first[4]
    );
    assert_eq!(
        (&row["first_id"], place.store.rows().len()),
        (&json!(0), 15)
    );
    for time in ["started", "as_of", "finished"] {
        let time = row[time]
            .as_str()
            .unwrap_or_else(|| panic!("{time}: {row}"));
        assert!(time.parse::<jiff::Timestamp>().is_ok(), "{row}");
    }
    assert_eq!(row["counts"], place.loaded()["counts"], "{row}");

    // A run without a resume file has its row too; the one before it comes first or last.
    let runs = place::run(
        &LOADING,
        |stage| place.without_state(stage),
        |_, lines| lines,
    );
    assert!(
        runs.iter()
            .all(|run| matches!(run.status.code(), Some(0 | 65))),
        "{runs:?}"
    );
    let all = runs_of(&place.store);
    assert_eq!(all.len(), 2, "{all:?}");
    assert_eq!(all[0]["run"], listed["run"], "the oldest first");
    assert_eq!(runs[4].summary["runs"][0]["inserted"], 0, "{}", runs[4]);
}

fn inserted_rows_name_their_run(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    // Half of the bucket by one run, and all of it by the next.
    let half = key(11);
    let bounded = |stage: &str| match stage {
        "s3-list" => place.without_state(stage).args(["--through", &half]),
        _ => place.without_state(stage),
    };
    let first = place::run(&LOADING, bounded, |_, lines| lines);
    place::exit(&first, &[0; 5]);
    let second = place.run();
    place::exit(&second, &[0; 5]);
    let of = |runs: &[Run]| -> (Value, u64) {
        let ended = &runs[4].summary["runs"][0];
        let rows = place.store.rows();
        let own = rows
            .iter()
            .filter(|row| row.metadata["run"] == ended["run"]);
        let own = own.count() as u64;
        assert_eq!(ended["inserted"], own, "{}", runs[4]);
        (ended["run"].clone(), own)
    };
    let (first, second) = (of(&first), of(&second));
    assert_eq!((first.1, second.1), (12, BUILDS as u64 - 12));
    let ids: Vec<_> = runs_of(&place.store)
        .into_iter()
        .map(|run| run["run"].clone())
        .collect();
    assert_eq!(ids, [first.0, second.0]);
    // What the second run found there was counted too.
    assert_eq!(place.ledger().there, BUILDS as u64);
}

#[test]
fn runs_are_a_table_on_a_terminal() {
    if Command::new("script").arg("--version").output().is_err() {
        return left_out("script (of util-linux)");
    }
    let place = Place::new();
    place.run();
    let inner = format!(
        "{} --runs --database {}",
        program("bh-load").display(),
        place.store.url()
    );
    let output = Command::new("script")
        .args(["-qec", &inner, "/dev/null"])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let shown = String::from_utf8(output.stdout).unwrap();
    let row: Vec<&str> = shown.lines().nth(1).unwrap().split_whitespace().collect();
    let source = format!("s3://b/ at {}", place.s3.url);
    let expected = format!("complete {KEYS} {BUILDS} 0 {source}");
    assert_eq!(row[1..].join(" "), expected, "{shown}");
}

/// Seams only: where there is no listing, or no database.
#[test]
fn what_has_no_ledger_says_so() {
    let derived = Derived::new(false);
    let runs = place::run(&DERIVING, |stage| derived.tool(stage), |_, lines| lines);
    place::exit(&runs, &[0; 3]);
    assert!(!runs[2].stderr.contains(" listed = "), "{}", runs[2]);
    let place = Place::new();
    let runs = place.run();
    let line = format!(
        "{KEYS} listed = {BUILDS} there + {} other keys + 0 rejected",
        KEYS - BUILDS
    );
    assert!(runs[4].stderr.contains(&line), "{}", runs[4]);
}
