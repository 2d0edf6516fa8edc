//! s3-list.

mod addresses;
mod contradictions;
mod credentials;
mod odd_pages;
mod parallel;
mod proxies;
mod resume;
mod shared;

use crate::harness::faulty::{Faulty, object};
use crate::harness::minio::Bucket;
use crate::harness::protocol::Listing;
use crate::harness::{Run, Tool, folder};

/// Keys that S3 allows and that other layers are likely to damage.
pub fn awkward_keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "plain",
        "a b",
        " ",
        "a+b",
        "a%b",
        "a%2Bb",
        "%",
        "100%25",
        "a&b=c?d#e",
        "\"",
        "'",
        "\\",
        "\\u0041",
        "<&>]]>",
        "{\"mark\":{}}",
        "//",
        "/a",
        "a/",
        "a/../b",
        ".",
        "é",
        "e\u{301}",
        "日本語",
        "\u{7f}",
        "\u{80}",
        "\u{2028}",
        "\u{feff}x",
        "\u{e000}",
        "\u{ffff}",
        "\u{1f600}",
        "\u{10ffff}",
        "\r\n",
        "k\0k",
    ]
    .map(String::from)
    .into();
    keys.extend((1..0x20).map(|control| format!("c{}", char::from(control))));
    keys.push("x".repeat(1024));
    keys.push("é".repeat(512));
    keys.sort();
    keys
}

fn server_of(keys: &[String], flags: &[&str]) -> Faulty {
    let objects: Vec<_> = keys.iter().map(|key| object(key, "x")).collect();
    Faulty::start(&objects, flags)
}

fn numbered(count: usize) -> Vec<String> {
    (0..count).map(|i| format!("k{i:05}")).collect()
}

fn list(server: &Faulty) -> Tool {
    server.tool("s3-list").arg("s3://bench")
}

/// Asserts that the parts of a run join without gap or overlap from `after`
/// through `through`, that they cover the records before their marks, and that
/// the end mark counts all.
#[track_caller]
fn tiles(listing: &Listing, after: Option<&str>, through: Option<&str>) {
    let (run, records, pages) = listing.end.as_ref().expect("an end mark");
    let mut reached = after.map(String::from);
    let mut parts: Vec<_> = listing.parts.iter().collect();
    parts.sort_by(|(a, _), (b, _)| a.after.cmp(&b.after));
    for (at, (part, keys)) in parts.into_iter().enumerate() {
        assert_eq!(&part.run, run);
        assert_eq!(part.after, reached, "part {at}");
        for key in keys {
            assert!(
                part.after.as_ref().is_none_or(|after| key > after),
                "{key:?}"
            );
            assert!(
                part.through.as_ref().is_none_or(|through| key <= through),
                "{key:?}"
            );
        }
        let last = at + 1 == listing.parts.len();
        assert!(part.through.is_some() || last, "part {at} is not the last");
        reached.clone_from(&part.through);
    }
    assert_eq!(reached.as_deref(), through);
    assert_eq!(*records, listing.records.len() as u64);
    assert!(*pages >= listing.parts.len() as u64);
}

#[test]
fn a_record_holds_what_the_listing_says() {
    let mut gift = object("a b", "gift");
    gift["etag"] = "e-2".into();
    gift["last_modified"] = "2021-02-03T04:05:06Z".into();
    let server = Faulty::start(&[gift], &[]);
    let run = list(&server).args(["--concurrency", "1"]).run().exits(0);
    let first = String::from_utf8_lossy(&run.stdout);
    let expected = r#"{"bucket":"bench","key":"a b","etag":"e-2","size":4,"last_modified":"2021-02-03T04:05:06.000Z"}"#;
    assert_eq!(first.lines().nth(1), Some(expected));
    assert_eq!(run.told(), ["s3-list: 1 out; 1 request; 1 page; 1 mark"]);
}

#[test]
fn every_key_is_listed_and_the_marks_join() {
    let keys = awkward_keys();
    let server = server_of(&keys, &[]);
    for size in ["1", "3", "1000"] {
        let tool = || list(&server).args(["--page-size", size]);
        let listing = tool().run().exits(0).listing();
        assert_eq!(listing.sorted(), keys);
        tiles(&listing, None, None);
        let ordered = tool().arg("--ordered").run().exits(0).listing();
        assert_eq!(ordered.keys(), keys);
        tiles(&ordered, None, None);
        let run = tool().args(["--concurrency", "1"]).run().exits(0);
        assert_eq!(run.listing().keys(), keys);
        tiles(&run.listing(), None, None);
        let pages = keys.len().div_ceil(size.parse().unwrap());
        let counted = |noun: &str| match pages {
            1 => format!("1 {noun}"),
            pages => format!("{pages} {noun}s"),
        };
        let [requests, pages, marks] = ["request", "page", "mark"].map(counted);
        let told = format!("{} out; {requests}; {pages}; {marks}", keys.len());
        assert_eq!(run.told(), [format!("s3-list: {told}")]);
    }
}

