//! A full disk, busy servers, a clock that is set back.

use std::path::Path;

use rustix::process::Signal;
use serde_json::json;

use super::judge::{self, Open};
use super::scene::{self, Scene};
use crate::harness::busy::Busy;
use crate::harness::faulty::Faulty;
use crate::harness::proxy::{Point, Trap};
use crate::harness::stored::Kind;
use crate::harness::{Run, Started, left_out, pipeline, start_pipeline, wait_for};

/// The program that fails, its system call, the file, and the error.
const FULL: [(usize, &str, &str, &str); 7] = [
    (0, "write", "list.json.tmp", "ENOSPC"),
    (0, "fsync", "list.json.tmp", "EIO"),
    (4, "write", "list.json.loaded.tmp", "ENOSPC"),
    (4, "fsync", "list.json.loaded.tmp", "EIO"),
    (2, "write", "bh-fetch.rejects", "ENOSPC"),
    (3, "fdatasync", "bh-validate.rejects", "EIO"),
    (4, "write", "bh-load.rejects", "ENOSPC"),
];

#[test]
fn a_full_disk_ends_the_run_and_loses_nothing() {
    let Some((expected, _)) = super::undisturbed() else {
        return;
    };
    if !super::has_strace() {
        return;
    }
    let mut scene = Scene::new(Kind::Sqlite).unwrap();
    for (stage, call, file, error) in FULL {
        scene = scene.reset(0);
        let path = scene.all.folder.path().join(file);
        let mut tools = scene.all.tools();
        let (trace, inject) = (
            format!("trace={call}"),
            format!("inject={call}:error={error}:when=2"),
        );
        let path = path.to_str().unwrap();
        let strace = [
            "strace",
            "-fqq",
            "-o/dev/null",
            "-P",
            path,
            "-e",
            &trace,
            "-e",
            &inject,
        ];
        let tool = tools.remove(stage).under(strace);
        tools.insert(stage, tool);
        let runs = pipeline(tools);
        let failed = &runs[stage];
        assert_eq!(failed.status.code(), Some(74), "{failed}");
        let named = path.trim_end_matches(".tmp");
        let reason = if error == "EIO" {
            "Input/output"
        } else {
            "No space left"
        };
        assert!(
            failed.stderr.contains(&format!("{named}: {reason}")),
            "{failed}"
        );
        for run in &runs[stage + 1..] {
            assert!(matches!(run.status.code(), Some(0 | 65 | 75)), "{run}");
        }
        let now = scene.left();
        judge::at_rest(&scene, &runs, &now, &expected);
        scene.fetched();
        judge::resumed(&scene, &Open::of(&scene, &now), &expected);
    }
}

/// Serves the same objects with faults, by a server that checks neither
/// signatures nor clocks.
fn faulty(scene: &mut Scene, flags: &[&str]) -> Faulty {
    let objects: Vec<_> = scene::objects()
        .map(|(key, body)| json!({"key": key, "body": String::from_utf8(body).unwrap()}))
        .collect();
    let bucket = ["--bucket", &scene.all.bucket.name];
    let faulty = Faulty::start(&objects, &[&bucket, flags].concat());
    scene.all.ways.s3 = Some(faulty.url.clone());
    faulty
}

#[test]
fn throttling_and_truncated_bodies_lose_nothing() {
    let Some((expected, _)) = super::undisturbed() else {
        return;
    };
    let mut scene = Scene::new(Kind::Postgres).unwrap();
    let faulty = faulty(&mut scene, &["--slowdown=20", "--cut=20", "--most=2"]);
    judge::resumed(&scene, &Open::everything(), &expected);
    let faults = &faulty.counts()["faults"];
    assert!(faults["slowdown"].as_u64() > Some(5), "{faults}");
    assert!(faults["cut"].as_u64() > Some(5), "{faults}");
}

#[test]
fn a_bucket_that_ends_listings_too_early_loses_nothing() {
    let Some((expected, _)) = super::undisturbed() else {
        return;
    };
    for listing in 0..super::LISTINGS.len() {
        let mut scene = Scene::new(Kind::Sqlite).unwrap().reset(listing);
        let _faulty = faulty(&mut scene, &["--siblings-fill-pages", "--skip-a-key"]);
        judge::resumed(&scene, &Open::everything(), &expected);
    }
}

#[test]
fn a_busy_index_receives_every_document() {
    let Some((expected, _)) = super::undisturbed() else {
        return;
    };
    let mut scene = Scene::new(Kind::Sqlite).unwrap();
    let busy = Busy::new(&scene.index().url);
    scene.all.ways.index = Some(busy.url.clone());
    judge::resumed(&scene, &Open::everything(), &expected);
    assert!(busy.refused() > 20, "{}", busy.refused());
}

const FAKETIME: &str = "/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1";

/// The clock goes back ten years in the middle of a run, and stays so when it
/// resumes.
#[test]
fn setting_the_clock_back_changes_nothing() {
    if !Path::new(FAKETIME).exists() {
        return left_out("libfaketime");
    }
    let Some((expected, _)) = super::undisturbed() else {
        return;
    };
    let mut scene = Scene::new(Kind::Sqlite).unwrap().reset(0);
    let _faulty = faulty(&mut scene, &[]);
    let proxy = crate::harness::proxy::Proxy::new(scene.all.ways.s3.as_ref().unwrap());
    scene.all.ways.s3 = Some(proxy.url.clone());
    let clock = scene.all.bucket.name.clone();
    let clock = std::env::temp_dir().join(clock);
    std::fs::write(&clock, "+0").unwrap();
    let tools = |scene: &Scene| {
        let tools = scene.all.tools().into_iter();
        let faked = tools.map(|tool| {
            tool.env("LD_PRELOAD", FAKETIME)
                .env("FAKETIME_TIMESTAMP_FILE", &clock)
                .env("FAKETIME_NO_CACHE", "1")
                .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        });
        faked.collect::<Vec<_>>()
    };
    let hold = proxy.set(Trap {
        text: "list-type=2",
        nth: 12,
        point: Point::Asked,
    });
    let programs = start_pipeline(tools(&scene));
    wait_for("the twelfth page", || hold.is_held());
    wait_for("the eleventh to be stored", || {
        scene.confirmed().0.len() >= 110
    });
    std::fs::write(&clock, "-3650d").unwrap();
    programs[0].signal(Signal::TERM);
    hold.release(true);
    let runs: Vec<_> = programs.into_iter().map(Started::finish).collect();
    assert!(runs[1..].iter().all(|run| run.status.code() == Some(75)));
    let now = scene.left();
    judge::at_rest(&scene, &runs, &now, &expected);
    let listed = scene::state(&scene.all.resume_file()).unwrap();
    let done = pipeline(tools(&scene));
    let finished = |run: &Run| matches!(run.status.code(), Some(0 | 65));
    assert!(done.iter().all(finished), "{done:?}");
    assert!(scene.left() == expected);
    scene.all.all_is_indexed();
    scene.all.all_is_confirmed();
    assert_eq!(
        scene::state(&scene.all.resume_file()).unwrap()["started"],
        listed["started"]
    );
    std::fs::remove_file(&clock).unwrap();
}
