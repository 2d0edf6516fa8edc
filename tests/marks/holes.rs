//! What came of a run has to be all of it, whichever runs follow, and in the database that
//! holds the rest.

use serde_json::{Value, json};

use super::place::Place;
use super::written::{begin, end, page};
use crate::harness::sample::{self, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, folder};
use crate::pipeline::on_each_store;

on_each_store! {
    a_table_that_was_emptied_is_noticed_though_the_run_inserted_nothing
    rows_of_a_run_go_into_one_database
}

/// A whole run of one record.
fn whole(run: &str, n: usize) -> Vec<Value> {
    let begin = begin(run, &json!({}));
    vec![begin, record(n), page(run, None, None, 1), end(run, 1)]
}

fn load(lines: &[Value]) -> Run {
    let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db"]);
    tool.input(ndjson(lines)).run()
}

#[test]
fn a_run_that_follows_does_not_make_another_whole() {
    let doubt = begin("r", &json!({"unconfirmed": 7}));
    let rest = [doubt, record(1), page("r", Some(0), None, 1), end("r", 1)];
    for lines in [
        [&rest[..], &whole("s", 2)].concat(),
        [&whole("s", 2), &rest[..]].concat(),
    ] {
        load(&lines)
            .exits(75)
            .says("after 7 records that no loader has confirmed");
    }
    // What was in doubt comes too.
    let first = [
        begin("r", &json!({})),
        record(0),
        page("r", None, Some(0), 1),
    ];
    load(&[&first[..], &rest[..], &whole("s", 2)].concat()).exits(0);
}

#[test]
fn a_range_that_did_not_come_is_missing_without_a_resume_file_too() {
    let run = |begin: Value| load(&[begin, record(1), page("r", Some(0), None, 1), end("r", 1)]);
    run(begin("r", &json!({})))
        .exits(75)
        .says("1 range of run r did not come and is not stored: from the start through");
    // The user says that it is stored.
    run(begin("r", &json!({"trusted": true}))).exits(0);
    // It is no part of the run.
    let part = json!([{"after": sample::key(0), "through": null}]);
    run(begin("r", &json!({"part": part}))).exits(0);
}

#[test]
fn a_unit_that_was_held_before_the_listing_was_resumed_came() {
    let bad = json!({"key": "k", "build": null});
    let first = [begin("r", &json!({})), bad, page("r", None, Some(0), 1)];
    let rest = [
        begin("r", &json!({})),
        record(1),
        page("r", Some(0), None, 1),
        end("r", 1),
    ];
    load(&[&first[..], &rest[..]].concat()).exits(65);
}

#[test]
fn records_after_the_last_mark_are_an_error() {
    let mut lines = whole("r", 0);
    lines.insert(3, record(0));
    load(&lines)
        .exits(75)
        .says("1 record came after the last mark of run r");
}

#[test]
fn an_end_without_a_name_does_not_end_a_run_that_has_begun() {
    let lines = [
        begin("r", &json!({})),
        record(0),
        json!({"mark": {"end": {}}}),
    ];
    load(&lines)
        .exits(75)
        .says("run r of s3://b/ at AWS has no end mark");
}

/// A queue's marks are units of the run that they come in.
#[test]
fn queue_messages_are_counted_as_units() {
    let message = json!({"mark": {"message": {"queue": "q", "receipt_handle": "1"}}});
    let lines = [begin("r", &json!({})), record(0), message, end("r", 1)];
    let tool = Tool::new("bh-validate").input(ndjson(&lines));
    tool.run().exits(0);
}

#[test]
fn behind_a_loader_its_marks_hold_no_records() {
    let tool = Tool::new("bh-load").args(["--database", "sqlite:b.db", "--marks"]);
    let run = tool.input(ndjson(&whole("r", 0))).run().exits(0);
    let behind = Tool::new("bh-validate").input(run.stdout).run().exits(0);
    assert_eq!(behind.count("/notes/marks"), 1, "{behind}");
}

#[test]
fn objects_known_from_a_file_are_not_counted_as_stored() {
    let folder = folder();
    let file = folder.path().join("known.ndjson");
    std::fs::write(&file, ndjson([&record(0)])).unwrap();
    let run = Tool::new("bh-filter").arg("--known").arg(&file);
    let run = run.input(ndjson([&record(0)])).run().exits(0);
    assert_eq!(
        run.summary["dropped"],
        json!({"known from a file": 1}),
        "{run}"
    );
}

/// The listing is killed in its second run, in which every build is known.
fn a_table_that_was_emptied_is_noticed_though_the_run_inserted_nothing(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    place.run();
    let rows = place.store.rows().len();
    std::fs::remove_file(place.resume_file()).unwrap();
    place.run();
    let mut listed = place.listed();
    listed["finished"] = json!(false);
    std::fs::write(place.resume_file(), listed.to_string()).unwrap();
    place.store.execute(match kind {
        Kind::Sqlite => "DELETE FROM main_build",
        Kind::Postgres => "TRUNCATE main_build",
    });
    let runs = place.run();
    assert_eq!(runs[4].status.code(), Some(75), "{}", runs[4]);
    let runs = place.run();
    assert_eq!(runs[4].status.code(), Some(0), "{}", runs[4]);
    assert_eq!(place.store.rows().len(), rows);
}

fn rows_of_a_run_go_into_one_database(kind: Kind) {
    let (Some(store), Some(other)) = (Store::new(kind), Store::new(kind)) else {
        return;
    };
    let folder = folder();
    let load = |store: &Store, lines: &[Value]| {
        let tool = Tool::new("bh-load").args(["--database", &store.url(), "--resume-file"]);
        let tool = tool.arg(folder.path().join("list.json"));
        tool.input(ndjson(lines)).run()
    };
    let first = [
        begin("r", &json!({})),
        record(0),
        page("r", None, Some(0), 1),
    ];
    load(&store, &first).exits(75);
    let rest = [
        begin("r", &json!({})),
        record(1),
        page("r", Some(0), None, 1),
        end("r", 1),
    ];
    load(&other, &rest).exits(78).says("this run was stored in");
    assert_eq!(other.rows().len(), 0, "no row goes where the rest is not");
    load(&store, &rest).exits(0);
}
