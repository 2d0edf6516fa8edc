//! Interrupted and resumed runs.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::manifests::manifest;
use super::{gzip, inventory, records, rows, write};
use crate::harness::backfill::{Backfill, Done};
use crate::harness::stored::{Kind, contents};
use crate::harness::{
    Run, Started, Tool, folder, lines_of, pipeline, sample, start_pipeline_through, wait_for,
};

const EACH: usize = 30_000;

/// Three files of some members, and a resume file.
struct Place {
    folder: TempDir,
    data: PathBuf,
    file: PathBuf,
}

impl Place {
    fn new() -> Self {
        let folder = folder();
        for n in 0..3 {
            let start = n * EACH;
            let parts = [start..start + 7, start + 7..start + EACH].map(rows);
            write(folder.path(), &format!("data/{n}.csv.gz"), gzip(parts));
        }
        Self {
            data: folder.path().join("data"),
            file: folder.path().join("state.json"),
            folder,
        }
    }

    fn tool(&self) -> Tool {
        inventory()
            .arg("--resume-file")
            .arg(&self.file)
            .arg(&self.data)
    }

    fn resume(&self) -> Tool {
        self.tool().arg("--resume")
    }

    /// Resumes standard input instead of the files.
    fn piped(&self) -> Tool {
        let tool = inventory().arg("--resume-file").arg(&self.file);
        tool.arg("--resume")
    }

    fn state(&self) -> Value {
        lines_of(&self.file).remove(0)
    }

    /// Writes what a loader has confirmed of the current run.
    fn confirm(&self, coverage: &Value) {
        let loaded = json!({"format": 1, "run": self.state()["run"], "coverage": coverage});
        std::fs::write(self.loaded(), loaded.to_string()).unwrap();
    }

    fn loaded(&self) -> PathBuf {
        let mut name = self.file.clone().into_os_string();
        name.push(".loaded");
        name.into()
    }

    /// Reads this many bytes of a run, kills it, and returns all that it has
    /// written.
    fn killed_after(&self, bytes: usize) -> Vec<u8> {
        let (mut output, stdout) = std::io::pipe().unwrap();
        let mut running = self.tool().start_with(Stdio::null(), stdout.into());
        let mut taken = vec![0; bytes];
        output.read_exact(&mut taken).unwrap();
        wait_for("a state on disk", || {
            self.file.exists() && self.state()["coverage"] != json!([])
        });
        running.signal(Signal::KILL);
        running.child.wait().unwrap();
        output.read_to_end(&mut taken).unwrap();
        taken
    }
}

fn part(after: impl Into<Value>, through: impl Into<Value>) -> Value {
    json!({"after": after.into(), "through": through.into()})
}

#[test]
fn finished_files_and_rows_are_not_read_again() {
    let place = Place::new();
    place.tool().run().exits(0).says("starting a new run");
    let whole = json!([part(Value::Null, Value::Null)]);
    let state = place.state();
    assert_eq!(
        (&state["finished"], &state["coverage"]),
        (&json!(true), &whole)
    );
    assert_eq!(state["records"], 3 * EACH);
    // A finished run is followed by a new one.
    let again = place
        .resume()
        .run()
        .exits(0)
        .says("is finished: starting a new run");
    assert_eq!(again.records(), records(0..3 * EACH));
    assert_ne!(place.state()["run"], state["run"]);

    let mut stopped = place.state();
    stopped["finished"] = json!(false);
    let table = [
        (json!([part(Value::Null, json!("000001"))]), EACH..3 * EACH),
        (json!([part(json!("000001"), Value::Null)]), 0..EACH),
        (
            json!([part(Value::Null, json!("000001.000000000010"))]),
            EACH + 10..3 * EACH,
        ),
        (
            json!([
                part(json!("000002.000000020000"), Value::Null),
                part(Value::Null, json!("000002"))
            ]),
            2 * EACH..2 * EACH + 20_000,
        ),
    ];
    for (coverage, left) in table {
        let mut coverage = coverage;
        coverage
            .as_array_mut()
            .unwrap()
            .sort_by_key(ToString::to_string);
        coverage.as_array_mut().unwrap().reverse();
        stopped["coverage"] = coverage.clone();
        std::fs::write(&place.file, stopped.to_string()).unwrap();
        drop(std::fs::remove_file(place.loaded()));
        let run = place
            .resume()
            .run()
            .exits(0)
            .says("resumes after what was listed");
        assert_eq!(run.records(), records(left.clone()), "{coverage}");
        let mut covered = place.state()["coverage"].clone();
        assert_eq!(covered.take(), whole);
        assert_eq!(run.listing().end.unwrap().0, stopped["run"]);
        // The confirmation of the loader takes precedence over what was read.
        stopped["coverage"] = whole.clone();
        std::fs::write(&place.file, stopped.to_string()).unwrap();
        place.confirm(&coverage);
        let run = place
            .resume()
            .run()
            .exits(0)
            .says("what the loader has confirmed");
        assert_eq!(run.records(), records(left));
    }
    // Without --resume it starts over.
    std::fs::write(&place.file, stopped.to_string()).unwrap();
    assert_eq!(place.tool().run().exits(0).records().len(), 3 * EACH);
}

