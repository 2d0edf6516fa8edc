//! The whole pipeline, with its own bucket and its own store.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::elastic::Index;
use super::ledger::Ledger;
use super::minio::Bucket;
use super::stored::{Kind, Store, plain};
use super::{Run, Tool, folder, lines_of, pipeline, python};

pub const STAGES: [&str; 5] = ["s3-list", "bh-filter", "bh-fetch", "bh-validate", "bh-load"];

pub struct Backfill {
    pub bucket: Arc<Bucket>,
    pub store: Store,
    pub index: Option<Index>,
    pub folder: TempDir,
    pub ways: Ways,
    /// Whether the loader records the rejects of all programs.
    pub records_rejects: bool,
    extra: Vec<(&'static str, &'static str)>,
}

/// URLs of proxies to the servers, if any.
#[derive(Default)]
pub struct Ways {
    pub s3: Option<String>,
    pub store: Option<String>,
    pub index: Option<String>,
}

/// Returns the rejects in a file.
pub fn refused(path: &Path) -> Vec<Value> {
    match std::fs::read(path) {
        Ok(bytes) if !bytes.is_empty() => python::lines(bytes),
        _ => Vec::new(),
    }
}

/// How the programs of a pipeline ended, in order.
pub struct Done(pub Vec<Run>);

impl Backfill {
    /// Returns `None` if a server is missing. `elasticsearch` is its version.
    pub fn new(kind: Kind, elasticsearch: Option<u32>) -> Option<Self> {
        Self::of(Arc::new(Bucket::new()?), kind, elasticsearch)
    }

    pub fn of(bucket: Arc<Bucket>, kind: Kind, elasticsearch: Option<u32>) -> Option<Self> {
        let index = match elasticsearch {
            Some(version) => Some(Index::new(version)?),
            None => None,
        };
        Some(Self {
            bucket,
            store: Store::new(kind)?,
            index,
            folder: folder(),
            ways: Ways::default(),
            records_rejects: false,
            extra: Vec::new(),
        })
    }

    /// Adds an argument `--option=value` to every run of `stage`, instead of
    /// an earlier one.
    pub fn with(mut self, stage: &'static str, arg: &'static str) -> Self {
        let option = arg.split('=').next();
        let same = |old: &(&str, &str)| old.0 == stage && old.1.split('=').next() == option;
        self.extra.retain(|old| !same(old));
        self.extra.push((stage, arg));
        self
    }

    pub fn resume_file(&self) -> PathBuf {
        self.folder.path().join("list.json")
    }

    /// Returns the file in which the loader confirms the listing.
    pub fn loaded_file(&self) -> PathBuf {
        self.folder.path().join("list.json.loaded")
    }

    pub fn rejects_file(&self, stage: &str) -> PathBuf {
        self.folder.path().join(format!("{stage}.rejects"))
    }

    pub fn rejects(&self, stage: &str) -> Vec<Value> {
        refused(&self.rejects_file(stage))
    }

    /// Returns the key, stage, kind and pointer of each reject of the pipeline.
    pub fn refusals(&self) -> BTreeSet<[String; 4]> {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let rejects = STAGES.iter().flat_map(|stage| self.rejects(stage));
        rejects
            .map(|reject| {
                let error = &reject["error"];
                [
                    &reject["key"],
                    &error["stage"],
                    &error["kind"],
                    &error["pointer"],
                ]
                .map(text)
            })
            .collect()
    }

    /// A program that reads lines without marks, so without a resume file.
    pub fn unmarked(&self, stage: &str) -> Tool {
        self.any(stage, false)
    }

    pub fn tool(&self, stage: &str) -> Tool {
        self.any(stage, true)
    }

    fn any(&self, stage: &str, has_marks: bool) -> Tool {
        let tool = match stage {
            "s3-list" => self
                .bucket
                .tool(stage)
                .arg(self.bucket.url())
                .arg("--resume"),
            "bh-fetch" => self.bucket.tool(stage),
            _ => Tool::new(stage),
        };
        let tool = match &self.ways.s3 {
            Some(way) => tool.env("AWS_ENDPOINT_URL", way),
            None => tool,
        };
        let tool = match stage {
            "bh-filter" | "bh-load" => {
                let store = self.ways.store.clone().unwrap_or_else(|| self.store.url());
                tool.args(["--database", &store])
            }
            _ => tool,
        };
        let tool = match stage {
            "s3-list" | "bh-load" if has_marks => tool.arg("--resume-file").arg(self.resume_file()),
            _ => tool,
        };
        let tool = match stage {
            "bh-load" if self.records_rejects => {
                let files = STAGES.iter().map(|stage| self.rejects_file(stage));
                tool.arg("--marks").arg("--record-rejects").args(files)
            }
            "bh-load" => tool.arg("--marks"),
            _ => tool,
        };
        let tool = match &self.index {
            Some(index) if stage == "bh-load" => {
                let way = self.ways.index.as_ref().unwrap_or(&index.url);
                tool.args(["--elasticsearch", way, "--index", &index.name])
            }
            _ => tool,
        };
        let extra = self.extra.iter().filter(|(name, _)| *name == stage);
        tool.arg("--rejects")
            .arg(self.rejects_file(stage))
            .args(extra.map(|(_, arg)| *arg))
    }

