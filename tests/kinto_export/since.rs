//! Exports of what has changed since the last run.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

use serde_json::{Value, json};

use super::{builds, expected};
use crate::harness::kinto::{Kinto, StandIn, answer, release};
use crate::harness::{Tool, folder};

/// A server whose records can become more, and a resume file.
struct Growing {
    total: Arc<AtomicUsize>,
    server: StandIn,
    folder: tempfile::TempDir,
}

impl Growing {
    fn new(records: usize) -> Self {
        let total = Arc::new(AtomicUsize::new(records));
        let shared = Arc::clone(&total);
        Self {
            total,
            server: StandIn::new(move |_, asked| Some(answer(shared.load(SeqCst), asked))),
            folder: folder(),
        }
    }

    fn grow(&self, records: usize) {
        self.total.store(records, SeqCst);
    }

    fn export(&self, flags: &[&str]) -> Tool {
        let tool = Tool::new("kinto-export").args(["--server", &self.server.url]);
        let state = self.folder.path().join("kinto.json");
        let tool = tool.args(["--since", "last", "--resume-file"]).arg(state);
        tool.args(flags.iter().copied())
    }

    fn state(&self) -> Value {
        let text = std::fs::read(self.folder.path().join("kinto.json")).unwrap();
        serde_json::from_slice(&text).unwrap()
    }

    /// Says what a loader has confirmed of a run.
    fn confirm(&self, run: &Value, coverage: &Value) {
        let loaded = json!({"format": 2, "run": run, "coverage": coverage});
        let path = self.folder.path().join("kinto.json.loaded");
        std::fs::write(path, loaded.to_string()).unwrap();
    }
}

#[test]
fn since_last_exports_what_has_changed_since_the_end_of_the_last_run() {
    for resume in [&["--resume"][..], &[]] {
        let growing = Growing::new(5);
        let exact = [resume, &["--margin=0"]].concat();
        let first = growing.export(&exact).run().exits(0);
        assert_eq!(builds(&first), expected(0..5));
        growing.grow(8);
        let second = growing.export(&exact).run().exits(0);
        let second = second.says("exporting what has changed since the end of run ");
        assert_eq!(builds(&second), expected(5..8));
        assert_eq!(
            builds(&growing.export(&exact).run().exits(0)),
            expected(0..0)
        );
        growing.grow(10);
        // Its times are those of the first milliseconds of 1970.
        let within = growing.export(resume).run().exits(0);
        assert_eq!(builds(&within), expected(0..10));
    }
}

#[test]
fn a_run_that_was_not_stored_whole_is_not_the_last_one() {
    let growing = Growing::new(5);
    growing.export(&["--margin=0"]).run().exits(0);
    growing.confirm(&Value::Null, &json!([]));
    growing.grow(8);
    // Once more, and then everything.
    let flags = ["--margin=0", "--resume"];
    assert_eq!(
        builds(&growing.export(&flags).run().exits(0)),
        expected(0..5)
    );
    assert_eq!(
        builds(&growing.export(&flags).run().exits(0)),
        expected(0..8)
    );
    let run = &growing.state()["run"];
    growing.confirm(run, &json!([{"after": null, "through": "0000000000008"}]));
    growing.grow(9);
    assert_eq!(
        builds(&growing.export(&flags).run().exits(0)),
        expected(8..9)
    );
    // A run that gave up is not a last one either.
    let text = growing
        .state()
        .to_string()
        .replace("finished_at", "was_finished_at");
    let mut state: Value = serde_json::from_str(&text).unwrap();
    state.as_object_mut().unwrap().remove("was_finished_at");
    let path = growing.folder.path().join("kinto.json");
    std::fs::write(path, state.to_string()).unwrap();
    growing.confirm(&state["run"], &json!([{"after": null, "through": null}]));
    growing.grow(10);
    assert_eq!(
        builds(&growing.export(&flags).run().exits(0)),
        expected(8..10)
    );
}

#[test]
fn since_last_needs_a_resume_file() {
    let run = Tool::new("kinto-export").args(["--server=http://127.0.0.1:1/v1", "--since=last"]);
    let run = run.run().exits(2).prints_nothing();
    run.says("--since last follows the run in a resume file: name it with --resume-file");
    let run = Tool::new("kinto-export").args(["--since", "first"]).run();
    run.exits(2).says(", or last");
}

#[test]
fn since_last_works_from_the_server_and_from_its_database() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..20);
    let folder = folder();
    let ways = [vec![], vec!["--database", &*kinto.database]];
    let export = |at: usize| {
        let state = folder.path().join(format!("{at}.json"));
        let tool = kinto.tool("kinto-export").args(&ways[at]);
        let tool = tool.args(["--since=last", "--margin=0", "--resume", "--resume-file"]);
        tool.arg(state).run().exits(0)
    };
    for at in 0..2 {
        assert_eq!(builds(&export(at)), expected(0..20));
    }
    let path = format!("{}/firefox_50_win64_fr", kinto.records_path());
    let (status, _) = kinto.ask("PUT", &path, Some(&json!({"data": release(50)})));
    assert_eq!(status, 201);
    for at in 0..2 {
        let run = export(at);
        let [record] = &run.records()[..] else {
            panic!("{run}")
        };
        assert_eq!(record["build"]["source"], release(50)["source"]);
    }
}
