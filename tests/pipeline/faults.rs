//! Servers that fail during a run: nothing is lost, nothing is duplicated.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::fed::Fed;
use crate::harness::postgres::Database;
use crate::harness::proxy::Proxy;
use crate::harness::sample::{self, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Tool, folder, left_out, wait_for};

fn records(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(record).collect()
}

/// Asserts that every record of the range has one row.
#[track_caller]
fn holds(store: &Store, numbers: std::ops::Range<usize>) {
    assert_eq!(store.keys(), numbers.map(sample::key).collect::<Vec<_>>());
}

fn loader(store: &Store) -> Tool {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url(), "--flush-interval=0.05"])
}

/// Returns the number of documents in the outbox, once its table exists.
fn waiting(store: &Store) -> usize {
    store.outbox().len()
}

/// Both run at the same time, since they mostly wait.
#[test]
fn documents_wait_until_elasticsearch_returns() {
    std::thread::scope(|scope| {
        scope.spawn(|| elasticsearch_leaves(Kind::Postgres, 6));
        scope.spawn(|| elasticsearch_leaves(Kind::Sqlite, 8));
    });
}

fn elasticsearch_leaves(kind: Kind, version: u32) {
    let (Some(index), Some(store)) = (Index::new(version), Store::new(kind)) else {
        return;
    };
    let proxy = Proxy::new(&index.url);
    let loader = || loader(&store).args(["--elasticsearch", &proxy.url, "--index", &index.name]);
    let mut fed = Fed::new(loader());
    fed.give(&records(0..20));
    let mark = json!({"mark": {"page": {"run": "r", "next": "2"}}});
    fed.give([&mark]);
    assert_eq!(fed.line(), mark);
    wait_for("the first rows in the index", || waiting(&store) == 0);
    proxy.cut();
    fed.give(&records(20..50));
    let end = json!({"mark": {"end": {"run": "r"}}});
    fed.give([&mark, &end]);
    // Rows are stored and confirmed without Elasticsearch.
    assert_eq!(fed.line(), mark);
    holds(&store, 0..50);
    let run = fed
        .finish()
        .exits(69)
        .says("rows are stored, but not all are indexed");
    assert_eq!(run.count("/out"), 50, "{run}");
    assert_eq!(run.count("/notes/indexed"), 20, "{run}");
    holds(&store, 0..50);
    let queue: Vec<_> = (21..=50).map(|id| (id, None)).collect();
    assert_eq!(store.outbox(), queue);
    assert_eq!(index.documents().len(), 20);

    // A run without Elasticsearch reports that documents wait.
    let without = self::loader(&store).input("").run().exits(0);
    without.says("documents are queued in");

    // When it is back, a run sends the queue and the new rows.
    proxy.restore();
    let run = loader()
        .input(sample::ndjson(&records(45..60)))
        .run()
        .exits(0);
    assert_eq!(run.count("/out"), 10, "{run}");
    holds(&store, 0..60);
    assert_eq!(store.outbox(), []);
    assert_eq!(index.documents(), store.documents());
    // Each document is sent once, though the queue is sent beside new rows.
    assert_eq!(run.count("/notes/indexed"), 40, "{run}");
}

#[test]
fn rows_are_stored_while_elasticsearch_is_unreachable() {
    let (Some(index), Some(store)) = (Index::new(8), Store::new(Kind::Postgres)) else {
        return;
    };
    let proxy = Proxy::new(&index.url);
    proxy.cut();
    let loader = || loader(&store).args(["--elasticsearch", &proxy.url, "--index", &index.name]);
    let end = json!({"mark": {"end": {"run": "r"}}});
    let lines: Vec<Value> = (0..20).map(record).chain([end.clone()]).collect();
    let run = loader().input(sample::ndjson(&lines)).run().exits(69);
    assert_eq!(run.lines(), [end], "{run}");
    holds(&store, 0..20);
    let queue: Vec<_> = (1..=20).map(|id| (id, None)).collect();
    assert_eq!(store.outbox(), queue);

    proxy.restore();
    let run = loader().run().exits(0);
    assert_eq!(run.count("/notes/indexed"), 20, "{run}");
    assert_eq!(store.outbox(), []);
    assert_eq!(index.documents(), store.documents());
}

/// Holds a loader in the middle of its transaction as long as this lives.
struct Lock<'a> {
    database: &'a Database,
    _client: postgres::Client,
}

impl<'a> Lock<'a> {
    fn new(database: &'a Database) -> Self {
        let mut client = database.client();
        client
            .batch_execute("BEGIN; LOCK TABLE main_build IN SHARE ROW EXCLUSIVE MODE")
            .unwrap();
        Self {
            database,
            _client: client,
        }
    }

    /// Waits until a loader stands in the middle of its transaction.
    fn holds_one(&self) {
        let blocked = "SELECT count(*) FROM pg_stat_activity
            WHERE datname = current_database() AND wait_event_type = 'Lock'";
        wait_for("a loader in its transaction", || {
            self.database.count(blocked) > 0
        });
    }
}

