//! The queue of documents for Elasticsearch.

use serde_json::{Value, json};

use crate::harness::Tool;
use crate::harness::elastic::Index;
use crate::harness::postgres::Database;
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::sample::{ndjson, record};

/// Returns a build with 100 KB of text that does not compress.
fn large(n: usize) -> Value {
    let mut state = n as u64 + 1;
    let mut next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        char::from(b' ' + ((state >> 33) % 90) as u8)
    };
    let noise: String = (0..100_000).map(|_| next()).collect();
    let mut record = record(n);
    record["build"]["source"]["noise"] = json!(noise);
    record
}

#[test]
fn a_queue_of_large_documents_is_read_in_parts() {
    let (Some(database), Some(index)) = (Database::new(), Index::new(8)) else {
        return;
    };
    let load = |url: &str| Tool::new("bh-load").args(["--database", url, "--index", &index.name]);
    let indexed = |url: &str| load(url).args(["--elasticsearch", &index.url]);
    indexed(&database.url).run().exits(0);
    let lines: Vec<Value> = (0..40).map(large).collect();
    load(&database.url).input(ndjson(&lines)).run().exits(0);
    let proxy = Proxy::new(&database.url);
    proxy.set(Trap {
        text: "sum(size) OVER",
        nth: usize::MAX,
        point: Point::Asked,
    });
    let run = indexed(&proxy.url).run().exits(0);
    assert_eq!(run.count("/notes/indexed"), 40, "{run}");
    // 4 MB, of which 1 MiB is read at once.
    assert!(proxy.seen() >= 4, "read {} times: {run}", proxy.seen());
}
