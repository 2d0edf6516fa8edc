//! bh-export.

mod since;

use std::path::PathBuf;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::harness::sample::{build, key, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::units::marks;
use crate::harness::{Run, Tool, folder};
use crate::pipeline::on_each_store;

fn export(store: &Store, args: &[&str]) -> Tool {
    let tool = Tool::new("bh-export").args(["--database", &store.url()]);
    tool.args(args.iter().copied())
}

#[track_caller]
fn load<'a>(store: &Store, args: &[&str], records: impl IntoIterator<Item = &'a Value>) -> Run {
    let tool = Tool::new("bh-load").args(["--database", &store.url()]);
    let tool = tool.args(args.iter().copied());
    tool.input(ndjson(records)).run().exits(0)
}

/// The keys of the records, sorted: loaders sort the rows of a batch by their hashes.
fn keys(run: &Run) -> Vec<String> {
    let text = |record: &Value| record["key"].as_str().unwrap().to_owned();
    let mut keys: Vec<_> = run.records().iter().map(text).collect();
    keys.sort();
    keys
}

/// A file with the output of a run.
fn file(run: &Run) -> (PathBuf, TempDir) {
    let folder = folder();
    let path = folder.path().join("export.ndjson");
    std::fs::write(&path, &run.stdout).unwrap();
    (path, folder)
}

/// More rows than a page has, a row without key and ETag, and numbers of an odd form.
fn loaded(kind: Kind) -> Option<Store> {
    let store = Store::new(kind)?;
    let records: Vec<Value> = (0..2100).map(record).collect();
    load(&store, &[], &records);
    let mut odd = build(5000);
    odd["download"]["size"] = json!(1.5e3);
    odd["build"]["as"] = json!("a \u{1f600} \\ \" \u{e9}\u{1}");
    load(&store, &["--kinto-migration"], [&json!({"build": odd})]);
    Some(store)
}

fn an_export_loads_into_an_equal_database(kind: Kind) {
    let Some(store) = loaded(kind) else { return };
    let run = export(&store, &[]).run().exits(0);
    let valid = Tool::new("bh-validate").input(run.stdout.clone()).run();
    let copy = Store::new(Kind::Sqlite).unwrap();
    let tool = Tool::new("bh-load").args(["--database", &copy.url()]);
    let copied = tool.input(valid.exits(0).stdout).run().exits(0);
    assert_eq!(copied.count("/out"), 2101, "{copied}");
    assert_eq!(copy.contents(), store.contents());
    let outcome = copy.texts("SELECT outcome FROM bh_run");
    assert_eq!(outcome, [[Some("complete".to_owned())]], "{copied}");
    // Each page has its mark, and the end counts them.
    let all = marks(&run.stdout);
    let (begin, end) = (&all[0]["begin"], &all[all.len() - 1]["end"]);
    assert_eq!(
        begin["source"],
        format!("main_build of {}", store.address())
    );
    assert_eq!(begin["criteria"]["table"], "main_build");
    assert_eq!((&end["records"], &end["units"]), (&json!(2101), &json!(3)));
    assert_eq!(end["run"], begin["run"]);
    let sent = all[1..4].iter().map(|unit| &unit["counts"][0]["out"]);
    assert_eq!(sent.collect::<Vec<_>>(), [1000, 1000, 101]);
    let plain = export(&store, &["--no-marks"]).run().exits(0);
    assert_eq!(marks(&plain.stdout), Vec::<Value>::new());
    assert_eq!(plain.records(), run.records());
}

/// The members of a record, and its tokens as the database has them.
fn a_row_is_a_line_with_what_the_table_says(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    load(&store, &[], [&record(3)]);
    let run = export(&store, &["--no-marks"]).run().exits(0);
    let mut records = run.records();
    let row = &store.rows()[0];
    let created_at = records[0]["created_at"].take();
    let created_at: jiff::Timestamp = created_at.as_str().unwrap().parse().unwrap();
    assert_eq!(created_at, row.created_at);
    let expected = json!({"key": key(3), "etag": "e3", "id": row.id, "build_hash": row.hash,
        "created_at": null, "metadata": row.metadata, "build": build(3)});
    assert_eq!(records, [expected]);
}

