//! A new index takes the name, and nobody notices.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

use elasticsearch::http::Method;
use rustix::process::Signal;
use serde_json::json;

use super::{check, indexer, load, records, settings, tool};
use crate::harness::elastic::Index;
use crate::harness::fed::Fed;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::{key, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, wait_for};

fn rebuild(store: &Store, index: &Index, url: &str) -> Tool {
    tool("bh-index", store, &index.name, url).args(["--new-index", "--replace"])
}

/// The names of the indices that are, or were, this one.
fn indices(index: &Index) -> BTreeSet<String> {
    let path = format!("/{}*", index.name);
    let all = index.request(Method::Get, &path, None);
    all.as_object().unwrap().keys().cloned().collect()
}

/// The index that has the name.
fn current(index: &Index) -> String {
    let all = index.request(Method::Get, &format!("/{}", index.name), None);
    let names: Vec<String> = all.as_object().unwrap().keys().cloned().collect();
    assert_eq!(names.len(), 1, "{all}");
    names[0].clone()
}

/// The index holds what the rows say, nothing waits, and no rebuild is left.
#[track_caller]
fn is_whole(store: &Store, index: &Index) {
    assert_eq!(store.outbox(), []);
    assert_eq!(index.documents(), store.documents());
    check(store, index).exits(0).prints_nothing();
    let left = store.texts("SELECT owner FROM bh_reindex");
    assert!(left.is_empty(), "{left:?}");
}

#[test]
fn a_new_index_takes_the_name() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..20)).exits(0);
        let run = indexer(&store, &index).arg("--new-index").run().exits(78);
        run.says("is an index and not an alias")
            .says("add --replace");
        assert_eq!(current(&index), index.name);
        let run = rebuild(&store, &index, &index.url).run().exits(0);
        assert_eq!(run.count("/notes/rows indexed"), 20, "{run}");
        let first = current(&index);
        assert_ne!(first, index.name);
        is_whole(&store, &index);
        load(&store, &index, &records(20..30)).exits(0);
        is_whole(&store, &index);

        // Now it is an alias, and the former index stays. Names differ by the second.
        wait_for("another second", || {
            let now = jiff::Timestamp::now().strftime("%Y%m%d%H%M%S").to_string();
            !first.ends_with(&now)
        });
        let run = indexer(&store, &index).arg("--new-index").run().exits(0);
        run.says(&format!("the former index {first} is kept"));
        let second = current(&index);
        assert_eq!(indices(&index), [first, second].into());
        is_whole(&store, &index);
        load(&store, &index, &records(30..35)).exits(0);
        is_whole(&store, &index);
    }
}

#[test]
fn a_new_index_notes_what_it_refuses() {
    for (store, index) in settings() {
        let mut lines = records(0..5);
        lines[2]["build"]["download"]["size"] = u64::MAX.into();
        load(&store, &index, &lines).exits(65);
        let refused = store.outbox();
        rebuild(&store, &index, &index.url).run().exits(65);
        let now = store.outbox();
        assert_eq!((now.len(), now[0].0), (1, refused[0].0));
        let mut wanted = store.documents();
        wanted.remove(&now[0].0);
        assert_eq!(index.documents(), wanted);
    }
}

#[test]
fn an_index_is_made_where_none_was() {
    for (store, index) in settings() {
        let alone = Tool::new("bh-load").args(["--database", &store.url()]);
        let lines = crate::harness::sample::ndjson(&records(0..5));
        alone.input(lines).run().exits(0);
        rebuild(&store, &index, &index.url).run().exits(0);
        load(&store, &index, &records(5..8)).exits(0);
        is_whole(&store, &index);
    }
}

#[test]
fn what_a_loader_stores_meanwhile_is_in_the_new_index() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..20)).exits(0);
        let proxy = Proxy::new(&index.url);
        let hold = proxy.set(Trap {
            text: "/_bulk",
            nth: 1,
            point: Point::Answered,
        });
        let mut fed = Fed::new(tool("bh-load", &store, &index.name, &index.url));
        fed.give(&records(20..40));
        let started = rebuild(&store, &index, &proxy.url).start_with(Stdio::null(), Stdio::piped());
        wait_for("the copy", || hold.is_held());
        fed.give(&records(40..60));
        wait_for("rows that came after the copy", || store.rows().len() == 60);
        hold.release(true);
        fed.give(&records(60..80));
        started.finish().exits(0);
        fed.give(&records(80..100));
        fed.finish().exits(0);
        assert_eq!(store.rows().len(), 100);
        is_whole(&store, &index);
    }
}

