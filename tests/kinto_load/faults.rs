//! Faults of the server.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use super::lines;
use crate::harness::kinto::{Answer, Asked, StandIn, answer, release};
use crate::harness::{Run, Tool};

/// The first request is for the server's limits.
const FIRST_BATCH: usize = 1;

fn load(server: &StandIn, flags: &[&str]) -> Tool {
    let tool = Tool::new("kinto-load")
        .arg("--marks")
        .env("KINTO_AUTH", "me:secret:of:mine");
    tool.args(["--server", &server.url]).args(flags)
}

fn records(total: usize) -> String {
    lines(&(0..total).map(release).collect::<Vec<_>>())
}

fn error(status: u16, headers: Vec<(&'static str, String)>) -> Answer {
    let body = json!({"code": status, "errno": 999, "message": "so it is"});
    (status, headers, body)
}

/// Loads 60 records; the n-th request is answered with `fault` if that is
/// `Some`.
fn run(fault: impl Fn(usize) -> Option<Option<Answer>> + Send + Sync + 'static) -> (Run, StandIn) {
    let server = StandIn::new(move |n, asked| match fault(n) {
        Some(fault) => fault,
        None => Some(answer(0, asked)),
    });
    (load(&server, &[]).input(records(60)).run(), server)
}

/// Answers a batch with these responses.
fn respond(asked: &Asked, responses: impl IntoIterator<Item = Value>) -> Answer {
    let requests = asked.2["requests"].as_array().unwrap();
    let with_path = |(request, mut response): (&Value, Value)| {
        response["path"] = request["path"].clone();
        response
    };
    let responses: Vec<_> = requests.iter().zip(responses).map(with_path).collect();
    (200, vec![], json!({"responses": responses}))
}

/// Every record would count as stored, though the third one was refused.
#[test]
fn responses_to_other_records_are_no_success() {
    let spoils: [fn(&mut Vec<Value>); 3] = [
        |responses| responses.swap(2, 9),
        |responses| responses[4]["path"] = responses[5]["path"].clone(),
        |responses| responses[7]["path"] = json!(""),
    ];
    for spoil in spoils {
        let server = StandIn::new(move |_, asked| {
            let (status, headers, mut body) = answer(0, asked);
            if let Some(responses) = body["responses"].as_array_mut() {
                responses[2]["status"] = json!(400);
                spoil(responses);
            }
            Some((status, headers, body))
        });
        let run = load(&server, &[]).input(records(20)).run().exits(78);
        run.says("/batch: got the response for ");
    }
}

#[test]
fn a_transient_failure_is_retried() {
    for status in [503, 500, 429, 0] {
        let (run, server) = run(move |n| {
            let wait = vec![("retry-after", "0.1".to_owned())];
            let fault = (status > 0).then(|| error(status, wait));
            (FIRST_BATCH + 1..FIRST_BATCH + 3)
                .contains(&n)
                .then_some(fault)
        });
        let run = run.exits(0);
        assert_eq!(run.count("/out"), 60);
        assert_eq!(run.count("/notes/retries"), 2, "{run}");
        assert_eq!(server.asked().len(), FIRST_BATCH + 5);
    }
}

#[test]
fn a_server_that_dies_ends_the_run_and_stored_records_are_counted() {
    let (run, _) = run(|n| (n > FIRST_BATCH).then_some(None));
    let run = run.exits(69).says("gave up after 4 tries");
    assert_eq!(run.count("/out"), 25, "{run}");
}

#[test]
fn denied_access_is_reported() {
    for (status, code, hint) in [
        (401, 77, "check KINTO_AUTH"),
        (403, 77, "has no permission"),
        (404, 78, "so it is"),
    ] {
        let (run, _) = run(move |n| (n == FIRST_BATCH).then(|| Some(error(status, vec![]))));
        let run = run.exits(code).says(hint).prints_nothing();
        assert!(!run.stderr.contains("secret"), "{run}");
    }
    let refused = StandIn::new(|_, asked| {
        let (status, headers, mut body) = answer(0, asked);
        let all = body.get_mut("responses").and_then(Value::as_array_mut);
        for response in all.into_iter().flatten() {
            response["status"] = json!(403);
            response["body"] = json!({"message": "so it is"});
        }
        Some((status, headers, body))
    });
    let run = load(&refused, &[]).input(records(60)).run().exits(77);
    run.says("may not write here (HTTP 403 so it is); check KINTO_AUTH");
}

#[test]
fn the_record_that_fails_a_batch_is_rejected_alone() {
    for status in [400, 413] {
        let server = StandIn::new(move |_, asked| {
            let spoilt = asked.2.to_string().contains("firefox_42_");
            Some(if spoilt {
                error(status, vec![])
            } else {
                answer(0, asked)
            })
        });
        let run = load(&server, &[]).input(records(60)).run().exits(65);
        assert_eq!(run.count("/out"), 59, "{run}");
        run.says(&format!("refused: {status} so it is"));
    }
}

/// As observed with Kinto on PostgreSQL: of a batch with conflicts, only the
/// records after the last conflict are stored.
#[test]
fn records_rolled_back_by_a_conflict_are_sent_again() {
    let cases = include_str!("../cases/kinto/batch-409-rollback.ndjson");
    let cases = cases
        .lines()
        .map(|line| serde_json::from_str(line).unwrap());
    for case in cases.collect::<Vec<Value>>() {
        let ids: Vec<&str> = (case["ids"].as_array().unwrap().iter())
            .map(|id| id.as_str().unwrap())
            .collect();
        let input: String = ids.iter().map(|id| lines([&json!({"id": id})])).collect();
        let stored = Arc::new(Mutex::new(BTreeSet::new()));
        let shared = Arc::clone(&stored);
        let seen = case.clone();
        let server = StandIn::new(move |n, asked| {
            if n != FIRST_BATCH {
                let requests = asked.2["requests"].as_array().into_iter().flatten();
                let ids = requests.map(|request| request["body"]["data"]["id"].to_string());
                shared.lock().unwrap().extend(ids);
                return Some(answer(0, asked));
            }
            let statuses = seen["statuses"].as_array().unwrap().iter();
            let answer = respond(asked, statuses.map(|status| json!({"status": status})));
            let ids = seen["ids"].as_array().unwrap().iter();
            let flags = seen["stored_afterwards"].as_array().unwrap();
            let kept = ids.zip(flags).filter(|(_, stays)| **stays == true);
            shared
                .lock()
                .unwrap()
                .extend(kept.map(|(id, _)| id.to_string()));
            Some(answer)
        });
        let run = load(&server, &[]).input(input).run().exits(0);
        assert_eq!(run.count("/notes/batches again"), 1, "{run}");
        assert_eq!(run.count("/out"), ids.len() as u64);
        assert_eq!(stored.lock().unwrap().len(), ids.len());
    }
}

/// After a rollback, another writer may have stored a record of the batch
/// before it is sent again.
#[test]
fn a_record_of_another_writer_is_not_counted_as_stored() {
    let record = json!({"id": "a", "n": 1.5, "schema": 7});
    for (arguments, n, stored, there, status) in [
        (["--if-not-exists"].as_slice(), 1.5, 2, 0, 0),
        (&["--if-not-exists"], 1.0, 1, 1, 0),
        (&[], 1.5, 2, 0, 0),
        (&[], 1.0, 1, 0, 65),
    ] {
        let existing = json!({"id": "a", "n": n, "schema": 8, "last_modified": 9});
        let server = StandIn::new(move |turn, asked| {
            let responses = match turn {
                0 => return Some(answer(0, asked)),
                FIRST_BATCH => [json!({"status": 201}), json!({"status": 409})],
                _ => [
                    json!({"status": 412, "body": {"details": {"existing": existing}}}),
                    json!({"status": 201}),
                ],
            };
            Some(respond(asked, responses))
        });
        let input = lines([&record, &json!({"id": "b"})]);
        let run = load(&server, arguments).input(input).run().exits(status);
        assert_eq!(run.count("/out"), stored, "{run}");
        assert_eq!(run.count("/notes/over earlier ones"), 0, "{run}");
        assert_eq!(run.count("/dropped/there already"), there, "{run}");
        assert_eq!(
            run.count("/rejected/refused"),
            u64::from(status > 0),
            "{run}"
        );
    }
}

#[test]
fn a_persistent_conflict_is_reported() {
    let server = StandIn::new(|_, asked| {
        let (status, headers, mut body) = answer(0, asked);
        if let Some(first) = body.pointer_mut("/responses/0/status") {
            *first = json!(409);
        }
        Some((status, headers, body))
    });
    let run = load(&server, &[]).input(records(1)).run().exits(69);
    run.says("409 for /buckets/build-hub/collections/releases/records/firefox_0_win64_fr");
}

/// What makes Kinto fail may be one record: nested deeper than its JSON reads, or any other that
/// it answers 500 for, or none at all.
#[test]
fn a_record_that_makes_the_server_fail_is_rejected_alone() {
    let faults: [fn() -> Option<Answer>; 3] = [
        || Some(error(500, vec![])),
        || Some(error(503, vec![])),
        || None,
    ];
    for fault in faults {
        let server = StandIn::new(move |_, asked| {
            if asked.2.to_string().contains("firefox_42_") {
                return fault();
            }
            Some(answer(0, asked))
        });
        let run = load(&server, &["--tries", "1"])
            .input(records(60))
            .run()
            .exits(65);
        assert_eq!(run.count("/out"), 59, "{run}");
        assert_eq!(run.count("/rejected/refused"), 1, "{run}");
    }
}

#[test]
fn a_record_that_kinto_cannot_read_is_rejected_alone() {
    let Some(kinto) = crate::harness::kinto::Kinto::new() else {
        return;
    };
    let deep = format!("{}{}", "[".repeat(900), "]".repeat(900));
    let line = |id: &str, value: &str| format!("{{\"data\":{{\"id\":\"{id}\",\"n\":{value}}}}}\n");
    let input = [line("a", "1"), line("deep", &deep), line("b", "2")].concat();
    let run = kinto
        .tool("kinto-load")
        .args(["--tries", "1"])
        .input(input)
        .run()
        .exits(65);
    assert_eq!(run.count("/rejected/refused"), 1, "{run}");
    let stored: Vec<String> = kinto.stored().into_keys().collect();
    assert_eq!(stored, ["a", "b"], "{run}");
}

/// No record is to blame where none is stored.
#[test]
fn a_server_that_takes_no_record_ends_the_run() {
    let server = StandIn::new(|_, asked| {
        Some(if asked.1.ends_with("/batch") {
            error(500, vec![])
        } else {
            answer(0, asked)
        })
    });
    let run = load(&server, &["--tries", "1"])
        .input(records(60))
        .run()
        .exits(69);
    assert_eq!(run.count("/out"), 0, "{run}");
}

/// Kinto answers whatever comes without a version with a redirect, and no other is followed.
#[test]
fn the_version_that_a_redirect_names_is_taken() {
    let redirect = |to: &'static str| {
        move |asked: &Asked| {
            let location = format!("{to}{}", asked.1);
            Some((307, vec![("location", location)], Value::Null))
        }
    };
    let versioned = redirect("/v1");
    let server = StandIn::new(move |_, asked| {
        if asked.1.starts_with("/v1/") {
            return Some(answer(0, asked));
        }
        versioned(asked)
    });
    let url = server.url.replace("/v1", "");
    let tool = Tool::new("kinto-load").args(["--server", &url]);
    let run = tool
        .env("AUTH", "me:secret")
        .input(records(30))
        .run()
        .exits(0);
    assert_eq!(run.count("/out"), 30, "{run}");
    let elsewhere = redirect("/login");
    let server = StandIn::new(move |_, asked| elsewhere(asked));
    let url = server.url.replace("/v1", "");
    let tool = Tool::new("kinto-load").args(["--server", &url]);
    tool.input(records(1)).run().exits(78);
    assert_eq!(server.asked().len(), 1);
}