#[test]
fn after_is_exclusive_and_through_is_inclusive() {
    let keys = awkward_keys();
    let server = server_of(&keys, &[]);
    for (at, key) in keys
        .iter()
        .enumerate()
        .step_by(3)
        .filter(|(_, key)| !key.contains('\0'))
    {
        let next = keys.get(at + 4).filter(|key| !key.contains('\0'));
        let mut tool = list(&server).args(["--page-size", "2", "--after", key]);
        if let Some(next) = next {
            tool = tool.args(["--through", next]);
        }
        let listing = tool.run().exits(0).listing();
        let last = next.map_or(keys.len(), |_| at + 5);
        assert_eq!(listing.sorted(), keys[at + 1..last], "{key:?}");
        tiles(&listing, Some(key), next.map(|next| &**next));
    }
    // Bounds need not be keys, and there may be no key between them.
    for (after, through, count) in [
        ("plain!", "plain~", 0),
        ("pl", "plaio", 1),
        ("plain", "plain", 0),
        ("plain", "a", 0),
    ] {
        let tool = list(&server).args(["--after", after, "--through", through]);
        assert_eq!(
            tool.run().exits(0).listing().keys().len(),
            count,
            "{after} {through}"
        );
    }
}

#[test]
fn a_prefix_need_not_end_at_a_folder() {
    let keys = ["a", "a/b", "ab", "a b+", "b"].map(String::from);
    let server = server_of(&keys, &[]);
    for (prefix, expected) in [
        ("a", vec!["a", "a b+", "a/b", "ab"]),
        ("a/", vec!["a/b"]),
        ("a b+", vec!["a b+"]),
        ("c", vec![]),
    ] {
        let url = format!("s3://bench/{prefix}");
        let run = server.tool("s3-list").arg(url).run().exits(0);
        assert_eq!(run.listing().sorted(), expected);
        tiles(&run.listing(), None, None);
    }
}

#[test]
fn empty_and_short_pages_lose_nothing() {
    let keys = numbered(500);
    for flags in [
        &["--empty-pages", "50"][..],
        &["--short-pages"],
        &["--short-pages", "--empty-pages", "30"],
    ] {
        let server = server_of(&keys, flags);
        let run = list(&server).args(["--page-size", "50"]).run().exits(0);
        let listing = run.listing();
        assert_eq!(listing.sorted(), keys);
        tiles(&listing, None, None);
        assert!(run.count("/notes/requests") > 10, "{run}");
    }
}

#[test]
fn a_key_of_a_real_bucket_is_listed_with_its_etag() {
    let Some(bucket) = Bucket::new() else { return };
    let etag = bucket.put("a b+c%d\"é", "x");
    let run = bucket.tool("s3-list").arg(bucket.url()).run().exits(0);
    let records = run.listing().records;
    assert_eq!(records.len(), 1);
    assert_eq!(records[0].key, "a b+c%d\"é");
    assert_eq!(records[0].etag, Some(etag));
}

/// Each request fails `most` times before it succeeds.
#[test]
fn faults_are_retried_counted_and_lose_nothing() {
    let keys = numbered(10);
    let table: [(&[&str], &str, u64); 7] = [
        (&["--slowdown", "100", "--most", "2"], "4", 6),
        (
            &["--slowdown", "100", "--most", "1", "--retry-after", "1"],
            "5",
            2,
        ),
        (&["--slowdown-in-200", "100", "--most", "2"], "4", 6),
        (&["--error-500", "100", "--most", "2"], "4", 6),
        (&["--cut", "100", "--most", "2"], "4", 6),
        (&["--hang", "100", "--most", "1"], "10", 1),
        (&["--hang", "30", "--most", "0"], "2", 0),
    ];
    for (flags, size, retries) in table {
        let server = server_of(&keys, flags);
        let run = list(&server)
            .args(["--page-size", size, "--timeout", "1", "--concurrency", "1"])
            .run()
            .exits(0);
        let listing = run.listing();
        assert_eq!(listing.keys(), keys, "{flags:?}");
        tiles(&listing, None, None);
        assert_eq!(run.count("/notes/retries"), retries, "{flags:?} {run}");
        let warned = run.stderr.contains("list s3://bench/ at http://127.0.0.1:");
        assert_eq!(warned, flags.contains(&"2"), "{flags:?} {run}");
    }
}

#[test]
fn random_faults_lose_nothing() {
    let keys = numbered(1500);
    let flags = "--slowdown 10 --slowdown-in-200 10 --error-500 10 --cut 10 --empty-pages 10";
    let server = server_of(&keys, &flags.split(' ').collect::<Vec<_>>());
    let run = list(&server).args(["--page-size", "100"]).run().exits(0);
    assert_eq!(run.listing().sorted(), keys);
    tiles(&run.listing(), None, None);
    let faults = server.counts()["faults"].clone();
    let met: u64 = faults
        .as_object()
        .unwrap()
        .iter()
        .filter(|(name, _)| *name != "empty-pages")
        .map(|(_, count)| count.as_u64().unwrap())
        .sum();
    assert!(
        met > 0 && run.count("/notes/retries") == met,
        "{faults} {run}"
    );
}

