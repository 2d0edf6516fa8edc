//! Rows, rejects and dry runs.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::backfill;
use crate::harness::sample::{self, build, ndjson, record};
use crate::harness::stored::{Content, Kind, Store, contents};
use crate::harness::{Tool, folder, lines_of};
use crate::pipeline::on_each_store;

on_each_store! {
    hashes_and_verdicts_are_those_of_cpython_and_postgres
    lines_without_a_build_are_rejected
    builds_without_an_object_are_loaded
    a_dry_run_prints_its_actions_and_writes_nothing
    the_text_that_was_hashed_is_stored
}

fn loader(store: &Store) -> Tool {
    Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url()])
}

/// The vectors were hashed by CPython, and cast to jsonb by PostgreSQL.
fn hashes_and_verdicts_are_those_of_cpython_and_postgres(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let cases =
        lines_of(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/hash.ndjson"));
    let mut input = Vec::new();
    let (mut hashes, mut refused) = (BTreeMap::new(), Vec::new());
    for (n, case) in cases.iter().enumerate() {
        let text = case["text"].as_str().unwrap();
        // A record is one line, and its build an object.
        let object = text.trim_ascii_start().starts_with('{');
        if case["hash"].is_null() || !object || text.contains('\n') {
            continue;
        }
        let hash = case["hash"].as_str().unwrap().to_owned();
        let key = format!("{n:04}");
        // Skip what PostgreSQL might refuse, if the vector does not say.
        let doubtful = ["\\u0000", "\\ud", "\\uD", "e400"];
        if case["pg"].is_null() && doubtful.iter().any(|part| text.contains(part)) {
            continue;
        }
        input.extend(format!("{{\"key\":\"{key}\",\"etag\":\"e\",\"build\":{text}}}\n").bytes());
        match case["pg"].as_str() {
            None | Some("ok") => drop(hashes.entry(hash).or_insert(key)),
            Some(_) => refused.push(key),
        }
    }
    assert!(
        hashes.len() > 150 && refused.len() > 10,
        "{} {}",
        hashes.len(),
        refused.len()
    );
    let folder = folder();
    let rejects = folder.path().join("rejects");
    let tool = loader(&store).arg("--rejects").arg(&rejects);
    let run = tool.input(input).run().exits(65);
    let rows =
        store.texts("SELECT cast(build_hash AS text), cast(s3_object_key AS text) FROM main_build");
    let found: BTreeMap<_, _> = rows
        .into_iter()
        .map(|row| (row[0].clone().unwrap(), row[1].clone().unwrap()))
        .collect();
    assert_eq!(found, hashes, "{run}");
    // Tokens are copied, so not every parser reads every line.
    let text = std::fs::read_to_string(&rejects).unwrap();
    let rejected: Vec<_> = text.lines().map(|line| &line[8..12]).collect();
    assert_eq!(rejected, refused, "{run}");
    assert_eq!(
        run.count("/rejected/unstorable"),
        refused.len() as u64,
        "{run}"
    );
}

fn lines_without_a_build_are_rejected(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let digits = "9".repeat(131_073);
    let surrogate = r#"{"key":"k","build":{"a":{"b":"\udc00"}}}"#.to_owned();
    let deep = format!("{}{}", "[".repeat(5000), "]".repeat(5000));
    let table = [
        ("no line".to_owned(), "bad_line", None),
        ("[]".to_owned(), "bad_line", None),
        (r#"{"key":"k","etag":"e"}"#.to_owned(), "bad_line", None),
        (r#"{"key":7,"build":{}}"#.to_owned(), "bad_line", None),
        (
            r#"{"key":"k","build":[]}"#.to_owned(),
            "not_an_object",
            None,
        ),
        (
            r#"{"key":"k","build":null}"#.to_owned(),
            "not_an_object",
            None,
        ),
        (
            r#"{"key":"k","build":{"a":NaN}}"#.to_owned(),
            "unstorable",
            Some("/a"),
        ),
        (
            r#"{"key":"k","build":{"a":[0,-1e999]}}"#.to_owned(),
            "unstorable",
            Some("/a/1"),
        ),
        (
            r#"{"key":"k","build":{"a/~":"\u0000"}}"#.to_owned(),
            "unstorable",
            Some("/a~1~0"),
        ),
        (
            format!(r#"{{"key":"k","build":{{"a":{digits}}}}}"#),
            "unstorable",
            Some("/a"),
        ),
        (
            format!(r#"{{"key":"k","build":{{"a":{deep}}}}}"#),
            "bad_line",
            None,
        ),
        (surrogate, "unstorable", Some("/a/b")),
        (
            r#"{"key":"a\u0000b","build":{}}"#.to_owned(),
            "unstorable",
            None,
        ),
        (
            r#"{"key":"a\ud800b","build":{}}"#.to_owned(),
            "bad_line",
            None,
        ),
        (
            format!(r#"{{"key":"{}","build":{{}}}}"#, "é".repeat(401)),
            "too_long",
            None,
        ),
        (
            format!(r#"{{"key":"k","etag":"{}","build":{{}}}}"#, "e".repeat(399)),
            "too_long",
            None,
        ),
    ];
    let mut input = ndjson([&record(0)]);
    for (line, ..) in &table {
        input.extend(line.bytes());
        input.push(b'\n');
    }
    // A value at the limit is stored.
    let mut fits = record(1);
    fits["key"] = json!("é".repeat(400));
    fits["etag"] = json!("e".repeat(398));
    input.extend(ndjson([&fits]));
    let folder = folder();
    let rejects = folder.path().join("rejects");
    let tool = loader(&store).arg("--rejects").arg(&rejects);
    let run = tool.input(input).run().exits(65);
    let verdict = |line: &Value| {
        let error = &line["error"];
        assert_eq!(error["stage"], "bh-load");
        let pointer = error["pointer"].as_str().map(str::to_owned);
        (error["line"].clone(), error["kind"].clone(), pointer)
    };
    let expected: Vec<_> = table
        .iter()
        .zip(2..)
        .map(|((_, kind, pointer), line)| (json!(line), json!(kind), pointer.map(str::to_owned)))
        .collect();
    let found: Vec<_> = backfill::refused(&rejects).iter().map(verdict).collect();
    assert_eq!(found, expected, "{run}");
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let rows = [&record(0), &fits].map(|record| {
        let body = record["build"].to_string().into_bytes();
        (text(&record["key"]), text(&record["etag"]), body)
    });
    assert_eq!(store.contents(), contents(&rows));
}

fn builds_without_an_object_are_loaded(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let lines = [
        json!({"build": build(1)}),
        json!({"key": null, "etag": null, "build": build(2)}),
        json!({"key": "k", "build": build(3)}),
        json!({"Key": "K", "ETag": "\"e\"", "build": build(4), "else": {"more": [1]}}),
    ];
    loader(&store).input(ndjson(&lines)).run().exits(0);
    let body = |n| {
        (
            String::new(),
            String::new(),
            build(n).to_string().into_bytes(),
        )
    };
    let expected = contents(&[1, 2, 3, 4].map(body))
        .into_iter()
        .map(|content| {
            let (key, etag) = match content.build["download"]["size"].as_u64() {
                Some(50_000_003) => (Some("k"), None),
                Some(50_000_004) => (Some("K"), Some("\"e\"")),
                _ => (None, None),
            };
            let [key, etag] = [key, etag].map(|text| text.map(str::to_owned));
            Content {
                key,
                etag,
                ..content
            }
        });
    assert_eq!(store.contents(), expected.collect::<Vec<_>>());
    assert_eq!(store.objects().len(), 1);
}

fn a_dry_run_prints_its_actions_and_writes_nothing(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let mut bad = record(3);
    bad["build"] = json!([]);
    let mark = json!({"mark": {"listed": {"run": "r", "after": null, "through": null}}});
    let lines = [record(0), record(1), record(1), bad, mark];
    let folder = folder();
    let dry = |lines: &[Value]| {
        let resume_file = folder.path().join("list.json");
        let dry = loader(&store)
            .arg("--dry-run")
            .arg("--resume-file")
            .arg(resume_file);
        let end = json!({"mark": {"end": {"run": "r"}}});
        let run = dry
            .input(ndjson(lines.iter().chain([&end])))
            .run()
            .exits(65)
            .says(" would be inserted (dry run, nothing written)");
        let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
        assert_eq!(left.len(), 0, "{run}");
        run
    };
    let said = |action: &str, n: usize| json!({"action": action, "build_hash": sample::python_hash(&build(n)), "key": sample::key(n)});
    let run = dry(&lines);
    assert_eq!(
        run.lines(),
        [said("insert", 0), said("insert", 1), said("nothing", 1)]
    );
    match &store {
        Store::Sqlite(path, _) => assert!(!path.exists(), "{run}"),
        Store::Postgres(database) => {
            let tables =
                "SELECT count(*) FROM information_schema.tables WHERE table_schema = 'public'";
            assert_eq!(database.count(tables), 0, "{run}");
        }
    }

    loader(&store).input(ndjson(&lines[..2])).run().exits(0);
    let rows = store.rows();
    let mut renewed = record(0);
    renewed["etag"] = json!("another");
    let run = dry(&[renewed, record(1), record(2), lines[3].clone()]);
    assert_eq!(
        run.lines(),
        [said("renew ETag", 0), said("nothing", 1), said("insert", 2)]
    );
    assert_eq!(
        run.summary["dropped"],
        json!({"ETag renewed": 1, "known": 1}),
        "{run}"
    );
    assert_eq!(store.rows(), rows);
    assert_eq!(store.objects().len(), 2);
}

/// PostgreSQL would keep `1.5e3` as 1500, and Buildhub2 has 1500.0; and it parses what a later
/// duplicate hides.
fn the_text_that_was_hashed_is_stored(kind: Kind) {
    let Some(store) = Store::new(kind) else {
        return;
    };
    let line =
        r#"{"key":"k","etag":"e","build":{"z":"\u0000","a":1.5e3,"z":{"d":"\u0000","d":"é"}}}"#;
    loader(&store).input(format!("{line}\n")).run().exits(0);
    let texts = store.texts("SELECT cast(build AS text) FROM main_build");
    let text = texts[0][0].clone().unwrap();
    let expected = match kind {
        Kind::Postgres => r#"{"a": 1500.0, "z": {"d": "é"}}"#,
        Kind::Sqlite => r#"{"a": 1500.0, "z": {"d": "\u00e9"}}"#,
    };
    assert_eq!(text, expected);
    let hidden = r#"{"key":"l","etag":"e","build":{"z":{"d":"é","d":"\u0000"}}}"#;
    let run = loader(&store).input(format!("{hidden}\n")).run().exits(65);
    assert_eq!(run.count("/rejected/unstorable"), 1, "{run}");
}
