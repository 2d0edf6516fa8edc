//! bh-promote.

use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::sample::{key, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Started, Tool, wait_for};
use crate::marks::place::{self, BUILDS, LOADING, Place};
use crate::pipeline::on_each_store;

on_each_store! {
    a_promoted_staging_equals_a_direct_load
    a_staging_that_is_not_complete_is_not_promoted
    what_its_runs_do_not_say_is_not_promoted
    a_second_promotion_changes_nothing
    nothing_is_added_to_a_promoted_staging
    what_the_main_database_has_is_kept
    a_dry_run_foretells_the_promotion
    rejects_are_promoted_and_mended
    only_a_promoted_staging_is_dropped
    the_stagings_are_listed
    promoted_rows_are_indexed_by_the_next_loader
}

fn promote(store: &Store, args: &[&str]) -> Run {
    let tool = Tool::new("bh-promote").args(["--database", &store.url()]);
    tool.args(args.iter().copied()).run()
}

/// What a promotion or a forecast prints.
#[track_caller]
fn printed(run: Run) -> Value {
    let mut lines = run.exits(0).lines();
    assert_eq!(lines.len(), 1, "{lines:?}");
    lines.remove(0)
}

/// A program of the pipeline into the staging `s`.
fn staged(place: &Place, stage: &str) -> Tool {
    match stage {
        "bh-filter" | "bh-load" => place.tool(stage).args(["--into", "s"]),
        _ => place.tool(stage),
    }
}

#[track_caller]
fn fill(place: &Place) {
    let run = |stage: &str| staged(place, stage);
    place::exit(&place::run(&LOADING, run, |_, lines| lines), &[0; 5]);
}

fn filled(kind: Kind) -> Option<Place> {
    let place = Place::on(kind)?;
    fill(&place);
    Some(place)
}

/// All that a direct load determines: rows, objects and runs.
fn determined(store: &Store) -> (Vec<Value>, Vec<[String; 3]>, Vec<Value>) {
    let rows = store.rows().into_iter().map(|row| {
        let mut metadata = row.metadata;
        assert!(metadata["run"].take().is_string());
        json!([row.hash, row.build, metadata, row.key, row.etag])
    });
    let runs = Tool::new("bh-load").args(["--database", &store.url(), "--runs"]);
    let runs = runs.run().exits(0).lines().into_iter();
    let runs = runs.filter(|run| run["outcome"] != "promoted").map(|run| {
        let source = run["source"].as_str().unwrap().split(" at ").next();
        json!([
            source,
            run["outcome"],
            run["ledger"],
            run["counts"],
            run["error"]
        ])
    });
    (rows.collect(), store.objects(), runs.collect())
}

fn a_promoted_staging_equals_a_direct_load(kind: Kind) {
    let (Some(place), Some(direct)) = (filled(kind), Place::on(kind)) else {
        return;
    };
    let before = place.store.staging("s").rows();
    let said = printed(promote(&place.store, &["s", "--note", "checked by \u{e9}"]));
    place::exit(&direct.run(), &[0; 5]);
    assert_eq!(determined(&place.store), determined(&direct.store));
    assert_eq!(place.store.outbox(), []);
    for name in ["rows", "inserted", "objects"] {
        assert_eq!(said[name], BUILDS, "{said}");
    }
    for name in ["known", "etags_renewed", "rejects", "queued"] {
        assert_eq!(said[name], 0, "{said}");
    }
    assert_eq!(
        (&said["runs"], &said["outcome"]),
        (&json!(1), &json!("promoted"))
    );
    assert_eq!(said["note"], "checked by \u{e9}");
    // The rows name their run, and are as new as the promotion.
    let run = |row: &crate::harness::stored::Row| row.metadata["run"].clone();
    for (before, row) in before.iter().zip(place.store.rows()) {
        assert_eq!(run(before), run(&row));
        assert!(before.created_at <= row.created_at, "{row:?}");
    }
    // The next run finds all of it.
    let again = place.run();
    place::exit(&again, &[0; 5]);
    assert_eq!(
        again[1].count("/dropped/known"),
        BUILDS as u64,
        "{}",
        again[1]
    );
}

