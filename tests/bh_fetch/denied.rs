//! Objects that their server will not give.

use std::sync::Mutex;

use super::{entry, text};
use crate::harness::Run;
use crate::harness::scripted::{Scripted, refusal, response};

/// Runs bh-fetch on these keys, one after the other; the server refuses the keys that begin
/// with `no`.
fn fetched(keys: &[&str], status: u16, code: &'static str) -> Run {
    let server = Scripted::new(move |head| {
        if head[0].contains("/bench/no") {
            refusal(status, code)
        } else {
            response(200, "ETag: \"e\"\r\n", "{}")
        }
    });
    let tool = server.tool("bh-fetch").args(["--concurrency", "1"]);
    tool.input(text(keys.iter().map(|key| entry(key)))).run()
}

#[test]
fn an_object_that_its_server_refuses_is_rejected_alone() {
    let many: Vec<String> = (0..6).map(|n| format!("no{n}/k")).collect();
    let keys: Vec<&str> = many.iter().map(String::as_str).chain(["yes/k"]).collect();
    for (status, code) in [
        (403, "InvalidObjectState"),
        (400, "InvalidRequest"),
        (400, "KMS.DisabledException"),
        (405, "MethodNotAllowed"),
        (451, "UnavailableForLegalReasons"),
    ] {
        let run = fetched(&keys, status, code).exits(65).says(code);
        assert_eq!(run.listing().keys(), ["yes/k"], "{run}");
        assert_eq!(run.count("/rejected/failed"), 6, "{run}");
        assert_eq!(run.count("/notes/retries"), 0, "{run}");
    }
}

#[test]
fn a_denied_object_is_rejected_and_another_is_asked_for() {
    for code in ["AccessDenied", "SignatureDoesNotMatch"] {
        let run = fetched(&["no/a", "no/b", "no/c", "no/d", "yes/k"], 403, code);
        let run = run.exits(65).says(code);
        assert_eq!(run.listing().keys(), ["yes/k"], "{run}");
        // Once one was got, the credentials are good.
        let keys = ["yes/k", "no1/a", "no2/a", "no3/a", "no4/a", "yes/l"];
        let run = fetched(&keys, 403, code).exits(65);
        assert_eq!(run.listing().keys(), ["yes/k", "yes/l"], "{run}");
    }
}

#[test]
fn credentials_that_three_folders_refuse_end_the_run() {
    let keys = ["no1/a", "no1/b", "no2/a", "no3/a", "no4/a"];
    let run = fetched(&keys, 403, "AccessDenied").exits(77).says("no3/a");
    run.prints_nothing();
    for code in ["InvalidAccessKeyId", "ExpiredToken"] {
        let run = fetched(&["no/a", "no/b"], 403, code)
            .exits(77)
            .prints_nothing();
        run.says(code);
    }
}

/// Three denials in different folders say nothing while another download may succeed.
#[test]
fn denials_wait_for_the_downloads_in_flight() {
    let denied = Mutex::new(0);
    let changed = std::sync::Condvar::new();
    let server = Scripted::new(move |head| {
        let mut denied = denied.lock().unwrap();
        if head[0].contains("/bench/no") {
            *denied += 1;
            changed.notify_all();
            return refusal(403, "AccessDenied");
        }
        drop(changed.wait_while(denied, |denied| *denied < 3).unwrap());
        response(200, "ETag: \"e\"\r\n", "{}")
    });
    let keys = ["yes/k", "no1/a", "no2/a", "no3/a"];
    let tool = server.tool("bh-fetch").args(["--concurrency", "4"]);
    let run = tool.input(text(keys.map(entry))).run().exits(65);
    assert_eq!(run.listing().keys(), ["yes/k"], "{run}");
    assert_eq!(run.count("/rejected/failed"), 3, "{run}");
}
