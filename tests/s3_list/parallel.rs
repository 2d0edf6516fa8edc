//! s3-list: many pages at a time.

use std::io::{BufRead, BufReader};
use std::process::Stdio;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustix::process::Signal;

use super::{list, numbered, server_of, tiles};
use crate::harness::faulty::Faulty;
use crate::harness::proxy::Proxy;
use crate::harness::scripted::{Scripted, response};
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

/// A reader that takes a few keys, as head does, ends the listing while the server still owes
/// answers. So an ordered listing sends at most two requests more than a sequential one.
#[test]
fn a_reader_that_leaves_ends_the_listing_at_once() {
    let requests = |args: &[&str]| {
        let number = AtomicUsize::new(0);
        let server = Scripted::new(move |_| {
            if number.fetch_add(1, SeqCst) > 0 {
                loop {
                    std::thread::park();
                }
            }
            let body = "<ListBucketResult><EncodingType>url</EncodingType><IsTruncated>true\
                        </IsTruncated><NextContinuationToken>t</NextContinuationToken>\
                        <Contents><Key>a</Key></Contents><Contents><Key>b</Key></Contents>\
                        </ListBucketResult>";
            response(200, "", body)
        });
        let (output, stdout) = std::io::pipe().unwrap();
        let tool = server.tool("s3-list").args(["--tries", "1"]);
        let tool = tool.args(args).arg("s3://bench");
        let started = tool.start_with(Stdio::null(), Stdio::from(stdout));
        let mut first = String::new();
        BufReader::new(output).read_line(&mut first).unwrap();
        assert!(first.contains("\"key\":\"a\""), "{first}");
        let run = started.finish().dies_by(Signal::PIPE.as_raw());
        assert!(!run.stderr.contains("retrying"), "{run}");
        server.asked().len()
    };
    let sequential = requests(&["--no-marks", "--concurrency", "1"]);
    let ordered = requests(&["--no-marks", "--ordered"]);
    assert!(
        ordered <= sequential + 2,
        "{ordered} requests, {sequential}"
    );
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