/// Of a run over a bucket, the bucket is known.
fn the_bucket_is_that_of_the_run(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let begin = json!({"mark": {"begin": {"run": "r", "source": "s3://archive/pub/ at AWS",
        "part": null, "started": "2026-01-01T00:00:00Z", "criteria": {}}}});
    let unit = json!({"mark": {"listed": {"run": "r", "after": null, "through": null}}});
    let end = json!({"mark": {"end": {"run": "r", "units": 1}}});
    load(&store, &[], [&begin, &record(1), &unit, &end]);
    load(&store, &[], [&record(2)]);
    let records = export(&store, &[]).run().exits(0).records();
    let buckets: Vec<_> = records.iter().map(|record| record.get("bucket")).collect();
    assert_eq!(buckets, [Some(&json!("archive")), None]);
}

fn objects_and_rejects_are_exported_too(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let mut second = record(1);
    second["key"] = json!(key(7));
    load(&store, &[], [&record(1), &second]);
    let run = export(&store, &["--table", "objects", "--no-marks"]).run();
    let hash = store.rows()[0].hash.clone();
    let object = |n: usize| json!({"key": key(n), "etag": "e1", "build_hash": hash});
    assert_eq!(run.exits(0).records(), [object(1), object(7)]);
    let folder = folder();
    let rejects = folder.path().join("rejects");
    let begin = json!({"mark": {"begin": {"run": "r", "source": "s3://archive/ at AWS",
        "part": null, "started": "2026-01-01T00:00:00Z", "criteria": {}}}});
    let unit = json!({"mark": {"listed": {"run": "r", "after": null, "through": null}}});
    let end = json!({"mark": {"end": {"run": "r", "units": 1}}});
    let bad = json!({"key": key(9), "etag": "e9", "build": 7});
    let tool = Tool::new("bh-load").args(["--database", &store.url(), "--rejects"]);
    let tool = tool.arg(&rejects).arg("--record-rejects").arg(&rejects);
    let lines = ndjson([&begin, &bad, &unit, &end]);
    tool.input(lines).run().exits(65);
    let run = export(&store, &["--table", "rejects"]).run().exits(0);
    let [reject] = &run.records()[..] else {
        panic!("{run}")
    };
    assert_eq!(
        (&reject["bucket"], &reject["key"]),
        (&json!("archive"), &json!(key(9)))
    );
    assert_eq!(reject["error"]["kind"], "not_an_object", "{run}");
    // It can be tried again as it is.
    let again = Tool::new("bh-filter").args(["--database", &store.url()]);
    let again = again.args(["--retry-rejects"]).input(run.stdout).run();
    assert_eq!(again.exits(0).count("/out"), 1);
}

on_each_store! {
    an_export_loads_into_an_equal_database
    a_row_is_a_line_with_what_the_table_says
    the_bucket_is_that_of_the_run
    objects_and_rejects_are_exported_too
}

#[test]
fn a_row_that_is_not_json_is_rejected_alone() {
    let store = Store::new(Kind::Sqlite).unwrap();
    load(&store, &[], &[record(1), record(2), record(3)]);
    let row = format!("s3_object_key = '{}'", key(2));
    store.execute(&format!(
        "UPDATE main_build SET build = '{{\"a\":' WHERE {row}"
    ));
    let folder = folder();
    let rejects = folder.path().join("rejects").display().to_string();
    let run = export(&store, &["--rejects", &rejects]).run().exits(65);
    assert_eq!(keys(&run), [key(1), key(3)], "{run}");
    assert_eq!(run.count("/rejected/not_json"), 1, "{run}");
}

#[test]
fn a_database_that_is_not_there_is_not_an_empty_one() {
    let run = Tool::new("bh-export").args(["--database", "sqlite:none.db"]);
    let run = run.run().exits(78).prints_nothing();
    run.says("/none.db: no such file; name the database with --database");
    let store = Store::new(Kind::Sqlite).unwrap();
    store.execute("CREATE TABLE bh_run (id text)");
    let run = export(&store, &[]).run().exits(78).prints_nothing();
    run.says(": it has no table main_build; name the database");
    let Some(store) = Store::new(Kind::Postgres) else {
        return;
    };
    let run = export(&store, &[]).run().exits(78).prints_nothing();
    run.says(": it has no table main_build; name the database");
}
