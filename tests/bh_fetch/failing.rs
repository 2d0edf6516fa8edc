//! Objects that their server never gives, though it gives others.

use super::{entry, fetch, serve, text};
use crate::harness::faulty::object;
use crate::harness::scripted::{Scripted, page, response};

const KEYS: [&str; 6] = ["pub/a", "pub/b", "pub/c", "pub/d", "pub/e", "pub/f"];

/// As in a resumed page, that has no other object.
#[test]
fn objects_that_fail_alone_are_rejected_if_the_server_gives_others() {
    let objects = KEYS.map(|key| object(key, "{}"));
    for failing in [&KEYS[..1], &KEYS[1..2], &KEYS[..4]] {
        let flags: Vec<&str> = failing.iter().flat_map(|key| ["--fail-get", key]).collect();
        let server = serve(&objects, &flags);
        for concurrency in ["1", "8"] {
            let tool = fetch(&server).args(["--tries", "2", "--concurrency", concurrency]);
            let run = tool.input(text(failing.iter().map(|key| entry(key)))).run();
            let run = run.exits(65).says("after 2 tries");
            assert_eq!(run.count("/rejected/failed"), failing.len() as u64, "{run}");
        }
        let tool = fetch(&server).args(["--tries", "2", "--concurrency", "1"]);
        let run = tool.input(text(KEYS.map(entry))).run().exits(65);
        let others = KEYS.iter().filter(|key| !failing.contains(key));
        let others: Vec<&str> = others.copied().collect();
        assert_eq!(run.listing().keys(), others, "{run}");
    }
}

#[test]
fn an_object_that_is_never_answered_is_rejected_alone() {
    let server = Scripted::new(|head| {
        if head[0].contains("/bench/frozen") {
            std::thread::park();
        }
        let listed = "<Contents><Key>other</Key></Contents>";
        if head[0].contains("list-type") {
            page(listed)
        } else {
            response(200, "ETag: \"e\"\r\n", "{}")
        }
    });
    for keys in [&["frozen"][..], &["frozen", "other"], &["other", "frozen"]] {
        let tool = server.tool("bh-fetch");
        let tool = tool.args(["--tries=1", "--read-timeout=3s", "--concurrency=1"]);
        let run = tool.input(text(keys.iter().map(|key| entry(key)))).run();
        let run = run.exits(65).says("timed out");
        assert_eq!(run.count("/rejected/failed"), 1, "{run}");
        assert_eq!(run.count("/out"), keys.len() as u64 - 1, "{run}");
    }
}

/// Without the right to list, a key that does not exist is asked for.
#[test]
fn an_object_that_fails_where_keys_cannot_be_listed_is_rejected() {
    let server = Scripted::new(|head| match &head[0] {
        line if line.contains("list-type") => response(403, "", ""),
        line if line.contains("/bench/a ") || line.contains("/bench/a?") => response(500, "", ""),
        _ => response(403, "", ""),
    });
    let tool = server.tool("bh-fetch").args(["--tries", "2"]);
    let run = tool.input(entry("a")).run().exits(65);
    assert_eq!(run.count("/rejected/failed"), 1, "{run}");
}