const TERMINATE: &str = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
      AND application_name = 'buildhub-pipes'";

#[test]
fn lost_connections_to_postgres_lose_nothing() {
    let Some(store) = Store::new(Kind::Postgres) else {
        return;
    };
    let Store::Postgres(database) = &store else {
        unreachable!()
    };
    let mark = json!({"mark": {"page": {"run": "r", "next": "2"}}});
    let mut fed = Fed::new(loader(&store));
    fed.give(&records(0..10));
    fed.give([&mark]);
    fed.line();
    assert_eq!(database.count(TERMINATE), 1);
    fed.give(&records(10..20));
    fed.give([&mark]);
    fed.line();
    holds(&store, 0..20);

    let lock = Lock::new(database);
    fed.give(&records(20..30));
    fed.give([&mark]);
    lock.holds_one();
    assert_eq!(database.count(TERMINATE), 1);
    drop(lock);
    fed.line();
    holds(&store, 0..30);
    fed.give([&json!({"mark": {"end": {"run": "r"}}})]);
    let run = fed.finish().exits(0).says("retrying");
    assert_eq!(run.count("/out"), 30, "{run}");
    assert_eq!(run.count("/notes/reconnections"), 2, "{run}");
    assert_eq!(store.objects().len(), 30);
}

/// A PostgreSQL server for this test only.
struct Server(String);

impl Server {
    fn start() -> Option<Self> {
        if std::env::var_os("TEST_DATABASE_URL").is_none() {
            left_out("PostgreSQL to restart (TEST_DATABASE_URL)");
            return None;
        }
        let server = Self(format!("postgres@{}", uuid::Uuid::new_v4().simple()));
        server.control(&["start"]);
        Some(server)
    }

    fn control(&self, what: &[&str]) -> String {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/servers");
        let output = Command::new(script)
            .args(what)
            .arg(&self.0)
            .output()
            .unwrap();
        assert!(output.status.success(), "{what:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn url(&self) -> String {
        let env = self.control(&["env"]);
        let url = env.trim().rsplit_once("URL=").unwrap().1;
        url.replace('\\', "")
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.control(&["stop", "--mode", "immediate"]);
    }
}

#[test]
fn a_server_that_does_not_wait_for_the_disk_is_warned_of() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = Store::Postgres(Database::on(&server.url()));
    let Store::Postgres(database) = &store else {
        unreachable!()
    };
    let said = "the server has fsync off, so confirmed rows may be lost in a crash";
    let load = |n| {
        let run = loader(&store).input(ndjson(&records(n..n + 1))).run();
        run.exits(0)
    };
    assert!(!load(0).stderr.contains("fsync"));
    let mut client = database.client();
    client
        .batch_execute("ALTER SYSTEM SET fsync = off")
        .unwrap();
    client.batch_execute("SELECT pg_reload_conf()").unwrap();
    wait_for("the setting", || {
        database.count("SELECT count(*) FROM pg_settings WHERE name = 'fsync' AND setting = 'off'")
            == 1
    });
    load(1).says(said);
}

#[test]
fn restarts_of_postgres_lose_nothing() {
    let Some(server) = Server::start() else {
        return;
    };
    let store = Store::Postgres(Database::on(&server.url()));
    let Store::Postgres(database) = &store else {
        unreachable!()
    };
    let folder = folder();
    let resume_file = folder.path().join("list.json");
    let page = |after: Option<usize>, through: Option<usize>| {
        let bounds = [after, through].map(|bound| bound.map(sample::key));
        json!({"mark": {"listed": {"run": "r", "after": bounds[0], "through": bounds[1]}}})
    };
    let mut fed = Fed::new(loader(&store).arg("--resume-file").arg(&resume_file));
    fed.give(&records(0..10));
    fed.give([&page(None, Some(9))]);
    fed.line();
    server.control(&["restart"]);
    fed.give(&records(10..20));
    fed.give([&page(Some(9), Some(19))]);
    fed.line();
    holds(&store, 0..20);

    let lock = Lock::new(database);
    fed.give(&records(20..30));
    fed.give([&page(Some(19), None)]);
    lock.holds_one();
    server.control(&["restart", "--mode", "immediate"]);
    drop(lock);
    fed.line();
    fed.give([&json!({"mark": {"end": {"run": "r"}}})]);
    let run = fed.finish().exits(0).says("retrying");
    assert_eq!(run.count("/out"), 30, "{run}");
    assert!(run.count("/notes/reconnections") >= 2, "{run}");
    holds(&store, 0..30);
    let loaded = crate::harness::lines_of(&folder.path().join("list.json.loaded"));
    let whole = json!([{"after": null, "through": null}]);
    let database = store.address();
    assert_eq!(loaded[0]["coverage"], whole);
    assert_eq!(
        (&loaded[0]["run"], &loaded[0]["database"]),
        (&json!("r"), &json!(database))
    );
}