    pub fn tools(&self) -> Vec<Tool> {
        STAGES.iter().map(|stage| self.tool(stage)).collect()
    }

    pub fn run(&self) -> Done {
        Done(pipeline(self.tools()))
    }

    /// Runs the programs from `first` on, one after the other, with `input`.
    pub fn run_from(&self, first: &str, input: Vec<u8>) -> Done {
        let stages = STAGES.iter().skip_while(|stage| **stage != first);
        let has_marks = first == STAGES[0] || input.starts_with(b"{\"mark\":");
        let mut lines = input;
        Done(
            stages
                .map(|stage| {
                    let tool = self.any(stage, has_marks);
                    let run = tool.input(std::mem::take(&mut lines)).run();
                    lines.clone_from(&run.stdout);
                    run
                })
                .collect(),
        )
    }

    /// Asserts that the loader has confirmed every key of the last listing.
    #[track_caller]
    pub fn all_is_confirmed(&self) {
        let [listed] = &lines_of(&self.resume_file())[..] else {
            panic!("no resume file")
        };
        let whole = json!([{"after": null, "through": null}]);
        assert_eq!(listed["finished"], true, "{listed}");
        assert_eq!(listed["coverage"], whole, "{listed}");
        let [loaded] = &lines_of(&self.loaded_file())[..] else {
            panic!("no file of the loader")
        };
        assert_eq!(loaded["run"], listed["run"]);
        assert!(Ledger::new(loaded).adds_up(), "{loaded}");
        assert_eq!(loaded["coverage"], whole, "{loaded}");
        assert_eq!(
            (&loaded["format"], &loaded["exact"]),
            (&json!(2), &json!(true))
        );
    }

    /// Asserts that the index agrees with the rows, and that the outbox is
    /// empty.
    #[track_caller]
    pub fn all_is_indexed(&self) {
        let Some(index) = &self.index else { return };
        assert_eq!(self.store.outbox(), []);
        let found = index.documents().into_iter();
        let found = found.map(|(id, document)| (id, plain(document))).collect();
        assert_eq!(self.store.documents(), found);
    }
}

impl Done {
    #[track_caller]
    pub fn stage(&self, name: &str) -> &Run {
        let named = |run: &&Run| run.what.contains(&format!("/{name}\""));
        self.0.iter().find(named).unwrap()
    }

    /// Asserts the exit statuses.
    #[track_caller]
    pub fn exit(self, codes: &[i32]) -> Self {
        let found: Vec<_> = self.0.iter().map(|run| run.status.code()).collect();
        let wanted: Vec<_> = codes.iter().map(|code| Some(*code)).collect();
        assert_eq!(found, wanted, "{self}");
        self
    }

    /// Asserts that every program has finished without a reject.
    #[track_caller]
    pub fn clean(self) -> Self {
        let all = vec![0; self.0.len()];
        self.exit(&all)
    }

    /// Returns the counts in the summary of a program: in, out, dropped,
    /// rejected.
    pub fn counts(&self, stage: &str) -> Value {
        let summary = &self.stage(stage).summary;
        json!([
            summary["in"],
            summary["out"],
            summary["dropped"],
            summary["rejected"]
        ])
    }

    /// Asserts that nothing was fetched or loaded.
    #[track_caller]
    pub fn finds_nothing_new(self) -> Self {
        assert_eq!(self.stage("bh-filter").count("/out"), 0, "{self}");
        assert_eq!(self.counts("bh-fetch"), json!([0, 0, {}, {}]), "{self}");
        assert_eq!(self.counts("bh-load"), json!([0, 0, {}, {}]), "{self}");
        self.clean()
    }
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|run| writeln!(f, "{run}"))
    }
}
