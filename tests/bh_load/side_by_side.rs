//! Concurrent loaders with overlapping content.

use std::collections::BTreeSet;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::sample::{ndjson, record};
use crate::harness::stored::{Kind, Row, Store};
use crate::harness::{Run, Tool, folder};
use crate::pipeline::on_each_store;

on_each_store! {
    concurrent_loaders_insert_each_build_once
    concurrent_loaders_renew_etags_consistently
    concurrent_loaders_share_one_index
}

const BUILDS: usize = 900;
const LOADERS: usize = 3;

/// Loads the records that `given` returns for each loader and build, each in an
/// order of its own.
fn load(store: &Store, args: &[&str], given: impl Fn(usize, usize) -> Value) -> Vec<Run> {
    let folder = folder();
    let loader = |at: usize| {
        let mut lines: Vec<_> = (0..BUILDS).map(|n| given(at, n)).collect();
        fastrand::Rng::with_seed(at as u64).shuffle(&mut lines);
        let path = folder.path().join(format!("{at}"));
        std::fs::write(&path, ndjson(&lines)).unwrap();
        let stdin = std::fs::File::open(path).unwrap();
        let loader = Tool::new("bh-load").arg("--marks").args([
            "--database",
            &store.url(),
            "--batch-size=50",
        ]);
        loader.args(args).start_with(stdin.into(), Stdio::null())
    };
    let loaders: Vec<_> = (0..LOADERS).map(loader).collect();
    let ended = loaders.into_iter().map(|loader| loader.finish().exits(0));
    let runs: Vec<_> = ended.collect();
    let read: u64 = runs.iter().map(|run| run.count("/in")).sum();
    assert_eq!(read, (LOADERS * BUILDS) as u64);
    runs
}

fn inserted(runs: &[Run]) -> u64 {
    runs.iter().map(|run| run.count("/out")).sum()
}

/// Every third build has another key for each loader.
fn of_own_keys(loader: usize, n: usize) -> Value {
    let mut record = record(n);
    if n.is_multiple_of(3) {
        record["key"] = json!(format!("{loader}/{n}"));
    }
    record
}

fn concurrent_loaders_insert_each_build_once(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let runs = load(&store, &[], of_own_keys);
    assert_eq!(inserted(&runs), BUILDS as u64);
    for run in runs {
        assert_eq!(run.count("/notes/batches again"), 0, "a deadlock: {run}");
    }
    let hashes: BTreeSet<_> = store.rows().into_iter().map(|row| row.hash).collect();
    assert_eq!(hashes.len(), BUILDS);
    assert_eq!(store.rows().len(), BUILDS);
    assert_eq!(store.objects().len(), BUILDS / 3 * 2 + LOADERS * BUILDS / 3);
}

fn concurrent_loaders_renew_etags_consistently(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    load(&store, &[], |_, n| record(n));
    let before = store.rows();
    let runs = load(&store, &[], |loader, n| {
        let mut record = record(n);
        record["etag"] = json!(format!("{loader}/{n}"));
        record
    });
    assert_eq!(inserted(&runs), 0);
    // A row and its known object come from the same loader.
    let rows = store.rows();
    for [key, etag, hash] in store.objects() {
        let row = rows.iter().find(|row| row.hash == hash).unwrap();
        assert_eq!(row.key.as_ref(), Some(&key));
        assert_eq!(row.etag, Some(format!("\"{etag}\"")), "{key}");
        assert!(etag.contains('/'), "{key} was not renewed: {etag}");
    }
    assert_eq!(store.objects().len(), BUILDS);
    let ids = |rows: &[Row]| -> Vec<i64> { rows.iter().map(|row| row.id).collect() };
    assert_eq!(ids(&rows), ids(&before));
}

fn concurrent_loaders_share_one_index(kind: Kind) {
    let (Some(index), Some(store)) = (Index::new(8), Store::new(kind)) else {
        return;
    };
    let args = ["--elasticsearch", &index.url, "--index", &index.name];
    let runs = load(&store, &args, of_own_keys);
    assert_eq!(inserted(&runs), BUILDS as u64);
    assert_eq!(store.outbox(), []);
    let documents = index.documents();
    assert_eq!(documents.len(), BUILDS);
    assert_eq!(documents, store.documents());
}
