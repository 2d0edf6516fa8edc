//! The ledger: what became of every key of a run, in the loader's file and in the
//! database.

use std::process::{Command, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::place::{self, BUILDS, DERIVING, Derived, KEYS, LOADING, Place};
use super::written::{begin, end, page};
use crate::harness::faulty::{Faulty, object};
use crate::harness::fed::Fed;
use crate::harness::kinto::{StandIn, answer};
use crate::harness::ledger::Ledger;
use crate::harness::sample::{build, key, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::units::{joined, units};
use crate::harness::{Run, Tool, left_out, program};
use crate::pipeline::on_each_store;

on_each_store! {
    every_key_of_a_run_has_one_outcome
    a_run_is_a_row_of_the_database
    inserted_rows_name_their_run
    the_database_says_how_each_run_ended
    units_that_overlap_are_not_exactly_accounted
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
        let finished = number(&entry["out"])
            + number(&entry["stored"])
            + sum(&entry["dropped"])
            + sum(&entry["rejected"]);
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

fn the_database_says_how_each_run_ended(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let outcomes = || -> Vec<[Value; 2]> {
        let runs = runs_of(&place.store).into_iter();
        runs.map(|run| [run["outcome"].clone(), run["error"].clone()])
            .collect()
    };
    // A page is held.
    let runs = place.run_altered(|stage, lines| {
        let mut units = units(&lines);
        if stage == "bh-validate" {
            units[2].records.pop();
        }
        joined(&units)
    });
    place::exit(&runs, &[0, 0, 0, 75, 75]);
    assert!(
        runs[4].stderr.contains("1 range not yet stored"),
        "{}",
        runs[4]
    );
    assert_eq!(outcomes().len(), 1);
    assert_eq!(outcomes()[0][0], "open");
    assert_eq!(place.ledger().listed, (KEYS - 8) as u64);
    // The run goes on, and becomes whole.
    place::exit(&place.run(), &[0; 5]);
    assert_eq!(outcomes(), [[json!("complete"), Value::Null]]);

    // The next one is stopped, by a signal and by an input that is cut.
    let input = place::run(&LOADING[..4], |stage| place.tool(stage), |_, lines| lines);
    let input = units(&input.last().unwrap().stdout);
    let mut fed = Fed::new(place.tool("bh-load"));
    fed.say(&input[0].mark);
    assert!(fed.hear().contains("begin"));
    fed.started.signal(Signal::TERM);
    fed.wait().dies_by(Signal::TERM.as_raw());
    let [whole, stopped] = &outcomes()[..] else {
        panic!("{:?}", outcomes())
    };
    assert_eq!(
        (&whole[0], &stopped[0]),
        (&json!("complete"), &json!("stopped"))
    );
    let cut = place.tool("bh-load").input(joined(&input[..3]));
    cut.run().exits(75);
    assert_eq!(outcomes()[1][0], "stopped");
    assert!(
        outcomes()[1][1]
            .as_str()
            .unwrap()
            .contains("input ended early")
    );
    // Another run begins before this one has ended.
    let tool = |stage: &str| place.without_state(stage);
    let other = place::run(&LOADING[..4], tool, |_, lines| lines);
    let lines = [joined(&input[..3]), other[3].stdout.clone()].concat();
    tool("bh-load").input(lines).run().exits(75);
    assert_eq!(outcomes()[1][0], "stopped");
    assert_eq!(outcomes()[2][0], "complete");
    place::exit(&place.run(), &[0; 5]);
    assert_eq!(outcomes(), vec![[json!("complete"), Value::Null]; 3]);
}

fn units_that_overlap_are_not_exactly_accounted(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let (begin, end) = (begin("r", &json!({})), end("r", 2));
    let load = |pages: [Value; 2]| {
        let [first, second] = pages;
        let lines = [
            &begin,
            &record(0),
            &record(1),
            &first,
            &record(1),
            &record(2),
            &second,
            &end,
        ];
        let run = place.tool("bh-load").input(ndjson(lines)).run().exits(0);
        (
            run.stderr.contains("not exactly accounted"),
            place.loaded()["exact"].clone(),
        )
    };
    let whole = [page("r", None, Some(1), 2), page("r", Some(0), None, 2)];
    assert_eq!(load(whole), (true, json!(false)));
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
fn a_ledger_is_printed_only_for_listings() {
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

/// The pages of an export have their counts too, and the part that it is of.
#[test]
fn an_export_into_the_database_is_accounted_for() {
    let place = Place::new();
    let kinto = StandIn::new(|_, asked| Some(answer(5, asked)));
    let export = |args: &[&str]| {
        let tool = Tool::new("kinto-export").args(["--server", &kinto.url, "--page-size", "2"]);
        let tool = tool.args(args.iter().copied());
        let tool = tool.arg("--resume-file").arg(place.resume_file());
        tool.arg("--resume").run().exits(0)
    };
    let exported = export(&[]);
    let load = place.tool("bh-load").input(exported.stdout.clone()).run();
    let run = load.exits(0).says("5 listed = 5 there");
    assert_eq!(run.summary["runs"][0]["outcome"], "complete", "{run}");
    let ledger = place.ledger();
    assert!(
        (ledger.listed, ledger.there) == (5, 5) && ledger.adds_up(),
        "{ledger:?}"
    );

    // One page is lost: the run is resumed for it alone.
    let state = place.folder.path().join("since");
    let export = || {
        let tool = Tool::new("kinto-export").args(["--server", &kinto.url, "--page-size", "2"]);
        let tool = tool.args(["--since", "1", "--resume"]);
        tool.arg("--resume-file").arg(&state).run().exits(0)
    };
    let load = |lines: Vec<u8>| {
        let tool = Tool::new("bh-load").args(["--database", &place.store.url()]);
        tool.arg("--resume-file").arg(&state).input(lines).run()
    };
    let mut pages = units(&export().stdout);
    assert_eq!(pages.len(), 4, "begin, two pages, end");
    drop(pages[2].records.pop());
    load(joined(&pages)).exits(75).says("1 of 2 records came");
    let again = export();
    assert_eq!(again.count("/out"), 2, "{again}");
    let run = load(again.stdout).exits(0);
    assert_eq!(run.summary["runs"][0]["ledger"]["listed"], 4, "{run}");
}
