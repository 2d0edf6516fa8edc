//! When rows are committed and marks are written.

use serde_json::{Value, json};

use crate::harness::fed::Fed;
use crate::harness::protocol::held;
use crate::harness::sample::{self, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Tool, folder, lines_of, wait_for};
use crate::pipeline::on_each_store;

on_each_store! {
    the_batch_size_does_not_change_the_rows
    a_line_is_stored_while_the_pipe_stays_open
    marks_leave_after_the_commit
    a_run_is_stored_in_one_database
    a_lost_database_is_reported
}

fn loader(store: &Store) -> Tool {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url()])
}

fn page(after: Option<usize>, through: Option<usize>) -> Value {
    let [after, through] = [after, through].map(|bound| bound.map(sample::key));
    json!({"mark": {"listed": {"run": "r", "after": after, "through": through}}})
}

fn end() -> Value {
    json!({"mark": {"end": {"run": "r"}}})
}

fn the_batch_size_does_not_change_the_rows(kind: Kind) {
    let mut expected: Option<Vec<_>> = None;
    let mut lines: Vec<_> = (0..30).map(record).collect();
    // Duplicates within a batch and across batches, and one content with two
    // ETags.
    let mut twin = record(3);
    twin["key"] = json!("twin");
    let mut renewed = record(5);
    renewed["etag"] = json!("renewed");
    lines.splice(4..4, [record(3), twin]);
    lines.extend([renewed, end()]);
    for size in [1, 3, 7, 1000] {
        let Some(store) = Store::new(kind) else {
            return;
        };
        let size = format!("--batch-size={size}");
        let run = loader(&store)
            .arg(size)
            .input(ndjson(&lines))
            .run()
            .exits(0);
        assert_eq!(run.count("/out"), 30, "{run}");
        assert_eq!(
            run.summary["dropped"],
            json!({"known": 2, "ETag renewed": 1}),
            "{run}"
        );
        let found = (store.contents(), store.objects());
        assert_eq!(found.0.len(), 30);
        match &expected {
            None => expected = Some(vec![found]),
            Some(expected) => assert_eq!(expected, &[found]),
        }
    }
}

fn a_line_is_stored_while_the_pipe_stays_open(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    loader(&store).run().exits(0);
    // A batch is committed by time, and below by size.
    let mut fed = Fed::new(loader(&store).arg("--flush-interval=0.05"));
    for n in 0..3 {
        fed.give([&record(n)]);
        wait_for("the row", || store.rows().len() == n + 1);
    }
    fed.finish().exits(0);

    let mut fed = Fed::new(loader(&store).args(["--flush-interval=100000", "--batch-size=3"]));
    fed.give(&[record(3), record(4), record(5)]);
    wait_for("the batch", || store.rows().len() == 6);
    fed.finish().exits(0);
}

fn marks_leave_after_the_commit(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let folder = folder();
    let files = ["list.json", "list.json.loaded", "rejects"].map(|name| folder.path().join(name));
    let [resume_file, loaded, rejects] = &files;
    let loader = |extra: &[&str]| {
        let loader = loader(&store).arg("--resume-file").arg(resume_file);
        loader
            .args(["--flush-interval=0.05", "--batch-size=4"])
            .args(extra)
    };
    let confirmed = || lines_of(loaded)[0]["coverage"].clone();
    let intervals = |bounds: &[[Option<usize>; 2]]| -> Value {
        let interval = |bounds: &[Option<usize>; 2]| {
            let [after, through] = bounds.map(|bound| bound.map(sample::key));
            json!({"after": after, "through": through})
        };
        bounds.iter().map(interval).collect()
    };
    let mut fed = Fed::new(loader(&[]));
    // The file exists before the first line, without coverage.
    wait_for("the file", || loaded.exists());
    let first =
        json!({"format": 2, "run": null, "step": 0, "coverage": [], "counts": [], "exact": true});
    assert_eq!(lines_of(loaded), [first]);
    let mut rows = 0;
    for through in [3, 4, 9, 30] {
        let records: Vec<_> = (rows..through).map(record).collect();
        let mark = page(rows.checked_sub(1), Some(through - 1));
        fed.give(records.iter().chain([&mark]));
        assert_eq!(fed.line(), mark);
        assert_eq!(store.rows().len(), through, "the mark came before its rows");
        rows = through;
        wait_for("the confirmation", || {
            confirmed() == intervals(&[[None, Some(rows - 1)]])
        });
    }
    // A unit with an unsaved reject stays open; the next one is closed.
    let bad = json!({"key": "k", "build": null});
    let unaccepted = page(Some(29), Some(31));
    fed.give([&record(30), &bad, &unaccepted]);
    let mark = page(Some(31), None);
    fed.give([&record(32), &mark, &end()]);
    let held = held(&unaccepted.to_string(), "bh-load", "rejected");
    assert_eq!(fed.hear(), held);
    assert_eq!([fed.line(), fed.line()], [mark, end()]);
    let run = fed.finish().exits(65);
    assert_eq!(run.count("/notes/units held"), 1, "{run}");
    assert_eq!(
        confirmed(),
        intervals(&[[None, Some(29)], [Some(31), None]])
    );

    // With a file for rejects, the unit is closed.
    let run = loader(&["--rejects", rejects.to_str().unwrap()])
        .input(ndjson([
            &record(30),
            &bad,
            &page(Some(29), Some(31)),
            &end(),
        ]))
        .run()
        .exits(65);
    assert_eq!(run.lines(), [page(Some(29), Some(31)), end()]);
    assert_eq!(confirmed(), intervals(&[[None, None]]));
    assert_eq!(lines_of(rejects).len(), 1);

    // Complete units of truncated input are stored and confirmed.
    let cut = [record(40), page(None, Some(40)), record(41)];
    let run = loader(&[])
        .input(ndjson(&cut))
        .run()
        .exits(75)
        .says("input ended early");
    assert_eq!(run.lines(), [page(None, Some(40))]);
    assert_eq!(store.rows().len(), 34);
}