fn a_staging_that_is_not_complete_is_not_promoted(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let nothing = promote(&place.store, &["s"]).exits(78);
    nothing.says("there is no staging s; bh-promote without a name lists the stagings");
    let run = |stage: &str| staged(&place, stage);
    // Of a unit, a record is lost; of a run, the end.
    for (lost, is_record) in [("a held unit", true), ("no end", false)] {
        let cut = |stage: &str, lines: Vec<u8>| {
            let text = String::from_utf8(lines).unwrap();
            let mut lines: Vec<&str> = text.lines().collect();
            if stage == "bh-load" {
                let at = |line: &&str| line.starts_with("{\"mark\"") != is_record;
                let lost = lines.iter().rposition(at).unwrap();
                lines.remove(lost);
            }
            (lines.join("\n") + "\n").into_bytes()
        };
        place::exit(&place::run(&LOADING, run, cut), &[0, 0, 0, 0, 75]);
        let refused = promote(&place.store, &["s"]).exits(78).prints_nothing();
        let refused = refused.says("cannot promote s: run ");
        refused.says("--unaccounted");
        assert_eq!(place.store.keys(), [] as [&str; 0], "{lost}");
    }
    fill(&place);
    printed(promote(&place.store, &["s"]));
    assert_eq!(place.store.keys().len(), BUILDS);
}

fn what_its_runs_do_not_say_is_not_promoted(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    let staging = place.store.staging("s");
    let more = "INSERT INTO bh_object (key, etag, build_hash)
        SELECT 'more', etag, build_hash FROM bh_object ORDER BY key LIMIT 1";
    for (change, back, says) in [
        (
            more,
            "DELETE FROM bh_object WHERE key = 'more'",
            "it holds 24 objects, and its runs say 23",
        ),
        (
            "UPDATE bh_run SET id = 'x' || id",
            "UPDATE bh_run SET id = substr(id, 2)",
            "23 rows came with none of its runs",
        ),
    ] {
        staging.execute(change);
        promote(&place.store, &["s"]).exits(78).says(says);
        staging.execute(back);
    }
    staging.execute("DELETE FROM bh_object WHERE key = (SELECT max(key) FROM bh_object)");
    let refused = promote(&place.store, &["s"]).exits(78);
    refused.says("it holds 22 objects, and its runs say 23");
    assert_eq!(place.store.keys(), [] as [&str; 0]);
    let said = printed(promote(&place.store, &["s", "--unaccounted"]));
    assert_eq!((&said["rows"], &said["objects"]), (&json!(23), &json!(22)));
    assert_eq!(place.store.keys().len(), BUILDS);
}

fn a_second_promotion_changes_nothing(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    let first = printed(promote(&place.store, &["s"]));
    place
        .store
        .execute("DELETE FROM main_build WHERE id = (SELECT max(id) FROM main_build)");
    let before = place.store.rows();
    for args in [&["s"][..], &["s", "--dry-run"]] {
        let second = promote(&place.store, args).exits(0);
        let second = second.says("s was promoted before, at ");
        assert_eq!(second.lines().as_slice(), std::slice::from_ref(&first));
    }
    assert_eq!(place.store.rows(), before);
    printed(promote(&place.store, &["s", "--drop"]));
    let gone = promote(&place.store, &["s"]).exits(0);
    let gone = gone.says("the staging s was removed");
    assert_eq!(gone.lines(), [first]);
}

fn nothing_is_added_to_a_promoted_staging(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    printed(promote(&place.store, &["s"]));
    let load = place.without_state("bh-load").args(["--into", "s"]);
    let refused = load.input(ndjson(&[record(30)])).run().exits(78);
    refused.says("the staging s has been promoted, so nothing more is stored in it");
    assert_eq!(place.store.staging("s").keys().len(), BUILDS);
}

