//! bh-filter and bh-load with a staging.

use crate::harness::pgbouncer::Pooler;
use crate::harness::postgres::{Database, Role};
use crate::harness::sample::{key, ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool};
use crate::marks::place::{self, BUILDS, KEYS, LOADING, Place};
use crate::pipeline::on_each_store;

on_each_store! {
    a_staging_is_filled_and_the_main_database_is_not_touched
    a_filter_knows_the_main_database_and_the_staging
    nothing_of_a_staging_is_indexed
    another_database_is_no_staging
    a_staging_is_loaded_only_as_one
}

fn load(store: &Store, args: &[&str], n: std::ops::Range<usize>) -> Run {
    let tool = Tool::new("bh-load").args(["--database", &store.url()]);
    let records: Vec<_> = n.map(record).collect();
    tool.args(args.iter().copied())
        .input(ndjson(&records))
        .run()
}

/// A program of the pipeline into the staging `s`.
fn staged(place: &Place, stage: &str) -> Tool {
    match stage {
        "bh-filter" | "bh-load" => place.tool(stage).args(["--into", "s"]),
        _ => place.tool(stage),
    }
}

fn a_staging_is_filled_and_the_main_database_is_not_touched(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let run = |stage: &str| staged(&place, stage);
    let first = place::run(&LOADING, run, |_, lines| lines);
    place::exit(&first, &[0; 5]);
    for table in ["main_build", "bh_object", "bh_database", "bh_run"] {
        assert!(!place.store.has(table), "{table}");
    }
    let staging = place.store.staging("s");
    let expected: Vec<String> = (0..BUILDS).map(key).collect();
    assert_eq!(staging.keys(), expected);
    assert_eq!(staging.objects().len(), BUILDS);
    assert_eq!(place.ledger().there, BUILDS as u64);

    // The runs are those of the staging, and a second one finds everything there.
    let runs = || {
        let run = load(&place.store, &["--runs", "--into", "s"], 0..0);
        run.exits(0).lines()
    };
    let all = runs();
    assert_eq!((all.len(), &all[0]["outcome"]), (1, &"complete".into()));
    let second = place::run(&LOADING, run, |_, lines| lines);
    place::exit(&second, &[0; 5]);
    assert_eq!(second[1].count("/dropped/known"), BUILDS as u64);
    assert_eq!(runs().len(), 2);
}

fn a_filter_knows_the_main_database_and_the_staging(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let half = key(11);
    let bounded = |stage: &str| match stage {
        "s3-list" => place.without_state(stage).args(["--through", &half]),
        _ => place.without_state(stage),
    };
    place::exit(&place::run(&LOADING, bounded, |_, lines| lines), &[0; 5]);
    let run = |stage: &str| staged(&place, stage);
    let runs = place::run(&LOADING, run, |_, lines| lines);
    place::exit(&runs, &[0; 5]);
    let expected: Vec<String> = (12..BUILDS).map(key).collect();
    assert_eq!(place.store.staging("s").keys(), expected);
    let (main, others) = (12, KEYS - BUILDS);
    let ledger = format!(
        "{KEYS} listed = {} there + {main} in the main database + {others} other keys",
        BUILDS - main
    );
    assert!(runs[4].stderr.contains(&ledger), "{}", runs[4]);
    let again = place::run(&LOADING, run, |_, lines| lines);
    let dropped = |reason: &str| again[1].count(&format!("/dropped/{reason}"));
    assert_eq!(dropped("in the main database"), main as u64, "{}", again[1]);
    assert_eq!(dropped("known"), (BUILDS - main) as u64, "{}", again[1]);
}

/// Nobody listens at the address.
fn nothing_of_a_staging_is_indexed(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let address = ["--elasticsearch", "http://127.0.0.1:9"];
    let into = [&address[..], &["--into", "s"]].concat();
    load(&store, &into, 0..3).exits(0);
    let staging = store.staging("s");
    assert_eq!((staging.keys().len(), staging.outbox()), (3, vec![]));
    for flag in ["--requeue", "--retry-refused"] {
        load(&store, &["--into", "s", flag], 0..0).exits(2);
    }
}

