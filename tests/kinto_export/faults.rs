//! Faults of the server.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{builds, expected, pages};
use crate::harness::kinto::{Answer, StandIn, answer};
use crate::harness::{Run, Tool, folder};

/// Records of the stand-in, in pages of 10.
const TOTAL: usize = 45;

/// Exports from a server that answers the n-th request with `fault`, if that
/// is `Some`, and otherwise correctly.
fn run(fault: impl Fn(usize) -> Option<Option<Answer>> + Send + Sync + 'static) -> (Run, StandIn) {
    let server = StandIn::new(move |n, asked| match fault(n) {
        Some(fault) => fault,
        None => Some(answer(TOTAL, asked)),
    });
    (export(&server).run(), server)
}

fn export(server: &StandIn) -> Tool {
    let tool = Tool::new("kinto-export").env("KINTO_AUTH", "me:secret:of:mine");
    tool.args(["--server", &server.url, "--page-size", "10"])
}

fn error(status: u16, headers: Vec<(&'static str, String)>) -> Answer {
    let body = json!({"code": status, "errno": 999, "message": "so it is"});
    (status, headers, body)
}

/// The first request is for the collection, the second for the time of its
/// last change, the third for its count.
const FIRST_PAGE: usize = 3;

#[test]
fn a_next_page_on_another_host_is_requested_from_this_one() {
    let (run, server) = run(|_| None);
    let run = run.exits(0);
    assert_eq!(builds(&run), expected(0..TOTAL));
    assert_eq!(pages(&run).len(), 5);
    let asked = server.asked();
    assert_eq!(asked.len(), 10, "{asked:?}");
    assert!(asked[FIRST_PAGE + 1].1.contains("_token=10"), "{asked:?}");
}

#[test]
fn a_recreated_collection_is_refused() {
    let folder = folder();
    let state = folder.path().join("kinto.json");
    let tool = |server: &StandIn| export(server).arg("--resume-file").arg(&state);
    let renewed = |n| if n > FIRST_PAGE { 20 } else { TOTAL };
    let server = StandIn::new(move |n, asked| Some(answer(renewed(n), asked)));
    let run = tool(&server).run().exits(78);
    run.says("its last change was at 45 when the export began, and is at 20 now");
    // What is left of the old one is not taken as a part of the new one.
    let run = tool(&server).arg("--resume").run().exits(0);
    assert_eq!(builds(&run.says("starting a new run")), expected(0..20));

    // Between two runs.
    std::fs::remove_file(&state).unwrap();
    let server = StandIn::new(|_, asked| Some(answer(TOTAL, asked)));
    tool(&server).run().exits(0);
    let text = std::fs::read_to_string(&state).unwrap();
    let whole: Value = serde_json::from_str(&text).unwrap();
    let mut stopped = whole.clone();
    stopped["finished"] = json!(false);
    stopped["coverage"][0]["through"] = json!("0000000000010");
    let renewed = StandIn::new(|_, asked| Some(answer(20, asked)));
    stopped["source"]["server"] = json!(renewed.url);
    std::fs::write(&state, stopped.to_string()).unwrap();
    let run = tool(&renewed).arg("--resume").run().exits(78);
    run.prints_nothing().says("was it recreated?");
}

#[test]
fn a_transient_failure_is_retried() {
    for status in [500, 503, 429, 408, 0] {
        let (run, server) = run(move |n| {
            let fault = (status > 0).then(|| error(status, vec![]));
            (FIRST_PAGE + 1..FIRST_PAGE + 4)
                .contains(&n)
                .then_some(fault)
        });
        let run = run.exits(0);
        assert_eq!(builds(&run), expected(0..TOTAL));
        assert_eq!(run.count("/notes/retries"), 3, "{run}");
        assert_eq!(server.asked().len(), 13);
    }
}

#[test]
fn requests_wait_as_long_as_the_server_asks() {
    for (status, header) in [(503, "retry-after"), (200, "backoff")] {
        let begun = Instant::now();
        let server = StandIn::new(move |n, asked| {
            let wait = (header, "1".to_owned());
            match (n, status) {
                (FIRST_PAGE, 503) => Some(error(503, vec![wait])),
                (FIRST_PAGE, _) => {
                    let (status, mut headers, body) = answer(TOTAL, asked);
                    headers.push(wait);
                    Some((status, headers, body))
                }
                _ => Some(answer(TOTAL, asked)),
            }
        });
        let run = export(&server).run().exits(0);
        assert_eq!(builds(&run), expected(0..TOTAL));
        assert!(begun.elapsed() >= Duration::from_secs(1), "{header}");
    }
}

#[test]
fn an_unreachable_server_ends_the_export_after_whole_pages() {
    let (run, server) = run(|n| (n > FIRST_PAGE + 1).then(|| Some(error(503, vec![]))));
    let run = run.exits(69).says("503 so it is; gave up after 4 tries");
    assert_eq!(builds(&run), expected(0..20));
    assert_eq!(pages(&run).len(), 2);
    assert!(!run.stdout.ends_with(b"}}}}\n"));
    assert!(
        run.lines()
            .iter()
            .all(|line| line.pointer("/mark/end").is_none())
    );
    assert_eq!(server.asked().len(), FIRST_PAGE + 6);
}

#[test]
fn denied_access_is_reported() {
    for (status, code, hint) in [
        (401, 77, "check KINTO_AUTH"),
        (403, 77, "has no permission"),
        (404, 78, "no such bucket or collection"),
        (302, 78, "redirects to another URL"),
        (400, 78, "so it is"),
    ] {
        let (run, _) = run(move |n| (n == FIRST_PAGE).then(|| Some(error(status, vec![]))));
        let run = run.exits(code).says(hint).prints_nothing();
        assert!(!run.stderr.contains("secret"), "{run}");
    }
}

#[test]
fn pages_that_make_no_progress_are_an_error() {
    let again = |n: usize| {
        let asked = (
            "GET".to_owned(),
            "/records?_limit=10".to_owned(),
            Value::Null,
        );
        let (status, mut headers, body) = answer(TOTAL, &asked);
        headers.retain(|(name, _)| *name != "next-page");
        headers.push(("next-page", format!("http://x/y?_token={n}")));
        (n > FIRST_PAGE).then_some(Some((status, headers, body)))
    };
    let (done, _) = run(again);
    done.exits(78).says("make no progress");
    let same = |n: usize| {
        let (status, _, _) = answer(
            TOTAL,
            &("HEAD".to_owned(), "/records".to_owned(), Value::Null),
        );
        let next = ("next-page", "http://x/y?_token=1".to_owned());
        (n >= FIRST_PAGE).then(|| Some((status, vec![next], json!({"data": []}))))
    };
    let (done, _) = run(same);
    done.exits(78).says("the same page came twice");
    let empty = |n: usize| {
        let next = ("next-page", format!("http://x/y?_token={n}"));
        (n >= FIRST_PAGE).then(|| Some((200, vec![next], json!({"data": []}))))
    };
    let (done, _) = run(empty);
    done.exits(78).says("10 empty pages in a row");
}

#[test]
fn an_empty_page_before_another_one_is_skipped() {
    let server = StandIn::new(|n, asked| {
        let empty = n == FIRST_PAGE;
        let next = ("next-page", "http://x/y?_limit=10&_token=0".to_owned());
        Some(if empty {
            (200, vec![next], json!({"data": []}))
        } else {
            answer(TOTAL, asked)
        })
    });
    let run = export(&server).run().exits(0);
    assert_eq!(builds(&run), expected(0..TOTAL));
}

#[test]
fn fewer_records_than_the_server_counts_is_an_error() {
    let server = StandIn::new(|n, asked| {
        let (status, headers, body) = answer(TOTAL, asked);
        let last = n == FIRST_PAGE + 1;
        let headers = headers
            .into_iter()
            .filter(|(name, _)| !last || *name != "next-page");
        Some((status, headers.collect(), body))
    });
    let run = export(&server).run().exits(69);
    let run = run.says("the server has 45 records, but 20 were exported");
    assert!(
        run.lines()
            .iter()
            .all(|line| line.pointer("/mark/end").is_none())
    );
}

#[test]
fn the_first_error_of_many_workers_is_reported() {
    let server = StandIn::new(|n, asked| {
        let page = asked.0 == "GET" && n > 8;
        Some(if page {
            error(if n % 2 == 0 { 404 } else { 403 }, vec![])
        } else {
            answer(TOTAL * 100, asked)
        })
    });
    let run = export(&server).args(["--concurrency", "4"]).run();
    let errors = run.told().len();
    assert_eq!(errors, 2, "one error and the summary: {run}");
    assert!(matches!(run.status.code(), Some(77 | 78)), "{run}");
    let whole = run.records().len();
    let last = run.lines().pop().unwrap();
    assert!(last.pointer("/mark/page").is_some() && whole > 0, "{run}");
}

/// A tombstone has no other member.
#[test]
fn a_record_with_a_member_deleted_is_exported() {
    for value in [json!(true), json!("no"), json!(null)] {
        let own = value.clone();
        let server = StandIn::new(move |_, asked| {
            let (status, headers, mut body) = answer(3, asked);
            if let Some(records) = body["data"].as_array_mut() {
                records[1]["deleted"] = own.clone();
            }
            Some((status, headers, body))
        });
        let run = export(&server).run().exits(0);
        let found = builds(&run);
        assert_eq!(found.len(), 3, "{run}");
        assert!(
            run.records()
                .iter()
                .any(|record| record["build"]["deleted"] == value),
            "{run}"
        );
    }
}
