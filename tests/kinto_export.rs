//! kinto-export: every record once, from the server or its database, despite
//! faults.

mod faults;
mod layouts;
mod renewed;
mod resume;
mod since;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::kinto::{FIRST, Kinto, release};
use crate::harness::{Run, Tool};

/// Returns the exported builds, as sorted text.
fn builds(run: &Run) -> BTreeSet<String> {
    let records = run.records();
    let texts: BTreeSet<_> = records.iter().map(|r| r["build"].to_string()).collect();
    assert_eq!(texts.len(), records.len(), "a record comes twice");
    texts
}

/// Returns the builds with these numbers.
fn expected(numbers: impl IntoIterator<Item = usize>) -> BTreeSet<String> {
    let build = |n| {
        let mut build = release(n);
        build.as_object_mut().unwrap().remove("id");
        build.to_string()
    };
    numbers.into_iter().map(build).collect()
}

/// Returns the bounds of the pages in the order of time, which must be
/// contiguous.
fn pages(run: &Run) -> Vec<(Option<String>, String)> {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let mut pages: Vec<_> = (run.lines().iter())
        .filter_map(|line| line.pointer("/mark/page").cloned())
        .map(|page| (text(&page["after"]), text(&page["next"]).unwrap()))
        .collect();
    pages.sort();
    for two in pages.windows(2) {
        assert_eq!(two[1].0.as_ref(), Some(&two[0].1), "{pages:?}");
    }
    pages
}

fn export(kinto: &Kinto) -> Tool {
    kinto.tool("kinto-export")
}

#[test]
fn every_live_record_is_exported() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..10_000);
    for n in (0..10_000).step_by(100) {
        let path = format!("{}/firefox_{n}_win64_fr", kinto.records_path());
        assert_eq!(kinto.ask("DELETE", &path, None).0, 200);
    }
    let all = expected((0..10_000).filter(|n| n % 100 != 0));
    let ways: [&[&str]; 4] = [
        &[],
        &["--concurrency", "4", "--page-size", "300"],
        &["--database", &kinto.database],
        &["--database", &kinto.database, "--concurrency", "4"],
    ];
    for way in ways {
        let run = export(&kinto).args(way).run().exits(0);
        assert!(builds(&run) == all, "{way:?}: {}", run.stderr);
        assert!(pages(&run).len() >= 10, "{way:?}");
        let end = run.lines().pop().unwrap();
        assert_eq!(end["mark"]["end"]["records"], 9_900, "{end}");
        assert_eq!(run.count("/out"), 9_900);
    }
}

#[test]
fn keep_meta_keeps_the_id_and_the_time() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(7..8);
    let mut build = release(7);
    build.as_object_mut().unwrap().remove("id");
    let id = "firefox_7_win64_fr";
    for way in [vec![], vec!["--database", &*kinto.database]] {
        let run = export(&kinto).args(&way).run().exits(0);
        assert_eq!(run.records(), [json!({"build": build})]);
        let run = export(&kinto).args(&way).arg("--keep-meta").run().exits(0);
        let kept = json!({"id": id, "last_modified": FIRST + 7, "build": build});
        assert_eq!(run.records(), [kept]);
    }
}

#[test]
fn since_exports_only_changed_records() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..50);
    let first = export(&kinto).run().exits(0);
    let since = first.lines().pop().unwrap()["mark"]["end"]["since"].to_string();
    let first = first.says(&format!("--since {since}"));
    assert_eq!(builds(&first), expected(0..50));
    let (status, _) = kinto.ask(
        "PUT",
        &format!("{}/firefox_50_win64_fr", kinto.records_path()),
        Some(&json!({"data": release(50)})),
    );
    assert_eq!(status, 201);
    let gone = format!("{}/firefox_3_win64_fr", kinto.records_path());
    assert_eq!(kinto.ask("DELETE", &gone, None).0, 200);
    for since in [since.clone(), format!("\"{since}\"")] {
        for way in [vec![], vec!["--database", &*kinto.database]] {
            let run = export(&kinto).args(&way).args(["--since", &since]).run();
            let run = run.exits(0);
            let [record] = &run.records()[..] else {
                panic!("{run}")
            };
            assert_eq!(record["build"]["source"], release(50)["source"]);
        }
    }
    let run = export(&kinto).args(["--since", "soon"]).run();
    run.exits(2).says("expected a date");
}

#[test]
fn an_empty_collection_is_a_finished_run() {
    let Some(kinto) = Kinto::new() else { return };
    for way in [vec![], vec!["--database", &*kinto.database]] {
        let run = export(&kinto).args(&way).run().exits(0);
        assert_eq!(run.records(), Vec::<Value>::new());
        assert_eq!(run.lines().pop().unwrap()["mark"]["end"]["records"], 0);
    }
}

#[test]
fn counts_are_sent_to_statsd() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..30);
    let statsd = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = statsd.local_addr().unwrap().port().to_string();
    let run = export(&kinto)
        .args(["--page-size", "20"])
        .env("STATSD_HOST", "127.0.0.1")
        .env("STATSD_PORT", port)
        .env("STATSD_NAMESPACE", "hub")
        .run()
        .exits(0);
    let mut said = BTreeSet::new();
    for _ in 0..2 {
        let mut bytes = [0; 100];
        let read = statsd.recv(&mut bytes).unwrap();
        said.insert(String::from_utf8_lossy(&bytes[..read]).into_owned());
    }
    let expected = ["hub.kinto_migrated:10|c", "hub.kinto_migrated:20|c"];
    assert_eq!(said, expected.map(str::to_owned).into(), "{run}");
}