fn another_database_is_no_staging(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let other = store.staging("other");
    if let Store::Postgres(database) = &store {
        let schema = "CREATE SCHEMA other";
        database.client().batch_execute(schema).unwrap();
    }
    load(&other, &[], 0..2).exits(0);
    let refused = load(&store, &["--into", "other"], 2..4).exits(78);
    refused.says("is not a staging, so --into other cannot use it; choose another name");
    let filter = Tool::new("bh-filter").args(["--database", &store.url(), "--into", "other"]);
    filter.run().exits(78).says("is not a staging");
    assert_eq!(other.keys(), [key(0), key(1)]);
}

fn a_staging_is_loaded_only_as_one(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    load(&store, &["--into", "s"], 0..2).exits(0);
    let staging = store.staging("s");
    let refused = load(&staging, &[], 2..4).exits(78);
    refused.says("is a staging: name the main database, and the staging with --into");
    assert_eq!(staging.keys(), [key(0), key(1)]);
    // It may be read.
    let filter = Tool::new("bh-filter").args(["--database", &staging.url()]);
    let filtered = filter.input(ndjson(&[record(0), record(5)])).run().exits(0);
    assert_eq!(filtered.count("/dropped/known"), 1, "{filtered}");
}

#[test]
fn a_staging_needs_a_name_of_its_own() {
    let store = Store::new(Kind::Sqlite).unwrap();
    for name in [
        "", "public", "pg_x", "A", "../s", "-s", "a.b", "s\"", "\u{e9}",
    ] {
        let into = format!("--into={name}");
        load(&store, &[&into], 0..1).exits(2);
    }
    // The file of the database itself, under its name or another.
    let refused = load(&store, &["--into", "builds"], 0..1).exits(2);
    refused.says("is the main database; choose another name");
    load(&store, &[], 0..1).exits(0);
    let Store::Sqlite(path, _) = &store else {
        unreachable!()
    };
    std::os::unix::fs::symlink(path, path.with_file_name("link.db")).unwrap();
    load(&store, &["--into", "link"], 1..2).exits(2);
    assert_eq!(store.keys(), [key(0)]);
}

/// A pooler that drops the search path does not matter: each table has its schema.
#[test]
fn a_staging_is_reached_through_a_pooler() {
    let Some(database) = Database::new() else {
        return;
    };
    let options = "ignore_startup_parameters = extra_float_digits,options";
    let Some(pooler) = Pooler::new(&database, options) else {
        return;
    };
    let mut changed = record(0);
    changed["etag"] = "new".into();
    let mut bad = record(9);
    bad["build"]["source"]["product"] = "a\u{0}b".into();
    for (records, status) in [
        (vec![record(0), record(1)], 0),
        (vec![changed, bad, record(2)], 65),
    ] {
        let tool = Tool::new("bh-load").args(["--database", &pooler.url, "--into", "2026-11"]);
        tool.input(ndjson(&records)).run().exits(status);
    }
    let count = |query: &str| database.count(query);
    assert_eq!(count("SELECT count(*) FROM \"2026-11\".main_build"), 3);
    let renewed = "SELECT count(*) FROM \"2026-11\".main_build WHERE s3_object_etag = '\"new\"'";
    assert_eq!(count(renewed), 1);
    let all = "SELECT count(*) FROM pg_class WHERE relname = 'main_build'";
    assert_eq!(count(all), 1, "none but that of the staging");
    let filter = Tool::new("bh-filter").args(["--database", &pooler.url, "--into", "2026-11"]);
    let known = filter.input(ndjson(&[record(1), record(7)])).run().exits(0);
    assert_eq!(known.count("/dropped/known"), 1, "{known}");
}

/// A role that may not create a schema is told what its administrator has to do.
#[test]
fn a_schema_that_is_there_is_used() {
    let Some(database) = Database::new() else {
        return;
    };
    let role = Role::new(&database);
    let load = || {
        let tool = Tool::new("bh-load").args(["--database", &role.url, "--into", "s"]);
        tool.input(ndjson(&[record(0)])).run()
    };
    let refused = load().exits(78);
    let refused = refused.says("cannot create the schema s: permission denied");
    refused.says("CREATE SCHEMA \"s\" AUTHORIZATION");
    role.execute("CREATE SCHEMA s AUTHORIZATION ROLE");
    load().exits(0);
    assert_eq!(database.count("SELECT count(*) FROM s.main_build"), 1);
}

#[test]
fn a_dry_run_makes_no_staging() {
    let store = Store::new(Kind::Sqlite).unwrap();
    let run = load(&store, &["--into", "s", "--dry-run"], 0..2).exits(0);
    assert_eq!(run.lines().len(), 2);
    assert!(!store.staging("s").has("main_build"));
}
