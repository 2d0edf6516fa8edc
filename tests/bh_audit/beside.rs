//! Audits while loaders and uploads are at work.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde_json::{Value, json};

use super::{ALL, audit, bytes, counts, listing, loaded};
use crate::harness::backfill::Backfill;
use crate::harness::fed::Fed;
use crate::harness::sample::key;
use crate::harness::stored::Kind;
use crate::harness::{Run, pipeline, wait_for};
use crate::pipeline::on_each_store;

fn line(n: usize, etag: &str) -> Value {
    json!({"bucket": "b", "key": key(n), "etag": etag})
}

fn mark(after: &Value, through: &Value, records: usize) -> Value {
    json!({"mark": {"listed": {"run": "r", "after": after, "through": through},
        "counts": [{"stage": "s3-list", "out": records}]}})
}

/// Begins to audit a listing of which the object 40 comes, and is missing: by then the audit has
/// read the database.
fn begun(all: &Backfill) -> Fed {
    let started = format!("{:.3}", jiff::Timestamp::now());
    let begin = json!({"mark": {"begin": {"run": "r", "source": "s3://b", "part": null,
        "started": started, "criteria": {"prefix": ""}}}});
    let mut fed = Fed::new(audit(all, &["--kind=missing,changed"]));
    fed.give([
        &begin,
        &line(40, "x"),
        &mark(&Value::Null, &json!(key(40)), 1),
    ]);
    assert_eq!(fed.line(), begin);
    assert_eq!(fed.line()["audit"], "missing");
    fed
}

/// Ends the listing with these objects.
fn ended(mut fed: Fed, lines: &[Value]) -> Run {
    let unit = mark(&json!(key(40)), &Value::Null, lines.len());
    let end = json!({"mark": {"end": {"run": "r", "units": 2}}});
    fed.give(lines.iter().chain([&unit, &end]));
    fed.finish().exits(65)
}

/// What a loader stores after the audit has read the database is found by the second look, and
/// is never extra.
fn what_is_stored_meanwhile_does_not_differ(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let fed = begun(&all);
    let etag = all.bucket.put(&key(41), bytes(41));
    all.bucket.put(&key(42), bytes(42));
    all.run().clean();
    let run = ended(fed, &[line(41, &etag)]);
    // The objects 0 to 5 are not in this listing; 42 came after it began.
    assert_eq!(counts(&run), [1, 0, 6], "{run}");
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
}

/// So is what the programs reject meanwhile, if it is of the same content.
fn what_is_rejected_meanwhile_is_known_bad(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let fed = begun(&all);
    let version = env!("CARGO_PKG_VERSION");
    for (n, etag) in [(41, "x"), (42, "of an earlier content"), (1, "y")] {
        all.store.execute(&format!(
            "INSERT INTO bh_reject (key, etag, kind, stage, message, line, run, verdict)
             VALUES ('{}', '{etag}', 'not_json', 'bh-fetch', 'm', '{{}}', 'r', '{version}')",
            key(n)
        ));
    }
    let run = ended(fed, &[line(41, "x"), line(42, "x"), line(1, "y")]);
    assert_eq!(run.count("/dropped/known bad"), 2, "{run}");
    assert_eq!(counts(&run), [2, 0, 5], "{run}");
}

/// A table that no loader of ours has filled has no objects beside it.
fn rows_are_looked_up_again_without_a_table_of_objects(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    all.store.execute("DROP TABLE bh_object");
    let fed = begun(&all);
    all.store.execute(&format!(
        "INSERT INTO main_build
             (build_hash, build, metadata, created_at, s3_object_key, s3_object_etag)
         VALUES ('v1:x', '{{}}', '{{}}', '2026-01-01T00:00:00.000Z', '{}', '\"x\"')",
        key(41)
    ));
    let run = ended(fed, &[line(41, "x")]);
    assert_eq!(run.count("/dropped/known"), 1, "{run}");
    assert_eq!(run.count("/notes/missing"), 1, "{run}");
}

/// Stops the others, also when an assertion fails.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// New objects, new contents of old ones, and old contents under new keys, each time loaded.
fn upload_and_load(all: &Backfill, next: &AtomicUsize, stop: &AtomicBool) {
    while !stop.load(Ordering::Relaxed) {
        let n = next.fetch_add(1, Ordering::Relaxed);
        all.bucket.put(&key(n), bytes(n));
        all.bucket.put(&key(100 + n % 5), bytes(5000 + n));
        all.bucket.put(&key(10_000 + n), bytes(n % 6));
        all.run();
    }
}

/// One uploads, one loads, and nothing that they do is taken for a difference.
fn audits_beside_a_loader_and_uploads_find_nothing(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let (next, stop) = (AtomicUsize::new(100), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| upload_and_load(&all, &next, &stop));
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

/// An object that was there when an audit began, and is stored before it is judged, is found by
/// the second look: here most audits begin while a loader has such objects.
fn what_a_loader_finishes_during_an_audit_does_not_differ(kind: Kind) {
    let Some(all) = loaded(kind) else { return };
    let (next, stop) = (AtomicUsize::new(100), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| upload_and_load(&all, &next, &stop));
        let _stopped = Stop(&stop);
        for _ in 0..4 {
            // What is uploaded later is too new.
            let mut fed = Fed::new(audit(&all, &[ALL, "--settle=0.001"]));
            let nothing = listing(&all, "nothing/");
            fed.say(std::str::from_utf8(&nothing).unwrap().trim_end());
            while fed.line()["mark"].get("end").is_none() {}
            // The database is read. Now the loader finishes what it had.
            let begun = next.load(Ordering::Relaxed);
            wait_for("the loader", || next.load(Ordering::Relaxed) > begun);
            let whole = listing(&all, "");
            fed.say(std::str::from_utf8(&whole).unwrap().trim_end());
            let run = fed.finish().exits(0);
            assert_eq!(counts(&run), [0; 3], "{run}");
        }
    });
}

on_each_store! {
    what_is_stored_meanwhile_does_not_differ
    what_is_rejected_meanwhile_is_known_bad
    rows_are_looked_up_again_without_a_table_of_objects
    audits_beside_a_loader_and_uploads_find_nothing
    what_a_loader_finishes_during_an_audit_does_not_differ
}
