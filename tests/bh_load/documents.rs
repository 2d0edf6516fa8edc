//! Documents as Elasticsearch takes them, and those that it does not take.

use std::path::Path;

use elasticsearch::http::Method;
use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::sample::{ndjson, record};
use crate::harness::spoiled::Spoiled;
use crate::harness::stored::{Kind, Store};
use crate::harness::{Tool, folder, lines_of};

fn loader(store: &Store, index: &Index) -> Tool {
    let tool = Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url()]);
    tool.args(["--elasticsearch", &index.url, "--index", &index.name])
}

#[test]
fn elasticsearch_6_reads_every_date_that_dateutil_reads() {
    dates_are_indexed(Kind::Postgres, 6);
}

#[test]
fn elasticsearch_8_reads_every_date_that_dateutil_reads() {
    dates_are_indexed(Kind::Sqlite, 8);
}

/// The date of a build, and as the document has it: null if it does not.
fn dates() -> Vec<(Value, Value)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/dates.ndjson");
    let cases = lines_of(&path).into_iter();
    let mut dates: Vec<_> = cases
        .map(|case| (case["text"].clone(), case["instant"].clone()))
        .collect();
    assert!(dates.len() > 80);
    let read = json!("2018-08-01T10:00:00");
    dates.extend([
        (json!(20_180_801_100_000_u64), read.clone()),
        (
            json!(1_533_117_600_500_u64),
            json!("2018-08-01T10:00:00.500000+00:00"),
        ),
        (
            json!(["20180801100000", "2018-08-01 10:00"]),
            json!([read, read]),
        ),
        (json!(["20180801100000", "no date"]), Value::Null),
        (json!(true), Value::Null),
        (json!({"year": 2018}), Value::Null),
        (json!(1.5), Value::Null),
    ]);
    dates
}

/// Milliseconds since 1970; what has no zone is in UTC. `None` for the last day
/// of the year 9999, which is no timestamp.
fn milliseconds(date: &str) -> Option<i64> {
    let zoned = date.parse::<jiff::Timestamp>();
    let timestamp = zoned.or_else(|_| format!("{date}Z").parse());
    timestamp.ok().map(jiff::Timestamp::as_millisecond)
}

fn dates_are_indexed(kind: Kind, version: u32) {
    let (Some(store), Some(index)) = (Store::new(kind), Index::new(version)) else {
        return;
    };
    let dates = dates();
    let records: Vec<_> = (0..)
        .zip(&dates)
        .map(|(n, (date, _))| {
            let mut record = record(n);
            record["build"]["build"]["date"] = date.clone();
            record["build"]["download"] = json!({"date": date, "size": n});
            record
        })
        .collect();
    // One half is sent from the queue.
    let (queued, sent) = records.split_at(records.len() / 2);
    loader(&store, &index).run().exits(0);
    let alone = Tool::new("bh-load")
        .arg("--marks")
        .args(["--database", &store.url()]);
    alone.input(ndjson(queued)).run().exits(0);
    let run = loader(&store, &index).input(ndjson(sent)).run().exits(0);
    assert_eq!(store.outbox(), [], "{run}");
    let unread = dates.iter().filter(|(_, read)| read.is_null()).count() as u64;
    assert_eq!(
        run.count("/notes/dates left out of the index"),
        2 * unread,
        "{run}"
    );
    let said = run.stderr.matches(": cannot read the date /").count();
    assert_eq!(said, 10, "{run}");

    let documents = index.documents();
    let rows = store.rows();
    assert_eq!(documents.len(), dates.len());
    for row in &rows {
        let n = usize::try_from(row.build["download"]["size"].as_u64().unwrap()).unwrap();
        let (date, read) = &dates[n];
        assert_eq!(
            &row.build["build"]["date"], date,
            "the row stays as it came"
        );
        for part in ["build", "download"] {
            let found = &documents[&row.id][part];
            assert_eq!(&found["date"], read, "{date}: {found}");
            assert_eq!(
                found.get("date").is_none(),
                read.is_null(),
                "{date}: {found}"
            );
        }
    }
    // What it stands for, in Elasticsearch's own words.
    let query = json!({
        "size": 1000,
        "docvalue_fields": [{"field": "build.date", "format": "epoch_millis"}],
    });
    let path = format!("/{}/_search", index.name);
    let answer = index.request(Method::Post, &path, Some(query));
    let hits = answer["hits"]["hits"].as_array().unwrap();
    assert_eq!(hits.len(), dates.len());
    let mut compared = 0;
    for hit in hits {
        let text = hit["_source"]["build"]["date"].as_str();
        if let Some(milliseconds) = text.and_then(milliseconds) {
            let found = &hit["fields"]["build.date"][0];
            assert_eq!(found, &json!(milliseconds.to_string()), "{hit}");
            compared += 1;
        }
    }
    assert!(compared > 50, "{compared} compared");
}

#[test]
fn refused_documents_are_reported_until_they_are_kept() {
    for (kind, version) in [(Kind::Postgres, 6), (Kind::Sqlite, 8)] {
        let (Some(store), Some(index)) = (Store::new(kind), Index::new(version)) else {
            return;
        };
        let records: Vec<_> = (0..4)
            .map(|n| {
                let mut record = record(n);
                record["build"]["download"]["size"] = json!(u64::MAX);
                record
            })
            .collect();
        let folder = folder();
        let rejects = folder.path().join("rejects");
        let run = loader(&store, &index).input(ndjson(&records)).run();
        run.exits(65)
            .says("run again with --rejects FILE to keep them");
        let keep = || loader(&store, &index).arg("--rejects").arg(&rejects).run();
        let run = keep().exits(65);
        assert_eq!(lines_of(&rejects).len(), 4, "{run}");
        keep().exits(0);
        assert_eq!(lines_of(&rejects).len(), 4);
    }
}

/// The first of two documents is refused; the answer is believed as it is only
/// where it names what was sent.
#[test]
fn an_answer_that_names_other_documents_is_not_believed() {
    let spoils: [fn(Value) -> String; 4] = [
        |mut answer| {
            let items = answer["items"].as_array_mut().unwrap();
            items.reverse();
            answer.to_string()
        },
        |mut answer| {
            answer["items"].as_array_mut().unwrap().remove(0);
            answer.to_string()
        },
        |mut answer| {
            answer["items"][0]["index"]["_id"] = json!("77");
            answer.to_string()
        },
        |answer| {
            let mut text = answer.to_string();
            text.truncate(text.len() / 2);
            text
        },
    ];
    for spoil in spoils {
        let (Some(store), Some(index)) = (Store::new(Kind::Sqlite), Index::new(8)) else {
            return;
        };
        let door = Spoiled::new(&index.url, spoil);
        let mut records = [record(0), record(1)];
        records[0]["build"]["download"]["size"] = json!(u64::MAX);
        let tool = Tool::new("bh-load")
            .arg("--marks")
            .args(["--database", &store.url()]);
        let tool = tool.args(["--elasticsearch", &door.url, "--index", &index.name]);
        let run = tool.input(ndjson(&records)).run().exits(65);
        let run = run.says("unexpected response to _bulk");
        assert!(door.has_spoiled(), "{run}");
        let refused = store
            .rows()
            .into_iter()
            .find(|row| row.key.as_deref() == records[0]["key"].as_str());
        let refused = refused.unwrap().id;
        assert!(
            matches!(&store.outbox()[..], [(id, Some(_))] if *id == refused),
            "{run}"
        );
        let indexed: Vec<i64> = index.documents().into_keys().collect();
        assert_eq!(indexed, [3 - refused], "{run}");
    }
}
