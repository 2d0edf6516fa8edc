//! Rejects are repaired and piped in again, to the stage that refused them.

use serde_json::{Value, json};

use super::stored;
use crate::harness::backfill::Backfill;
use crate::harness::sample::{self, ndjson};
use crate::harness::stored::{Content, Kind, contents};

fn body(build: &Value) -> Vec<u8> {
    build.to_string().into_bytes()
}

/// Removes the rejects of a stage from their file, and returns them.
fn taken(all: &Backfill, stage: &str) -> Vec<Value> {
    let rejects = all.rejects(stage);
    std::fs::remove_file(all.rejects_file(stage)).unwrap();
    rejects
}

#[test]
fn repaired_rejects_of_bh_validate_are_accepted() {
    let Some(all) = Backfill::new(Kind::Postgres, None) else {
        return;
    };
    let mut extra = sample::build(1);
    extra["build"]["extra"] = json!([1]);
    let mut no_target = sample::build(2);
    let target = no_target.as_object_mut().unwrap().remove("target").unwrap();
    let objects = stored(
        &all.bucket,
        &[
            (sample::key(0), body(&sample::build(0))),
            (sample::key(1), body(&extra)),
            (sample::key(2), body(&no_target)),
        ],
    );
    all.run().exit(&[0, 0, 0, 65, 0]);

    let mut rejects = taken(&all, "bh-validate");
    // One is repaired, the other is rejected again, with all its members.
    rejects[0]["build"]["build"]
        .as_object_mut()
        .unwrap()
        .remove("extra")
        .unwrap();
    let done = all.run_from("bh-validate", ndjson(&rejects)).exit(&[65, 0]);
    assert_eq!(done.counts("bh-validate"), json!([2, 1, {}, {"schema": 1}]));
    let passed = &done.stage("bh-validate").records()[0];
    assert_eq!(passed.get("error"), None, "{done}");
    let mut rejects = taken(&all, "bh-validate");
    assert_eq!(rejects[0]["error"]["line"], 2);
    rejects[0]["build"]["target"] = target;
    all.run_from("bh-validate", ndjson(&rejects)).clean();

    let as_repaired = |n: usize| {
        let (key, etag, _) = &objects[n];
        (key.clone(), etag.clone(), body(&sample::build(n)))
    };
    let expected = contents(&[as_repaired(0), as_repaired(1), as_repaired(2)]);
    assert_eq!(all.store.contents(), expected);
    all.run().finds_nothing_new();
}

#[test]
fn repaired_rejects_of_bh_fetch_are_accepted() {
    let Some(all) = Backfill::new(Kind::Sqlite, None) else {
        return;
    };
    let mut long = sample::build(2);
    long["build"]["cc"] = json!("x".repeat(3000));
    let cut = body(&sample::build(1))[..100].to_vec();
    let mut objects = vec![
        (sample::key(0), body(&sample::build(0))),
        (sample::key(1), cut),
        (sample::key(2), body(&long)),
    ];
    stored(&all.bucket, &objects);
    let small = all.with("bh-fetch", "--max-size=2K");
    let mut listed = small.tool("s3-list").run().exits(0).stdout;
    let wrong = json!({"bucket": small.bucket.name, "key": 7});
    listed.extend(ndjson([&wrong]));
    listed.extend(b"not a line buildhub.json\"\n");
    let done = small.run_from("bh-filter", listed).exit(&[65, 65, 0, 0]);
    assert_eq!(
        done.counts("bh-filter")[3],
        json!({"bad_line": 1}),
        "{done}"
    );

    // The object is repaired, the limit raised, the lines are fixed.
    objects[1].1 = body(&sample::build(1));
    objects.push(("7/buildhub.json".to_owned(), body(&sample::build(7))));
    objects.push(("8/buildhub.json".to_owned(), body(&sample::build(8))));
    let objects = stored(&small.bucket, &objects);
    let mut lines = taken(&small, "bh-fetch");
    let kinds: Vec<_> = lines.iter().map(|line| &line["error"]["kind"]).collect();
    assert_eq!(kinds, ["not_json", "too_large"], "{done}");
    lines.push(wrong);
    lines[2]["key"] = json!("7/buildhub.json");
    let refused = taken(&small, "bh-filter").remove(0);
    assert_eq!(refused["raw"], "not a line buildhub.json\"");
    lines.push(json!({"bucket": small.bucket.name, "key": "8/buildhub.json"}));
    let all = small.with("bh-fetch", "--max-size=4K");
    let done = all.run_from("bh-fetch", ndjson(&lines)).clean();
    assert!(
        done.stage("bh-fetch")
            .records()
            .iter()
            .all(|line| line.get("error").is_none())
    );
    assert_eq!(all.store.contents(), contents(&objects));
    all.run().finds_nothing_new();
}

#[test]
fn repaired_rejects_of_bh_load_are_accepted() {
    let Some(all) = Backfill::new(Kind::Postgres, None) else {
        return;
    };
    let long = format!("{}/{}/buildhub.json", "x".repeat(200), "y".repeat(200));
    let mut with_nul = sample::build(1);
    with_nul["source"]["tree"] = json!("a\0b");
    let objects = [
        (long, body(&sample::build(0))),
        (sample::key(1), body(&with_nul)),
    ];
    let objects = stored(&all.bucket, &objects);
    all.run().exit(&[0, 0, 0, 0, 65]);

    let mut rejects = taken(&all, "bh-load");
    rejects.sort_by_key(|line| line["key"].as_str().unwrap().len());
    let kinds: Vec<_> = rejects.iter().map(|line| &line["error"]["kind"]).collect();
    assert_eq!(kinds, ["unstorable", "too_long"]);
    rejects[0]["build"]["source"]["tree"] = json!("ab");
    rejects[1]["key"] = json!("short/buildhub.json");
    all.run_from("bh-load", ndjson(&rejects)).clean();
    let mut repaired = sample::build(1);
    repaired["source"]["tree"] = json!("ab");
    let expected: Vec<Content> = contents(&[
        (
            "short/buildhub.json".to_owned(),
            objects[0].1.clone(),
            body(&sample::build(0)),
        ),
        (sample::key(1), objects[1].1.clone(), body(&repaired)),
    ]);
    assert_eq!(all.store.contents(), expected);
}
