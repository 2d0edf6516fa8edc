//! The surroundings of a pipeline, and what it leaves in them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, OnceLock};

use elasticsearch::http::Method;
use rustix::fs::{FlockOperation, flock};
use serde_json::{Value, json};

use super::LISTINGS;
use crate::harness::backfill::{Backfill, STAGES, Ways};
use crate::harness::elastic::Index;
use crate::harness::ledger::Ledger;
use crate::harness::minio::Bucket;
use crate::harness::proxy::Proxy;
use crate::harness::stored::{Content, Kind, Store};
use crate::harness::{Run, Tool, folder, lines_of, sample, wait_for};

pub const KEYS: usize = 240;

/// What a pipeline leaves.
#[derive(Debug, PartialEq)]
pub struct Left {
    pub rows: Vec<Content>,
    pub objects: BTreeSet<[String; 3]>,
    pub refusals: BTreeSet<[String; 4]>,
    /// What became of the keys of the current run.
    pub ledger: Ledger,
}

pub fn key(n: usize) -> String {
    let name = if n.is_multiple_of(4) {
        "buildhub.json"
    } else {
        "notes.txt"
    };
    // MinIO ends a listing too early if it starts in a folder beside such siblings.
    let folder = ["60.0", "60.0.1", "60.0.2", "60.1"][n * 4 / KEYS];
    format!("pub/{folder}/{n:05}/{name}")
}

/// A bucket in which a quarter of the objects are builds, some of them bad, two
/// with the same content.
pub fn bucket() -> Option<Arc<Bucket>> {
    static BUCKET: OnceLock<Option<Arc<Bucket>>> = OnceLock::new();
    let filled = || {
        let bucket = Bucket::new()?;
        bucket.put_all(objects());
        Some(Arc::new(bucket))
    };
    BUCKET.get_or_init(filled).clone()
}

/// The keys and bodies of the bucket.
pub fn objects() -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..KEYS).map(|n| {
        let mut build = sample::build(if n == 200 { 20 } else { n });
        match n {
            24 | 104 => build["target"]["os"] = json!("beos"),
            44 | 124 => build["source"]["tree"] = json!("a\0b"),
            _ => {}
        }
        let text = build.to_string();
        match n {
            64 | 144 => (key(n), text.as_bytes()[1..].to_vec()),
            _ if n.is_multiple_of(4) => (key(n), text.into_bytes()),
            _ => (key(n), b"x".to_vec()),
        }
    })
}

/// A store, an index and a folder, and proxies to all servers.
pub struct Scene {
    pub all: Backfill,
    pub s3: Proxy,
    pub database: Option<Proxy>,
    pub index: Proxy,
}

impl Scene {
    pub fn new(kind: Kind) -> Option<Self> {
        let all = Backfill::of(bucket()?, kind, Some(8))?
            .with("s3-list", "--page-size=10")
            .with("bh-load", "--flush-interval=0.02")
            .with("bh-load", "--batch-size=3");
        let s3 = Proxy::new(&all.bucket.endpoint);
        let index = Proxy::new(&all.index.as_ref()?.url);
        let database = match kind {
            Kind::Postgres => Some(Proxy::new(&all.store.url())),
            Kind::Sqlite => None,
        };
        let mut scene = Self {
            all,
            s3,
            database,
            index,
        };
        scene.all.ways = Ways {
            s3: Some(scene.s3.url.clone()),
            store: scene.database.as_ref().map(|proxy| proxy.url.clone()),
            index: Some(scene.index.url.clone()),
        };
        Some(scene)
    }

    /// Empties everything, and sets the concurrency of the listing.
    pub fn reset(mut self, listing: usize) -> Self {
        // A new database does not get the index of another one.
        let index = format!("/{}", self.index().name);
        self.index().request(Method::Delete, &index, None);
        match &self.all.store {
            Store::Sqlite(..) => self.all.store = Store::new(Kind::Sqlite).unwrap(),
            store @ Store::Postgres(_) => {
                // Locks of a dead loader would block this.
                store.execute(
                    "SET lock_timeout = '20s';
                     DO $$ BEGIN IF to_regclass('main_build') IS NOT NULL THEN
                     DELETE FROM main_build; DELETE FROM bh_object; DELETE FROM bh_outbox;
                     DELETE FROM bh_run; END IF; END $$",
                );
            }
        }
        self.all.folder = folder();
        self.s3.asked();
        Self {
            all: self.all.with("s3-list", LISTINGS[listing % LISTINGS.len()]),
            ..self
        }
    }

