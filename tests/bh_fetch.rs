//! bh-fetch.

mod bodies;
mod denied;
mod encoded;
mod failing;
mod headers;
mod short;

use serde_json::{Value, json};

use crate::harness::faulty::{Faulty, object};
use crate::harness::protocol::{Reject, read};
use crate::harness::{Tool, folder};
use crate::s3_list::awkward_keys;

fn serve(objects: &[Value], flags: &[&str]) -> Faulty {
    Faulty::start(objects, flags)
}

fn fetch(server: &Faulty) -> Tool {
    server.tool("bh-fetch")
}

fn entry(key: &str) -> String {
    json!({"bucket": "bench", "key": key, "etag": "old", "size": 7}).to_string()
}

fn text(lines: impl IntoIterator<Item = String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

#[test]
fn order_is_kept_however_many_are_in_flight() {
    let keys: Vec<String> = (0..400).map(|i| format!("k{i:03}")).collect();
    let objects: Vec<Value> = keys
        .iter()
        .map(|key| object(key, &json!({"of": key}).to_string()))
        .collect();
    let flags = ["--latency-ms", "5", "--error-500", "3", "--cut", "3"];
    let server = serve(&objects, &flags);
    let input = text(keys.iter().rev().map(|key| entry(key)));
    let run = fetch(&server)
        .args(["--concurrency", "64"])
        .input(input)
        .run();
    let run = run.exits(0);
    let listing = run.listing();
    assert!(listing.keys().iter().eq(keys.iter().rev()), "{run}");
    for record in &listing.records {
        assert_eq!(record.build, Some(json!({"of": record.key})));
    }
    let gets = server.counts()["get"].as_u64().unwrap();
    assert_eq!(gets, 400 + run.count("/notes/retries"), "{run}");
    assert!(gets > 400);
}

#[test]
fn every_key_is_fetched() {
    let mut keys = awkward_keys();
    keys.retain(|key| !key.trim().is_empty());
    let objects: Vec<Value> = keys
        .iter()
        .map(|key| object(key, &json!({"of": key}).to_string()))
        .collect();
    let server = serve(&objects, &[]);
    let run = fetch(&server)
        .input(text(keys.iter().map(|key| entry(key))))
        .run()
        .exits(0);
    let listing = run.listing();
    assert_eq!(listing.keys(), keys, "{run}");
    for record in &listing.records {
        assert_eq!(record.build, Some(json!({"of": record.key})));
    }
}

/// The client of AWS refuses to request such keys.
#[test]
fn a_key_of_white_space_only_is_rejected_alone() {
    let keys = [" ", "\r\n", "\u{2028}", "good"];
    let objects = keys.map(|key| object(key, "{}"));
    let server = serve(&objects, &[]);
    let run = fetch(&server).input(text(keys.map(entry))).run().exits(65);
    assert_eq!(run.listing().keys(), ["good"], "{run}");
    assert_eq!(run.count("/rejected/failed"), 3, "{run}");
}

/// The client of AWS panics on an address that is too long.
#[test]
fn a_key_that_is_too_long_for_a_request_is_rejected_alone() {
    let (letters, escaped) = ("a".repeat(70_000), "\u{e9}".repeat(11_000));
    let keys = ["good", &letters, &escaped, "fine"];
    let server = serve(&[object("good", "{}"), object("fine", "{}")], &[]);
    let run = fetch(&server).input(text(keys.map(entry))).run().exits(65);
    assert_eq!(run.listing().keys(), ["good", "fine"], "{run}");
    assert_eq!(run.count("/rejected/failed"), 2, "{run}");
    run.says("too long");
}

#[test]
fn without_file_descriptors_there_are_fewer_requests_or_a_local_error() {
    let keys: Vec<String> = (0..200).map(|n| format!("k{n}")).collect();
    let objects: Vec<Value> = keys.iter().map(|key| object(key, "{}")).collect();
    let server = serve(&objects, &["--latency-ms", "5"]);
    let run = |limit: u32| {
        let tool = fetch(&server).args(["--concurrency", "64"]);
        let tool = tool.under(["prlimit".to_owned(), format!("--nofile={limit}:{limit}")]);
        tool.input(text(keys.iter().map(|key| entry(key)))).run()
    };
    for limit in 10..24 {
        let run = run(limit);
        match run.status.code() {
            Some(0) => assert_eq!(run.listing().keys(), keys, "{run}"),
            // The system's words at the start, the program's afterwards.
            _ => assert!(
                run.exits(74)
                    .stderr
                    .to_lowercase()
                    .contains("too many open files"),
                "{limit}"
            ),
        }
    }
    run(10).exits(74);
    for limit in [32, 40] {
        let run = run(limit).exits(0);
        assert_eq!(run.listing().keys(), keys, "{run}");
    }
}

#[test]
fn a_message_is_one_line_whatever_the_key() {
    let server = serve(&[], &["--error-500", "100", "--most", "99"]);
    let tool = fetch(&server).args(["--tries", "3"]);
    let run = tool.input(entry("a\nb\u{1b}[2J")).run().exits(69);
    let told = run.told();
    assert_eq!(told.len(), 3, "a warning, the reason, the summary: {run}");
    assert!(
        told.iter().all(|line| line.starts_with("bh-fetch: ")),
        "{run}"
    );
    assert!(!run.stderr.contains('\u{1b}'), "{run}");
}

#[test]
fn an_invalid_endpoint_is_not_retried() {
    for stage in ["bh-fetch", "s3-list"] {
        let tool = Tool::new(stage).args(["--no-sign-request", "--tries", "2", "--endpoint-url"]);
        let tool = match stage {
            "s3-list" => tool.args(["nonsense", "s3://bench"]),
            _ => tool.arg("nonsense"),
        };
        let run = tool.input(entry("k")).run();
        assert_eq!(run.count("/notes/retries"), 0, "{run}");
        let code = run.status.code();
        assert!(code == Some(2) || code == Some(78), "{run}");
        run.prints_nothing().says("nonsense");
    }
}

#[test]
fn fetched_etag_and_size_replace_the_listed_ones() {
    let mut changing = object("k", "{}");
    changing["changed"] = r#"{"new":1}"#.into();
    let server = serve(&[changing, object("l", "{}")], &["--change", "k"]);
    let run = fetch(&server)
        .input(text([entry("k"), entry("l")]))
        .run()
        .exits(0);
    assert_eq!(run.told(), ["bh-fetch: 2 in = 2 out"]);
    let out = String::from_utf8(run.stdout).unwrap();
    let (new, same) = (
        "641cbd2b8820ef4a6074d83024c16630",
        "99914b932bd37a50b983c5e7c90ae93b",
    );
    let expected = format!(
        "{{\"bucket\":\"bench\",\"etag\":\"{new}\",\"key\":\"k\",\"size\":9,\"build\":{{\"new\":1}}}}\n\
         {{\"bucket\":\"bench\",\"etag\":\"{same}\",\"key\":\"l\",\"size\":2,\"build\":{{}}}}\n"
    );
    assert_eq!(out, expected);
}

#[test]
fn fields_keep_their_bytes_and_their_order() {
    let mut gift = object("k", "{}");
    gift["etag"] = "e-2".into();
    let server = serve(&[gift], &[]);
    let table = [
        (
            r#"{"x":1e5,"etag":"old","bucket":"bench","y":"\u0041\/","key":"k","z":{"a" : 1.0},"size":0,"size2":null}"#,
            r#"{"x":1e5,"etag":"e-2","bucket":"bench","y":"\u0041\/","key":"k","z":{"a" : 1.0},"size":2,"size2":null,"build":{}}"#,
        ),
        (
            r#" { "key" : "\u006b" , "bucket":"bench" } "#,
            r#"{"key" : "\u006b","bucket":"bench","etag":"e-2","size":2,"build":{}}"#,
        ),
        // Records fetched or rejected before are fetched again.
        (
            r#"{"bucket":"bench","key":"k","build":{"old":1},"error":{"stage":"bh-fetch","kind":"failed","message":"m","line":1}}"#,
            r#"{"bucket":"bench","key":"k","etag":"e-2","size":2,"build":{}}"#,
        ),
        // Lines of other tools become records.
        (
            r#"{"Key":"k","LastModified":"2020-01-01T00:00:00+00:00","ETag":"\"x\"","Size":1,"StorageClass":"STANDARD"}"#,
            r#"{"bucket":"bench","key":"k","last_modified":"2020-01-01T00:00:00+00:00","StorageClass":"STANDARD","etag":"e-2","size":2,"build":{}}"#,
        ),
        (
            r#"{"key":"s3://bench/k","etag":"x","last_modified":"2020-01-01T00:00:00Z","type":"file","size":1}"#,
            r#"{"bucket":"bench","key":"k","last_modified":"2020-01-01T00:00:00Z","type":"file","etag":"e-2","size":2,"build":{}}"#,
        ),
        (
            r#"{"Path":"k","Name":"k","Size":1,"ModTime":"2020-01-01T00:00:00Z","IsDir":false,"Hashes":{"md5":"x"}},"#,
            r#"{"bucket":"bench","key":"k","Name":"k","last_modified":"2020-01-01T00:00:00Z","IsDir":false,"Hashes":{"md5":"x"},"etag":"e-2","size":2,"build":{}}"#,
        ),
    ];
    for (line, expected) in table {
        let run = fetch(&server)
            .args(["--bucket", "bench"])
            .input(line)
            .run()
            .exits(0);
        assert_eq!(
            String::from_utf8_lossy(&run.stdout),
            format!("{expected}\n")
        );
    }
    let run = fetch(&server)
        .input(r#"{"Key":"k"}"#)
        .run()
        .exits(65)
        .prints_nothing();
    run.says("--bucket");
    // The bucket of a line takes precedence.
    let line = r#"{"bucket":"bench","key":"k"}"#;
    fetch(&server)
        .args(["--bucket", "other"])
        .input(line)
        .run()
        .exits(0);
}

#[test]
fn missing_objects_are_dropped_counted_and_reported() {
    let server = serve(&[object("a", "{}"), object("b", "{}")], &["--gone", "a"]);
    let run = fetch(&server)
        .input(text(["a", "b", "never"].map(entry)))
        .run()
        .exits(0);
    assert_eq!(run.listing().keys(), ["b"]);
    let told = run.told();
    assert_eq!(told.len(), 3, "{run}");
    for (line, said) in [("line 1", told[0]), ("line 3", told[1])] {
        assert!(
            said.starts_with(&format!("bh-fetch: {line}: not found: s3://")),
            "{run}"
        );
    }
    assert!(
        told[0].contains("/a (deleted") && told[1].contains("/never (deleted"),
        "{run}"
    );
    assert_eq!(told[2], "bh-fetch: 3 in = 1 out + 2 gone");
}

#[test]
fn a_listing_with_no_existing_object_is_reported() {
    let server = serve(&[object("a", "{}")], &[]);
    let names: Vec<_> = (0..12).map(|n| format!("b{n}")).collect();
    let run = fetch(&server)
        .input(text(names.iter().map(|name| entry(name))))
        .run()
        .exits(0);
    let told = run.told();
    let named = |line: &&&str| line.contains("not found: s3://");
    assert_eq!(told.iter().filter(named).count(), 10, "{run}");
    assert_eq!(told.len(), 13, "{run}");
    assert!(told[10].contains("the summary counts them"), "{run}");
    assert!(
        told[11].contains("none of the 12 objects was found"),
        "{run}"
    );
    assert_eq!(told[12], "bh-fetch: 12 in = 0 out + 12 gone");
}

#[test]
fn an_object_that_always_fails_is_rejected_alone() {
    let objects = ["a", "b", "c"].map(|key| object(key, "{}"));
    let server = serve(&objects, &["--fail-get", "b"]);
    let mark = r#"{"mark":{"message":{"receipt_handle":"1"}}}"#;
    let end = r#"{"mark":{"end":{}}}"#;
    let input = format!("{}{mark}\n{end}\n", text(["a", "b", "c"].map(entry)));
    // With a concurrency of 1, other objects wait while it is retried.
    for (keep, concurrency) in [(false, "32"), (true, "32"), (false, "1"), (true, "1")] {
        let folder = folder();
        let args = ["--tries", "4", "--concurrency", concurrency];
        let mut tool = fetch(&server).args(args);
        if keep {
            tool = tool.arg("--rejects").arg(folder.path().join("rejects"));
        }
        let run = tool.input(&*input).run().exits(65);
        let keys: Vec<_> = run
            .records()
            .iter()
            .map(|record| record["key"].clone())
            .collect();
        assert_eq!(keys, ["a", "c"], "{run}");
        // A unit with a failed object is held, even if its reject is saved.
        let held = &run.lines()[2]["mark"]["held"];
        assert_eq!(
            (&held["by"], &held["why"]),
            (&json!("bh-fetch"), &json!("failed")),
            "{run}"
        );
        assert_eq!(run.count("/rejected/failed"), 1, "{run}");
        if keep {
            let rejects: Vec<Reject> = read(&std::fs::read(folder.path().join("rejects")).unwrap());
            let message = &rejects[0].error.message;
            assert!(message.contains("s3://bench/b") && message.contains("after 4 tries"));
        }
    }
}

#[test]
fn a_server_that_always_fails_ends_the_run() {
    // Access that is denied in one folder may be that folder's.
    let keys = ["x/a", "y/b", "z/c"];
    let objects = keys.map(|key| object(key, "{}"));
    let each = keys.map(|key| ["--fail-get", key]);
    let table: [(&[&str], i32, &str); 5] = [
        (&each.concat(), 69, "after 4 tries"),
        (&["--error-500", "100", "--most", "99"], 69, "after 4 tries"),
        (&["--deny"], 77, "denied"),
        (&["--no-such-bucket"], 78, "no such bucket"),
        (&["--wrong-region", "eu-north-1"], 78, "--region eu-north-1"),
    ];
    for (flags, code, says) in table {
        let server = serve(&objects, flags);
        let mark = r#"{"mark":{"message":{}}}"#;
        let input = format!("{}{mark}\n", text(keys.map(entry)));
        let tool = fetch(&server).args(["--tries", "4"]).input(input);
        let run = tool.run().exits(code).prints_nothing();
        let run = run.says(says).says("get s3://bench/");
        assert_eq!(run.count("/out"), 0, "{run}");
    }
}

#[test]
fn a_truncated_body_is_fetched_again_and_never_written() {
    let bodies: Vec<String> = [10, 1000, 300_000]
        .map(|size| format!("{{\"a\":\"{}\"}}", "x".repeat(size)))
        .into();
    let objects: Vec<Value> = bodies
        .iter()
        .enumerate()
        .map(|(at, body)| object(&format!("k{at}"), body))
        .collect();
    let server = serve(&objects, &["--cut", "100", "--most", "2"]);
    let run = fetch(&server)
        .input(text((0..3).map(|at| entry(&format!("k{at}")))))
        .run();
    let run = run.exits(0).says("the body was cut");
    assert_eq!(run.count("/notes/retries"), 6, "{run}");
    let builds: Vec<_> = run
        .records()
        .iter()
        .map(|record| record["build"].to_string())
        .collect();
    assert_eq!(builds, bodies);
    let short = serve(&objects, &["--cut", "100", "--most", "99"]);
    let run = fetch(&short)
        .args(["--tries", "2"])
        .input(entry("k1"))
        .run();
    run.exits(69).prints_nothing().says("the body was cut");
}
