//! A collection that is deleted and recreated under its name, with later times.

use std::path::PathBuf;

use serde_json::json;

use super::{builds, expected, export};
use crate::harness::kinto::{COLLECTION, FIRST, Kinto};
use crate::harness::proxy::{Point, Proxy, Trap};
use crate::harness::{Run, Started, Tool, folder, start_pipeline_through, wait_for};

/// More than pipes hold: a program asks for one of a megabyte.
const OLD: std::ops::Range<usize> = 0..4000;
const NEW: std::ops::Range<usize> = 5000..5030;

impl Kinto {
    /// Deletes the collection, and makes it again with the records `NEW`.
    fn renew(&self) {
        let path = format!("{}/collections/{COLLECTION}", self.bucket_path());
        let lock = self.lock_buckets();
        assert_eq!(self.ask("DELETE", &path, None).0, 200);
        assert_eq!(self.ask("PUT", &path, None).0, 201);
        drop(lock);
        self.fill(NEW);
    }

    /// Ends the connections of the programs that call themselves after the bucket.
    fn disconnect(&self) {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
            WHERE application_name = $1";
        let ended: i64 = self
            .client()
            .query_one(end, &[&self.bucket])
            .unwrap()
            .get(0);
        assert!(ended > 0);
    }
}

/// Calls `test` with a collection of `OLD`, and the flags of each way to it.
fn on_each_way(test: impl Fn(&Kinto, &[String])) {
    for database in [false, true] {
        let Some(kinto) = Kinto::new() else { return };
        kinto.fill(OLD);
        let way = ["--database".to_owned(), kinto.database.clone()];
        test(&kinto, if database { &way[..] } else { &[] });
    }
}

/// The exports of a collection, through a proxy where they ask the server.
struct Exports<'a> {
    kinto: &'a Kinto,
    way: &'a [String],
    proxy: Proxy,
    folder: tempfile::TempDir,
}

impl<'a> Exports<'a> {
    fn new(kinto: &'a Kinto, way: &'a [String]) -> Self {
        Self {
            kinto,
            way,
            proxy: Proxy::new(&kinto.url),
            folder: folder(),
        }
    }

    fn state(&self) -> PathBuf {
        self.folder.path().join("kinto.json")
    }

    fn tool(&self) -> Tool {
        let tool = self.kinto.at("kinto-export", &self.proxy.url);
        let tool = tool.args(self.way).args(["--page-size", "100"]);
        let tool = tool.env("PGAPPNAME", &self.kinto.bucket);
        tool.arg("--resume-file").arg(self.state())
    }

    /// Exports while `change` happens, between the first and the last page.
    fn run_during(&self, change: impl FnOnce()) -> Run {
        let page = self.proxy.set(Trap {
            text: "_token=",
            nth: 4,
            point: Point::Asked,
        });
        // A cursor is read on while nobody takes its records, as far as pipes go.
        let bytes = if self.way.is_empty() {
            usize::MAX
        } else {
            60_000
        };
        let reader = Tool::new("bh-validate").arg("--rejects=/dev/null");
        let tools = vec![self.tool(), reader];
        let (started, relay) = start_pipeline_through(tools, Some((0, bytes)));
        let relay = relay.unwrap();
        wait_for("a page", || page.is_held() || relay.hold.is_held());
        change();
        page.release(true);
        relay.hold.release(true);
        let runs: Vec<Run> = started.into_iter().map(Started::finish).collect();
        runs.into_iter().next().unwrap()
    }

    /// Takes from the state what was changed after this many milliseconds.
    fn stop_after(&self, milliseconds: i64) {
        let text = std::fs::read(self.state()).unwrap();
        let mut stopped: serde_json::Value = serde_json::from_slice(&text).unwrap();
        let digits = stopped["source"]["through"].as_str().unwrap().len();
        let unit = if digits == 16 { 1000 } else { 1 };
        let through = (FIRST + milliseconds) * unit;
        stopped["coverage"][0]["through"] = json!(format!("{through:0digits$}"));
        stopped["finished"] = json!(false);
        std::fs::write(self.state(), stopped.to_string()).unwrap();
    }
}

