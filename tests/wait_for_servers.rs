//! With --wait-for-servers, a server that goes away and comes back ends no run.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::faulty::{Faulty, object};
use crate::harness::fed::Fed;
use crate::harness::kinto::{Kinto, id_of, release};
use crate::harness::postgres::Database;
use crate::harness::proxy::Proxy;
use crate::harness::sample::{self, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, wait_for};

/// Without waiting, the first failure would end a run with 69.
const WAIT: [&str; 3] = ["--wait-for-servers", "--tries", "1"];

/// So often a server has to be asked in vain.
const TIMES: usize = 3;

fn records(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(record).collect()
}

#[track_caller]
fn nothing_is_rejected(run: &Run) {
    assert_eq!(run.summary["rejected"], json!({}), "{run}");
    assert_eq!(run.summary["refused_later"], json!({}), "{run}");
    assert_eq!(run.summary["in_flight"], 0, "{run}");
}

#[test]
fn bh_load_waits_for_postgresql_and_drains_its_queue_when_elasticsearch_returns() {
    let (Some(store), Some(index)) = (Store::new(Kind::Postgres), Index::new(8)) else {
        return;
    };
    let (database, search) = (Proxy::new(&store.url()), Proxy::new(&index.url));
    let tool = Tool::new("bh-load")
        .args(WAIT)
        .args(["--flush-interval", "10ms", "--index", &index.name])
        .env("DATABASE_URL", &database.url)
        .env("ELASTICSEARCH_URL", &search.url);
    let rows = |count: usize| {
        wait_for("the rows", || store.rows().len() == count);
    };
    // Neither is there at the start.
    database.cut();
    search.cut();
    let mut fed = Fed::new(tool);
    fed.give(&records(0..5));
    database.has_refused(TIMES);
    database.restore();
    search.has_refused(TIMES);
    search.restore();
    wait_for("the first rows", || store.rows().len() == 5);
    wait_for("their documents", || store.outbox().is_empty());
    database.cut();
    fed.give(&records(5..10));
    database.has_refused(TIMES);
    database.restore();
    wait_for("the next rows", || store.rows().len() == 10);
    wait_for("their documents", || store.outbox().is_empty());
    search.cut();
    for n in 2..5 {
        fed.give(&records(5 * n..5 * n + 5));
        rows(5 * n + 5);
    }
    search.has_refused(TIMES);
    search.restore();
    wait_for("all documents", || store.outbox().is_empty());
    assert_eq!(index.documents(), store.documents());
    assert_eq!(index.documents().len(), 25);
    let run = fed.finish().exits(0);
    nothing_is_rejected(&run);
    assert_eq!(run.count("/out"), 25, "{run}");
}

#[test]
fn listing_and_fetching_wait_for_the_object_storage() {
    let objects: Vec<Value> = (0..20)
        .map(|n| object(&sample::key(n), &sample::build(n).to_string()))
        .collect();
    let faulty = Faulty::start(&objects, &[]);
    let proxy = Proxy::new(&faulty.url);
    let tool = |name: &str| {
        let tool = Tool::new(name).args(["--endpoint-url", &proxy.url, "--no-sign-request"]);
        tool.args(WAIT)
    };
    proxy.cut();
    let list = Fed::new(tool("s3-list").arg("s3://bench"));
    proxy.has_refused(TIMES);
    proxy.restore();
    nothing_is_rejected(&list.finish().exits(0));

    let lines: Vec<Value> = (0..20)
        .map(|n| json!({"bucket": "bench", "key": sample::key(n)}))
        .collect();
    let mut fetch = Fed::new(tool("bh-fetch"));
    fetch.give(&lines[..5]);
    for _ in 0..5 {
        fetch.line();
    }
    proxy.cut();
    fetch.give(&lines[5..]);
    proxy.has_refused(20 * TIMES);
    proxy.restore();
    for n in 5..20 {
        assert_eq!(fetch.line()["key"], sample::key(n));
    }
    let run = fetch.finish().exits(0);
    nothing_is_rejected(&run);
    assert_eq!(run.count("/out"), 20, "{run}");
}

/// An object that fails for ever is passed by; it would stop the stream otherwise.
#[test]
fn an_object_that_fails_alone_is_not_waited_for() {
    let objects: Vec<Value> = (0..3)
        .map(|n| object(&format!("{n}/buildhub.json"), "{}"))
        .collect();
    let faulty = Faulty::start(&objects, &["--fail-get", "1/buildhub.json"]);
    let lines = (0..3).map(|n| json!({"bucket": "bench", "key": format!("{n}/buildhub.json")}));
    let run = faulty.tool("bh-fetch").args(WAIT);
    let run = run
        .input(sample::ndjson(&lines.collect::<Vec<_>>()))
        .run()
        .exits(65);
    assert_eq!(run.count("/out"), 2, "{run}");
    assert_eq!(run.count("/rejected/failed"), 1, "{run}");
}

#[test]
fn kinto_load_waits_for_kinto() {
    let Some(kinto) = Kinto::new() else { return };
    let proxy = Proxy::new(&kinto.url);
    let releases: Vec<Value> = (0..10).map(|n| json!({"data": release(n)})).collect();
    proxy.cut();
    let mut fed = Fed::new(kinto.at("kinto-load", &proxy.url).args(WAIT));
    proxy.has_refused(TIMES);
    proxy.restore();
    fed.give(&releases[..5]);
    wait_for("the first records", || kinto.stored().len() == 5);
    proxy.cut();
    fed.give(&releases[5..]);
    proxy.has_refused(TIMES);
    proxy.restore();
    let run = fed.finish().exits(0);
    nothing_is_rejected(&run);
    let stored: BTreeMap<_, _> = kinto.stored();
    let ids: Vec<String> = stored.into_keys().collect();
    let mut expected: Vec<String> = (0..10).map(|n| id_of(&release(n))).collect();
    expected.sort();
    assert_eq!(ids, expected);
}

#[test]
fn an_error_of_configuration_is_not_waited_for() {
    let faulty = Faulty::start(&[], &[]);
    let run = faulty.tool("s3-list").args(WAIT).arg("s3://other").run();
    run.exits(78);
    let Some(database) = Database::new() else {
        return;
    };
    let (server, _) = database.url.rsplit_once('/').unwrap();
    let run = Tool::new("bh-load").args(WAIT).arg("--database");
    run.arg(format!("{server}/nowhere")).run().exits(78);
}