    fn store(&self) -> &Store {
        &self.all.store
    }

    pub fn index(&self) -> &Index {
        self.all.index.as_ref().unwrap()
    }

    /// Returns the keys of the current run that a loader has confirmed, and
    /// whether the next run is a new one.
    pub fn confirmed(&self) -> (BTreeSet<String>, bool) {
        let listed = state(&self.all.resume_file());
        let loaded = state(&self.all.loaded_file());
        let (Some(listed), Some(loaded)) = (listed, loaded) else {
            return (BTreeSet::new(), false);
        };
        let listed_all = listed["finished"] == true;
        let closed = listed_all && listed["closed"] == true;
        if listed["run"] != loaded["run"] {
            return (BTreeSet::new(), closed);
        }
        let whole = json!([{"after": null, "through": null}]);
        let done = closed || listed_all && loaded["coverage"] == whole;
        (covered(loaded["coverage"].as_array().unwrap()), done)
    }

    pub fn all_is_confirmed(&self) -> bool {
        self.confirmed().0.len() == KEYS
    }

    fn has_tables(&self) -> bool {
        let table = match self.store() {
            Store::Sqlite(path, _) if !path.exists() => return false,
            Store::Sqlite(..) => "SELECT name FROM sqlite_master WHERE name = 'bh_outbox'",
            Store::Postgres(_) => "SELECT 'it' WHERE to_regclass('bh_outbox') IS NOT NULL",
        };
        !self.store().texts(table).is_empty()
    }

    /// Returns what there is now; the store may not exist yet.
    pub fn left(&self) -> Left {
        let refusals = STAGES
            .iter()
            .flat_map(|stage| whole_lines(&self.all.rejects_file(stage)))
            .map(|reject| {
                let error = &reject["error"];
                let parts = [
                    &reject["key"],
                    &error["stage"],
                    &error["kind"],
                    &error["pointer"],
                ];
                parts.map(|part| part.as_str().unwrap_or_default().to_owned())
            })
            .collect();
        let ledger = state(&self.all.loaded_file());
        let ledger = ledger.map_or_else(Ledger::default, |loaded| Ledger::new(&loaded));
        if !self.has_tables() {
            return Left {
                rows: Vec::new(),
                objects: BTreeSet::new(),
                refusals,
                ledger,
            };
        }
        let objects: BTreeSet<[String; 3]> = self.store().objects().into_iter().collect();
        let mut rows = self.store().contents();
        for row in &mut rows {
            // Of objects with the same content, the row has the one loaded
            // first.
            let mut twins = objects.iter().filter(|object| object[2] == row.hash);
            if twins.clone().any(|[key, ..]| row.key.as_ref() == Some(key)) {
                let first = twins.next();
                row.key = first.map(|[key, ..]| key.clone());
                row.etag = first.map(|[_, etag, _]| format!("\"{etag}\""));
            }
        }
        Left {
            rows,
            objects,
            refusals,
            ledger,
        }
    }

    /// Asserts that each row names the run that inserted it, after that run began,
    /// and that the loader of the last run counted its rows.
    #[track_caller]
    pub fn every_row_is_of_a_run(&self, load: &Run) {
        let runs = Tool::new("bh-load").args(["--runs", "--database", &self.store().url()]);
        let runs = runs.run().exits(0).lines();
        let mut inserted = BTreeMap::<String, u64>::new();
        for row in self.store().rows() {
            let run = runs.iter().find(|run| run["run"] == row.metadata["run"]);
            let run = run.unwrap_or_else(|| panic!("of no run: {row:?}"));
            assert!(run["first_id"].as_i64() < Some(row.id), "{run} {row:?}");
            let run = run["run"].as_str().unwrap();
            *inserted.entry(run.to_owned()).or_default() += 1;
        }
        let ended = &load.summary["runs"][0];
        let of_last = inserted.get(ended["run"].as_str().unwrap_or_default());
        assert_eq!(ended["inserted"], of_last.copied().unwrap_or(0), "{load}");
    }

    /// Asserts that rows outside the outbox are in the index.
    #[track_caller]
    pub fn what_left_the_queue_is_indexed(&self) {
        if !self.has_tables() {
            return;
        }
        let query = "SELECT cast(id AS text) FROM main_build
            WHERE id NOT IN (SELECT id FROM bh_outbox)";
        let settled = self.store().texts(query);
        if settled.is_empty() {
            return;
        }
        let documents = self.index().documents();
        for row in settled {
            let id: i64 = row[0].as_ref().unwrap().parse().unwrap();
            assert!(documents.contains_key(&id), "row {id} is not indexed");
        }
    }

