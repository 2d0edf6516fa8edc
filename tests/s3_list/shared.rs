//! s3-list: --plan, --ranges, --shard and --show-state.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{list, numbered, server_of};
use crate::harness::faulty::Faulty;
use crate::harness::{Run, Tool, folder};

fn plan(server: &Faulty, parts: &str) -> Run {
    list(server).args(["--plan", parts]).run().exits(0)
}

fn lines(ranges: &[Value]) -> Vec<u8> {
    let lines = ranges.iter().map(|range| format!("{range}\n"));
    lines.collect::<String>().into()
}

#[test]
fn a_plan_covers_the_bucket() {
    let server = Faulty::synthetic(100_000, &["--distribution", "archive"]);
    let ranges = plan(&server, "8").lines();
    assert!(ranges.len() > 4 && ranges.len() <= 8, "{ranges:?}");
    let mut all = BTreeSet::new();
    let mut reached = json!(null);
    for range in &ranges {
        assert_eq!(range["after"], reached);
        reached = range["through"].clone();
        let tool = list(&server).args(["--ranges", "-"]);
        let listing = tool
            .input(lines(std::slice::from_ref(range)))
            .run()
            .exits(0)
            .listing();
        assert!(listing.keys().len() < 40_000, "{range}");
        super::tiles(&listing, range["after"].as_str(), range["through"].as_str());
        for key in listing.keys() {
            assert!(all.insert(key.to_owned()), "{key} twice");
        }
    }
    assert_eq!(reached, json!(null));
    assert_eq!(all.len(), 100_000);
    // Without delimiters there may be few parts, but they cover the bucket.
    let blind = Faulty::synthetic(100_000, &["--distribution", "archive", "--deny-delimiter"]);
    let run = list(&blind).args(["--plan", "8"]).run().exits(0);
    let run = run.says("continuing without a delimiter");
    let ranges = run.lines();
    assert_eq!(ranges[0]["after"], json!(null));
    assert_eq!(ranges[ranges.len() - 1]["through"], json!(null));
    // A small bucket has no more parts than keys.
    let few = server_of(&numbered(3), &[]);
    assert!(plan(&few, "8").lines().len() <= 3);
}

#[test]
fn the_shards_of_a_plan_cover_it() {
    let keys = numbered(5000);
    let (server, place) = (server_of(&keys, &[]), folder());
    let file = place.path().join("plan.ndjson");
    std::fs::write(&file, plan(&server, "5").stdout).unwrap();
    let shard = |which: &str| {
        let tool = list(&server).arg("--ranges").arg(&file);
        tool.args(["--shard", which]).run()
    };
    let mut all: Vec<String> = Vec::new();
    for which in ["1/2", "2/2"] {
        let listing = shard(which).exits(0).listing();
        assert!(listing.keys().len() < 5000);
        all.extend(listing.keys().into_iter().map(String::from));
    }
    all.sort();
    assert_eq!(all, keys);
    // A truncated plan is refused, as it would miss keys.
    let whole = std::fs::read_to_string(&file).unwrap();
    let cut = whole.rfind("{\"bucket\"").unwrap();
    std::fs::write(&file, &whole[..cut]).unwrap();
    shard("1/2")
        .exits(78)
        .says("plan.ndjson")
        .says("whole plan");
}

/// A resumed run keeps its range, even if the bucket has changed.
#[test]
fn a_shard_keeps_to_its_range() {
    let keys = numbered(4000);
    let (server, place) = (server_of(&keys, &[]), folder());
    let shard = |which: &str, file: &str| -> Tool {
        let tool = list(&server).args(["--shard", which, "--resume"]);
        tool.arg("--resume-file").arg(place.path().join(file))
    };
    let mut all: Vec<String> = Vec::new();
    for which in ["1/2", "2/2"] {
        let file = which.replace('/', "-");
        let run = shard(which, &file).run().exits(0).says("of plan ");
        let listing = run.listing();
        all.extend(listing.keys().into_iter().map(String::from));
        let again = shard(which, &file).run().exits(0);
        assert!(!again.stderr.contains("of plan "), "{again}");
        assert_eq!(again.listing().sorted(), listing.sorted());
    }
    all.sort();
    assert_eq!(all, keys);
    let other = shard("2/2", "1-2").run().exits(78);
    other.says("another listing").says("shard 1/2");
}

