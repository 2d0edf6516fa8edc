//! State files and databases of programs that knew no `begin`, `counts` and
//! `bh_run` are read.

use serde_json::{Value, json};

use super::place::{self, BUILDS, KEYS, LOADING, PAGES, Place};
use crate::harness::stored::{Kind, Row, Store};
use crate::harness::units::marked;
use crate::harness::{Tool, lines_of};
use crate::pipeline::on_each_store;

on_each_store! {
    state_and_tables_of_an_older_program_are_read
    a_database_of_an_older_program_that_was_lost_is_found_out
}

const SQLITE: &str = "
    CREATE TABLE main_build (
        id integer PRIMARY KEY AUTOINCREMENT,
        build_hash varchar(45) NOT NULL UNIQUE,
        build text NOT NULL,
        metadata text NOT NULL DEFAULT '{}',
        created_at text NOT NULL,
        s3_object_key varchar(400),
        s3_object_etag varchar(400)
    );
    CREATE TABLE bh_object (
        key text PRIMARY KEY,
        etag text NOT NULL,
        build_hash varchar(45) NOT NULL
    ) WITHOUT ROWID;
    CREATE TABLE bh_outbox (
        id integer PRIMARY KEY,
        error text,
        reported boolean NOT NULL DEFAULT false
    );";

const POSTGRES: &str = "
    CREATE TABLE main_build (
        id serial PRIMARY KEY,
        build_hash varchar(45) NOT NULL UNIQUE,
        build jsonb NOT NULL,
        metadata jsonb NOT NULL DEFAULT '{}',
        created_at timestamp with time zone NOT NULL,
        s3_object_key varchar(400),
        s3_object_etag varchar(400)
    );
    CREATE TABLE bh_object (
        key text PRIMARY KEY,
        etag text NOT NULL,
        build_hash varchar(45) NOT NULL
    );
    CREATE TABLE bh_outbox (
        id bigint PRIMARY KEY,
        error text,
        reported boolean NOT NULL DEFAULT false
    );";

const RUN: &str = "0b31f0a2-0f5c-4a1e-9d35-0d2f6a3c7e11";

/// Stores `rows` in tables of an older program.
fn store_as_older(store: &Store, rows: &[Row]) {
    store.execute(match store {
        Store::Sqlite(..) => SQLITE,
        Store::Postgres(_) => POSTGRES,
    });
    for row in rows {
        let (key, etag) = (row.key.as_ref().unwrap(), row.etag.as_ref().unwrap());
        store.execute(&format!(
            "INSERT INTO main_build
                 (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
             VALUES ('{hash}', '{build}',
                 '{{\"source\":\"buildhub-pipes\",\"version\":\"0.1.0\",\"build\":\"bh-load\"}}',
                 '2026-11-22T05:56:54.000000Z', '{key}', '{etag}');
             INSERT INTO bh_object VALUES ('{key}', '{bare}', '{hash}')",
            hash = row.hash,
            build = row.build,
            bare = etag.trim_matches('"'),
        ));
    }
}

/// A run of an older program over the bucket: three of six pages are listed and
/// stored, or all of them.
fn older(kind: Kind, whole: bool) -> Option<(Place, Vec<Value>)> {
    let model = Place::new();
    let listed = model.run().remove(0);
    let mut parts = marked(&listed.stdout, "listed");
    for part in &mut parts {
        part.as_object_mut().unwrap().remove("run");
    }
    let place = Place::of(model.s3, kind)?;
    let through = if whole {
        &Value::Null
    } else {
        &parts[2]["through"]
    };
    let coverage = json!([{"after": null, "through": through}]);
    let mut rows = model.store.rows();
    rows.sort_by(|a, b| a.key.cmp(&b.key));
    let stored = if whole { BUILDS } else { 12 };
    store_as_older(&place.store, &rows[..stored]);
    let state = json!({
        "format": 1, "run": RUN,
        "source": {
            "endpoint": place.s3.url, "bucket": "b", "prefix": "", "after": null, "through": null,
        },
        "started": "2026-11-22T05:56:54.123Z",
        "records": if whole { KEYS } else { 24 },
        "pages": if whole { PAGES } else { 3 },
        "finished": whole, "broken_pipe": false, "coverage": coverage, "sample": [],
    });
    let loaded = json!({
        "format": 1, "run": RUN, "database": place.store.address(), "coverage": coverage,
    });
    for (file, content) in [(place.resume_file(), state), (place.loaded_file(), loaded)] {
        std::fs::write(file, format!("{content}\n")).unwrap();
    }
    Some((place, parts))
}

fn state_and_tables_of_an_older_program_are_read(kind: Kind) {
    let Some((place, _)) = older(kind, false) else {
        return;
    };
    let old = place.store.rows();
    let show = Tool::new("s3-list")
        .arg("--show-state")
        .arg(place.resume_file());
    show.run().exits(0);
    let runs = place.run();
    place::exit(&runs, &[0; 5]);
    assert_eq!(runs[0].count("/out"), (KEYS - 24) as u64, "{}", runs[0]);
    assert_eq!(place.store.keys().len(), BUILDS);
    for row in old {
        let now = place.store.rows();
        assert!(now.contains(&row), "{row:?}");
    }
    let loaded = place.loaded();
    assert_eq!(
        (&loaded["format"], &loaded["run"]),
        (&json!(2), &json!(RUN)),
        "{loaded}"
    );
    assert_eq!(
        loaded["coverage"],
        json!([{"after": null, "through": null}]),
        "{loaded}"
    );
    // Nobody counted the first three pages.
    let ledger = place.ledger();
    assert_eq!(ledger.listed, (KEYS - 24) as u64, "{loaded}");

    // A finished one is followed by a new one, and that is counted whole.
    let runs = place.run();
    place::exit(&runs, &[0; 5]);
    assert_ne!(place.listed()["run"], RUN);
    place.is_complete();

    let Some((place, _)) = older(kind, true) else {
        return;
    };
    let runs = place.run();
    place::exit(&runs, &[0; 5]);
    assert_eq!(
        runs[1].count("/dropped/known"),
        BUILDS as u64,
        "{}",
        runs[1]
    );
    assert_ne!(place.listed()["run"], RUN);
    place.is_complete();
}

fn a_database_of_an_older_program_that_was_lost_is_found_out(kind: Kind) {
    let Some((place, _)) = older(kind, false) else {
        return;
    };
    place
        .store
        .execute("DROP TABLE bh_outbox; DROP TABLE bh_object; DROP TABLE main_build");
    let runs = place.run();
    assert_eq!(runs[4].status.code(), Some(75), "{}", runs[4]);
    place::exit(&place.run(), &[0; 5]);
    place.is_complete();
}

/// A run that is listed completely, and of which a loader has left gaps: an older
/// program began a new run.
#[test]
fn gaps_of_a_finished_older_run_are_listed_again() {
    let (place, parts) = older(Kind::Sqlite, true).unwrap();
    let mut loaded = lines_of(&place.loaded_file()).remove(0);
    loaded["coverage"] = json!([
        {"after": null, "through": parts[3]["through"]},
        {"after": parts[4]["through"], "through": null},
    ]);
    std::fs::write(place.loaded_file(), format!("{loaded}\n")).unwrap();
    let runs = place::run(&LOADING, |stage| place.tool(stage), |_, lines| lines);
    place::exit(&runs, &[0; 5]);
    assert_eq!(runs[0].count("/out"), 8, "{}", runs[0]);
    assert_eq!(place.listed()["run"], RUN);
    assert_eq!(
        place.loaded()["coverage"],
        json!([{"after": null, "through": null}])
    );
}