fn what_the_main_database_has_is_kept(kind: Kind) {
    let (Some(place), Some(direct)) = (filled(kind), Place::on(kind)) else {
        return;
    };
    let mut other = record(0);
    other["key"] = "other/buildhub.json".into();
    let moved_on = [other, record(1), record(2), record(40)];
    let load = |place: &Place| {
        let tool = place.without_state("bh-load").input(ndjson(&moved_on));
        tool.run().exits(0);
    };
    load(&place);
    let before = place.store.rows();
    let said = printed(promote(&place.store, &["s"]));
    let counts = ["inserted", "known", "etags_renewed"].map(|name| said[name].clone());
    assert_eq!(counts, [json!(BUILDS - 3), json!(3), json!(2)], "{said}");
    load(&direct);
    place::exit(&direct.run(), &[0; 5]);
    assert_eq!(place.store.contents(), direct.store.contents());
    assert_eq!(place.store.objects(), direct.store.objects());
    let after = place.store.rows();
    for row in before {
        let kept = after.iter().find(|after| after.id == row.id).unwrap();
        assert_eq!((&kept.hash, &kept.key), (&row.hash, &row.key));
        assert_eq!(kept.created_at, row.created_at);
    }
}

fn a_dry_run_foretells_the_promotion(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    let foretold = printed(promote(&place.store, &["s", "--dry-run"]));
    assert_eq!(foretold["outcome"], "forecast");
    assert!(!place.store.has("main_build"));
    let load = place.without_state("bh-load");
    load.input(ndjson(&[record(1), record(40)])).run().exits(0);
    let before = place.store.rows();
    let forecast = printed(promote(&place.store, &["s", "--dry-run"]));
    assert_eq!(place.store.rows(), before);
    let said = printed(promote(&place.store, &["s"]));
    for name in [
        "rows",
        "inserted",
        "known",
        "etags_renewed",
        "objects",
        "rejects",
        "queued",
        "runs",
    ] {
        assert_eq!(forecast[name], said[name], "{name}: {forecast} {said}");
    }
    assert_eq!(
        (&foretold["inserted"], &said["inserted"]),
        (&json!(23), &json!(22))
    );
}

fn rejects_are_promoted_and_mended(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    let load = place.without_state("bh-load");
    load.input(ndjson(&[record(40)])).run().exits(0);
    let reject = |key: &str| {
        format!(
            "INSERT INTO bh_reject (key, etag, kind, stage, message, line, run)
             VALUES ('{key}', 'e', 'not_json', 'bh-fetch', 'm', '{{}}', 'r')"
        )
    };
    place.store.execute(&reject(&key(0)));
    place.store.execute(&reject("kept"));
    place.store.staging("s").execute(&reject("new"));
    let run = promote(&place.store, &["s"]).exits(0);
    let run = run.says("the staging holds 1 reject: 1 not_json");
    assert_eq!(run.lines()[0]["rejects"], 1);
    let keys = place.store.texts("SELECT key FROM bh_reject ORDER BY key");
    assert_eq!(keys, [[Some("kept".to_owned())], [Some("new".to_owned())]]);
}

fn only_a_promoted_staging_is_dropped(kind: Kind) {
    let Some(place) = filled(kind) else { return };
    let staging = place.store.staging("s");
    let refused = promote(&place.store, &["s", "--drop"]).exits(78);
    refused.says("it was not promoted; run bh-promote s, or, to lose what it holds");
    printed(promote(&place.store, &["s"]));
    staging.execute("DELETE FROM main_build WHERE id = (SELECT max(id) FROM main_build)");
    let refused = promote(&place.store, &["s", "--drop"]).exits(78);
    refused.says("it was changed after its promotion");
    assert!(staging.has("main_build"));
    let said = printed(promote(&place.store, &["s", "--drop", "--unpromoted"]));
    assert_eq!(said, json!({"staging": "s", "outcome": "removed"}));
    assert!(!staging.has("main_build"));
    assert_eq!(place.store.keys().len(), BUILDS);
    // The name is free again.
    let load = place.without_state("bh-load").args(["--into", "s"]);
    load.input(ndjson(&[record(40)])).run().exits(0);
    assert_eq!(staging.keys(), [key(40)]);
}

