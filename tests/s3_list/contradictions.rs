//! s3-list: servers whose listings contradict each other.

use serde_json::{Value, json};

use super::{awkward_keys, fails, list, server_of, tiles};
use crate::harness::faulty::Faulty;
use crate::harness::minio::Bucket;
use crate::harness::{Run, Tool, folder, lines_of};

/// Keys in folders of which some names begin with all of another's, on two levels.
fn siblings() -> Vec<String> {
    let mut keys = Vec::new();
    for outer in ["60.0", "60.0.1", "60.0.2", "60.1"] {
        for inner in ["build1", "build1.1", "build1.1-x", "build2"] {
            keys.extend((0..15).map(|n| format!("pub/{outer}/{inner}/f{n:02}")));
        }
    }
    // The end of a folder, as far as a request can say it, is a key.
    keys.extend(["pub/60.00", "pub/60.1/build10"].map(String::from));
    keys.sort();
    keys
}

const WARNING: &str = "follows; listing that part again, one folder at a time";

/// However it is listed, nothing is missing. `tool` makes a program for the bucket.
#[track_caller]
fn every_way_lists_all(keys: &[String], tool: impl Fn() -> Tool) {
    for width in ["1", "3", "64"] {
        let tool = || tool().args(["--concurrency", width, "--page-size", "5"]);
        let run = tool().run().exits(0);
        assert_eq!(run.listing().sorted(), keys, "{width}: {run}");
        tiles(&run.listing(), None, None);
        let ordered = tool().arg("--ordered").run().exits(0);
        assert_eq!(ordered.listing().keys(), keys, "{width}: {ordered}");
        for at in (0..keys.len()).step_by(29) {
            let run = tool().args(["--after", &keys[at]]).run().exits(0);
            assert_eq!(run.listing().sorted(), keys[at + 1..], "{width}: {run}");
            tiles(&run.listing(), Some(&keys[at]), None);
            assert_eq!(run.count("/out"), (keys.len() - at - 1) as u64);
        }
        let last = keys.len() - 20;
        let bounds = ["--after", &keys[33], "--through", &keys[last]];
        let run = tool().args(bounds).run().exits(0);
        assert_eq!(run.listing().sorted(), keys[34..=last], "{width}: {run}");
        let ranges = [20, 90, 150, 200].map(|at| &keys[at]);
        let lines = ranges.windows(2).step_by(2).map(|range| {
            let line = json!({"after": range[0], "through": range[1]});
            format!("{line}\n")
        });
        let input = lines.collect::<String>();
        let run = tool().args(["--ranges", "-"]).input(input).run().exits(0);
        let expected = [&keys[21..=90], &keys[151..=200]].concat();
        assert_eq!(run.listing().sorted(), expected, "{width}: {run}");
    }
}

/// A run that was stopped after each of some keys lists the rest.
#[track_caller]
fn resumed_runs_list_the_rest(keys: &[String], tool: impl Fn() -> Tool) {
    let place = folder();
    let file = place.path().join("list.json");
    let tool = || {
        tool()
            .args(["--page-size", "5", "--resume-file"])
            .arg(&file)
    };
    tool().run().exits(0);
    let mut state: Value = lines_of(&file).remove(0);
    for (at, width) in (0..keys.len())
        .step_by(17)
        .zip(["1", "64", "2"].into_iter().cycle())
    {
        state["finished"] = json!(false);
        state["coverage"] = json!([{"after": null, "through": keys[at]}]);
        std::fs::write(&file, state.to_string()).unwrap();
        let resumed = tool().args(["--resume", "--concurrency", width]);
        let run = resumed.run().exits(0);
        assert_eq!(run.listing().sorted(), keys[at + 1..], "{width}: {run}");
    }
}

#[track_caller]
fn warns(run: Run) -> Run {
    assert!(run.count("/notes/contradictions") > 0, "{run}");
    run.says("warning: listing s3://").says(WARNING)
}

#[test]
fn minio_lists_siblings_of_folders_completely() {
    let Some(bucket) = Bucket::new() else { return };
    let keys = siblings();
    bucket.put_all(keys.iter().map(|key| (key.clone(), b"x".to_vec())));
    let tool = || bucket.tool("s3-list").arg(bucket.url());
    every_way_lists_all(&keys, tool);
    resumed_runs_list_the_rest(&keys, tool);
    // Behind its last folder but one, beside which 180 keys sort.
    let inside = "pub/60.0/build2/f07";
    let run = tool().args(["--page-size", "5", "--after", inside]).run();
    let run = warns(run.exits(0)).says(inside);
    // A start before all keys with the prefix is not a start among them.
    let below = bucket
        .tool("s3-list")
        .arg(format!("{}/pub/60.1/", bucket.url()));
    let run_below = below.args(["--after", "a"]).run().exits(0);
    assert_eq!(run_below.listing().keys().len(), 61, "{run} {run_below}");
}