/// The row of a savepoint, in a transaction that is open while the copy begins and ends: another
/// one that began later has committed before, so `pg_visible_in_snapshot` takes it for visible.
#[test]
fn a_transaction_that_is_open_over_the_copy_loses_nothing() {
    for version in [6, 8] {
        let (Some(store), Some(index)) = (Store::new(Kind::Postgres), Index::new(version)) else {
            return;
        };
        // A search that is at work when its index is deleted fails, so this one is kept.
        let former = Index::new(version).unwrap();
        former.put("", json!({"aliases": {&*index.name: {}}}));
        load(&store, &index, &records(0..20)).exits(0);
        let Store::Postgres(database) = &store else {
            return;
        };
        let mut gate = database.client();
        gate.batch_execute(&format!(
            "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
                 IF NEW.s3_object_key = '{}' THEN PERFORM pg_advisory_xact_lock(42); END IF;
                 RETURN NEW; END $$;
             CREATE TRIGGER t BEFORE INSERT ON main_build FOR EACH ROW EXECUTE FUNCTION f();
             SELECT pg_advisory_lock(42)",
            key(20)
        ))
        .unwrap();
        let waits_for = |kind: &str| {
            let query = format!(
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND {kind} AND database =
                 (SELECT oid FROM pg_database WHERE datname = current_database())"
            );
            database.count(&query) > 0
        };
        let mut slow = Fed::new(tool("bh-load", &store, &index.name, &index.url));
        slow.give(&[record(20)]);
        wait_for("the open transaction", || {
            waits_for("locktype = 'advisory'")
        });
        load(&store, &index, &records(21..40)).exits(0);

        let done = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let search = scope.spawn(|| searches(&index, &done));
            let rebuild = indexer(&store, &index).arg("--new-index");
            let started = rebuild.start_with(Stdio::null(), Stdio::piped());
            wait_for("the lock", || {
                waits_for("mode = 'ShareLock' AND locktype = 'relation'")
            });
            gate.batch_execute("SELECT pg_advisory_unlock(42)").unwrap();
            let run = started.finish().exits(0);
            done.store(true, SeqCst);
            let counts = search.join().unwrap();
            assert!(counts.is_sorted(), "{counts:?}: {run}");
        });
        slow.finish().exits(0);
        assert_eq!(store.rows().len(), 40);
        is_whole(&store, &index);
    }
}

/// Searches until `done`; returns how many documents each has found.
fn searches(index: &Index, done: &AtomicBool) -> Vec<u64> {
    let mut counts = Vec::new();
    while !done.load(SeqCst) {
        let path = format!("/{}/_count", index.name);
        let answer = index.request(Method::Get, &path, None);
        let count = answer["count"].as_u64();
        counts.push(count.unwrap_or_else(|| panic!("{answer}")));
    }
    counts
}

#[test]
fn a_second_rebuild_waits_for_the_first() {
    for (store, index) in settings() {
        load(&store, &index, &records(0..5)).exits(0);
        let proxy = Proxy::new(&index.url);
        let hold = proxy.set(Trap {
            text: "/_bulk",
            nth: 1,
            point: Point::Asked,
        });
        let started = rebuild(&store, &index, &proxy.url).start_with(Stdio::null(), Stdio::piped());
        wait_for("the copy", || hold.is_held());
        let run = rebuild(&store, &index, &index.url).run().exits(75);
        run.says("another bh-index is filling");
        hold.release(true);
        started.finish().exits(0);
        is_whole(&store, &index);
    }
}

/// Kills a rebuild at a request, before or after its server has it.
fn killed(store: &Store, index: &Index, text: &'static str, point: Point) -> Run {
    let proxy = Proxy::new(&index.url);
    let hold = proxy.set(Trap {
        text,
        nth: 1,
        point,
    });
    let started = rebuild(store, index, &proxy.url).start_with(Stdio::null(), Stdio::piped());
    wait_for(text, || hold.is_held());
    started.signal(Signal::KILL);
    let run = started.finish().dies_by(Signal::KILL.as_raw());
    hold.release(false);
    run
}

fn a_killed_rebuild_is_finished_or_undone(kind: Kind, version: u32) {
    for (text, point) in [
        ("PUT /", Point::Answered),
        ("/_bulk", Point::Asked),
        ("POST /_aliases", Point::Asked),
        ("POST /_aliases", Point::Answered),
    ] {
        let (Some(store), Some(index)) = (Store::new(kind), Index::new(version)) else {
            return;
        };
        load(&store, &index, &records(0..20)).exits(0);
        killed(&store, &index, text, point);
        load(&store, &index, &records(20..25)).exits(0);
        let run = rebuild(&store, &index, &index.url).run().exits(0);
        is_whole(&store, &index);
        assert_eq!(indices(&index).len(), 1, "{text} {point:?}: {run}");
        assert_ne!(current(&index), index.name, "{text} {point:?}: {run}");
    }
}

#[test]
fn a_rebuild_of_sqlite_that_is_killed_is_finished_or_undone() {
    a_killed_rebuild_is_finished_or_undone(Kind::Sqlite, 8);
}

#[test]
fn a_rebuild_of_postgres_that_is_killed_is_finished_or_undone() {
    a_killed_rebuild_is_finished_or_undone(Kind::Postgres, 6);
}