#[test]
fn invalid_ranges_are_refused() {
    let server = server_of(&numbered(10), &[]);
    let range = json!({"after": "k00001", "through": "k00005"});
    let table = [
        (json!({"after": "k00001"}), "line 2: "),
        (json!({"after": 1, "through": null}), "line 2: "),
        (
            json!({"after": null, "through": null, "keyz": 1}),
            "line 2: ",
        ),
        (
            json!({"bucket": "other", "after": null, "through": null}),
            "another listing",
        ),
        (
            json!({"prefix": "p", "after": null, "through": null}),
            "another listing",
        ),
    ];
    let with = |input: Vec<u8>| list(&server).args(["--ranges", "-"]).input(input).run();
    for (wrong, words) in table {
        let run = with(lines(&[range.clone(), wrong])).exits(78);
        run.prints_nothing().says("standard input").says(words);
    }
    with(Vec::new()).exits(78).says("contains no ranges");
    let whole = lines(std::slice::from_ref(&range));
    let run = with(whole[..whole.len() / 2].to_vec()).exits(75);
    run.prints_nothing();
    // Ranges may overlap; each key is listed once.
    let twice = json!({"after": "k00003", "through": "k00007"});
    let listing = with(lines(&[range, twice])).exits(0).listing();
    assert_eq!(listing.sorted(), &numbered(8)[2..]);
    let missing = list(&server).args(["--ranges", "missing"]).run();
    missing.exits(74).says("missing");
}

#[test]
fn show_state_describes_a_run() {
    let keys = numbered(1000);
    let (server, place) = (server_of(&keys, &[]), folder());
    let file = place.path().join("list.json");
    let tool = list(&server).arg("--resume-file").arg(&file);
    tool.args(["--page-size", "50", "--concurrency", "1"])
        .run()
        .exits(0);
    let show = || Tool::new("s3-list").arg("--show-state").arg(&file).run();
    let shown = |run: Run| String::from_utf8(run.exits(0).stdout).unwrap();
    assert_eq!(show().stderr, "", "there is nothing to sum up");
    let text = shown(show());
    let run = crate::harness::lines_of(&file).remove(0)["run"].clone();
    for words in [
        run.as_str().unwrap(),
        "s3://bench/ at http://127.0.0.1:",
        "state      finished",
        "listed     1000 keys",
        "not used with bh-load",
        "gaps       none",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The next run is stopped half-way, and a loader has confirmed a tenth.
    let mut state = crate::harness::lines_of(&file).remove(0);
    state["last"] =
        json!({"run": "before", "started": state["started"], "sample": state["sample"]});
    state["finished"] = json!(false);
    state["coverage"] = json!([{"after": null, "through": "k00499"}]);
    std::fs::write(&file, state.to_string()).unwrap();
    let text = shown(show());
    for words in [
        "state      not finished",
        "50.0 % of the 1000 keys of the run before it",
        "gaps       1",
        "after \"k00499\" to the end",
        "before it  run before",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // Records in a pipe are lost.
    let mut left = state.clone();
    left["broken_pipe"] = json!(true);
    std::fs::write(&file, left.to_string()).unwrap();
    let text = shown(show());
    for words in ["its output was closed early", "restarts", "everything"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    std::fs::write(&file, state.to_string()).unwrap();
    let loaded = json!({
        "format": 1, "run": state["run"], "coverage": [{"after": null, "through": "k00099"}],
    });
    std::fs::write(place.path().join("list.json.loaded"), loaded.to_string()).unwrap();
    let text = shown(show());
    for words in [
        "confirmed  by bh-load, 10.0 %",
        "after \"k00099\" to the end",
    ] {
        assert!(text.contains(words), "{words}: {text}");
    }
    // The loader has confirmed nothing of another run.
    let other = json!({
        "format": 1, "run": "other", "coverage": [{"after": null, "through": null}],
    });
    std::fs::write(place.path().join("list.json.loaded"), other.to_string()).unwrap();
    let text = shown(show());
    for words in ["nothing of this run", "gaps       1", "everything"] {
        assert!(text.contains(words), "{words}: {text}");
    }
    let missing = Tool::new("s3-list").args(["--show-state", "missing"]).run();
    missing.exits(78).says("missing");
}

#[test]
fn empty_ranges_are_reported() {
    let server = server_of(&numbered(3), &[]);
    let tool = list(&server).args(["--after", "z", "--through", "a"]);
    tool.run().exits(0).says("so the range is empty");
    let ranges = list(&server).args(["--ranges", "-"]);
    let ranges = ranges.input("{\"after\":\"z\",\"through\":\"a\"}\n");
    ranges
        .run()
        .exits(78)
        .says("line 1: a range that ends before it begins");
    let typo = server.tool("s3-list").arg("s3://bench/tpyo/");
    typo.run()
        .exits(0)
        .says("s3://bench/tpyo/: no key begins with this prefix");
}
