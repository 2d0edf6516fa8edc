//! kinto-load: every record is stored, despite rollbacks by Kinto.

mod faults;
mod initialize;
mod migrate;
mod permissions;
mod unchanged;

use serde_json::{Value, json};

use crate::harness::kinto::{Kinto, id_of, release};
use crate::harness::{Tool, folder, lines_of};

fn load(kinto: &Kinto) -> Tool {
    kinto.tool("kinto-load")
}

/// Returns lines of these records.
fn lines<'a>(records: impl IntoIterator<Item = &'a Value>) -> String {
    let line = |record| json!({"data": record}).to_string() + "\n";
    records.into_iter().map(line).collect()
}

/// Asserts that the collection has exactly these releases.
#[track_caller]
fn holds(kinto: &Kinto, releases: &[Value]) {
    let stored = kinto.stored();
    assert_eq!(stored.len(), releases.len(), "records in Kinto");
    for release in releases {
        let mut expected = release.clone();
        expected.as_object_mut().unwrap().remove("id");
        assert_eq!(stored.get(&id_of(release)), Some(&expected));
    }
}

#[test]
fn conflicting_batches_lose_nothing() {
    let total = 1_000;
    let Some(kinto) = Kinto::new() else { return };
    let all: Vec<_> = (0..total).map(release).collect();
    let run = load(&kinto).args(["--concurrency", "16"]);
    let run = run.input(lines(&all)).run().exits(0).prints_nothing();
    assert_eq!(run.count("/out"), total as u64, "{run}");
    assert!(run.count("/notes/batches again") > 0, "no conflict: {run}");
    holds(&kinto, &all);
}

#[test]
fn a_missing_collection_ends_the_run() {
    let Some(kinto) = Kinto::new() else { return };
    let tool = load(&kinto).args(["--collection", "missing"]);
    let run = tool.input(lines(&[release(0)])).run().exits(78);
    run.says("create them with kinto-load --initialize");
}

#[test]
fn the_last_version_of_a_record_wins() {
    let Some(kinto) = Kinto::new() else { return };
    let versions: Vec<Value> = (0..60)
        .map(|n| {
            let mut version = release(n % 3);
            version["target"]["version"] = json!(n.to_string());
            version
        })
        .collect();
    let run = load(&kinto).args(["--concurrency", "4", "--batch-size", "7"]);
    run.input(lines(&versions)).run().exits(0);
    holds(&kinto, &versions[57..]);
}

#[test]
fn a_mark_passes_when_its_records_are_stored() {
    let Some(kinto) = Kinto::new() else { return };
    let all: Vec<_> = (0..40).map(release).collect();
    let mark = |n| json!({"mark": {"message": {"queue": "q", "receipt_handle": n}}});
    let end = json!({"mark": {"end": {"run": "r", "records": 40}}});
    let input = format!(
        "{}{}\n{}{}\n{end}\n",
        lines(&all[..10]),
        mark(1),
        lines(&all[10..]),
        mark(2)
    );
    let run = load(&kinto).input(&*input).run().exits(0);
    assert!(run.stdout.is_empty(), "nobody asked for marks: {run}");
    let run = load(&kinto).arg("--marks").input(input).run().exits(0);
    assert_eq!(run.lines(), [mark(1), mark(2), end]);
    holds(&kinto, &all);
}

#[test]
fn if_not_exists_keeps_existing_records() {
    let Some(kinto) = Kinto::new() else { return };
    let first: Vec<_> = (0..30).map(release).collect();
    let mut later = first.clone();
    later[7]["target"]["version"] = json!("99.0");
    later.push(release(30));
    load(&kinto).input(lines(&first)).run().exits(0);
    for there in [30, 31] {
        let run = load(&kinto).arg("--if-not-exists").input(lines(&later));
        let run = run.run().exits(0);
        assert_eq!(run.count("/dropped/there already"), there, "{run}");
    }
    let expected = [&first[..], &later[30..]].concat();
    holds(&kinto, &expected);
    let run = load(&kinto).input(lines(&later)).run().exits(0);
    assert_eq!(run.count("/notes/over earlier ones"), 31);
    holds(&kinto, &later);
}

#[test]
fn a_record_is_replaced_only_if_last_modified_matches() {
    let Some(kinto) = Kinto::new() else { return };
    let path = format!("{}/firefox_0_win64_fr", kinto.records_path());
    let (_, answer) = kinto.ask("PUT", &path, Some(&json!({"data": release(0)})));
    let mut record = release(0);
    record["target"]["version"] = json!("1");
    record["last_modified"] = answer["data"]["last_modified"].clone();
    let input = lines([&record]);
    load(&kinto).input(&*input).run().exits(0);
    let run = load(&kinto).input(&*input).run().exits(65);
    run.says("refused: 412");
}

#[test]
fn records_that_kinto_refuses_are_rejected_alone() {
    let Some(kinto) = Kinto::new() else { return };
    let path = format!("/buckets/{}/collections/releases", kinto.bucket);
    let schema = json!({"type": "object", "properties": {"target": {"type": "object"}}});
    let (status, answer) = kinto.ask("PATCH", &path, Some(&json!({"data": {"schema": schema}})));
    assert_eq!(status, 200, "{answer}");
    let good: Vec<_> = (0..60).filter(|n| n % 20 != 3).map(release).collect();
    let mut input = String::new();
    for n in 0..60 {
        let mut record = release(n);
        if n % 20 == 3 {
            record["target"] = json!("none");
        }
        input += &lines([&record]);
    }
    input +=
        "{\"data\":{}}\n{\"data\":{\"id\":\"a b\"}}\n{\"data\":{\"id\":\"a\",\"x\":\"\\u0000\"}}\n";
    input += "{\"data\":null}\n{\"permissions\":{}}\n";
    let folder = folder();
    let file = folder.path().join("rejects");
    let run = load(&kinto).arg("--rejects").arg(&file).input(input);
    let run = run.run().exits(65);
    assert_eq!(run.count("/rejected/refused"), 3, "{run}");
    assert_eq!(run.count("/rejected/bad_line"), 3, "{run}");
    assert_eq!(run.count("/rejected/bad_id"), 1, "{run}");
    assert_eq!(run.count("/rejected/unstorable"), 1, "{run}");
    let rejects = lines_of(&file);
    let said = rejects
        .iter()
        .find(|reject| reject["error"]["kind"] == "refused");
    let said = said.unwrap()["error"]["message"].as_str().unwrap();
    assert!(said.contains("'none' is not of type 'object'"), "{said}");
    holds(&kinto, &good);

    // Repaired, they are loaded.
    let mended: Vec<String> = (rejects.iter())
        .filter(|reject| reject["error"]["kind"] == "refused")
        .map(|reject| {
            let mut line = reject.clone();
            line["data"]["target"] = json!({});
            line.to_string()
        })
        .collect();
    load(&kinto).input(mended.join("\n")).run().exits(0);
    assert_eq!(kinto.stored().len(), 60);
}
