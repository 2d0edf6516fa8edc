//! bh-index.

mod mend;
mod rebuild;

use serde_json::{Value, json};

use crate::harness::elastic::Index;
use crate::harness::sample::{ndjson, record};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool};

/// Both kinds of databases, each with another version of Elasticsearch.
fn settings() -> impl Iterator<Item = (Store, Index)> {
    [(Kind::Sqlite, 8), (Kind::Postgres, 6), (Kind::Postgres, 8)]
        .into_iter()
        .filter_map(|(kind, version)| Some((Store::new(kind)?, Index::new(version)?)))
}

fn tool(name: &str, store: &Store, index: &str, url: &str) -> Tool {
    Tool::new(name).args(["--database", &store.url()]).args([
        "--elasticsearch",
        url,
        "--index",
        index,
    ])
}

fn indexer(store: &Store, index: &Index) -> Tool {
    tool("bh-index", store, &index.name, &index.url)
}

fn check(store: &Store, index: &Index) -> Run {
    indexer(store, index).arg("--check").run()
}

fn load(store: &Store, index: &Index, records: &[Value]) -> Run {
    let loader = tool("bh-load", store, &index.name, &index.url);
    loader.input(ndjson(records)).run()
}

fn records(numbers: std::ops::Range<usize>) -> Vec<Value> {
    numbers.map(record).collect()
}

/// The id and the difference of each line.
fn differences(run: &Run) -> Vec<(Value, String)> {
    let lines = run.lines();
    let pair = |line: &Value| {
        (
            line["id"].clone(),
            line["index"].as_str().unwrap().to_owned(),
        )
    };
    lines.iter().map(pair).collect()
}

/// Differences as [`differences`] returns them.
fn expected<'a>(pairs: impl IntoIterator<Item = (i64, &'a str)>) -> Vec<(Value, String)> {
    let pairs = pairs.into_iter();
    pairs
        .map(|(id, kind)| (json!(id), kind.to_owned()))
        .collect()
}
