//! Rows are kept when Elasticsearch refuses their documents permanently.

use elasticsearch::http::Method;
use serde_json::json;

use super::stored;
use crate::harness::backfill::Backfill;
use crate::harness::elastic::Index;
use crate::harness::sample;
use crate::harness::stored::{Kind, contents};

#[test]
fn documents_refused_by_elasticsearch_6_keep_their_rows() {
    refused_documents(Kind::Postgres, 6);
}

#[test]
fn documents_refused_by_elasticsearch_8_keep_their_rows() {
    refused_documents(Kind::Postgres, 8);
}

#[test]
fn documents_refused_by_elasticsearch_8_keep_their_sqlite_rows() {
    refused_documents(Kind::Sqlite, 8);
}

fn refused_documents(kind: Kind, version: u32) {
    let Some(all) = Backfill::new(kind, Some(version)) else {
        return;
    };
    let index = all.index.as_ref().unwrap();
    let mut bad_tree = sample::build(1);
    bad_tree["source"]["tree"] = json!("x".repeat(40_000));
    let mut bad_size = sample::build(2);
    bad_size["download"]["size"] = json!(u64::MAX);
    let builds = [sample::build(0), bad_tree, bad_size, sample::build(3)];
    let objects: Vec<_> = builds
        .iter()
        .enumerate()
        .map(|(n, build)| (sample::key(n), build.to_string().into_bytes()))
        .collect();
    let objects = stored(&all.bucket, &objects);

    let done = all.run().exit(&[0, 0, 0, 0, 65]);
    assert_eq!(all.store.contents(), contents(&objects), "{done}");
    assert_eq!(done.counts("bh-load"), json!([4, 4, {}, {}]), "{done}");
    assert_eq!(
        done.stage("bh-load").summary["refused_later"],
        json!({"refused by Elasticsearch": 2})
    );
    all.all_is_confirmed();
    all_but_the_refused_are_indexed(&all, index, 2);
    let refused = sorted(all.store.outbox());
    let errors: Vec<_> = refused
        .iter()
        .map(|(_, error)| error.as_deref().unwrap())
        .collect();
    assert!(
        errors.iter().all(|error| error.starts_with("400 ")),
        "{errors:?}"
    );
    assert!(
        errors.iter().any(|error| error.contains("source.tree")),
        "{errors:?}"
    );
    let mut rejects = all.rejects("bh-load");
    rejects.sort_by_key(|line| line["key"].to_string());
    for (reject, n) in rejects.iter().zip([1, 2]) {
        let (key, etag, _) = &objects[n];
        let error = &reject["error"];
        assert_eq!(
            [&error["stage"], &error["kind"]],
            ["bh-load", "not_indexed"]
        );
        // The database may use another notation for numbers.
        let of_object = json!([key, etag, null]);
        assert_eq!(
            json!([reject["key"], reject["etag"], reject["build"]]),
            of_object
        );
    }
    assert_eq!(rejects.len(), 2);

    // It is neither fetched nor sent again, except on request; then it is
    // refused again.
    let done = all.run().finds_nothing_new();
    assert_eq!(done.stage("bh-load").summary["refused_later"], json!({}));
    assert_eq!(sorted(all.store.outbox()), refused);
    let again = all
        .unmarked("bh-load")
        .arg("--retry-refused")
        .run()
        .exits(65);
    assert_eq!(
        again.count("/refused_later/refused by Elasticsearch"),
        2,
        "{again}"
    );
    assert_eq!(all.rejects("bh-load").len(), 4);
    assert_eq!(sorted(all.store.outbox()), refused);

    // The index is changed to accept both.
    let types = if version == 6 { "/doc" } else { "" };
    let path = format!("/{}/_mapping{types}", index.name);
    let mapping = index.request(Method::Get, &path, None)[&index.name]["mappings"].clone();
    let mapping = if version == 6 {
        &mapping["doc"]
    } else {
        &mapping
    };
    let mut size = mapping["properties"]["download"]["properties"]["size"].clone();
    size["ignore_malformed"] = json!(true);
    let mut tree = mapping["properties"]["source"]["properties"]["tree"].clone();
    tree["ignore_above"] = json!(256);
    let answer = index.request(
        Method::Put,
        &path,
        Some(json!({"properties": {
            "download": {"properties": {"size": size}},
            "source": {"properties": {"tree": tree}},
        }})),
    );
    assert_eq!(answer["acknowledged"], true, "{answer}");
    let again = all.unmarked("bh-load").arg("--retry-refused").run();
    if version == 6 {
        // A number out of range is still refused.
        let again = again.exits(65);
        assert_eq!(again.count("/notes/indexed"), 1, "{again}");
        assert_eq!(all.store.outbox(), refused[1..]);
        all_but_the_refused_are_indexed(&all, index, 3);
    } else {
        let again = again.exits(0);
        assert_eq!(again.count("/notes/indexed"), 2, "{again}");
        all.all_is_indexed();
    }
}

fn all_but_the_refused_are_indexed(all: &Backfill, index: &Index, indexed: usize) {
    let refused = all.store.outbox();
    let mut expected = all.store.documents();
    expected.retain(|id, _| !refused.iter().any(|(refused, _)| refused == id));
    assert_eq!(expected.len(), indexed);
    assert_eq!(index.documents(), expected);
}

/// Sorts the outbox: first the document with a refused tree, then that with a
/// refused size.
fn sorted(mut outbox: Vec<(i64, Option<String>)>) -> Vec<(i64, Option<String>)> {
    let size = |error: &Option<String>| error.as_ref().unwrap().contains("download.size");
    outbox.sort_by_key(|(_, error)| size(error));
    outbox
}
