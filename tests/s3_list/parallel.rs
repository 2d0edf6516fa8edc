//! s3-list: many pages at a time.

use std::process::Stdio;

use super::{list, numbered, server_of, tiles};
use crate::harness::faulty::Faulty;
use crate::harness::proxy::Proxy;
use crate::harness::{folder, wait_for};

/// Every key space is listed completely, at any concurrency.
#[test]
fn every_key_space_is_listed_once() {
    for distribution in ["archive", "prefix", "sequential", "hash", "plain"] {
        let server = Faulty::synthetic(30_000, &["--distribution", distribution]);
        let narrow = list(&server).args(["--concurrency", "1"]);
        let expected = narrow.run().exits(0).listing();
        assert_eq!(expected.keys().len(), 30_000);
        assert_eq!(expected.keys(), expected.sorted());
        for width in ["2", "64", "256"] {
            let run = list(&server).args(["--concurrency", width]).run().exits(0);
            let listing = run.listing();
            assert_eq!(listing.sorted(), expected.keys(), "{distribution} {width}");
            tiles(&listing, None, None);
        }
    }
}

/// More pages arrive out of order than fit in memory.
#[test]
fn ordered_listings_are_sorted() {
    let server = Faulty::synthetic(200_000, &["--distribution", "hash"]);
    let place = folder();
    let ordered = || list(&server).arg("--ordered").env("TMPDIR", place.path());
    let listing = ordered().run().exits(0).listing();
    assert_eq!(listing.keys().len(), 200_000);
    assert_eq!(listing.keys(), listing.sorted());
    tiles(&listing, None, None);
    assert!(place.path().read_dir().unwrap().next().is_none());
    let nowhere = place.path().join("missing");
    let run = ordered().env("TMPDIR", &nowhere).run().exits(74);
    run.says("TMPDIR").says(nowhere.to_str().unwrap());
}

/// All workers slow down together; otherwise some 20 requests would be refused
/// for each of the 600 pages.
#[test]
fn a_throttling_bucket_gets_fewer_requests() {
    let keys = numbered(6000);
    for flags in [
        &["--max-in-flight", "3", "--latency-ms", "5"][..],
        &["--max-rps", "150"],
    ] {
        let server = server_of(&keys, flags);
        let run = list(&server).args(["--page-size", "10"]).run().exits(0);
        let listing = run.listing();
        assert_eq!(listing.sorted(), keys, "{flags:?}");
        tiles(&listing, None, None);
        let faults = server.counts()["faults"].clone();
        let refused: u64 = faults
            .as_object()
            .unwrap()
            .values()
            .map(|count| count.as_u64().unwrap())
            .sum();
        assert!(0 < refused && refused < 2 * 600, "{faults} {run}");
        assert_eq!(run.count("/notes/retries"), refused, "{run}");
        let answered = server.counts()["list"].as_u64().unwrap();
        assert!(run.count("/notes/requests") > refused, "{run}");
        assert!(run.count("/notes/requests") <= answered, "{answered} {run}");
    }
}

/// The statistics of a finished run let the next one use all connections before the server
/// has sent a single response. In virtual time, `listing::limits` counts what that saves.
#[test]
fn the_next_run_starts_with_all_connections() {
    let mut server = Faulty::synthetic(300_000, &["--distribution", "archive"]);
    let proxy = Proxy::new(&server.url);
    server.url.clone_from(&proxy.url);
    let place = folder();
    let file = place.path().join("list.json");
    let tool = || {
        let tool = list(&server).arg("--resume-file").arg(&file);
        tool.args(["--resume", "--concurrency", "48"])
    };
    let first = tool().run().exits(0);
    proxy.asked();
    let responses = proxy.hold_responses();
    let second = tool().start_with(Stdio::null(), Stdio::piped());
    wait_for("48 requests in flight", || proxy.requests() == 48);
    responses.release(true);
    let second = second.finish().exits(0);
    for run in [first, second] {
        assert_eq!(run.listing().keys().len(), 300_000);
    }
}

/// A bucket of four pages costs at most two requests per page and three, and three for each
/// level of folders below the first, whenever the responses arrive.
#[test]
fn small_buckets_take_few_requests() {
    let folders = |folders: usize| -> Vec<String> {
        let key = |at| format!("{:03}/{at:05}", at * folders / 3169);
        (0..3169).map(key).collect()
    };
    let deep = |at| format!("a/b/c/{}/{}/{}/{at:05}", at / 1000, at / 100, at / 10);
    let releases = |at| format!("pub/{:02}.0/build{}/linux/{at:05}", at / 150, at / 75 % 2);
    for (mut keys, levels) in [
        (numbered(3169), 0),
        (folders(1), 0),
        (folders(20), 0),
        (folders(300), 0),
        ((1000..4169).map(deep).collect(), 5),
        ((0..3169).map(releases).collect(), 3),
    ] {
        keys.sort();
        let server = server_of(&keys, &[]);
        let run = list(&server).run().exits(0);
        assert_eq!(run.listing().sorted(), keys);
        let requests = server.counts()["list"].as_u64().unwrap();
        assert!(
            requests <= 2 * 4 + 3 + 3 * levels,
            "{} {requests} {run}",
            keys[0]
        );
    }
}
