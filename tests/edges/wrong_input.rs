//! Input that the program before did not write: the mistake is said once, and ends the run.

use serde_json::{Value, json};

use super::{END, Place, line, mark, readers};
use crate::harness::faulty::{Faulty, object};
use crate::harness::fed::Fed;
use crate::harness::protocol::{Reject, read};
use crate::harness::sample::{ndjson, record};
use crate::harness::{Tool, folder, lines_of};
use crate::marks::written::{begin, end, page};

/// A line that no program reads, as often as it is needed.
const WRONG: &str = "{\"bucket\":\"b\"}";

/// The tool, with a file for its rejects in `folder`.
fn keeping_rejects(tool: Tool, folder: &tempfile::TempDir) -> Tool {
    tool.arg("--rejects").arg(folder.path().join("rejects"))
}

#[test]
fn the_likely_mistake_is_reported_once() {
    let place = Place::new();
    let build = record(1)["build"].to_string();
    let whole = record(1).to_string();
    let key = r#"{"bucket":"b","key":"pub/a/buildhub.json"}"#;
    let release = r#"{"data":{"id":"a"}}"#;
    let flat = r#"{"data":1}"#;
    for (stage, flags, line, mistake) in [
        (
            "bh-filter",
            &[][..],
            "\"b\",\"pub/a\",\"12\"",
            "this is CSV: read an inventory with s3-inventory",
        ),
        (
            "bh-filter",
            &[],
            "{",
            "this is JSON over several lines: pipe it through jq -c . first",
        ),
        (
            "bh-filter",
            &[],
            "-rw-r--r-- 1 me me 12 Jan 1 2026 a",
            "line 1: not a JSON object: \"-rw-r--r-- 1 me me 12 Jan 1 2026 a\"; this is the output \
             of ls: list a bucket with s3-list",
        ),
        (
            "bh-fetch",
            &[],
            "2026-01-01 12:00:00  123 pub/a",
            "this is the output of ls",
        ),
        (
            "bh-filter",
            &[],
            "pub/a/buildhub.json",
            "these are only keys: pipe them through jq -cR '{key: .}' first",
        ),
        (
            "bh-filter",
            &[],
            release,
            "these are release records, which kinto-load stores",
        ),
        (
            "bh-filter",
            &[],
            flat,
            "these are release records, which kinto-load stores",
        ),
        ("bh-validate", &[], key, "put bh-fetch before bh-validate"),
        (
            "bh-validate",
            &[],
            &build,
            "each line is a build itself: add --bare",
        ),
        (
            "bh-validate",
            &["--skip-invalid"],
            &build,
            "each line is a build itself: add --bare",
        ),
        ("bh-validate", &["--bare"], &whole, "leave out --bare"),
        ("bh-load", &[], key, "put bh-fetch before bh-load"),
        ("bh-load", &[], &build, "jq -c '{build: .}'"),
        ("kinto-load", &[], key, "put bh-derive before kinto-load"),
    ] {
        let input = format!("{line}\n{line}\n{line}\n");
        let tool = || place.tool(stage).args(flags).input(&*input);
        let run = tool().run().exits(65).says(mistake);
        let told = run.told();
        let said = told.iter().filter(|line| line.contains(": line "));
        assert_eq!((told.len(), said.count()), (3, 1), "{run}");
        assert!(
            run.stderr
                .contains("3 records rejected but not saved (1 shown)"),
            "{run}"
        );
        // It is said where the rejects are kept, too.
        let folder = folder();
        let kept = keeping_rejects(tool(), &folder)
            .run()
            .exits(65)
            .says(mistake);
        assert_eq!(kept.told().len(), 2, "{kept}");
    }
}

#[test]
fn objects_that_are_not_builds_are_distinguished_from_broken_builds() {
    let keys = ["pub/a/image.apk", "pub/b/buildhub.json"];
    let mut objects = keys.map(|key| object(key, "PKK")).to_vec();
    objects.push(object("pub/c/buildhub.json", "{}"));
    let s3 = Faulty::start(&objects, &["--bucket", "b"]);
    let fetch = |key: &str| {
        let line = json!({"bucket": "b", "key": key}).to_string() + "\n";
        let tool = s3.tool("bh-fetch").input(line.repeat(150));
        tool.run().exits(65)
    };
    let run = fetch("pub/a/image.apk").says("is bh-filter missing before bh-fetch?");
    assert_eq!(run.count("/in"), 150, "{run}");
    assert!(
        run.stderr
            .contains("the first 100 records are not what this program reads"),
        "{run}"
    );
    // It is said as soon as one is fetched, also where others are builds.
    let folder = folder();
    let keys = ["pub/c/buildhub.json", "pub/a/image.apk", "pub/a/image.apk"];
    let lines = keys.map(|key| json!({"bucket": "b", "key": key}));
    let tool = s3.tool("bh-fetch").args(["--max-size", "2"]);
    let tool = keeping_rejects(tool, &folder).input(ndjson(&lines));
    let run = tool.run().exits(65);
    assert_eq!(
        run.stderr.matches("is bh-filter missing").count(),
        1,
        "{run}"
    );
    let run = fetch("pub/b/buildhub.json");
    assert_eq!(run.count("/rejected/not_json"), 150, "{run}");
    assert!(!run.stderr.contains("the first 100"), "{run}");
}

