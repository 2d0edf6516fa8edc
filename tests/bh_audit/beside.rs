//! Audits while loaders and uploads are at work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{ALL, audit, bytes, counts, loaded};
use crate::harness::fed::Fed;
use crate::harness::pipeline;
use crate::harness::sample::key;
use crate::harness::stored::Kind;
use crate::pipeline::on_each_store;

/// What a loader stores after the audit has read the database is found by the second look, and
/// is never extra.
fn what_is_stored_meanwhile_does_not_differ(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let started = format!("{:.3}", jiff::Timestamp::now());
    let line = |n: usize, etag: &str| json!({"bucket": "b", "key": key(n), "etag": etag});
    let mark = |after: Value, through: Value| {
        json!({"mark": {"listed": {"run": "r", "after": after, "through": through},
            "counts": [{"stage": "s3-list", "out": 1}]}})
    };
    let begin = json!({"mark": {"begin": {"run": "r", "source": "s3://b", "part": null,
        "started": started, "criteria": {"prefix": ""}}}});
    let mut fed = Fed::new(audit(&all, &["--kind=missing,changed"]));
    fed.give([&begin, &line(40, "x"), &mark(Value::Null, json!(key(40)))]);
    assert_eq!(fed.line(), begin);
    // The database is read before the first record is judged.
    assert_eq!(fed.line()["audit"], "missing");
    let etag = all.bucket.put(&key(41), bytes(41));
    all.bucket.put(&key(42), bytes(42));
    all.run().clean();
    let end = json!({"mark": {"end": {"run": "r", "units": 2}}});
    fed.give([&line(41, &etag), &mark(json!(key(40)), Value::Null), &end]);
    let run = fed.finish().exits(65);
    // The objects 0 to 5 are not in this listing; 42 came after it began.
    assert_eq!(counts(&run), [1, 0, 6], "{run}");
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
}

/// Stops the others, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// One uploads, one loads, and nothing that they do is taken for a difference.
fn audits_beside_a_loader_and_uploads_find_nothing(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let (next, stop) = (AtomicUsize::new(100), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                let n = next.fetch_add(1, Ordering::Relaxed);
                // New objects, new contents of old ones, and old contents under new keys.
                all.bucket.put(&key(n), bytes(n));
                all.bucket.put(&key(100 + n % 5), bytes(5000 + n));
                all.bucket.put(&key(10_000 + n), bytes(n % 6));
                all.run();
            }
        });
        let stopped = Stop(&stop);
        let mut runs = Vec::new();
        for _ in 0..10 {
            let list = all.bucket.tool("s3-list").arg(all.bucket.url());
            runs.push(pipeline(vec![list, audit(&all, &[ALL, "--settle=1h"])]));
        }
        drop(stopped);
        for run in runs {
            let [_, audited] = run.try_into().unwrap();
            assert_eq!(counts(&audited), [0; 3], "{audited}");
            audited.exits(0);
        }
    });
    assert!(next.into_inner() > 100);
}

on_each_store! {
    what_is_stored_meanwhile_does_not_differ
    audits_beside_a_loader_and_uploads_find_nothing
}
