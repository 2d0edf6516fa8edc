//! What a run that is resumed does again, and what it says.

use std::os::unix::fs::symlink;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::place::{self, BUILDS, KEYS, LOADING, Place, bucket};
use crate::harness::fed::Fed;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::key;
use crate::harness::stored::Kind;
use crate::harness::units::{joined, marked, units};
use crate::harness::{Run, Tool, wait_for};

/// Loses a line of one page between two programs: the page stays open.
fn lose_a_line(stage: &str, lines: Vec<u8>) -> Vec<u8> {
    if stage != "bh-load" {
        return lines;
    }
    let mut units = units(&lines);
    units[3].records.pop();
    joined(&units)
}

fn show(place: &Place) -> String {
    let show = Tool::new("s3-list")
        .arg("--show-state")
        .arg(place.resume_file());
    String::from_utf8(show.run().exits(0).stdout).unwrap()
}

#[test]
fn unconfirmed_pages_are_listed_again() {
    let place = Place::new();
    let runs = place.run_altered(lose_a_line);
    place::exit(&runs, &[0, 0, 0, 0, 75]);
    let listed = place.listed();
    assert_eq!(listed["finished"], true);
    assert!(
        listed["finished_at"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    let shown = show(&place);
    assert!(shown.contains("listed completely"), "{shown}");
    assert!(shown.contains("1 range not yet stored"), "{shown}");

    let resumed = place.run();
    place::exit(&resumed, &[0; 5]);
    assert_eq!(resumed[0].count("/out"), 8, "{}", resumed[0]);
    assert_eq!(
        marked(&resumed[0].stdout, "listed").len(),
        1,
        "{}",
        resumed[0]
    );
    // It is the same run.
    assert_eq!(place.listed()["run"], listed["run"]);
    place.is_complete();
    let shown = show(&place);
    assert!(!shown.contains("not yet stored"), "{shown}");

    let next = place.run();
    assert_eq!(next[0].count("/out"), KEYS as u64, "{}", next[0]);
    assert_ne!(place.listed()["run"], listed["run"]);
    place.is_complete();
}

/// It must not keep new keys from being seen.
#[test]
fn an_object_that_fails_for_ever_is_tried_once_more_and_then_all_is_listed() {
    let place = Place::new();
    let failing = bucket(&["--fail-get", &key(9)]);
    let rejects = place.folder.path().join("rejects");
    let tool = |stage: &str| match stage {
        "bh-fetch" => {
            let fetch = failing.tool(stage).args(["--tries", "2"]);
            fetch.arg("--rejects").arg(&rejects)
        }
        // Where it is the only one to be fetched, the server is to blame.
        "bh-filter" => Tool::new(stage).args(["--known", "none"]),
        _ => place.tool(stage),
    };
    let run = || {
        let runs = place::run(&LOADING, tool, |_, lines| lines);
        place::exit(&runs, &[0, 0, 65, 0, 0]);
        runs[0].count("/out")
    };
    assert_eq!(run(), KEYS as u64);
    let first = place.listed()["run"].clone();
    assert_ne!(place.listed()["closed"], true, "{}", place.listed());
    assert_eq!(run(), 8, "the page of the object alone");
    assert_eq!(place.listed()["run"], first);
    assert_eq!(place.listed()["closed"], true, "{}", place.listed());
    assert_eq!(run(), KEYS as u64);
    assert_ne!(place.listed()["run"], first);
    assert_eq!(run(), 8, "and so on");
    assert_eq!(place.store.keys().len(), BUILDS - 1);
}

/// A run that is stopped while it does the gaps again is not closed yet.
#[test]
fn a_run_is_closed_by_a_process_that_came_to_its_end() {
    let place = Place::new();
    place.run_altered(lose_a_line);
    let first = place.listed()["run"].clone();
    let proxy = Proxy::new(&place.s3.url);
    let hold = proxy.set(Trap {
        text: "list-type=2",
        nth: 1,
        point: Point::Asked,
    });
    // The address is part of the state.
    let mut state = place.listed();
    state["source"]["endpoint"] = json!(proxy.url);
    std::fs::write(place.resume_file(), format!("{state}\n")).unwrap();
    let list = || {
        let list = Tool::new("s3-list").args(["--endpoint-url", &proxy.url, "--no-sign-request"]);
        let list = list.args(["--concurrency", "1", "--page-size", "8", "s3://b"]);
        list.arg("--resume-file")
            .arg(place.resume_file())
            .arg("--resume")
    };
    let running = list().start_with(std::process::Stdio::null(), std::process::Stdio::piped());
    wait_for("the first request", || hold.is_held());
    running.signal(Signal::TERM);
    let run = running.finish().dies_by(Signal::TERM.as_raw());
    run.says("--resume");
    hold.release(false);
    assert_ne!(place.listed()["closed"], true, "{}", place.listed());
    let run = list().run().exits(0);
    assert_eq!(
        (run.count("/out"), &place.listed()["run"]),
        (8, &first),
        "{run}"
    );
}

#[test]
fn a_start_without_resume_says_what_it_throws_away() {
    let place = Place::new();
    place.run_altered(lose_a_line);
    let run = place.listed()["run"].as_str().unwrap().to_owned();
    let list = || {
        let list = place.without_state("s3-list");
        list.arg("--resume-file").arg(place.resume_file())
    };
    let told = list().run().exits(0).says(&run);
    let told = told
        .says("1 range not yet stored")
        .says("to continue a run, use --resume");
    assert!(told.stderr.contains("warning"), "{told}");
    // A run that is done has nothing to lose.
    place.run();
    place.run();
    let told = list().run().exits(0);
    assert!(!told.stderr.contains("warning"), "{told}");
}

/// Whichever program is stopped, and however long ago the source has ended.
#[test]
fn a_program_that_is_stopped_says_how_to_resume() {
    let place = Place::new();
    let listed = place.tool("s3-list").run().exits(0);
    let begin = &units(&listed.stdout)[0].mark;
    for stage in &LOADING[1..] {
        let mut fed = Fed::new(place.tool(stage));
        fed.say(begin);
        assert!(fed.hear().starts_with("{\"mark\":{\"begin\""), "{stage}");
        fed.started.signal(Signal::TERM);
        let run = fed.wait().dies_by(Signal::TERM.as_raw());
        run.says("--resume");
    }
}

/// What each of two loaders behind tee has confirmed is its own.
#[test]
fn a_second_loader_with_a_hole_ends_with_75_until_it_is_whole() {
    let (place, other) = (Place::new(), Place::new());
    let second = |lines: Vec<u8>| {
        let load = Tool::new("bh-load").args(["--database", &other.store.url()]);
        load.arg("--resume-file")
            .arg(other.resume_file())
            .input(lines)
            .run()
    };
    // Both are killed: the first has confirmed four pages, the second two.
    let cut = |lines: &[u8], pages: usize| joined(&units(lines)[..=pages]);
    let runs = place.run_altered(|stage, lines| match stage {
        "bh-load" => cut(&lines, 4),
        _ => lines,
    });
    place::exit(&runs, &[0, 0, 0, 0, 75]);
    second(cut(&runs[3].stdout, 2)).exits(75);

    // The run goes on from what the first one has: for the second, two pages are missing.
    let runs = place.run();
    place::exit(&runs, &[0; 5]);
    assert_eq!(runs[0].count("/out"), (KEYS - 32) as u64, "{}", runs[0]);
    let told = second(runs[3].stdout.clone()).exits(75);
    // The hole is named.
    told.says("00007/").says("00015/");
    assert_eq!(other.store.keys().len(), BUILDS - 8);

    // A new run is whole for both. bh-filter has to ask nobody, or the database of both.
    let runs = place::run(
        &LOADING,
        |stage| match stage {
            "bh-filter" => Tool::new(stage).args(["--known", "none"]),
            _ => place.tool(stage),
        },
        |_, lines| lines,
    );
    place::exit(&runs, &[0; 5]);
    second(runs[3].stdout.clone()).exits(0);
    assert_eq!(other.store.keys().len(), BUILDS);
    // And what is whole stays so.
    second(runs[3].stdout.clone()).exits(0);
}

#[test]
fn the_target_of_a_linked_resume_file_is_replaced() {
    let place = Place::new();
    let elsewhere = crate::harness::folder();
    let targets = ["listed", "loaded"].map(|name| elsewhere.path().join(name));
    let links = [place.resume_file(), place.loaded_file()];
    // What they point to is not there yet.
    for (link, target) in links.iter().zip(&targets) {
        symlink(target, link).unwrap();
    }
    let runs = place.run_altered(lose_a_line);
    place::exit(&runs, &[0, 0, 0, 0, 75]);
    let resumed = place.run();
    place::exit(&resumed, &[0; 5]);
    assert_eq!(resumed[0].count("/out"), 8, "{}", resumed[0]);
    place.is_complete();
    for (link, target) in links.iter().zip(&targets) {
        assert_eq!(link.read_link().unwrap(), *target);
        assert!(target.symlink_metadata().unwrap().is_file());
    }
    // Whoever is given the file itself meets the same lock.
    let lock = std::fs::File::open(elsewhere.path().join("listed.lock")).unwrap();
    lock.lock().unwrap();
    let run = place.tool("s3-list").run().exits(75);
    run.says("another run");
}

/// A listing that was kept is loaded as often as one likes.
#[test]
fn a_kept_listing_that_is_loaded_twice_counts_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let Some(place) = Place::on(kind) else { return };
        let kept = place.without_state("s3-list").run().exits(0).stdout;
        let load = || -> Vec<Run> {
            let runs = place::run_behind(&kept, |stage| place.tool(stage));
            place::exit(&runs, &[0; 4]);
            runs
        };
        load();
        let (first, rows) = (place.loaded(), place.store.rows());
        assert_eq!(rows.len(), BUILDS);
        load();
        let known = |mut loaded: Value| {
            // A loader may take a step without rows.
            loaded.as_object_mut().unwrap().remove("step");
            loaded
        };
        assert_eq!(known(place.loaded()), known(first));
        assert_eq!(place.store.rows(), rows);
    }
}
