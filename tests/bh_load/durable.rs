//! What is confirmed is on disk, in the database that the run began with.

use serde_json::{Value, json};

use crate::harness::fed::Fed;
use crate::harness::postgres::Database;
use crate::harness::sample::{self, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Tool, folder, lines_of};
use crate::pipeline::on_each_store;

on_each_store! {
    a_database_that_is_replaced_during_a_run_is_told
    a_database_that_is_replaced_behind_the_last_row_is_told
}

/// The setting under which each transaction that inserts is committed.
#[test]
fn no_commit_is_asynchronous() {
    let Some(database) = Database::new() else {
        return;
    };
    let load = |n: usize| {
        let tool = Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", &database.url]);
        tool.input(ndjson(&[record(n)])).run().exits(0)
    };
    load(0);
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let mut client = database.client();
    client
        .batch_execute(
            "CREATE TABLE seen (setting text);
             CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS
                 'BEGIN INSERT INTO seen VALUES (current_setting(''synchronous_commit''));
                  RETURN NULL; END';
             CREATE TRIGGER t AFTER INSERT ON main_build FOR EACH ROW EXECUTE FUNCTION f();",
        )
        .unwrap();
    let settings = [
        ("off", "on"),
        ("local", "local"),
        ("on", "on"),
        ("remote_apply", "remote_apply"),
    ];
    for (n, (set, expected)) in settings.into_iter().enumerate() {
        let alter =
            format!("ALTER DATABASE {name} SET synchronous_commit = {set}; DELETE FROM seen");
        client.batch_execute(&alter).unwrap();
        let run = load(1 + n);
        let seen = client.query_one("SELECT string_agg(setting, ' ') FROM seen", &[]);
        let seen: String = seen.unwrap().get(0);
        assert_eq!(seen, expected, "{set}: {run}");
    }
}

/// Rows of others may be visible that are not on disk: under `off` the commit
/// waits for the log also where it adds nothing.
#[test]
fn known_objects_are_on_disk_before_they_are_confirmed() {
    let Some(database) = Database::new() else {
        return;
    };
    let load = || {
        let tool = Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", &database.url]);
        tool.input(ndjson(&[record(0)])).run().exits(0)
    };
    load();
    let name = database.url.rsplit('/').next().unwrap().to_owned();
    let mut client = database.client();
    let alter = format!("ALTER DATABASE {name} SET synchronous_commit = off");
    client.batch_execute(&alter).unwrap();
    let before = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]);
    let before: String = before.unwrap().get(0);
    let run = load();
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
    let flushed = format!("SELECT (pg_current_wal_flush_lsn() > '{before}')::int::bigint");
    assert_eq!(database.count(&flushed), 1);
}

fn page(after: Option<usize>, through: Option<usize>) -> Value {
    let [after, through] = [after, through].map(|bound| bound.map(sample::key));
    json!({"mark": {"listed": {"run": "r", "after": after, "through": through}}})
}

fn end() -> Value {
    json!({"mark": {"end": {"run": "r"}}})
}

/// Ways to put another database in the place of a store.
const WAYS: usize = 3;

fn replace(store: &Store, way: usize) {
    match store {
        Store::Sqlite(path, _) => match way {
            0 => std::fs::remove_file(path).unwrap(),
            1 => {
                let other = path.with_extension("other");
                std::fs::copy(path, &other).unwrap();
                std::fs::rename(&other, path).unwrap();
            }
            _ => {
                let mut log = path.as_os_str().to_owned();
                log.push("-wal");
                std::fs::remove_file(log).unwrap();
            }
        },
        Store::Postgres(database) => {
            let tables = "ALTER TABLE main_build RENAME TO old;
                CREATE TABLE main_build (LIKE old INCLUDING ALL);
                CREATE SEQUENCE ids; ALTER TABLE main_build ALTER id SET DEFAULT nextval('ids')";
            let name = database.url.rsplit('/').next().unwrap();
            match way {
                0 => store.execute("DROP TABLE bh_object, bh_outbox, main_build"),
                1 => store.execute(tables),
                _ => {
                    let server = database.url.replace(name, "postgres");
                    let mut client =
                        ::postgres::Client::connect(&server, ::postgres::NoTls).unwrap();
                    for statement in [
                        format!("DROP DATABASE {name} WITH (FORCE)"),
                        format!("CREATE DATABASE {name}"),
                    ] {
                        client.batch_execute(&statement).unwrap();
                    }
                }
            }
        }
    }
}

fn a_database_that_is_replaced_during_a_run_is_told(kind: Kind) {
    replaced(kind, true);
}

fn a_database_that_is_replaced_behind_the_last_row_is_told(kind: Kind) {
    replaced(kind, false);
}

fn replaced(kind: Kind, row_behind: bool) {
    for way in 0..WAYS {
        let Some(store) = Store::new(kind) else {
            return;
        };
        let folder = folder();
        let resume_file = folder.path().join("list.json");
        let loader = || {
            let tool = Tool::new("bh-load")
                .arg("--marks")
                .args(["--database", &store.url()]);
            tool.arg("--resume-file").arg(&resume_file)
        };
        let mut fed = Fed::new(loader().arg("--flush-interval=0.01"));
        fed.give([&record(0), &page(None, Some(0))]);
        assert_eq!(fed.line(), page(None, Some(0)));
        replace(&store, way);
        let (rest, last) = (page(Some(0), None), end());
        if row_behind {
            fed.give([&record(1), &rest, &last]);
        } else {
            fed.give([&rest, &last]);
        }
        let run = fed.finish();
        let status = if kind == Kind::Sqlite { 74 } else { 78 };
        let run = run.exits(status).says("removed or replaced");
        let place = match &store {
            Store::Sqlite(path, _) => path.file_name().unwrap().to_str().unwrap().to_owned(),
            Store::Postgres(_) => "main_build".to_owned(),
        };
        assert!(run.stderr.contains(&place), "{run}");
        // Nothing is taken as stored, so that all of it is listed again.
        let loaded = lines_of(&folder.path().join("list.json.loaded")).remove(0);
        assert_eq!(loaded["coverage"], json!([]), "{way}: {run}");
    }
}
