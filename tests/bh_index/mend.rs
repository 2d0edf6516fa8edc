//! Documents that differ from their rows are printed, and mended.

use std::fs::File;
use std::process::Stdio;

use elasticsearch::http::Method;
use rustix::process::Signal;
use serde_json::{Value, json};

use super::{check, differences, expected, indexer, load, records, settings, tool};
use crate::harness::elastic::Index;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::{key, ndjson, record};
use crate::harness::stored::Store;
use crate::harness::{Tool, folder, wait_for};

/// Writes a document past the loader.
fn put(index: &Index, id: &str, document: Value) {
    let kind = if index.version == 6 { "doc" } else { "_doc" };
    let path = format!("/{}/{kind}/{id}", index.name);
    let answer = index.request(Method::Put, &path, Some(document));
    assert!(answer["error"].is_null(), "{answer}");
}

/// Returns the ids of the rows by the numbers of their records.
fn ids(store: &Store) -> Vec<i64> {
    let mut rows = store.rows();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    rows.iter().map(|row| row.id).collect()
}

#[test]
fn each_difference_is_printed_and_mended() {
    for (store, index) in settings() {
        let mut lines = records(0..20);
        lines[19]["build"]["download"]["size"] = json!(u64::MAX);
        load(&store, &index, &lines).exits(65);
        let ids = ids(&store);
        let refused = (ids[19], "refused");
        let run = check(&store, &index).exits(65);
        assert_eq!(differences(&run), expected([refused]), "{run}");

        let mut wanted = store.documents();
        wanted.remove(&ids[19]);
        index.delete([ids[3]]);
        let mut altered = wanted[&ids[7]].clone();
        altered["target"]["channel"] = json!("beta");
        put(&index, &ids[7].to_string(), altered);
        put(&index, "1000", wanted[&ids[1]].clone());
        let before = index.documents();

        let mut all = vec![(ids[3], "unindexed"), (ids[7], "differing"), refused];
        all.sort_unstable();
        all.push((1000, "orphan"));
        let all = expected(all);
        for _ in 0..2 {
            let run = check(&store, &index).exits(65);
            assert_eq!(differences(&run), all, "{run}");
            run.says("1 unindexed, 1 differing, 1 refused, 1 orphaned");
        }
        let run = check(&store, &index);
        let line = |kind: &str| {
            let lines = run.lines();
            lines
                .into_iter()
                .find(|line| line["index"] == kind)
                .unwrap()
        };
        assert_eq!(
            line("unindexed"),
            json!({"id": ids[3], "key": key(3), "etag": "e3", "index": "unindexed"})
        );
        assert!(line("refused")["reason"].as_str().unwrap().contains("400 "));
        assert_eq!(line("orphan"), json!({"id": 1000, "index": "orphan"}));
        assert_eq!(index.documents(), before);

        let run = indexer(&store, &index).run().exits(65);
        assert_eq!(differences(&run), all, "{run}");
        let mut with_orphan = wanted.clone();
        with_orphan.insert(1000, before[&1000].clone());
        assert_eq!(index.documents(), with_orphan);

        let run = indexer(&store, &index).arg("--delete-orphans").run();
        let left = expected([refused, (1000, "orphan")]);
        assert_eq!(differences(&run.exits(65)), left);
        assert_eq!(index.documents(), wanted);
        let run = check(&store, &index).exits(65);
        assert_eq!(differences(&run), expected([refused]), "{run}");
    }
}

#[test]
fn an_index_that_holds_every_row_does_not_differ() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..30)).exits(0);
        // In another notation, as another program may have written it.
        let id = ids(&store)[4];
        let mut document = store.documents()[&id].clone();
        let size = document["download"]["size"].as_f64().unwrap();
        document["download"]["size"] = json!(size);
        put(&index, &id.to_string(), document);
        let run = check(&store, &index).exits(0).prints_nothing();
        assert_eq!(run.count("/notes/rows compared"), 30, "{run}");
        let run = indexer(&store, &index).run().exits(0).prints_nothing();
        assert_eq!(run.count("/out"), 0, "{run}");
    }
}

