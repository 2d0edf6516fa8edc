//! The cache of metadata, and runs that are killed.

use std::io::Write;
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::json;

use super::{answers, id, ids, key, line, metadata, metadata_path, text};
use crate::harness::archive::Archive;
use crate::harness::{folder, lines_of, wait_for};

const FILE: &str = ".bh-derive-metadata.ndjson";
const PLATFORMS: [&str; 3] = ["linux-x86_64", "linux-i686", "linux-armv7l"];

#[test]
fn a_killed_run_resumes_from_its_cache() {
    let folder = folder();
    let last = metadata_path(PLATFORMS[2]);
    let archive = Archive::holding(answers(&PLATFORMS), Some(&last));
    let tool = || archive.tool().arg("--cache-folder").arg(folder.path());
    let input = text(PLATFORMS.map(|platform| line(&key("fr", platform))));
    let (stdin, mut lines) = std::io::pipe().unwrap();
    lines.write_all(input.as_bytes()).unwrap();
    let running = tool().start_with(stdin.into(), Stdio::null());
    archive.wait_until_held();
    let file = folder.path().join(FILE);
    wait_for("two lines of the cache", || lines_of(&file).len() == 2);
    running.signal(Signal::KILL);
    running.finish().dies_by(Signal::KILL.as_raw());
    archive.release();
    archive.asked();

    // Half a line, as after a kill in the middle of a write.
    let mut torn = std::fs::File::options().append(true).open(&file).unwrap();
    torn.write_all(br#"{"group":"nightly","url":"http:"#)
        .unwrap();
    let run = tool().input(&*input).run().exits(0);
    assert_eq!(
        ids(&run),
        PLATFORMS.map(|platform| id("fr", platform)),
        "{run}"
    );
    let asked: Vec<String> = archive.asked().into_iter().map(|(path, _)| path).collect();
    assert_eq!(asked, [super::CANDIDATES, &*last], "{run}");
    assert_eq!(lines_of(&file).len(), 3);

    let undisturbed = archive.tool().input(&*input).run().exits(0);
    assert_eq!(run.stdout, undisturbed.stdout);
}

#[test]
fn two_runs_do_not_share_a_cache() {
    let folder = folder();
    let path = metadata_path(PLATFORMS[0]);
    let archive = Archive::holding(answers(&PLATFORMS), Some(&path));
    let tool = || archive.tool().arg("--cache-folder").arg(folder.path());
    let (stdin, mut lines) = std::io::pipe().unwrap();
    writeln!(lines, "{}", line(&key("fr", PLATFORMS[0]))).unwrap();
    let running = tool().start_with(stdin.into(), Stdio::null());
    archive.wait_until_held();
    tool()
        .run()
        .exits(75)
        .says("in use by another run")
        .says("--cache-folder");
    archive.release();
    drop(lines);
    running.finish().exits(0);
}

#[test]
fn the_cache_of_the_v1_jobs_is_imported() {
    let folder = folder();
    let archive = Archive::start(answers(&[]));
    let english = |platform| format!("{}{}", archive.url, key("en-US", platform));
    let first = json!({
        "rc": {},
        // Those of v1 may be of another version.
        "release": {(english(PLATFORMS[1])): metadata()},
        "nightly": {(english(PLATFORMS[0])): metadata(), (english(PLATFORMS[1])): null},
    });
    std::fs::write(
        folder.path().join(".metadata-1.4.1.json"),
        first.to_string(),
    )
    .unwrap();
    let input = text(
        PLATFORMS[..2]
            .iter()
            .map(|platform| line(&key("fr", platform))),
    );
    let tool = archive.tool().env("CACHE_FOLDER", folder.path());
    let run = tool.input(input).run().exits(65);
    // Metadata that were missing then are requested again.
    assert_eq!(ids(&run), [id("fr", PLATFORMS[0])], "{run}");
    assert_eq!(archive.asked().len(), 3);
}

#[test]
fn a_damaged_cache_stops_the_run_and_is_named() {
    let folder = folder();
    let file = folder.path().join(FILE);
    std::fs::write(&file, "{\"group\":1}\n").unwrap();
    let archive = Archive::start([]);
    let tool = archive.tool().arg("--cache-folder").arg(folder.path());
    let run = tool.run().exits(78).says("line 1: damaged");
    assert!(run.stderr.contains(&file.display().to_string()), "{run}");
    archive
        .tool()
        .args(["--cache-folder", "/dev/null/x"])
        .run()
        .exits(74)
        .says("/dev/null/x");
}

/// A failed request is repeated after an hour, a missing file after a day.
#[test]
fn cached_failures_expire_and_are_requested_again() {
    let folder = folder();
    let archive = Archive::start(answers(&PLATFORMS));
    let url = |platform| format!("{}{}", archive.url, key("en-US", platform));
    let hours = |hours: i64| jiff::Timestamp::now().as_second() - 3600 * hours;
    let lines = [
        json!({"group": "nightly", "url": url(PLATFORMS[0]), "at": hours(25), "absent": "then"}),
        json!({"group": "nightly", "url": url(PLATFORMS[1]), "at": hours(2), "failed": "then"}),
        json!({"group": "nightly", "url": url(PLATFORMS[2]), "at": hours(23), "absent": "then"}),
    ];
    let cache = text(lines.map(|line| line.to_string()));
    std::fs::write(folder.path().join(FILE), cache).unwrap();
    let input = text(PLATFORMS.map(|platform| line(&key("fr", platform))));
    let tool = archive.tool().arg("--cache-folder").arg(folder.path());
    let run = tool.input(input).run().exits(65).says("no_metadata: then");
    assert_eq!(
        ids(&run),
        PLATFORMS[..2]
            .iter()
            .map(|p| id("fr", p))
            .collect::<Vec<_>>()
    );
}
