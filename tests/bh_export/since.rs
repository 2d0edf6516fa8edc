//! Exports of what earlier ones have not seen.

use serde_json::{Value, json};

use super::{export, file, keys, load};
use crate::harness::sample::{key, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::units::marks;
use crate::harness::{Run, Tool, folder, wait_for};
use crate::pipeline::on_each_store;

/// Exports what the output of `earlier` does not have.
fn since(store: &Store, earlier: &Run) -> Run {
    let (path, _folder) = file(earlier);
    let tool = export(store, &["--since"]).arg(path);
    tool.run().exits(0)
}

fn snapshot(run: &Run) -> Value {
    marks(&run.stdout).pop().unwrap()["end"]["snapshot"].clone()
}

fn an_increment_is_what_was_stored_since(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    load(&store, &[], &[record(0), record(1)]);
    let first = export(&store, &[]).run().exits(0);
    assert_eq!(keys(&first), [key(0), key(1)]);
    let none = since(&store, &first);
    assert_eq!(keys(&none), [""; 0]);
    load(&store, &[], &[record(2), record(3), record(0)]);
    for earlier in [&first, &none] {
        assert_eq!(keys(&since(&store, earlier)), [key(2), key(3)]);
    }
    // The value itself, and a file with the last line alone.
    let text = snapshot(&first);
    let run = export(&store, &["--since", text.as_str().unwrap()]).run();
    let second = run.exits(0);
    assert_eq!(keys(&second), [key(2), key(3)]);
    let folder = folder();
    let path = folder.path().join("last");
    let lines = String::from_utf8(first.stdout).unwrap();
    std::fs::write(&path, lines.lines().last().unwrap()).unwrap();
    let run = export(&store, &["--since"]).arg(path).run().exits(0);
    assert_eq!(run.stdout.len(), second.stdout.len());
    load(&store, &[], [&record(4)]);
    let third = since(&store, &second);
    assert_eq!(keys(&third), [key(4)]);
    assert_eq!(keys(&since(&store, &third)), [""; 0]);
}

#[track_caller]
fn refuses(tool: Tool, text: &str) {
    tool.run().exits(78).prints_nothing().says(text);
}

/// A wrong snapshot would leave rows out.
fn a_snapshot_of_something_else_is_refused(kind: Kind) {
    let (Some(store), Some(other)) = (Store::new(kind), Store::new(kind)) else {
        return;
    };
    load(&store, &[], &[record(0), record(1)]);
    load(&other, &[], &[record(0), record(1)]);
    let whole = export(&store, &[]).run().exits(0);
    let text = snapshot(&whole);
    let text = text.as_str().unwrap();
    let restored = "is of another database or table, or from before it was restored; export \
                    everything, without --since";
    refuses(export(&other, &["--since", text]), restored);
    refuses(
        export(&store, &["--since", "postgres:1/2/3/4:5:"]),
        restored,
    );
    refuses(export(&store, &["--since", "sqlite:a:5:h"]), restored);
    let folder = folder();
    let path = folder.path().join("cut.ndjson");
    let since = || export(&store, &["--since"]).arg(&path);
    refuses(
        since(),
        "cut.ndjson: no such file; name the output of an earlier",
    );
    for lines in [
        "",
        "{\"key\":\"k\"}\n",
        "{\"mark\":{\"end\":{\"run\":\"r\"}}}\n",
    ] {
        std::fs::write(&path, lines).unwrap();
        refuses(since(), "its last line is not an end mark with a snapshot");
    }
    if kind == Kind::Sqlite {
        let objects = export(&store, &["--since", text, "--table", "objects"]);
        refuses(objects, "but not an object or a reject; export everything");
        store.execute("UPDATE main_build SET build_hash = 'v1:other' WHERE id = 2");
        refuses(export(&store, &["--since", text]), restored);
    } else {
        let objects = export(&store, &["--since", text, "--table", "objects"]);
        refuses(objects, restored);
    }
}

on_each_store! {
    an_increment_is_what_was_stored_since
    a_snapshot_of_something_else_is_refused
}

/// One loader has written its rows and not committed them, while another one, which began
/// later, has committed.
#[test]
fn rows_in_flight_come_with_the_next_export_and_no_row_comes_twice() {
    let Some(store @ Store::Postgres(database)) = &Store::new(Kind::Postgres) else {
        return;
    };
    load(store, &[], [&record(0)]);
    let mut client = database.client();
    let mut holder = client.transaction().unwrap();
    let hold = format!("INSERT INTO bh_object VALUES ('{}', 'e', 'h')", key(1));
    holder.batch_execute(&hold).unwrap();
    let slow = Tool::new("bh-load").args(["--database", &store.url()]);
    let slow = slow.input(ndjson(&[record(1), record(2)]));
    std::thread::scope(|scope| {
        let slow = scope.spawn(|| slow.run());
        // Its rows are written before its objects, of which one waits.
        wait_for("a loader with rows in flight", || {
            let blocked = "SELECT count(*) FROM pg_stat_activity
                WHERE datname = current_database() AND wait_event_type = 'Lock'";
            database.count(blocked) == 1
        });
        load(store, &[], &[record(3), record(4)]);
        let first = export(store, &[]).run().exits(0);
        assert_eq!(keys(&first), [key(0), key(3), key(4)]);
        let none = since(store, &first);
        assert_eq!(keys(&none), [""; 0]);
        load(store, &[], [&record(5)]);
        let second = since(store, &none);
        assert_eq!(keys(&second), [key(5)]);
        holder.rollback().unwrap();
        slow.join().unwrap().exits(0);
        load(store, &[], [&record(6)]);
        for (earlier, more) in [(&second, vec![1, 2, 6]), (&first, vec![1, 2, 5, 6])] {
            let expected: Vec<_> = more.into_iter().map(key).collect();
            assert_eq!(keys(&since(store, earlier)), expected);
        }
    });
}

/// A row with a new ETag is new, and so is an object.
#[test]
fn what_has_changed_in_postgres_comes_again() {
    let Some(store) = Store::new(Kind::Postgres) else {
        return;
    };
    load(&store, &[], &[record(0), record(1)]);
    let rows = export(&store, &[]).run().exits(0);
    let objects = export(&store, &["--table", "objects"]).run().exits(0);
    let mut renewed = record(1);
    renewed["etag"] = json!("new");
    load(&store, &[], [&renewed]);
    store.execute("VACUUM (FREEZE) main_build");
    let came = since(&store, &rows);
    assert_eq!(
        (&came.records()[0]["etag"], keys(&came).len()),
        (&json!("new"), 1)
    );
    let (path, _folder) = file(&objects);
    let run = export(&store, &["--table", "objects", "--since"])
        .arg(path)
        .run();
    assert_eq!(keys(&run.exits(0)), [key(1)]);
}
