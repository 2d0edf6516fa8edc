//! s3-list.

use crate::harness::faulty::{Faulty, object};
use crate::harness::minio::Bucket;

#[test]
fn lists_every_key_of_a_bucket_with_its_etag() {
    let Some(bucket) = Bucket::new() else { return };
    let etag = bucket.put("a b+c%d\"é", "x");
    let run = bucket.tool("s3-list").arg(bucket.url()).run().exits(0);
    let records = run.records();
    assert_eq!(records.len(), 1);
    assert_eq!(records[0]["key"], "a b+c%d\"é");
    assert_eq!(records[0]["etag"], etag);
}

#[test]
fn faults_are_retried_and_nothing_is_lost() {
    let objects: Vec<_> = (0..2500)
        .map(|i| object(&format!("k{i:05}"), "x"))
        .collect();
    let server = Faulty::start(
        &objects,
        &[
            "--slowdown",
            "30",
            "--slowdown-in-200",
            "30",
            "--error-500",
            "20",
            "--cut",
            "20",
        ],
    );
    let run = server
        .tool("s3-list")
        .args(["--page-size", "100", "s3://bench"])
        .run()
        .exits(0);
    assert_eq!(run.records().len(), 2500);
    assert!(run.count("/notes/retries") > 0, "{run}");
}