#[test]
fn a_queued_row_is_unindexed_until_it_is_mended() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..10)).exits(0);
        let database = ["--database".to_owned(), store.url()];
        let lines = ndjson(&records(10..15));
        let alone = Tool::new("bh-load").args(database).input(lines);
        alone.run().exits(0);
        let run = check(&store, &index).exits(65);
        let lines = run.lines();
        let queued = |line: &Value| line["index"] == "unindexed" && line["queued"] == true;
        assert!(lines.len() == 5 && lines.iter().all(queued), "{run}");
        assert_eq!(store.outbox().len(), 5);
        indexer(&store, &index).run().exits(0).prints_nothing();
        assert_eq!(store.outbox(), []);
        assert_eq!(index.documents(), store.documents());
        check(&store, &index).exits(0);
    }
}

#[test]
fn refused_documents_are_retried_on_request() {
    for (store, index) in settings() {
        let mut lines = records(0..2);
        lines[1]["build"]["download"]["size"] = json!(u64::MAX);
        load(&store, &index, &lines).exits(65);
        // As if a newer version could send it.
        let id = store.outbox()[0].0;
        let size = format!("{}", u64::MAX);
        store.execute(&match &store {
            Store::Sqlite(..) => {
                format!(
                    "UPDATE main_build SET build = replace(build, '{size}', '5') WHERE id = {id}"
                )
            }
            Store::Postgres(_) => format!(
                "UPDATE main_build SET build = replace(build::text, '{size}', '5')::jsonb \
                 WHERE id = {id}"
            ),
        });
        let run = indexer(&store, &index).run().exits(65);
        run.says("add --retry-refused");
        indexer(&store, &index)
            .arg("--retry-refused")
            .run()
            .exits(0);
        assert_eq!(index.documents(), store.documents());
    }
}

/// A restored database gives ids once more.
#[test]
fn a_document_that_is_written_meanwhile_is_no_orphan() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..5)).exits(0);
        let document = store.documents().into_values().next().unwrap();
        put(&index, "1000", document.clone());
        put(&index, "1001", document.clone());
        let proxy = Proxy::new(&index.url);
        let hold = proxy.set(Trap {
            text: "/_bulk",
            nth: 1,
            point: Point::Asked,
        });
        let started = tool("bh-index", &store, &index.name, &proxy.url)
            .arg("--delete-orphans")
            .start_with(Stdio::null(), Stdio::piped());
        wait_for("the request that deletes", || hold.is_held());
        put(&index, "1000", document.clone());
        hold.release(true);
        let run = started.finish().exits(65);
        assert_eq!(run.count("/notes/orphans deleted"), 1, "{run}");
        let documents = index.documents();
        assert!(documents.contains_key(&1000) && !documents.contains_key(&1001));
    }
}

#[test]
fn what_cannot_be_compared_is_said() {
    let folder = folder();
    let database = format!("sqlite:{}/none.db", folder.path().display());
    let tool = || Tool::new("bh-index").args(["--database", &database]);
    let server = ["--elasticsearch", "http://localhost:9"];
    let run = tool().arg("--check").args(server).run().exits(78);
    run.says("bh-load has stored nothing here");
    tool().run().exits(2).says("no index is named");
    tool().args(["--check", "--delete-orphans"]).run().exits(2);
    for (store, index) in settings() {
        let alone = Tool::new("bh-load").args(["--database", &store.url()]);
        let lines = ndjson(&records(0..3));
        alone.input(lines).run().exits(0);
        let run = check(&store, &index).exits(78);
        run.says("no index follows this database");
        indexer(&store, &index).run().exits(0);
        assert_eq!(index.documents(), store.documents());
        index.request(Method::Delete, &format!("/{}", index.name), None);
        let run = check(&store, &index).exits(78);
        run.says("the index is gone").says("run bh-index");
        indexer(&store, &index).run().exits(0);
        assert_eq!(index.documents(), store.documents());
    }
}

#[test]
fn a_lost_output_is_noticed() {
    let Some((store, index)) = settings().next() else {
        return;
    };
    load(&store, &index, &[record(0)]).exits(0);
    index.delete(ids(&store));
    let check = || indexer(&store, &index).arg("--check");
    let full = File::options().write(true).open("/dev/full").unwrap();
    let run = check().start_with(Stdio::null(), full.into()).finish();
    run.exits(74)
        .says("standard output: No space left on device");
    let (_, stdout) = std::io::pipe().unwrap();
    let run = check().start_with(Stdio::null(), stdout.into()).finish();
    run.dies_by(Signal::PIPE.as_raw());
}
