//! Responses of the archive.

use serde::Deserialize;

use super::{CANDIDATES, key, line, listing, metadata_path, text};
use crate::harness::archive::{Answer, Archive};
use crate::harness::protocol::read;

#[derive(Deserialize)]
struct Row {
    function: String,
    retry_on_notfound: bool,
    responses: Vec<Answer>,
    ok: Option<serde_json::Value>,
    error: Option<String>,
    requests: usize,
}

fn at(path: &str, row: &Row) -> Vec<Answer> {
    let answers = row.responses.iter().cloned();
    answers
        .map(|answer| Answer {
            path: path.to_owned(),
            ..answer
        })
        .collect()
}

/// Requests the metadata of a nightly, or a listing; by an event, with retries
/// of missing files. The v1 jobs did not retry a lost connection; here
/// connections are kept open, and a server may close one at any time.
fn check(row: &Row) {
    let event = "pub/firefox/candidates/55.0-candidates/build1/win64/en-US/firefox-55.0.json";
    let parent = "/pub/firefox/candidates/55.0-candidates/build1/win64/";
    let (path, others, input) = match (&*row.function, row.retry_on_notfound) {
        ("fetch_json", false) => {
            let path = metadata_path("linux-x86_64");
            let others = vec![Answer::json(CANDIDATES, &listing(&[], &[]))];
            (path, others, key("en-US", "linux-x86_64"))
        }
        ("fetch_json", true) => {
            let others = vec![Answer::json(parent, &listing(&[], &[]))];
            (format!("/{event}"), others, event.to_owned())
        }
        (_, false) => (CANDIDATES.to_owned(), vec![], key("en-US", "linux-x86_64")),
        (_, true) => {
            let others = vec![Answer::json(&format!("/{event}"), &super::metadata())];
            (parent.to_owned(), others, event.to_owned())
        }
    };
    let archive = Archive::start(at(&path, row).into_iter().chain(others));
    let mut tool = archive.tool().args(["--tries", "3", "--timeout", "1"]);
    if row.retry_on_notfound {
        tool = tool.arg("--event");
    }
    let run = tool.input(text([line(&input)])).run();
    let lost = row.responses.iter().any(|answer| answer.exc.is_some());
    let asked = archive
        .asked()
        .into_iter()
        .filter(|(own, _)| *own == path)
        .count();
    assert_eq!(asked, if lost { 3 } else { row.requests }, "{run}");
    let listed = row.function == "fetch_listing";
    match (row.error.as_deref(), &row.ok) {
        (None, Some(value)) if value.is_null() => run.exits(65).says("no_metadata: "),
        (None, None) => run.exits(65).says("no_metadata: "),
        (None, Some(_)) if row.retry_on_notfound => run.exits(0).says("1 no archive yet"),
        (None, Some(_)) => run.exits(65).says("bad_metadata: "),
        (Some("JSONFileNotFound"), _) if listed => run.exits(78).says("there is no http://"),
        (Some("JSONFileNotFound"), _) => run.exits(65).says("there is neither "),
        (Some(_), _) if row.retry_on_notfound => run.exits(65).says("gave up after 3 tries"),
        (Some("TypeError"), _) => run.exits(69).says("is not a listing"),
        (Some("ValueError"), _) if row.requests == 1 && !lost => {
            run.exits(69).says("is not a listing")
        }
        (Some(_), _) => run.exits(69).says("gave up after 3 tries"),
    };
}

#[test]
fn every_response_is_classified() {
    let text = include_str!("../cases/v1/fetch_json.ndjson");
    // The constant of Python is not JSON.
    let text = text.replace(r#""ok": {"a": NaN}"#, r#""ok": {"a": 0}"#);
    let rows: Vec<Row> = read(text.as_bytes());
    assert!(rows.len() > 15);
    std::thread::scope(|scope| {
        for row in &rows {
            scope.spawn(move || check(row));
        }
    });
}

#[test]
fn a_lost_connection_is_retried() {
    let path = metadata_path("linux-x86_64");
    let lost = Answer {
        path: path.clone(),
        exc: Some("connection".to_owned()),
        ..Answer::default()
    };
    let others = super::answers(&["linux-x86_64"]);
    let archive = Archive::start([lost].into_iter().chain(others));
    let run = archive
        .tool()
        .input(text([line(&key("fr", "linux-x86_64"))]))
        .run()
        .exits(0);
    assert_eq!(run.count("/out"), 1, "{run}");
}

#[test]
fn one_request_serves_all_languages() {
    let locales: Vec<String> = ('a'..='z').map(|letter| format!("x{letter}")).collect();
    let keys = locales.iter().map(|locale| key(locale, "linux-x86_64"));
    let missing = locales.iter().map(|locale| key(locale, "linux-i686"));
    let archive = Archive::start(super::answers(&["linux-x86_64"]));
    let input = text(keys.zip(missing).flat_map(|(a, b)| [line(&a), line(&b)]));
    let run = archive.tool().input(input).run().exits(65);
    let expected: Vec<String> = locales
        .iter()
        .map(|locale| super::id(locale, "linux-x86_64"))
        .collect();
    assert_eq!(
        super::ids(&run),
        expected,
        "in the order of the input: {run}"
    );
    assert_eq!(run.count("/rejected/no_metadata"), 26, "{run}");
    let mut asked: Vec<String> = archive.asked().into_iter().map(|(path, _)| path).collect();
    asked.sort();
    let missing = metadata_path("linux-i686");
    let old = missing.replace(".json", ".txt");
    assert_eq!(
        asked,
        [
            CANDIDATES.to_owned(),
            missing,
            old,
            metadata_path("linux-x86_64")
        ]
    );
}
