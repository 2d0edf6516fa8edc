//! What a run has stored is lost, fenced or in doubt: the database says so.

use serde_json::json;

use super::place::{self, BUILDS, LOADING, Place};
use super::written::{begin, end, page};
use crate::harness::fed::Fed;
use crate::harness::postgres::Database;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::{self, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::units::{Unit, joined, units};
use crate::harness::{Run, Tool, folder, lines_of, wait_for};
use crate::pipeline::on_each_store;

on_each_store! {
    an_emptied_database_is_found_out_and_everything_comes_again
    a_database_that_was_set_back_is_found_out_and_everything_comes_again
    a_database_that_another_loader_made_anew_is_found_out
    of_two_loaders_of_one_run_the_first_is_fenced_off
}

/// Runs the pipeline; bh-load gets no more than so many pages.
fn run_pages(place: &Place, pages: usize) -> Vec<Run> {
    place.run_altered(|stage, lines| match stage {
        "bh-load" => joined(&units(&lines)[..=pages.min(units(&lines).len() - 1)]),
        _ => lines,
    })
}

/// Asserts that the next run says that rows are lost, and that the one after it
/// stores all of them.
#[track_caller]
fn comes_again(place: &Place) {
    let runs = place.run();
    assert_eq!(runs[4].status.code(), Some(75), "{}", runs[4]);
    assert!(
        runs[4].stderr.contains("run the pipeline again") || runs[4].stderr.contains("--resume"),
        "{}",
        runs[4]
    );
    let runs = place.run();
    place::exit(&runs, &[0; 5]);
    place.is_complete();
}

fn an_emptied_database_is_found_out_and_everything_comes_again(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    run_pages(&place, 3);
    assert_eq!(place.store.rows().len(), 12);
    place.store.execute(match kind {
        Kind::Sqlite => "DELETE FROM main_build",
        Kind::Postgres => "TRUNCATE main_build",
    });
    comes_again(&place);
}

/// Every file of a database in SQLite.
fn files_of(store: &Store) -> Vec<std::path::PathBuf> {
    let Store::Sqlite(path, _) = store else {
        unreachable!()
    };
    let folder = path.parent().unwrap().read_dir().unwrap();
    folder.map(|entry| entry.unwrap().path()).collect()
}

fn a_database_that_was_set_back_is_found_out_and_everything_comes_again(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    let input = place::run(&LOADING[..4], |stage| place.tool(stage), |_, lines| lines);
    let units = units(&input.last().unwrap().stdout);
    let load = |units: &[Unit]| {
        let load = place.tool("bh-load").input(joined(units));
        load.run().exits(75).says("input ended early")
    };
    load(&units[..=1]);
    let copies = folder();
    let server = |statement: &str| {
        let Store::Postgres(Database { url, .. }) = &place.store else {
            unreachable!()
        };
        let name = url.rsplit('/').next().unwrap();
        let mut client =
            ::postgres::Client::connect(&url.replace(name, "postgres"), ::postgres::NoTls).unwrap();
        client
            .batch_execute(&statement.replace("{db}", name))
            .unwrap();
    };
    match kind {
        Kind::Sqlite => {
            for file in files_of(&place.store) {
                std::fs::copy(&file, copies.path().join(file.file_name().unwrap())).unwrap();
            }
        }
        Kind::Postgres => server("CREATE DATABASE {db}_copy TEMPLATE {db}"),
    }
    load(&[&units[..1], &units[2..=3]].concat());
    assert_eq!(place.store.rows().len(), 12);
    match kind {
        Kind::Sqlite => {
            for file in files_of(&place.store) {
                std::fs::remove_file(&file).unwrap();
                let copy = copies.path().join(file.file_name().unwrap());
                if copy.exists() {
                    std::fs::copy(&copy, &file).unwrap();
                }
            }
        }
        Kind::Postgres => {
            server("DROP DATABASE {db} WITH (FORCE)");
            server("ALTER DATABASE {db}_copy RENAME TO {db}");
        }
    }
    assert_eq!(place.store.rows().len(), 4);
    comes_again(&place);
}

fn a_database_that_another_loader_made_anew_is_found_out(kind: Kind) {
    let Some(place) = Place::on(kind) else { return };
    run_pages(&place, 3);
    let anew = || {
        Tool::new("bh-load")
            .args(["--database", &place.store.url()])
            .run()
    };
    match &place.store {
        Store::Sqlite(..) => {
            for file in files_of(&place.store) {
                std::fs::remove_file(file).unwrap();
            }
        }
        Store::Postgres(_) => place.store.execute(
            "DO $$ DECLARE name text; BEGIN
                 FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public'
                 LOOP EXECUTE format('DROP TABLE %I', name); END LOOP; END $$",
        ),
    }
    // Not by the run that lost its rows.
    anew().exits(0);
    assert_eq!(place.store.rows().len(), 0);
    comes_again(&place);
}

fn of_two_loaders_of_one_run_the_first_is_fenced_off(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let folder = folder();
    let begin = begin("r", &json!({"resumable": true}));
    let loader = |name: &str| {
        let tool = Tool::new("bh-load").args(["--database", &store.url(), "--marks"]);
        let tool = tool.args(["--flush-interval=0.01", "--resume-file"]);
        Fed::new(tool.arg(folder.path().join(name)))
    };
    let (mut first, mut second) = (loader("first"), loader("second"));
    first.give([&begin, &record(0), &page("r", None, Some(0), 1)]);
    first.line();
    assert!(first.line()["mark"].get("listed").is_some());
    second.give([&begin, &record(0), &record(1), &page("r", None, Some(1), 2)]);
    second.line();
    assert!(second.line()["mark"].get("listed").is_some());
    // The first one would confirm what it does not know to be there.
    first.give([
        &record(1),
        &page("r", Some(0), Some(1), 1),
        &record(2),
        &page("r", Some(1), None, 1),
        &end("r", 3),
    ]);
    let run = first.finish().exits(75);
    run.says("another loader");
    second.give([&record(2), &page("r", Some(1), None, 1), &end("r", 2)]);
    second.finish().exits(0);
    assert_eq!(store.keys(), (0..3).map(sample::key).collect::<Vec<_>>());
    let covered =
        |name: &str| lines_of(&folder.path().join(format!("{name}.loaded")))[0]["coverage"].clone();
    assert_eq!(covered("second"), json!([{"after": null, "through": null}]));
    assert_eq!(
        covered("first"),
        json!([{"after": null, "through": sample::key(0)}])
    );
}

/// Makes the tables, so that the first COMMIT of a run is that of its rows; returns what
/// bh-load reads.
fn before_the_loader(place: &Place) -> Vec<u8> {
    let load = Tool::new("bh-load").args(["--database", &place.store.url()]);
    load.run().exits(0);
    let runs = place::run(&LOADING[..4], |stage| place.tool(stage), |_, lines| lines);
    runs.into_iter().last().unwrap().exits(0).stdout
}

fn loader_through(proxy: &Proxy, place: &Place) -> Tool {
    let load = Tool::new("bh-load").args(["--database", &proxy.url, "--batch-size=8", "--marks"]);
    load.arg("--resume-file").arg(place.resume_file())
}

/// The server has committed, and the connection is lost before its answer comes.
#[test]
fn a_commit_without_an_answer_counts_each_row_once() {
    let Some(place) = Place::on(Kind::Postgres) else {
        return;
    };
    let input = before_the_loader(&place);
    let proxy = Proxy::new(&place.store.url());
    for nth in 1..=3 {
        place
            .store
            .execute("DELETE FROM main_build; DELETE FROM bh_object; DELETE FROM bh_run");
        drop(std::fs::remove_file(place.loaded_file()));
        let hold = proxy.set(Trap {
            text: "COMMIT\0",
            nth,
            point: Point::Answered,
        });
        let mut fed = Fed::new(loader_through(&proxy, &place));
        fed.give(&crate::harness::lines(&input));
        wait_for("the answer to a commit", || hold.is_held());
        hold.release(false);
        let run = fed.finish().exits(0);
        assert_eq!(run.count("/out"), BUILDS as u64, "{nth}: {run}");
        assert_eq!(run.summary["dropped"], json!({}), "{nth}: {run}");
        assert_eq!(run.count("/notes/reconnections"), 1, "{nth}: {run}");
        place.is_complete();
    }
}

/// The answer is lost, and so was the commit.
#[test]
fn a_commit_that_never_came_is_done_again() {
    let Some(place) = Place::on(Kind::Postgres) else {
        return;
    };
    let input = before_the_loader(&place);
    let proxy = Proxy::new(&place.store.url());
    let hold = proxy.set(Trap {
        text: "COMMIT\0",
        nth: 2,
        point: Point::Asked,
    });
    let mut fed = Fed::new(loader_through(&proxy, &place));
    fed.give(&crate::harness::lines(&input));
    wait_for("a commit", || hold.is_held());
    hold.release(false);
    let run = fed.finish().exits(0);
    assert_eq!(run.count("/out"), BUILDS as u64, "{run}");
    assert_eq!(run.summary["dropped"], json!({}), "{run}");
    place.is_complete();
}