#[test]
fn a_killed_run_resumes_and_reads_every_row() {
    let place = Place::new();
    let size = place.tool().run().exits(0).stdout.len();
    for bytes in [size / 20, size / 3, size / 2, size * 9 / 10] {
        drop(std::fs::remove_file(&place.file));
        let mut taken = place.killed_after(bytes);
        let whole = memchr::memrchr(b'\n', &taken).unwrap() + 1;
        taken.truncate(whole);
        let before = crate::harness::lines(&taken).len();
        let run = place.resume().run().exits(0);
        assert!(run.stderr.contains("resumes after"), "{run}");
        let mut all = crate::harness::lines(&taken);
        all.retain(|line| line.get("mark").is_none());
        all.extend(run.records());
        assert!(before > 0 && run.records().len() < 3 * EACH, "{run}");
        let mut keys: Vec<_> = all
            .iter()
            .map(|line| line["key"].as_str().unwrap())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 3 * EACH);
    }
}

#[test]
fn changed_files_start_a_new_run_and_another_inventory_is_refused() {
    let place = Place::new();
    let kill = || drop(place.killed_after(100_000));
    kill();
    let run = place.state()["run"].clone();
    std::fs::write(place.data.join("3.csv"), rows(3 * EACH..3 * EACH + 5)).unwrap();
    let said = format!(
        "the files differ from those of run {}",
        run.as_str().unwrap()
    );
    let all = place.resume().run().exits(0).says(&said);
    assert_eq!(all.records().len(), 3 * EACH + 5);
    drop(std::fs::remove_file(&place.file));
    kill();
    let other = inventory()
        .arg("--resume-file")
        .arg(&place.file)
        .arg("--resume");
    let refused = other
        .arg(place.data.join("3.csv"))
        .run()
        .exits(78)
        .prints_nothing();
    refused.says("belongs to another inventory");
    std::fs::write(&place.file, "{").unwrap();
    place
        .resume()
        .run()
        .exits(78)
        .says("damaged, or not a resume file");
    assert!(place.folder.path().exists());
}

#[test]
fn rows_that_are_read_in_another_way_are_all_read_again() {
    let place = Place::new();
    for flags in [
        &["--columns", "Bucket, Key, Size, LastModifiedDate, x"][..],
        &["--all-versions"],
        &["--raw-keys"],
    ] {
        drop(std::fs::remove_file(&place.file));
        place.tool().run().exits(0);
        let mut state = place.state();
        state["finished"] = json!(false);
        state["coverage"] = json!([part(Value::Null, json!("000001"))]);
        std::fs::write(&place.file, state.to_string()).unwrap();
        let run = place.resume().args(flags.iter().copied()).run().exits(0);
        let run = run.says("the columns, or the settings for rows, differ from those of run");
        assert_eq!(run.records().len(), 3 * EACH, "{run}");
    }
}

#[test]
fn rows_of_a_damaged_file_are_not_recorded() {
    let place = Place::new();
    let mut bytes = std::fs::read(place.data.join("1.csv.gz")).unwrap();
    let end = bytes.len() - 6;
    bytes[end] ^= 1;
    std::fs::write(place.data.join("1.csv.gz"), bytes).unwrap();
    place.tool().run().exits(78).says("1.csv.gz");
    assert_eq!(
        place.state()["coverage"],
        json!([part(Value::Null, json!("000001"))])
    );
}

