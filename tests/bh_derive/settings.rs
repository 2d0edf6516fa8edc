//! Flags, and the environment variables of the v1 jobs.

use serde_json::json;

use super::{CANDIDATES, answers, id, ids, key, line, metadata, metadata_path, text};
use crate::harness::Tool;
use crate::harness::archive::Archive;
use crate::harness::faulty::{Faulty, object};

const PLATFORM: &str = "linux-x86_64";

#[test]
fn the_environment_variables_of_the_v1_jobs_are_read() {
    let archive = Archive::start(answers(&[PLATFORM]));
    let other = "pub/thunderbird/releases/52.0/linux-i686/fr/thunderbird-52.0.tar.bz2";
    let input = text([line(&key("fr", PLATFORM)), line(other)]);
    let tool = || {
        Tool::new("bh-derive")
            .env("ARCHIVE_URL", &*archive.url)
            .input(&*input)
    };
    let run = tool()
        .env("PRODUCTS", " firefox\tdevedition ")
        .run()
        .exits(0);
    assert_eq!(run.told(), ["bh-derive: 2 in = 1 out + 1 other product"]);
    let run = tool()
        .env("MIN_AGE_LAST_MODIFIED_HOURS", "1")
        .run()
        .exits(0);
    assert_eq!(run.told(), ["bh-derive: 2 in = 0 out + 2 too old"]);
    for (name, value) in [
        ("MIN_AGE_LAST_MODIFIED_HOURS", "-1"),
        ("NB_PARALLEL_REQUESTS", "0"),
        ("NB_RETRY_REQUEST", ""),
        ("TIMEOUT_SECONDS", "x"),
        ("ARCHIVE_URL", "https://example.org/archive/"),
        ("ARCHIVE_URL", "example.org"),
    ] {
        tool().env(name, value).run().exits(2).prints_nothing();
    }
    // Without its slash it is the same URL.
    let bare = archive.url.trim_end_matches('/');
    let run = tool()
        .env("PRODUCTS", "firefox")
        .args(["--archive-url", bare])
        .run()
        .exits(0);
    assert_eq!(run.count("/out"), 1, "{run}");
}

#[test]
fn metadata_can_be_read_from_the_bucket() {
    let release = "pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe";
    let of_release = "pub/firefox/candidates/54.0-candidates/build10/win64/en-US/firefox-54.0.json";
    let objects = [
        object(of_release, &metadata().to_string()),
        object("pub/firefox/candidates/54.0-candidates/build9/x", ""),
        object(&metadata_path(PLATFORM)[1..], &metadata().to_string()),
    ];
    let faulty = Faulty::start(&objects, &["--short-pages"]);
    let missing = key("fr", "linux-i686");
    let input = text([line(&key("fr", PLATFORM)), line(release), line(&missing)]);
    let run = faulty
        .tool("bh-derive")
        .args(["--bucket", "bench"])
        .input(input)
        .run()
        .exits(65);
    assert_eq!(ids(&run)[0], id("fr", PLATFORM));
    let records = run.records();
    assert_eq!(records.len(), 2, "{run}");
    let told = &records[1]["data"];
    assert_eq!(told["build"]["number"], json!(10), "{run}");
    let url =
        "https://archive.mozilla.org/pub/firefox/releases/54.0/win64/fr/Firefox Setup 54.0.exe";
    assert_eq!(told["download"]["url"], json!(url));
    assert_eq!(run.count("/rejected/no_metadata"), 1, "{run}");

    let empty = Faulty::start(&[], &[]);
    let tool = empty.tool("bh-derive").args(["--bucket", "bench"]);
    let run = tool.input(line(&key("fr", PLATFORM))).run();
    run.exits(78).says("there is no").says(&CANDIDATES[1..]);
}