#[test]
fn a_collection_that_is_recreated_during_an_export_is_refused() {
    on_each_way(|kinto, way| {
        let exports = Exports::new(kinto, way);
        let run = exports.run_during(|| {
            kinto.renew();
            // The cursor that saw the old one is lost too.
            if !way.is_empty() {
                kinto.disconnect();
            }
        });
        let run = run.exits(78);
        run.says("it was recreated, or its settings were changed, during the export");
        let run = exports.tool().arg("--resume").run().exits(0);
        assert_eq!(builds(&run), expected(NEW));
    });
}

#[test]
fn a_collection_that_was_recreated_between_two_runs_is_exported_from_its_start() {
    on_each_way(|kinto, way| {
        let exports = Exports::new(kinto, way);
        exports.tool().run().exits(0);
        exports.stop_after(3998);
        let run = exports.tool().arg("--resume").run().exits(0);
        assert_eq!(builds(&run), expected(3999..4000));
        exports.stop_after(3998);
        kinto.renew();
        let run = exports.tool().arg("--resume").run().exits(0);
        let run = run.says("it was recreated, or its settings were changed, since run ");
        assert_eq!(builds(&run), expected(NEW));
    });
}

/// As after a restore of Kinto's database, whose settings came back too.
#[test]
fn changes_that_end_before_the_export_does_are_refused() {
    on_each_way(|kinto, way| {
        let exports = Exports::new(kinto, way);
        exports.tool().run().exits(0);
        exports.stop_after(400);
        let parent = kinto.records_path().replace("/records", "");
        let back = format!(
            "DELETE FROM objects WHERE parent_id = '{parent}'
                 AND last_modified > from_epoch({0}) AND resource_name = 'record';
             UPDATE timestamps SET last_modified = from_epoch({0}) WHERE parent_id = '{parent}'",
            FIRST + 900
        );
        let mut client = kinto.client();
        client.batch_execute("SET timezone TO 'UTC'").unwrap();
        client.batch_execute(&back).unwrap();
        let run = exports.tool().arg("--resume").run().exits(78);
        run.prints_nothing().says("was it recreated?");
    });
}

#[test]
fn an_export_of_what_has_changed_since_may_be_empty() {
    on_each_way(|kinto, way| {
        let since = |since: String| export(kinto).args(way).args(["--since", &since]).run();
        let run = export(kinto).args(way).run().exits(0);
        let last = run.lines().pop().unwrap()["mark"]["end"]["since"].to_string();
        let run = since(last).exits(0);
        assert!(
            run.records().is_empty() && !run.stderr.contains("no record"),
            "{run}"
        );
        let later = FIRST + 9_000;
        let run = since(later.to_string()).exits(0);
        assert!(run.records().is_empty());
        let said = format!(
            "no record has changed since {later}; the last change was at {}",
            FIRST + 3999
        );
        run.says(&said);
    });
}

#[test]
fn the_last_record_may_be_deleted_during_an_export() {
    on_each_way(|kinto, way| {
        let path = format!("{}/firefox_3999_win64_fr", kinto.records_path());
        let run = Exports::new(kinto, way).run_during(|| {
            assert_eq!(kinto.ask("DELETE", &path, None).0, 200);
        });
        run.exits(0);
    });
}

#[test]
fn since_last_exports_a_renewed_collection_whole() {
    let Some(kinto) = Kinto::new() else { return };
    kinto.fill(0..5);
    let folder = folder();
    let export = || {
        let state = folder.path().join("kinto.json");
        let tool = kinto
            .tool("kinto-export")
            .args(["--since=last", "--resume-file"]);
        tool.arg(state).run().exits(0)
    };
    assert_eq!(builds(&export()), expected(0..5));
    kinto.renew();
    let run = export().says(": exporting everything");
    assert_eq!(builds(&run), expected(NEW));
    assert_eq!(
        run.lines()[0]["mark"]["begin"]["part"][0]["after"],
        json!(null)
    );
}
