//! The golden pipeline: all rows, documents, marks and counts are compared.

use elasticsearch::http::Method;
use serde_json::{Value, json};

use super::stored;
use crate::harness::backfill::{Backfill, Done, STAGES};
use crate::harness::stored::{Kind, contents};
use crate::harness::{lines_of, sample};

#[test]
fn a_backfill_into_sqlite_is_exact() {
    golden(Kind::Sqlite, None);
}

#[test]
fn a_backfill_into_postgres_is_exact() {
    golden(Kind::Postgres, None);
}

#[test]
fn a_backfill_into_postgres_and_elasticsearch_6_is_exact() {
    golden(Kind::Postgres, Some(6));
}

#[test]
fn a_backfill_into_postgres_and_elasticsearch_8_is_exact() {
    golden(Kind::Postgres, Some(8));
}

#[test]
fn a_backfill_into_sqlite_and_elasticsearch_8_is_exact() {
    golden(Kind::Sqlite, Some(8));
}

const BUILDS: usize = 40;
const OTHERS: usize = 110;

fn golden(kind: Kind, elasticsearch: Option<u32>) {
    let Some(all) = Backfill::new(kind, elasticsearch) else {
        return;
    };
    let all = all.with("s3-list", "--page-size=50");
    let builds: Vec<_> = (0..BUILDS)
        .map(|n| (sample::key(n), sample::build(n).to_string().into_bytes()))
        .collect();
    let builds = stored(&all.bucket, &builds);
    let others = (0..OTHERS).map(|n| (format!("{}.txt", sample::key(n)), b"x".to_vec()));
    all.bucket.put_all(others);

    let begun = jiff::Timestamp::now();
    let first = all.run().clean();
    let ended = jiff::Timestamp::now();
    for (stage, counts) in STAGES.into_iter().zip([
        json!([150, 150, {}, {}]),
        json!([150, BUILDS, {"other keys": OTHERS}, {}]),
        json!([BUILDS, BUILDS, {}, {}]),
        json!([BUILDS, BUILDS, {}, {}]),
        json!([BUILDS, BUILDS, {}, {}]),
    ]) {
        assert_eq!(first.counts(stage), counts, "{stage}: {first}");
        assert_eq!(all.rejects(stage), [json!(null); 0]);
    }
    assert_eq!(all.store.contents(), contents(&builds));
    let loaded = &lines_of(&all.loaded_file())[0];
    let metadata = json!({
        "source": "buildhub-pipes", "version": env!("CARGO_PKG_VERSION"), "build": "bh-load",
        "run": loaded["run"],
    });
    let mut ids = Vec::new();
    for row in all.store.rows() {
        let created = row.created_at;
        assert!(begun.as_millisecond() <= created.as_millisecond() && created <= ended);
        assert_eq!(row.metadata, metadata);
        ids.push(row.id);
    }
    // Sorted by hash, in one batch, so ids have no gaps.
    assert_eq!(ids, (1..=BUILDS as i64).collect::<Vec<_>>());
    all.all_is_confirmed();
    marks_are_whole(&first);
    if let Some(index) = &all.index {
        all.all_is_indexed();
        assert_eq!(index.documents().len(), BUILDS);
        assert_eq!(
            first.stage("bh-load").count("/notes/indexed"),
            BUILDS as u64
        );
        mapping_is_searchable(&all);
    }

    let rows = all.store.rows();
    let second = all.run().finds_nothing_new();
    let dropped = json!({"other keys": OTHERS, "known": BUILDS});
    assert_eq!(second.counts("bh-filter"), json!([150, 0, dropped, {}]));
    assert_eq!(all.store.rows(), rows);
    all.all_is_confirmed();
    all.all_is_indexed();
}

/// Asserts that bh-load has written every mark of s3-list, and that they join.
fn marks_are_whole(done: &Done) {
    let mut marks = done.stage("bh-load").lines();
    let begin = marks.remove(0)["mark"]["begin"].clone();
    let pages = marks.len() - 1;
    assert!(pages >= 3, "{done}");
    marks[..pages].sort_by_key(|mark| {
        let after = &mark["mark"]["listed"]["after"];
        after.as_str().unwrap_or_default().to_owned()
    });
    let mut after = Value::Null;
    for mark in &marks[..pages] {
        assert_eq!(mark["mark"]["listed"]["after"], after, "{done}");
        after = mark["mark"]["listed"]["through"].clone();
    }
    let run = &marks[0]["mark"]["listed"]["run"];
    assert_eq!(begin["run"], *run);
    let end = json!({"mark": {"end": {"run": run, "units": pages, "as_of": begin["started"],
        "records": 150, "pages": pages}}});
    assert_eq!(after, Value::Null);
    assert_eq!(marks[pages..], [end], "{done}");
}

fn mapping_is_searchable(all: &Backfill) {
    let index = all.index.as_ref().unwrap();
    let types = if index.version == 6 { "/doc" } else { "" };
    let path = format!("/{}/_mapping{types}", index.name);
    let mapping = index.request(Method::Get, &path, None)[&index.name]["mappings"].clone();
    let properties = match index.version {
        6 => &mapping["doc"]["properties"],
        _ => &mapping["properties"],
    };
    let mut members: Vec<_> = properties.as_object().unwrap().keys().collect();
    members.sort();
    assert_eq!(members, ["build", "download", "id", "source", "target"]);
    assert_eq!(properties["id"]["type"], "keyword");
    for (part, kind, fields) in [
        ("build", "keyword", &["id"][..]),
        ("build", "date", &["date"]),
        (
            "source",
            "keyword",
            &["product", "repository", "tree", "revision"],
        ),
        (
            "target",
            "keyword",
            &["platform", "os", "locale", "version", "channel"],
        ),
        ("download", "keyword", &["url", "mimetype"]),
        ("download", "long", &["size"]),
        ("download", "date", &["date"]),
    ] {
        let part = &properties[part];
        assert!(
            part["type"].is_null() || part["type"] == "object",
            "{mapping}"
        );
        for field in fields {
            assert_eq!(
                part["properties"][field]["type"], kind,
                "{field}: {mapping}"
            );
        }
    }
    let settings = index.request(Method::Get, &format!("/{}/_settings", index.name), None);
    let shards = &settings[&index.name]["settings"]["index"]["number_of_shards"];
    let shards: u32 = shards.as_str().unwrap().parse().unwrap();
    assert!((1..=5).contains(&shards), "{settings}");
    // A term search finds a value with a hyphen only in a keyword field.
    let query = json!({"query": {"term": {"source.tree": "mozilla-central"}}});
    let found = index.request(
        Method::Post,
        &format!("/{}/_search", index.name),
        Some(query),
    );
    let total = &found["hits"]["total"];
    let total = total.get("value").unwrap_or(total);
    assert_eq!(total, &json!(BUILDS), "{found}");
}