fn the_stagings_are_listed(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let outcomes = || {
        let lines = promote(&place.store, &[]).exits(0).lines();
        let pair = |line: &Value| format!("{} {}", line["staging"], line["outcome"]);
        lines
            .iter()
            .map(pair)
            .collect::<Vec<_>>()
            .join(", ")
            .replace('"', "")
    };
    assert_eq!(outcomes(), "");
    fill(&place);
    let load = place.without_state("bh-load").args(["--into", "a"]);
    load.input(ndjson(&[record(40)])).run().exits(0);
    assert_eq!(outcomes(), "a open, s complete");
    printed(promote(&place.store, &["s"]));
    assert_eq!(outcomes(), "a open, s promoted");
}

fn promoted_rows_are_indexed_by_the_next_loader(kind: Kind) {
    let (Some(place), Some(index)) = (filled(kind), Index::new(8)) else {
        return;
    };
    let load = |records: &[Value]| {
        let tool = place.without_state("bh-load").args([
            "--elasticsearch",
            &index.url,
            "--index",
            &index.name,
        ]);
        tool.input(ndjson(records)).run().exits(0);
    };
    load(&[record(0), record(40)]);
    let said = printed(promote(&place.store, &["s"]));
    assert_eq!(said["queued"], BUILDS - 1, "{said}");
    assert_eq!(place.store.outbox().len(), BUILDS - 1);
    load(&[]);
    assert_eq!(place.store.outbox(), []);
    assert_eq!(index.documents(), place.store.documents());
}

/// A promotion that waits for a loader which has stored one of its contents and not committed.
fn waiting() -> Option<(Place, ::postgres::Client, Started)> {
    let place = filled(Kind::Postgres)?;
    let Store::Postgres(database) = &place.store else {
        unreachable!()
    };
    let load = place.without_state("bh-load");
    load.input(ndjson(&[record(40)])).run().exits(0);
    let mut loader = database.client();
    let insert = "BEGIN; INSERT INTO main_build (build_hash, build, created_at)
        SELECT build_hash, build, now() FROM s.main_build ORDER BY build_hash LIMIT 1";
    loader.batch_execute(insert).unwrap();
    let tool = Tool::new("bh-promote").args(["--database", &place.store.url(), "s"]);
    let promotion = tool.start_with(Stdio::null(), Stdio::piped());
    let waits = "SELECT count(*) FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_for("the promotion", || database.count(waits) > 0);
    Some((place, loader, promotion))
}

#[test]
fn a_promotion_that_is_killed_leaves_nothing() {
    let Some((place, mut loader, promotion)) = waiting() else {
        return;
    };
    promotion.signal(Signal::KILL);
    promotion.finish().dies_by(Signal::KILL.as_raw());
    loader.batch_execute("ROLLBACK").unwrap();
    assert_eq!(place.store.keys(), [key(40)]);
    assert_eq!(printed(promote(&place.store, &["s"]))["inserted"], BUILDS);
    assert_eq!(place.store.keys().len(), BUILDS + 1);
}

#[test]
fn a_content_that_a_loader_brings_meanwhile_is_stored_once() {
    let Some((place, mut loader, promotion)) = waiting() else {
        return;
    };
    loader.batch_execute("COMMIT").unwrap();
    let said = printed(promotion.finish());
    let counts = ["inserted", "known"].map(|name| said[name].clone());
    assert_eq!(counts, [json!(BUILDS - 1), json!(1)], "{said}");
    assert_eq!(place.store.rows().len(), BUILDS + 1);
}
