//! Objects that were rejected are not fetched again until something changes.

use serde_json::{Value, json};

use super::on_each_store;
use crate::harness::backfill::{Backfill, Done};
use crate::harness::sample::{build, key};
use crate::harness::stored::Kind;

/// A pipeline whose loader records what the others reject.
fn backfill(kind: Kind) -> Option<Backfill> {
    let mut all = Backfill::new(kind, None)?;
    all.records_rejects = true;
    Some(all)
}

fn bytes(build: &Value) -> Vec<u8> {
    build.to_string().into_bytes()
}

fn long_key() -> String {
    format!("{}/{}/buildhub.json", "x".repeat(200), "y".repeat(200))
}

/// Two good objects, and one of each kind that stays bad.
fn put_objects(all: &Backfill) {
    let mut with_nul = build(4);
    with_nul["source"]["tree"] = json!("a\0b");
    all.bucket.put_all([
        (key(0), bytes(&build(0))),
        (key(1), bytes(&build(1))),
        (key(2), b"{\"cut\":".to_vec()),
        (key(3), b"[]".to_vec()),
        (key(4), bytes(&with_nul)),
        (key(5), b"{}".to_vec()),
        (long_key(), bytes(&build(6))),
    ]);
}

/// The pipeline after a run over these objects, which are recorded.
fn rejected(kind: Kind) -> Option<Backfill> {
    let all = backfill(kind)?;
    put_objects(&all);
    all.run().exit(&[0, 0, 65, 65, 65]);
    Some(all)
}

/// The recorded objects: key, kind and stage.
fn recorded(all: &Backfill) -> Vec<[String; 3]> {
    let rows = all
        .store
        .texts("SELECT key, kind, stage FROM bh_reject ORDER BY 1");
    let row = |texts: Vec<Option<String>>| {
        <[_; 3]>::try_from(texts)
            .unwrap()
            .map(|text: Option<String>| text.unwrap())
    };
    rows.into_iter().map(row).collect()
}

fn kinds(all: &Backfill) -> Vec<String> {
    let kinds = recorded(all).into_iter().map(|[_, kind, _]| kind);
    kinds.collect()
}

/// Asserts that so many bad objects were left out, and nothing was fetched.
#[track_caller]
fn finds_only(done: Done, bad: u64) -> Done {
    let filter = done.stage("bh-filter");
    assert_eq!(filter.count("/dropped/known bad"), bad, "{done}");
    done.finds_nothing_new()
}

fn what_was_rejected_is_left_out_by_the_next_run(kind: Kind) {
    let Some(all) = rejected(kind) else { return };
    assert_eq!(
        recorded(&all),
        [
            [key(2), "not_json".to_owned(), "bh-fetch".to_owned()],
            [key(3), "not_an_object".to_owned(), "bh-fetch".to_owned()],
            [key(4), "unstorable".to_owned(), "bh-load".to_owned()],
            [key(5), "schema".to_owned(), "bh-validate".to_owned()],
            [long_key(), "too_long".to_owned(), "bh-load".to_owned()],
        ]
    );
    // However often: the runs that leave them out meet them too.
    for _ in 0..2 {
        let done = finds_only(all.run(), 5);
        done.0[4].summary["runs"][0]["ledger"]["dropped"]
            .as_object()
            .filter(|dropped| dropped["known bad"] == 5)
            .unwrap_or_else(|| panic!("{done}"));
        assert_eq!(kinds(&all).len(), 5);
    }
    let lines = all.rejects("bh-filter");
    assert_eq!(lines.len(), 10);
    assert!(
        lines
            .iter()
            .all(|line| line["error"]["kind"] == "known_bad")
    );
    // What is stored can be piped in again, without the build.
    let line = &all
        .store
        .texts("SELECT line FROM bh_reject WHERE kind = 'schema'")[0][0];
    let line: Value = serde_json::from_str(line.as_ref().unwrap()).unwrap();
    assert_eq!((&line["key"], line.get("build")), (&json!(key(5)), None));
    assert_eq!(line["error"]["violations"].as_array().unwrap().len(), 4);
}

fn an_object_that_is_mended_or_deleted_leaves_the_table(kind: Kind) {
    let Some(all) = rejected(kind) else { return };
    all.bucket.put(&key(2), bytes(&build(2)));
    all.bucket.delete(&key(3));
    let done = all.run().clean();
    assert_eq!(done.stage("bh-filter").count("/dropped/known bad"), 3);
    assert_eq!(kinds(&all), ["unstorable", "schema", "too_long"]);
    assert_eq!(all.store.rows().len(), 3);
    // One that is broken in another way is recorded anew.
    all.bucket.put(&key(5), b"[1]".to_vec());
    all.run().exit(&[0, 0, 65, 0, 0]);
    assert_eq!(kinds(&all), ["unstorable", "not_an_object", "too_long"]);
    // A good one that breaks, and is as before again, is known.
    all.bucket.put(&key(0), b"[]".to_vec());
    all.run().exit(&[0, 0, 65, 0, 0]);
    assert_eq!(kinds(&all).len(), 4);
    all.bucket.put(&key(0), bytes(&build(0)));
    finds_only(all.run(), 3);
    assert_eq!(kinds(&all).len(), 3);
}