/// A page that ends too early may also leave out what comes before its last key, and a key that
/// nothing follows proves nothing.
#[test]
fn an_early_end_after_the_last_key_loses_nothing() {
    let Some(bucket) = Bucket::new() else { return };
    let folders = [("60.0.2/build1.1", 13), ("60.0.2/build1", 13), ("60.0", 10)];
    let mut keys: Vec<String> = folders
        .iter()
        .flat_map(|(folder, count)| (0..*count).map(move |n| format!("{folder}/f{n:02}")))
        .chain(["60.00".to_owned()])
        .collect();
    bucket.put_all(keys.iter().map(|key| (key.clone(), b"x".to_vec())));
    keys.sort();
    for size in ["1", "2", "3", "5", "7", "10", "15"] {
        for width in ["1", "2", "8", "64"] {
            let tool = bucket.tool("s3-list").arg(bucket.url());
            let run = tool.args(["--page-size", size, "--concurrency", width]);
            let run = run.run().exits(0);
            assert_eq!(run.listing().sorted(), keys, "{run}");
        }
        for after in &keys {
            let tool = bucket.tool("s3-list").arg(bucket.url());
            let run = tool.args(["--page-size", size, "--after", after]).run();
            let rest = keys.iter().filter(|key| *key > after);
            assert!(
                run.exits(0)
                    .listing()
                    .sorted()
                    .into_iter()
                    .eq(rest.cloned())
            );
        }
    }
}

#[test]
fn pages_that_siblings_of_a_folder_fill_lose_nothing() {
    let keys = siblings();
    for flags in [
        &["--siblings-fill-pages"][..],
        &["--siblings-fill-pages", "--deny-delimiter"],
        &["--siblings-fill-pages", "--skip-a-key"],
    ] {
        let server = server_of(&keys, flags);
        every_way_lists_all(&keys, || list(&server));
        resumed_runs_list_the_rest(&keys, || list(&server));
    }
}

/// An honest server is believed after a look at what ends each folder.
#[test]
fn an_end_inside_a_folder_costs_a_request_per_level() {
    let keys = siblings();
    let server = server_of(&keys, &[]);
    let start = "pub/60.1/build2/f00";
    let run = list(&server).args(["--after", start, "--concurrency", "1"]);
    let run = run.run().exits(0);
    assert_eq!(run.listing().keys().len(), 14);
    assert!(run.count("/notes/requests") <= 5, "{run}");
    assert_eq!(run.told().len(), 1, "{run}");
    let whole = list(&server).args(["--concurrency", "1", "--page-size", "10"]);
    let whole = whole.run().exits(0);
    assert_eq!(whole.count("/notes/requests"), 25, "{whole}");
}

#[test]
fn a_token_that_skips_a_key_loses_nothing() {
    let keys: Vec<String> = (0..3000)
        .map(|n| format!("d{:02}/f{:04}", n / 100, n % 100))
        .collect();
    let server = server_of(&keys, &["--skip-a-key", "--latency-ms", "1"]);
    for _ in 0..3 {
        let run = list(&server).args(["--page-size", "20"]).run().exits(0);
        assert_eq!(run.listing().sorted(), keys);
    }
    for after in ["d03/f", "d29/f0050x", "c"] {
        let tool = list(&server).args(["--concurrency", "1", "--page-size", "20"]);
        let run = tool.args(["--after", after]).run().exits(0);
        let rest = keys.iter().filter(|key| ***key > *after);
        assert!(run.listing().keys().into_iter().eq(rest), "{run}");
    }
}

#[test]
fn keys_encoded_without_saying_so_are_decoded() {
    let keys = awkward_keys();
    let server = server_of(&keys, &["--hide-encoding"]);
    for args in [&[][..], &["--page-size", "3"], &["--concurrency", "1"]] {
        let run = list(&server).args(args.iter().copied()).run().exits(0);
        assert_eq!(run.listing().sorted(), keys, "{args:?}");
        tiles(&run.listing(), None, None);
    }
}

/// Which of the two forms it is can only be asked.
#[test]
fn a_single_key_that_looks_encoded_is_looked_up() {
    for odd in ["z/a%20b", "z/a+b", "a%2Fb", "100%"] {
        let mut keys: Vec<String> = ["a/1", "b/2", "c", "d/3"].map(String::from).into();
        keys.push(odd.to_owned());
        keys.sort();
        for args in [&[][..], &["--page-size", "2"], &["--concurrency", "1"]] {
            let server = server_of(&keys, &["--hide-encoding"]);
            let run = list(&server).args(args.iter().copied()).run().exits(0);
            assert_eq!(run.listing().sorted(), keys, "{args:?}");
            let server = server_of(&keys, &["--always-encode"]);
            let run = list(&server).args(args.iter().copied()).run();
            fails(run, 78, &["the server encodes keys and does not say so"]);
        }
    }
}

#[test]
fn a_server_that_ignores_the_prefix_is_not_believed() {
    let keys = ["a/1", "b/1", "b/2", "c/1"].map(String::from);
    let server = server_of(&keys, &["--ignore-prefix"]);
    let tool = |args: &[&str]| {
        server
            .tool("s3-list")
            .arg("s3://bench/b/")
            .args(args.iter().copied())
    };
    for args in [&[][..], &["--concurrency", "1"], &["--after", "b/1"]] {
        let run = tool(args).run();
        fails(run, 78, &["list s3://bench/b/ at", "ignores the prefix"]);
    }
}

#[test]
fn shards_of_siblings_are_all_of_it() {
    let keys = siblings();
    let server = server_of(&keys, &["--siblings-fill-pages"]);
    let shard = |which: &str, server: &Faulty| {
        let tool = list(server).args(["--page-size", "5", "--shard", which]);
        tool.run().exits(0).listing()
    };
    let mut all: Vec<String> = Vec::new();
    for which in ["1/3", "2/3", "3/3"] {
        let listed = shard(which, &server);
        all.extend(listed.keys().into_iter().map(String::from));
    }
    all.sort();
    assert_eq!(all, keys);
}