#[test]
fn a_hundred_records_of_the_wrong_kind_end_the_run_though_more_may_come() {
    let place = Place::new();
    for stage in readers() {
        let folder = folder();
        let file = folder.path().join("rejects");
        let mut fed = Fed::new(keeping_rejects(place.tool(stage), &folder));
        let unit = |n: usize, records: usize| {
            format!("{}{}", format!("{WRONG}\n").repeat(records), mark(n))
        };
        fed.say(&unit(0, 50));
        assert_eq!(fed.hear(), mark(0));
        fed.say(&unit(1, 50));
        let run = fed.wait().exits(65);
        let run = run.says(&format!(
            "{stage}: the first 100 records are not what this program reads: line 1: "
        ));
        assert_eq!(
            (run.count("/in"), run.count("/rejected/bad_line")),
            (100, 100),
            "{run}"
        );
        let rejects: Vec<Reject> = read(&std::fs::read(file).unwrap());
        assert_eq!(rejects.len(), 100);
    }
}

#[test]
fn the_unit_that_ends_the_run_is_not_done() {
    let place = Place::new();
    for stage in readers() {
        let folder = folder();
        let tool = keeping_rejects(place.tool(stage), &folder);
        let input = format!("{}{}\n", format!("{WRONG}\n").repeat(150), mark(0));
        let run = tool.input(input).run().exits(65);
        assert!(
            !String::from_utf8_lossy(&run.stdout).contains(&mark(0)),
            "{run}"
        );
        assert_eq!(
            run.count("/in"),
            run.count("/rejected/bad_line") + run.count("/rejected/wrong_input"),
            "{run}"
        );
    }
}

#[test]
fn a_record_that_fits_lets_the_others_be_rejected_one_by_one() {
    let place = Place::new();
    for stage in readers() {
        let folder = folder();
        let tool = keeping_rejects(place.tool(stage), &folder);
        let wrong = format!("{WRONG}\n").repeat(99);
        let input = format!("{wrong}{}\n{wrong}{wrong}{}\n{END}\n", line(0), mark(0));
        let run = tool.input(input).run().exits(65);
        assert_eq!(
            (run.count("/in"), run.count("/rejected/bad_line")),
            (298, 297),
            "{run}"
        );
        assert!(
            String::from_utf8_lossy(&run.stdout).contains(&mark(0)),
            "{run}"
        );
        assert_eq!(run.told().len(), 1, "{run}");
    }
}

#[test]
fn builds_that_a_schema_rejects_for_one_reason_do_not_end_the_run() {
    let mut invalid = record(0);
    invalid["build"].as_object_mut().unwrap().remove("target");
    let mut lines = vec![invalid; 150];
    lines.push(record(1));
    let run = Tool::new("bh-validate")
        .input(ndjson(&lines))
        .run()
        .exits(65);
    assert_eq!(
        (run.count("/out"), run.count("/rejected/schema")),
        (1, 150),
        "{run}"
    );
}

#[test]
fn a_run_of_the_wrong_input_is_not_complete() {
    let folder = folder();
    let (state, rejects) = (
        folder.path().join("list.json"),
        folder.path().join("rejects"),
    );
    let run = |records: Vec<Value>| {
        let came = records.len();
        let lines = [
            vec![begin("r", &json!({}))],
            records,
            vec![page("r", None, None, came), end("r", 1)],
        ];
        let tool = Tool::new("bh-load")
            .folder(folder.path())
            .args(["--database", "sqlite:b.db"])
            .arg("--rejects")
            .arg(&rejects);
        tool.arg("--resume-file")
            .arg(&state)
            .input(ndjson(&lines.concat()))
            .run()
    };
    let keys = (0..150).map(|n| json!({"bucket": "b", "key": format!("k{n}")}));
    run(keys.collect())
        .exits(65)
        .says("put bh-fetch before bh-load");
    let loaded = lines_of(&state.with_extension("json.loaded"));
    assert!(
        loaded
            .iter()
            .all(|loaded| loaded["coverage"].as_array().is_none_or(Vec::is_empty)),
        "{loaded:?}"
    );
    assert!(lines_of(&rejects).len() >= 100);
    // The same run, in the right order.
    let done = run((0..3).map(record).collect()).exits(0);
    assert_eq!(done.count("/out"), 3, "{done}");
}

#[test]
fn files_that_are_no_lines_are_refused_by_their_first_bytes() {
    let place = Place::new();
    for stage in readers() {
        for (head, said) in [
            (
                &b"\x28\xb5\x2f\xfd\n"[..],
                "compressed with zstd; decompress it with zstdcat first",
            ),
            (
                b"\xfd7zXZ\0\n",
                "compressed with xz; decompress it with xzcat first",
            ),
            (
                b"BZh91AY\n",
                "compressed with bzip2; decompress it with bzcat first",
            ),
            (b"PAR1\n", "found Parquet"),
            (b"ORC\n", "found ORC"),
            (b"\xff\xfe{\0\n\0", "found text in UTF-16"),
        ] {
            let run = place.tool(stage).input(head.to_vec()).run().exits(78);
            run.says(said);
        }
    }
    // A word in a record is no magic.
    let key = format!(
        "{}ustar/buildhub.json",
        "x".repeat(257 - "{\"key\":\"".len())
    );
    let run = place
        .tool("bh-filter")
        .input(json!({"key": key}).to_string())
        .run();
    assert_eq!(run.exits(0).count("/out"), 1);
}