/// Asserts that the run fails with this status and these words, without an end
/// mark.
#[track_caller]
fn fails(run: Run, code: i32, words: &[&str]) {
    let run = words
        .iter()
        .fold(run.exits(code), |run, words| run.says(words));
    assert_eq!(run.listing().end, None, "{run}");
    assert_eq!(run.told().len(), 2, "one line why, one summary: {run}");
}

/// Flags of the server and of s3-list, the exit status, and the words of the
/// message.
type Refusal = (
    &'static [&'static str],
    &'static [&'static str],
    i32,
    &'static [&'static str],
);

#[test]
fn permanent_failures_are_reported_at_once() {
    let keys = numbered(30);
    let table: [Refusal; 6] = [
        (
            &["--no-such-bucket"],
            &[],
            78,
            &["s3://bench", "no such bucket"],
        ),
        (
            &["--bucket", "other"],
            &[],
            78,
            &["s3://bench", "no such bucket"],
        ),
        (&["--deny"], &[], 77, &["denied", "--no-sign-request"]),
        (
            &["--wrong-region", "eu-north-1"],
            &[],
            78,
            &["--region eu-north-1"],
        ),
        (&["--stuck"], &["--page-size", "10"], 78, &["no progress"]),
        (
            &["--ignore-start-after"],
            &["--after", "k00003"],
            78,
            &["no progress", "start-after"],
        ),
    ];
    for (flags, args, code, words) in table {
        let server = server_of(&keys, flags);
        let run = list(&server).args(args.iter().copied()).run();
        assert_eq!(run.count("/notes/retries"), 0, "{run}");
        fails(run, code, words);
    }
}

/// A policy may allow a single prefix, so that requests with a delimiter are
/// denied.
#[test]
fn a_server_that_denies_delimiters_is_listed_completely() {
    let keys: Vec<_> = (0..5000)
        .map(|n| format!("d{:02}/k{n:05}", n / 100))
        .collect();
    let server = server_of(&keys, &["--deny-delimiter"]);
    let run = list(&server).args(["--page-size", "100"]).run().exits(0);
    let listing = run.listing();
    assert_eq!(listing.sorted(), keys);
    tiles(&listing, None, None);
    let told = run.told();
    assert_eq!(told.len(), 2, "{run}");
    assert!(told[0].contains("continuing without a delimiter"), "{run}");
}

#[test]
fn an_unreachable_server_is_given_up() {
    let tool = |url: &str| {
        let tool = Tool::new("s3-list").args(["--no-sign-request", "--tries", "2"]);
        let tool = tool.args(["--concurrency", "1"]);
        tool.args(["--endpoint-url", url, "s3://bench"]).run()
    };
    let run = tool("http://127.0.0.1:1");
    assert_eq!(run.count("/notes/retries"), 1, "{run}");
    fails(
        run,
        69,
        &[
            "list s3://bench/ at http://127.0.0.1:1: ",
            "refused",
            "after 2 tries",
        ],
    );
    let hanging = server_of(&[], &["--hang", "100"]);
    let run = list(&hanging)
        .args(["--tries", "2", "--timeout", "1"])
        .run();
    fails(run, 69, &["timed out", "after 2 tries"]);
    let plain = server_of(&[], &[]);
    let words = "the server does not speak TLS; use http:// in the endpoint's URL";
    fails(tool(&plain.url.replace("http:", "https:")), 77, &[words]);
}

#[test]
fn missing_credentials_are_reported_with_a_remedy() {
    let (server, home) = (server_of(&[], &[]), folder());
    let tool = Tool::new("s3-list").args(["--endpoint-url", &server.url, "s3://bench"]);
    fails(
        tool.env("HOME", home.path()).run(),
        77,
        &["--no-sign-request"],
    );
}

#[test]
fn values_out_of_range_are_usage_errors() {
    for args in [
        &["bench"][..],
        &["s3://"],
        &["s3:///key"],
        &["s3://b", "--page-size", "0"],
        &["s3://b", "--page-size", "1001"],
        &["s3://b", "--max-rps", "0"],
        &["s3://b", "--max-rps", "NaN"],
        &["s3://b", "--max-rps", "1e-20"],
        &["s3://b", "--resume"],
        &["s3://b", "--checkpoint", "listed"],
        &["s3://b", "--tries", "0"],
        &["s3://b", "--concurrency", "0"],
        &["s3://b", "--shard", "0/4", "--ranges", "-"],
        &["s3://b", "--shard", "5/4", "--ranges", "-"],
        &["s3://b", "--plan", "0"],
        &["s3://b", "--plan", "4", "--ranges", "-"],
        &["--show-state", "f", "s3://b"],
    ] {
        let run = Tool::new("s3-list").args(args.iter().copied()).run();
        run.exits(2).prints_nothing();
    }
}

#[test]
fn a_request_rate_can_be_set() {
    let server = server_of(&numbered(10), &[]);
    let tool = list(&server).args(["--page-size", "2", "--max-rps", "200.5"]);
    assert_eq!(tool.run().exits(0).listing().keys().len(), 10);
}