    /// Asserts that nothing is locked in the folder or in the database.
    #[track_caller]
    pub fn nothing_is_locked(&self) {
        for path in entries(self.all.folder.path()) {
            let file = std::fs::File::open(&path).unwrap();
            let locked = flock(&file, FlockOperation::NonBlockingLockExclusive);
            assert!(locked.is_ok(), "{} is locked", path.display());
        }
        match self.store() {
            Store::Sqlite(path, _) if path.exists() => {
                let connection = rusqlite::Connection::open(path).unwrap();
                connection
                    .execute_batch("BEGIN IMMEDIATE; ROLLBACK")
                    .unwrap();
            }
            Store::Sqlite(..) => {}
            Store::Postgres(database) => {
                // The server may notice a dead client late.
                let others = "SELECT count(*) FROM pg_stat_activity
                    WHERE datname = current_database() AND application_name = 'buildhub-pipes'";
                wait_for("the dead loaders' sessions", || database.count(others) == 0);
            }
        }
    }

    /// Asserts that the folder has only the state, its locks and the rejects.
    #[track_caller]
    pub fn nothing_is_left_over(&self) {
        let known = [
            "list.json",
            "list.json.lock",
            "list.json.loaded",
            "list.json.loaded.lock",
        ];
        for path in entries(self.all.folder.path()) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let expected = known.contains(&name) || name.ends_with(".rejects");
            assert!(expected, "{name} is left over");
        }
    }

    /// Returns how often each key was fetched since the last call.
    pub fn fetched(&self) -> BTreeMap<String, usize> {
        let mut fetched = BTreeMap::new();
        for line in self.s3.asked() {
            let path = line.split([' ', '?']).nth(1).unwrap();
            let object = path
                .split_once("/pub/")
                .map(|(_, rest)| format!("pub/{rest}"));
            if let Some(key) = object {
                *fetched.entry(key).or_default() += 1;
            }
        }
        fetched
    }
}

/// Returns the number of records that a run has listed.
pub fn records_listed(runs: &[Run]) -> u64 {
    runs[0].count("/out")
}

/// Returns the keys that intervals cover.
pub fn covered(intervals: &[Value]) -> BTreeSet<String> {
    let holds = |interval: &Value, key: &str| {
        let after = interval["after"].as_str();
        let through = interval["through"].as_str();
        after.is_none_or(|after| key > after) && through.is_none_or(|through| key <= through)
    };
    let keys = (0..KEYS).map(key);
    keys.filter(|key| intervals.iter().any(|interval| holds(interval, key)))
        .collect()
}

/// Returns the state in a file, which must be complete at any moment.
#[track_caller]
pub fn state(file: &Path) -> Option<Value> {
    let bytes = match std::fs::read(file) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return None,
        read => read.unwrap(),
    };
    let state: Value = serde_json::from_slice(&bytes)
        .unwrap_or_else(|error| panic!("{} is not whole: {error}", file.display()));
    assert!(state["coverage"].is_array(), "{state}");
    Some(state)
}

/// Returns the complete lines of a file; the last may be torn.
fn whole_lines(file: &Path) -> Vec<Value> {
    let Ok(mut bytes) = std::fs::read(file) else {
        return Vec::new();
    };
    let end = memchr::memrchr(b'\n', &bytes).map_or(0, |at| at + 1);
    bytes.truncate(end);
    crate::harness::lines(&bytes)
}

pub fn entries(folder: &Path) -> Vec<std::path::PathBuf> {
    let entries = std::fs::read_dir(folder).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

/// Returns the intervals of the marks in these lines, the last of which may be
/// torn.
pub fn marked(lines: &[u8]) -> Vec<Value> {
    let whole = memchr::memrchr(b'\n', lines).map_or(0, |at| at + 1);
    let lines = lines[..whole].split(|byte| *byte == b'\n');
    lines
        .filter(|line| line.starts_with(b"{\"mark\":{\"listed\""))
        .map(|line| serde_json::from_slice::<Value>(line).unwrap()["mark"]["listed"].take())
        .collect()
}

/// Describes the state files, for a message.
pub fn told(all: &Backfill) -> String {
    let told = |file: &Path| {
        let mut states = lines_of(file);
        for state in &mut states {
            for long in ["sample", "last"] {
                state.as_object_mut().unwrap().remove(long);
            }
        }
        Value::from(states).to_string()
    };
    format!("{}\n{}", told(&all.resume_file()), told(&all.loaded_file()))
}
