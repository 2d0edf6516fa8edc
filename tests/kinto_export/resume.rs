//! A killed export resumes after what the loader has confirmed.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use rustix::process::Signal;

use super::{builds, expected};
use crate::harness::kinto::{Kinto, StandIn, answer};
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::{Run, Started, Tool, folder, start_pipeline, wait_for};

const TOTAL: usize = 600;
const PAGE: usize = 50;

/// Exports from `server` into a SQLite database.
fn tools(kinto: &Kinto, server: &str, folder: &Path, resume: &[&str]) -> Vec<Tool> {
    let state = folder.join("kinto.json");
    let size = PAGE.to_string();
    let export = kinto.at("kinto-export", server);
    let export = export.args(["--page-size", &size, "--retries", "0"]);
    let database = format!("sqlite:{}", folder.join("b.db").display());
    let load = Tool::new("bh-load").arg("--marks").args([
        "--database",
        &database,
        "--flush-interval",
        "0.01",
    ]);
    vec![
        export.arg("--resume-file").arg(&state).args(resume),
        Tool::new("bh-validate"),
        load.arg("--resume-file").arg(&state),
    ]
}

fn ended(started: Vec<Started>) -> Vec<Run> {
    started.into_iter().map(Started::finish).collect()
}

#[test]
fn an_export_killed_at_any_page_resumes() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..TOTAL);
    let proxy = Proxy::new(&kinto.url);
    for (nth, concurrency) in [(1, "1"), (2, "1"), (5, "1"), (12, "1"), (3, "3"), (7, "3")] {
        let folder = folder();
        let parallel = ["--resume", "--concurrency", concurrency];
        for point in [Point::Asked, Point::Answered, Point::Heard] {
            let text = "GET /v1/buckets/";
            let hold = proxy.set(Trap { text, nth, point });
            let tools = tools(&kinto, &proxy.url, folder.path(), &parallel);
            let mut started = start_pipeline(tools);
            // A later run may have fewer pages left.
            wait_for("the page", || {
                hold.is_held() || started[0].child.try_wait().unwrap().is_some()
            });
            for program in &mut started {
                if program.child.try_wait().unwrap().is_none() {
                    program.signal(Signal::KILL);
                }
            }
            hold.release(false);
            ended(started);
        }
        proxy.set(Trap {
            text: "none of them",
            nth: 1,
            point: Point::Asked,
        });
        let runs = ended(start_pipeline(tools(
            &kinto,
            &proxy.url,
            folder.path(),
            &parallel,
        )));
        for run in &runs {
            assert_eq!(run.status.code(), Some(0), "{run}");
        }
        let database = rusqlite::Connection::open(folder.path().join("b.db")).unwrap();
        let rows = "SELECT count(*) FROM main_build";
        let rows: i64 = database.query_row(rows, [], |row| row.get(0)).unwrap();
        assert_eq!(rows, TOTAL as i64, "killed at page {nth}");
        let state = |name: &str| {
            let text = std::fs::read(folder.path().join(name)).unwrap();
            serde_json::from_slice::<serde_json::Value>(&text).unwrap()
        };
        let (exported, loaded) = (state("kinto.json"), state("kinto.json.loaded"));
        assert_eq!(loaded["run"], exported["run"]);
        assert_eq!(loaded["coverage"], exported["coverage"]);
        let whole = serde_json::json!([{"after": null, "through": exported["source"]["through"]}]);
        assert_eq!(loaded["coverage"], whole);
    }
}

#[test]
fn a_run_after_a_finished_one_exports_what_has_changed_since() {
    let folder = folder();
    let total = Arc::new(AtomicUsize::new(5));
    let shared = Arc::clone(&total);
    let server = StandIn::new(move |_, asked| Some(answer(shared.load(SeqCst), asked)));
    let export = || {
        let tool = Tool::new("kinto-export").args(["--server", &server.url, "--resume"]);
        tool.arg("--resume-file")
            .arg(folder.path().join("kinto.json"))
    };
    assert_eq!(builds(&export().run().exits(0)), expected(0..5));
    total.store(8, SeqCst);
    let run = export().run().exits(0);
    assert_eq!(
        builds(&run.says("is finished: starting a new run")),
        expected(0..8)
    );
}

#[test]
fn confirmed_records_are_not_exported_again() {
    let server = StandIn::new(|_, asked| Some(answer(100, asked)));
    let folder = folder();
    let state = folder.path().join("kinto.json");
    let export = |flags: &[&str]| {
        let tool = Tool::new("kinto-export").args(["--server", &server.url, "--page-size", "10"]);
        tool.arg("--resume-file").arg(&state).args(flags)
    };
    export(&[]).run().exits(0).says("starting a new run");
    let finished = export(&["--resume"]).run().exits(0);
    assert_eq!(
        builds(&finished.says("is finished: starting a new run")),
        expected(0..100)
    );

    // The confirmed part of an unfinished run.
    let text = std::fs::read_to_string(&state).unwrap();
    let text = text.replace("\"finished\":true", "\"finished\":false");
    std::fs::write(&state, &text).unwrap();
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    let loaded = serde_json::json!({"format": 1, "run": value["run"],
        "coverage": [{"after": null, "through": "0000000000030"}]});
    std::fs::write(folder.path().join("kinto.json.loaded"), loaded.to_string()).unwrap();
    let rest = export(&["--resume"]).run().exits(0);
    let rest = rest.says("resumes after what the loader has confirmed");
    assert_eq!(builds(&rest), expected(30..100));

    let other = export(&["--resume", "--since", "5"]).run().exits(78);
    other.says("belongs to another export");
}
