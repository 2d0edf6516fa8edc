//! PostgreSQL behind a pooler that gives each transaction another session.

use serde_json::json;

use crate::harness::Tool;
use crate::harness::elastic::Index;
use crate::harness::pgbouncer::Pooler;
use crate::harness::postgres::Database;
use crate::harness::sample::{ndjson, record};

const OPTIONS: &str = "ignore_startup_parameters = extra_float_digits,options";

/// Loaders and filters that share two sessions of the server.
#[test]
fn programs_share_the_sessions_of_a_pooler() {
    let Some(database) = Database::new() else {
        return;
    };
    let (Some(pooler), Some(index)) = (Pooler::new(&database, OPTIONS), Index::new(8)) else {
        return;
    };
    let lines: Vec<_> = (0..200).map(record).collect();
    let input = ndjson(&lines);
    let first = Tool::new("bh-load").args(["--database", &pooler.url]);
    first.input(ndjson(&lines[..20])).run().exits(0);
    let runs: Vec<_> = std::thread::scope(|scope| {
        let start = |program: &'static str, args: &'static [&'static str]| {
            let (url, input, index) = (&pooler.url, input.clone(), &index);
            scope.spawn(move || {
                let tool = Tool::new(program).args(args).args(["--database", url]);
                let tool = if program == "bh-load" {
                    tool.env("ELASTICSEARCH_URL", &index.url)
                        .args(["--index", &index.name])
                } else {
                    tool
                };
                tool.input(input).run()
            })
        };
        let mut started = Vec::new();
        for _ in 0..3 {
            started.push(start("bh-load", &["--batch-size", "20"]));
            started.push(start("bh-filter", &[]));
        }
        started.into_iter().map(|run| run.join().unwrap()).collect()
    });
    for run in runs {
        run.exits(0);
    }
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 200);
    assert_eq!(database.count("SELECT count(*) FROM bh_object"), 200);
    // Changed and refused rows go through it as well.
    let mut changed = record(0);
    changed["etag"] = json!("new");
    let mut bad = record(300);
    bad["build"]["source"]["product"] = json!("a\u{0}b");
    let tool = Tool::new("bh-load").args(["--database", &pooler.url]);
    let run = tool
        .input(ndjson(&[changed, bad, record(301)]))
        .run()
        .exits(65);
    assert_eq!(run.count("/out"), 1, "{run}");
    assert_eq!(database.count("SELECT count(*) FROM main_build"), 201);
}

#[test]
fn a_search_path_that_a_pooler_drops_is_not_taken_for_set() {
    let Some(database) = Database::new() else {
        return;
    };
    let Some(pooler) = Pooler::new(&database, OPTIONS) else {
        return;
    };
    let make = "CREATE SCHEMA app";
    database.client().batch_execute(make).unwrap();
    for program in ["bh-load", "bh-filter"] {
        let url = format!("{}?options=-c%20search_path%3Dapp", pooler.url);
        let tool = Tool::new(program).args(["--database", &url]);
        let run = tool.input(ndjson(&[record(0)])).run().exits(78);
        run.says("a pooler").says("ALTER ROLE");
    }
}

#[test]
fn parameters_that_a_pooler_refuses_are_reported_at_once() {
    let Some(database) = Database::new() else {
        return;
    };
    let Some(pooler) = Pooler::new(&database, "") else {
        return;
    };
    let url = format!("{}?options=-c%20lock_timeout%3D1s", pooler.url);
    let tool = Tool::new("bh-load").args(["--database", &url]);
    let run = tool.input(ndjson(&[record(0)])).run().exits(78);
    run.says("unsupported startup parameter");
}

/// It closes the connection at the first transaction, so what it says is easily missed.
#[test]
fn a_pooler_that_takes_no_transactions_is_named_at_once() {
    let Some(database) = Database::new() else {
        return;
    };
    let Some(pooler) = Pooler::new(&database, "pool_mode = statement") else {
        return;
    };
    let load = |url: &str| {
        let tool = Tool::new("bh-load").args(["--database", url, "--tries", "3"]);
        tool.input(ndjson(&[record(0)])).run()
    };
    // Without tables, and with them.
    for _ in 0..2 {
        for _ in 0..3 {
            let run = load(&pooler.url).exits(78);
            run.says("session or transaction pooling");
        }
        load(&database.url).exits(0);
    }
}
