//! The order of writes to disk, for power cuts, which no signal can simulate.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;

use serde_json::Value;

use super::scene::{self, covered, key, marked};
use crate::harness::backfill::{Backfill, STAGES};
use crate::harness::stored::Kind;
use crate::harness::{Tool, folder, lines_of, pipeline};

const CALLS: &str = "trace=write,writev,pwrite64,fsync,fdatasync,rename";

fn watched(tool: Tool, log: &Path) -> Tool {
    let log = log.to_str().unwrap();
    tool.under(["strace", "-fyqq", "-s1000000", "-o", log, "-e", CALLS])
}

/// Files whose last bytes are not synced, with the keys of their rejects.
#[derive(Default)]
struct Disk {
    unsynced: BTreeMap<String, BTreeSet<String>>,
    /// The next state file.
    state: String,
    renames: usize,
    marks: usize,
    /// Whether this is the source, whose marks promise only lines.
    lists: bool,
}

impl Disk {
    /// Asserts that all that a state file or a mark promises is synced.
    fn promises(&self, what: &str, intervals: &[Value]) {
        let promised = covered(intervals);
        for (file, refused) in &self.unsynced {
            // The state of a listing is not promised by its marks.
            if self.lists && what == "a mark" && !file.ends_with(".rejects") {
                continue;
            }
            // Rejects of a later unit are not promised yet.
            let later = file.ends_with(".rejects") && promised.is_disjoint(refused);
            assert!(later, "{what} before {file}");
        }
    }

    fn call(&mut self, name: &str, arguments: &str) {
        let file = arguments.split_once('<').and_then(|(_, rest)| {
            let path = rest.split_once('>')?.0;
            path.starts_with('/').then(|| path.to_owned())
        });
        let text = arguments.replace("\\n", "\n").replace("\\\"", "\"");
        match (name, file) {
            ("fsync" | "fdatasync", Some(file)) => drop(self.unsynced.remove(&file)),
            ("rename", _) => {
                let state: Value = serde_json::from_str(&self.state).unwrap();
                self.promises("a state", state["coverage"].as_array().unwrap());
                self.renames += 1;
                let to = PathBuf::from(arguments.split('"').nth(3).unwrap());
                let folder = to.parent().unwrap().to_str().unwrap();
                self.unsynced.insert(folder.to_owned(), BTreeSet::new());
            }
            ("write" | "writev" | "pwrite64", Some(file)) => {
                if file.strip_suffix(".tmp").is_some() {
                    let json = &text[text.find('{').unwrap()..];
                    json[..=json.rfind('}').unwrap()].clone_into(&mut self.state);
                }
                let kept = [".rejects", ".tmp", "-wal", "keys"];
                if kept.iter().any(|end| file.ends_with(end)) {
                    let key = text.split(r#""key":""#).nth(1).unwrap_or_default();
                    let key = key.split('"').next().unwrap_or_default().to_owned();
                    self.unsynced.entry(file).or_default().insert(key);
                }
            }
            _ if text.contains(r#"{"mark""#) => {
                let marks = &text.as_bytes()[text.find('"').map_or(0, |quote| quote + 1)..];
                self.promises("a mark", &marked(marks));
                self.marks += 1;
            }
            _ => {}
        }
    }

    /// Reads the system calls of a program from a log of strace.
    fn of(log: &Path) -> Self {
        let mut disk = Self {
            lists: log.ends_with("s3-list"),
            ..Self::default()
        };
        let mut begun = BTreeMap::<String, (String, String)>::new();
        let log = String::from_utf8_lossy(&std::fs::read(log).unwrap()).into_owned();
        for line in log.lines() {
            let (thread, call) = line.split_once(' ').unwrap();
            let call = call.trim_start();
            if call.starts_with("<... ") {
                if let Some((name, arguments)) = begun.remove(thread) {
                    disk.call(&name, &arguments);
                }
                continue;
            }
            let Some((name, arguments)) = call.split_once('(') else {
                continue;
            };
            if arguments.ends_with("<unfinished ...>") && name.ends_with("sync") {
                let call = (name.to_owned(), arguments.to_owned());
                begun.insert(thread.to_owned(), call);
            } else {
                disk.call(name, arguments);
            }
        }
        disk
    }
}

#[test]
fn data_is_synced_before_a_state_or_mark_promises_it() {
    if !super::has_strace() {
        return;
    }
    let Some(bucket) = scene::bucket() else {
        return;
    };
    let all = Backfill::of(bucket, Kind::Sqlite, None).unwrap();
    let all = all.with("s3-list", "--page-size=10");
    let logs = folder();
    let log = |stage: &str| logs.path().join(stage);
    let tools = STAGES
        .iter()
        .map(|stage| watched(all.tool(stage), &log(stage)));
    let runs = pipeline(tools.collect());
    for (run, status) in runs.into_iter().zip([0, 0, 65, 65, 65]) {
        run.exits(status);
    }
    for stage in STAGES {
        let disk = Disk::of(&log(stage));
        assert!(disk.marks > 0, "{stage}: no mark was seen");
        let keeps = ["s3-list", "bh-load"].contains(&stage);
        assert_eq!(disk.renames > 0, keeps, "{stage}");
    }
}

/// A listing into a file is killed at each system call that changes a
/// file, and resumed: the file has every key, and nothing else is left.
#[test]
fn a_listing_killed_at_any_system_call_resumes_without_loss() {
    if !super::has_strace() {
        return;
    }
    let Some(bucket) = scene::bucket() else {
        return;
    };
    let list = |folder: &Path, bucket: &Arc<crate::harness::minio::Bucket>| {
        let tool = bucket.tool("s3-list").arg(bucket.url()).arg("--resume");
        let tool = tool.args(["--page-size", "80", "--resume-file"]);
        tool.arg(folder.join("list.json"))
    };
    let append = |tool: Tool, keys: &Path| {
        let file = std::fs::File::options()
            .create(true)
            .append(true)
            .open(keys);
        tool.start_with(Stdio::null(), file.unwrap().into())
            .finish()
    };
    let wanted: BTreeSet<_> = (0..scene::KEYS).map(key).collect();
    for call in ["write", "fdatasync", "fsync", "rename"] {
        let mut killed = 0;
        for nth in 1.. {
            let folder = folder();
            let keys = folder.path().join("keys");
            let inject = format!("inject={call}:signal=KILL:when={nth}");
            let trace = format!("trace={call}");
            let strace = ["strace", "-fqq", "-o/dev/null", "-e", &trace, "-e", &inject];
            let run = append(list(folder.path(), &bucket).under(strace), &keys);
            if run.status.success() {
                break;
            }
            run.dies_by(9);
            killed += 1;
            append(list(folder.path(), &bucket), &keys).exits(0);
            let lines = lines_of(&keys);
            let listed = lines.iter().filter_map(|line| line["key"].as_str());
            let listed: BTreeSet<_> = listed.map(str::to_owned).collect();
            assert_eq!(listed, wanted, "{call} {nth}");
            let mut left = scene::entries(folder.path());
            left.sort();
            let state = ["list.json", "list.json.lock"].map(|name| folder.path().join(name));
            let known = [&[keys], &state[..]].concat();
            assert_eq!(left, known, "{call} {nth}: something is left over");
        }
        // Pages that end during a write of the state share the next write: only
        // the first and the last are certain.
        assert!(killed >= 2, "{call}: {killed}");
    }
}
