//! An index that takes nothing, and what no row stands behind. PostgreSQL with
//! Elasticsearch 6, SQLite with 8.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::index::{alone, is_whole, load, loader, on_each_index, records, setting};
use crate::harness::elastic::Index;
use crate::harness::fed::Fed;
use crate::harness::sample::ndjson;
use crate::harness::stored::{Kind, Store};
use crate::harness::wait_for;

on_each_index! {
    documents_that_a_database_set_back_does_not_hold_are_told
    queued_rows_that_are_gone_are_told_and_stay_queued
    a_closed_or_blocked_index_is_a_configuration_error
    an_index_closed_or_blocked_during_a_run_loses_nothing
}

/// A dump of yesterday is restored, and no requeue came between.
fn documents_that_a_database_set_back_does_not_hold_are_told(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    let before = store.rows().len();
    load(store, index, 20..25).exits(0);
    let newest = "SELECT cast(max(id) AS text) FROM main_build";
    let last: i64 = store.texts(newest)[0][0]
        .as_deref()
        .unwrap()
        .parse()
        .unwrap();
    let run = load(store, index, 0..1).exits(0);
    assert!(
        !run.stderr
            .contains("was the database restored from a backup"),
        "{run}"
    );
    store.execute(&format!(
        "DELETE FROM bh_object WHERE build_hash IN
             (SELECT build_hash FROM main_build WHERE id > {0});
         DELETE FROM main_build WHERE id > {0}",
        last - 5
    ));
    assert_eq!(store.rows().len(), before);
    let said = format!("has documents of rows that are not in {}", store.address());
    let ids: Vec<String> = (last - 4..=last).map(|id| id.to_string()).collect();
    let run = load(store, index, 0..1).exits(0);
    run.says(&said)
        .says(&ids.join(", "))
        .says("was the database restored from a backup");
    // What comes is indexed, under whatever ids.
    load(store, index, 20..25).exits(0);
    let documents = index.documents();
    for (id, document) in store.documents() {
        assert_eq!(documents[&id], document);
    }
    assert_eq!(store.outbox(), []);
}

fn queued_rows_that_are_gone_are_told_and_stay_queued(store: &Store, index: &Index) {
    load(store, index, 0..5).exits(0);
    alone(store).input(ndjson(&records(5..20))).run().exits(0);
    let queued: Vec<i64> = store.outbox().into_iter().map(|(id, ..)| id).collect();
    assert_eq!(queued.len(), 15);
    store.execute(&format!(
        "DELETE FROM main_build WHERE id IN ({}, {})",
        queued[3], queued[7]
    ));
    for _ in 0..2 {
        let run = loader(store, index).run().exits(0);
        let run = run.says(&format!(
            "2 rows of bh_outbox ({}, {}) are not in main_build and cannot be indexed",
            queued[3], queued[7]
        ));
        assert_eq!(run.count("/notes/queued rows that are gone"), 2, "{run}");
        assert_eq!(index.documents(), store.documents());
        assert_eq!(store.outbox().len(), 2);
    }
    store.execute("DELETE FROM bh_outbox WHERE id NOT IN (SELECT id FROM main_build)");
    let run = loader(store, index).run().exits(0);
    assert!(!run.stderr.contains("bh_outbox"), "{run}");
    is_whole(store, index);
}

/// The index says of such a document that all is well. The server of version 8 has no processor
/// that drops.
#[test]
fn documents_that_a_pipeline_drops_are_rejected() {
    let Some((store, index)) = setting(Kind::Postgres, 6) else {
        return;
    };
    let pipeline = format!("/_ingest/pipeline/{}", index.name);
    let dropped = json!({"drop": {"if": "ctx.source.product == 'dropped'"}});
    let body = json!({"processors": [dropped]});
    let answer = index.request(Method::Put, &pipeline, Some(body));
    assert_eq!(answer["acknowledged"], true, "{answer}");
    index.put(
        "",
        json!({"settings": {"index": {"default_pipeline": index.name}}}),
    );
    let mut lines = records(0..20);
    lines[7]["build"]["source"]["product"] = json!("dropped");
    let run = loader(&store, &index).input(ndjson(&lines)).run().exits(65);
    run.says("an ingest pipeline of the index dropped it");
    assert_eq!(index.documents().len(), 19);
    let refused: Vec<_> = store
        .outbox()
        .into_iter()
        .filter(|(_, error)| error.is_some())
        .collect();
    assert_eq!(refused.len(), 1);
    index.request(Method::Delete, &pipeline, None);
}

/// Ways in which an index takes nothing; the last member is what to do.
const WAYS: [(&str, &str); 3] = [
    ("_close", "open the index"),
    ("read_only", "lift the block of the index or cluster"),
    ("write", "lift the block of the index or cluster"),
];

/// Begins or ends one of the ways.
fn turn(index: &Index, way: &str, on: bool) {
    if way == "_close" {
        let verb = if on {
            "_close"
        } else {
            "_open?wait_for_active_shards=1"
        };
        let path = format!("/{}/{verb}", index.name);
        let answer = index.request(Method::Post, &path, None);
        assert_eq!(answer["acknowledged"], true, "{answer}");
    } else {
        let value = if on { json!(true) } else { Value::Null };
        index.put("/_settings", json!({"index": {"blocks": {way: value}}}));
    }
}

fn a_closed_or_blocked_index_is_a_configuration_error(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    for (n, (way, said)) in WAYS.into_iter().enumerate() {
        let rows = store.rows().len();
        turn(index, way, true);
        let new = 20 + 5 * n..25 + 5 * n;
        let run = load(store, index, new.clone()).exits(78).says(said);
        // Rows are stored whatever the index does, or refused before.
        let stored = store.rows().len() - rows;
        assert!(stored == 0 || stored == 5, "{way}: {run}");
        assert_eq!(store.outbox().len(), stored, "{way}: {run}");
        turn(index, way, false);
        load(store, index, new).exits(0);
        is_whole(store, index);
    }
}

fn an_index_closed_or_blocked_during_a_run_loses_nothing(store: &Store, index: &Index) {
    load(store, index, 0..20).exits(0);
    for (n, (way, said)) in WAYS.into_iter().enumerate() {
        let n = 20 + 10 * n;
        let mut fed = Fed::new(loader(store, index));
        fed.give(&records(n..n + 5));
        wait_for("the first documents", || {
            store.rows().len() == n + 5 && store.outbox().is_empty()
        });
        turn(index, way, true);
        fed.give(&records(n + 5..n + 10));
        wait_for("the other rows", || store.rows().len() == n + 10);
        let run = fed.finish().exits(78).says(said);
        assert_eq!(store.outbox().len(), 5, "{way}: {run}");
        turn(index, way, false);
        load(store, index, 0..1).exits(0);
        is_whole(store, index);
    }
}