#[test]
fn standard_input_resumes_after_the_finished_rows() {
    let place = Place::new();
    let tool = || place.piped();
    let all = rows(0..250_000);
    let half = &all[..all.len() / 2];
    let cut = &half[..half.len() - 20];
    let first = tool().input(cut).run().exits(75);
    let seen = first.records().len();
    let second = tool().input(&*all).run().exits(0);
    assert_eq!(second.records(), records(seen..250_000));
    // With a loader, it resumes after the confirmed rows.
    drop(std::fs::remove_file(&place.file));
    let first = tool().input(cut).run().exits(75);
    let parts = first.listing().parts;
    let (part, keys) = &parts[0];
    place.confirm(&json!([{"after": part.after, "through": part.through}]));
    let second = tool().input(&*all).run().exits(0);
    assert_eq!(second.records(), records(keys.len()..250_000));
}

#[test]
fn a_different_standard_input_is_refused() {
    let place = Place::new();
    let tool = || place.piped();
    let all = rows(0..250_000);
    let cut = &all[..all.len() - 20];
    tool().input(cut).run().exits(75);
    let other = [rows(5..6), rows(1..300_000)].concat();
    let run = tool().input(other).run().exits(78).prints_nothing();
    run.says("standard input differs from what this run began with");
    // The same for input that is shorter than what was read.
    let run = tool().input(rows(0..80_000)).run().exits(78);
    run.says("standard input differs from what this run began with");
    assert_eq!(tool().input(&*all).run().exits(0).records().len(), 1);
}

const BUILDS: usize = 60;

/// Puts builds and other keys in a bucket, with an inventory in two files of
/// several members each.
fn published(all: &Backfill) -> Vec<(String, String, Vec<u8>)> {
    let objects = (0..BUILDS).map(|n| (sample::key(n), sample::build(n).to_string().into_bytes()));
    let objects: Vec<_> = objects.collect();
    let etags = all.bucket.put_all(objects.iter().cloned());
    let mut members = vec![String::new(); 6];
    let mut builds = Vec::new();
    for (n, ((key, body), etag)) in objects.into_iter().zip(etags).enumerate() {
        let text = &mut members[n * 6 / BUILDS];
        *text += &format!(
            "\"{}\",\"{key}\",\"{}\",\"2019-01-02T03:04:05.000Z\",\"{etag}\"\n",
            all.bucket.name,
            body.len()
        );
        let bucket = format!("\"{}\"", all.bucket.name);
        *text += &rows(n * 1000..n * 1000 + 1000).replace("\"b\"", &bucket);
        builds.push((key, etag, body));
    }
    let (first, second) = (gzip(&members[..3]), gzip(&members[3..]));
    let files: [(&str, &[u8]); 2] = [
        ("inv/data/1.csv.gz", &first),
        ("inv/data/2.csv.gz", &second),
    ];
    let mut manifest = manifest(&files);
    manifest["sourceBucket"] = json!(all.bucket.name);
    all.bucket.put("inv/data/1.csv.gz", first.clone());
    all.bucket.put("inv/data/2.csv.gz", second.clone());
    all.bucket.put(
        "inv/2019-10-02T00-00Z/manifest.json",
        manifest.to_string().into_bytes(),
    );
    builds
}

fn tools(all: &Backfill, source: Tool) -> Vec<Tool> {
    let stages = ["bh-filter", "bh-fetch", "bh-validate", "bh-load"];
    let rest = stages.into_iter().map(|stage| all.tool(stage));
    std::iter::once(source).chain(rest).collect()
}

fn from_manifest(all: &Backfill) -> Tool {
    let tool = all.bucket.tool("s3-inventory").arg("--resume");
    let tool = tool.arg("--resume-file").arg(all.resume_file());
    tool.args(["--latest", &format!("{}/inv/", all.bucket.url())])
}

fn confirmed(path: &Path) -> Value {
    lines_of(path)[0]["coverage"].clone()
}

