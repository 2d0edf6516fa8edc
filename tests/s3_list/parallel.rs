//! s3-list: many pages at a time.

use super::{list, numbered, server_of, tiles};
use crate::harness::faulty::Faulty;
use crate::harness::folder;

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
        &["--max-rps", "400"],
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
    }
}

/// The statistics of a finished run help the next one to split the listing. The server
/// takes so long to answer that the order of the answers is not that of this machine's load.
#[test]
fn the_next_run_needs_fewer_requests() {
    let flags = ["--distribution", "archive", "--latency-ms", "50"];
    let server = Faulty::synthetic(300_000, &flags);
    let place = folder();
    let file = place.path().join("list.json");
    let run = || {
        let tool = list(&server).arg("--resume-file").arg(&file);
        let run = tool.arg("--resume").run().exits(0);
        assert_eq!(run.listing().keys().len(), 300_000);
        run.count("/notes/requests")
    };
    let (first, second) = (run(), run());
    assert!(second < first && second < 345, "{first} {second}");
}