/// A server may have constraints of its own; the refused row is found in its
/// batch.
#[test]
fn a_row_that_the_server_refuses_is_rejected_alone() {
    let Some(store) = Store::new(Kind::Postgres) else {
        return;
    };
    loader(&store).run().exits(0);
    store.execute(
        "ALTER TABLE main_build ADD CHECK (build->'source'->>'product' IS DISTINCT FROM 'evil')",
    );
    let folder = folder();
    let rejects = folder.path().join("rejects");
    let mut lines: Vec<_> = (0..100).map(record).collect();
    for n in [0, 41, 42, 99] {
        lines[n]["build"]["source"]["product"] = json!("evil");
    }
    let mut input = ndjson(&lines);
    input.extend(ndjson([&end()]));
    let run = loader(&store)
        .arg("--rejects")
        .arg(&rejects)
        .input(input)
        .run()
        .exits(65);
    assert_eq!(run.count("/out"), 96, "{run}");
    assert_eq!(run.summary["rejected"], json!({"refused": 4}), "{run}");
    let text = std::fs::read_to_string(&rejects).unwrap();
    let refused: Vec<&str> = text.lines().collect();
    for (line, n) in refused.iter().zip([0, 41, 42, 99]) {
        let reject: Value = serde_json::from_str(line).unwrap();
        assert_eq!(reject["build"], lines[n]["build"]);
        let error = &reject["error"];
        assert_eq!(
            [&error["kind"], &error["line"]],
            [&json!("refused"), &json!(n + 1)]
        );
        assert!(
            error["message"]
                .as_str()
                .unwrap()
                .contains("check constraint"),
            "{error}"
        );
    }
    assert_eq!(refused.len(), 4, "{run}");
    let keys = store.keys();
    let good = (0..100).filter(|n| ![0, 41, 42, 99].contains(n));
    assert_eq!(keys, good.map(sample::key).collect::<Vec<_>>());
    let remembered: Vec<_> = store.objects().into_iter().map(|[key, ..]| key).collect();
    assert_eq!(remembered, keys, "what was refused must come again");
}

fn a_run_is_stored_in_one_database(kind: Kind) {
    let (Some(store), Some(other)) = (Store::new(kind), Store::new(Kind::Sqlite)) else {
        return;
    };
    let folder = folder();
    let resume_file = folder.path().join("list.json");
    let unit = |after: Option<usize>, through| {
        let first = after.map_or(0, |after| after + 1);
        ndjson([&record(first), &page(after, Some(through)), &end()])
    };
    let load = |store: &Store, unit: Vec<u8>| {
        let tool = loader(store).arg("--resume-file").arg(&resume_file);
        tool.input(unit).run()
    };
    load(&store, unit(None, 0)).exits(0);
    let before = lines_of(&folder.path().join("list.json.loaded"));
    let run = load(&other, unit(Some(0), 1)).exits(78);
    let run = run.says("list.json.loaded: this run was stored in ");
    assert!(run.lines().is_empty(), "{run}");
    assert_eq!(lines_of(&folder.path().join("list.json.loaded")), before);
    load(&store, unit(Some(0), 1)).exits(0);
    // Another run may use another database.
    let mut mark = page(None, Some(0));
    mark["mark"]["listed"]["run"] = json!("s");
    let mut end = end();
    end["mark"]["end"]["run"] = json!("s");
    load(&other, ndjson([&mark, &end])).exits(0);
}

/// The database existed when the first part of the run was confirmed.
fn a_lost_database_is_reported(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let folder = folder();
    let resume_file = folder.path().join("list.json");
    let load = |run: &str, after: Option<usize>, through| {
        let (mut page, mut end) = (page(after, Some(through)), end());
        page["mark"]["listed"]["run"] = json!(run);
        end["mark"]["end"]["run"] = json!(run);
        let tool = loader(&store).arg("--resume-file").arg(&resume_file);
        tool.input(ndjson([&record(through), &page, &end])).run()
    };
    let lose = || {
        store.execute("DROP TABLE bh_outbox; DROP TABLE bh_object; DROP TABLE main_build");
    };
    load("r", None, 0).exits(0);
    lose();
    let run = load("r", Some(0), 1).exits(75);
    run.says("the rows of run r are lost: the database is new");
    let loaded = lines_of(&folder.path().join("list.json.loaded")).remove(0);
    let rest = json!([{"after": sample::key(0), "through": sample::key(1)}]);
    assert_eq!(loaded["coverage"], rest);
    load("r", None, 0).exits(0);
    // All was confirmed, but the listing was killed before it saw that.
    lose();
    let tool = loader(&store).arg("--resume-file").arg(&resume_file);
    tool.input(ndjson([&end()]))
        .run()
        .exits(75)
        .says("are lost");
    load("r", None, 0).exits(0);
    // A new run lists everything.
    lose();
    load("s", None, 0).exits(0);
}