fn loads_an_inventory(kind: Kind) {
    let Some(all) = Backfill::new(kind, None) else {
        return;
    };
    let builds = published(&all);
    let done = Done(pipeline(tools(&all, from_manifest(&all)))).clean();
    assert_eq!(all.store.contents(), contents(&builds));
    let rows = BUILDS * 1001;
    assert_eq!(done.counts("s3-inventory"), json!([rows, rows, {}, {}]));
    all.all_is_confirmed();
    // They are known by key and ETag, as from a listing.
    let again = Done(pipeline(tools(&all, from_manifest(&all))));
    again.finds_nothing_new();

    // The same by zcat, into another store.
    let Some(other) = Backfill::of(all.bucket.clone(), kind, None) else {
        return;
    };
    let mut zcat = std::process::Command::new("zcat");
    let folder = folder();
    for name in ["1", "2"] {
        let key = format!("inv/data/{name}.csv.gz");
        zcat.arg(write(
            folder.path(),
            &format!("{name}.csv.gz"),
            other.bucket.get(&key),
        ));
    }
    let mut zcat = zcat.stdout(Stdio::piped()).spawn().unwrap();
    let mut text = Vec::new();
    zcat.stdout.take().unwrap().read_to_end(&mut text).unwrap();
    assert!(zcat.wait().unwrap().success());
    let mut lines = text;
    for tool in tools(&other, inventory()) {
        lines = tool.input(lines).run().exits(0).stdout;
    }
    assert_eq!(other.store.contents(), contents(&builds));
}

#[test]
fn an_inventory_is_loaded_into_sqlite() {
    loads_an_inventory(Kind::Sqlite);
}

#[test]
fn an_inventory_is_loaded_into_postgres() {
    loads_an_inventory(Kind::Postgres);
}

/// The pipeline is killed after this many bytes of s3-inventory, then resumed.
#[test]
fn a_killed_load_resumes_to_the_same_rows() {
    for (at, bytes) in [1000, 2_000_000, 4_000_000, 5_000_000]
        .into_iter()
        .enumerate()
    {
        let Some(all) = Backfill::new(Kind::Sqlite, None) else {
            return;
        };
        let builds = published(&all);
        let victim = at % 2 * 4;
        let (running, relay) =
            start_pipeline_through(tools(&all, from_manifest(&all)), Some((0, bytes)));
        let relay = relay.unwrap();
        wait_for("the bytes", || relay.hold.is_held());
        running[victim].signal(Signal::KILL);
        relay.hold.release(false);
        let runs: Vec<Run> = running.into_iter().map(Started::finish).collect();
        assert_eq!(runs[victim].status.code(), None, "{}", runs[victim]);
        let whole = json!([part(Value::Null, Value::Null)]);
        assert_ne!(confirmed(&all.loaded_file()), whole, "{}", runs[0]);
        let done = Done(pipeline(tools(&all, from_manifest(&all)))).clean();
        let words = ["resumes after", "restarts"];
        let said = |word: &&str| done.0[0].stderr.contains(word);
        assert!(words.iter().any(said), "{done}");
        assert_eq!(all.store.contents(), contents(&builds));
        all.all_is_confirmed();
    }
}

/// Whether it was stopped in a file, at the end of one, or not at all: that is the machine's.
#[test]
fn a_file_that_a_resumed_run_has_appended_to_has_marks_for_all() {
    let place = Place::new();
    let (mut output, stdout) = std::io::pipe().unwrap();
    let running = place.tool().start_with(Stdio::null(), stdout.into());
    let mut lines = vec![0; 1000];
    output.read_exact(&mut lines).unwrap();
    running.signal(Signal::TERM);
    output.read_to_end(&mut lines).unwrap();
    let first = running.finish();
    if first.status.code() != Some(0) {
        // As after a file: what was written is here.
        let rest = place.resume().args(["--checkpoint", "listed"]);
        lines.extend(rest.run().exits(0).stdout);
    }
    let lines = crate::harness::lines(&lines);
    let records = lines.iter().filter(|line| line.get("mark").is_none());
    assert_eq!(records.count(), 3 * EACH);
    let listed: Vec<&Value> = lines
        .iter()
        .filter_map(|line| line["mark"].get("listed"))
        .collect();
    assert_eq!(listed[0]["after"], Value::Null);
    assert_eq!(listed[listed.len() - 1]["through"], Value::Null);
    for pair in listed.windows(2) {
        assert_eq!(pair[0]["through"], pair[1]["after"], "{pair:?}");
    }
}