fn rejects_are_retried_when_asked_and_by_another_version(kind: Kind) {
    let Some(all) = rejected(kind) else { return };
    let retry = all.tool("bh-filter").arg("--retry-rejects");
    let listed = all.bucket.tool("s3-list").arg(all.bucket.url()).run();
    let kept = retry.input(listed.stdout).run().exits(0);
    assert_eq!(
        (kept.count("/out"), kept.count("/dropped/known")),
        (5, 2),
        "{kept}"
    );
    finds_only(all.run(), 5);
    all.store
        .execute("UPDATE bh_reject SET verdict = '0.0.1' || substr(verdict, 6)");
    all.run().exit(&[0, 0, 65, 65, 65]);
    finds_only(all.run(), 5);
}

fn a_schema_of_its_own_is_that_of_the_verdict(kind: Kind) {
    let Some(mut all) = backfill(kind) else {
        return;
    };
    put_objects(&all);
    let schema = all.folder.path().join("schema.yaml");
    std::fs::write(&schema, "schema: {required: [download]}").unwrap();
    let flag: &'static str = format!("--schema={}", schema.display()).leak();
    all = all.with("bh-validate", flag);
    all.run().exit(&[0, 0, 65, 65, 65]);
    // bh-filter does not know of this schema.
    let done = all.run().exit(&[0, 0, 0, 65, 0]);
    assert_eq!(done.stage("bh-filter").count("/dropped/known bad"), 4);
    all = all.with("bh-filter", flag);
    finds_only(all.run(), 5);
    std::fs::write(&schema, "schema: {required: [build]}").unwrap();
    all.run().exit(&[0, 0, 0, 65, 0]);
}

fn what_a_server_or_a_limit_refuses_is_tried_again(kind: Kind) {
    let Some(all) = backfill(kind) else { return };
    let mut long = build(1);
    long["build"]["cc"] = json!("x".repeat(3000));
    all.bucket
        .put_all([(key(0), bytes(&build(0))), (key(1), bytes(&long))]);
    let all = all.with("bh-fetch", "--max-size=2K");
    for _ in 0..2 {
        all.run().exit(&[0, 0, 65, 0, 0]);
        assert_eq!(kinds(&all), ["too_large"]);
    }
    all.with("bh-fetch", "--max-size=8K").run().clean();
}

on_each_store! {
    what_was_rejected_is_left_out_by_the_next_run
    an_object_that_is_mended_or_deleted_leaves_the_table
    rejects_are_retried_when_asked_and_by_another_version
    a_schema_of_its_own_is_that_of_the_verdict
    what_a_server_or_a_limit_refuses_is_tried_again
}

/// Rows that another source has recorded are not this one's to forget.
#[test]
fn a_run_of_another_prefix_forgets_nothing() {
    let Some(all) = rejected(Kind::Sqlite) else {
        return;
    };
    let listing = |prefix: &str| {
        let tool = all.bucket.tool("s3-list");
        tool.arg(format!("{}/{prefix}", all.bucket.url()))
            .run()
            .exits(0)
            .stdout
    };
    let fetch_nothing = |lines: Vec<u8>| {
        let filtered = all.unmarked("bh-filter").input(lines).run().exits(0);
        let fetched = all.tool("bh-fetch").input(filtered.stdout).run().exits(0);
        let load = all.unmarked("bh-load").input(fetched.stdout);
        load.run().exits(0)
    };
    fetch_nothing(listing("pub/"));
    assert_eq!(kinds(&all).len(), 5);
    let whole = fetch_nothing(listing(""));
    assert_eq!(kinds(&all).len(), 5, "{whole}");
}

#[test]
fn a_file_of_rejects_that_is_not_there_is_named() {
    let Some(all) = rejected(Kind::Sqlite) else {
        return;
    };
    std::fs::remove_file(all.rejects_file("s3-list")).unwrap();
    let listed = all.bucket.tool("s3-list").arg(all.bucket.url()).run();
    let filtered = all.tool("bh-filter").input(listed.stdout).run().exits(0);
    let run = all
        .unmarked("bh-load")
        .input(filtered.stdout)
        .run()
        .exits(78);
    run.says("s3-list.rejects: no such file; name the --rejects files of this pipeline");
}
