//! A bucket of builds, the pipelines over it, and what they leave.

use std::path::PathBuf;

use serde_json::Value;
use tempfile::TempDir;

use crate::harness::archive::{Answer, Archive};
use crate::harness::backfill;
use crate::harness::faulty::{Faulty, object};
use crate::harness::kinto::{self, StandIn};
use crate::harness::ledger::Ledger;
use crate::harness::sample::{build, key};
use crate::harness::stored::{Kind, Store};
use crate::harness::{Run, Tool, folder, lines_of};

pub const BUILDS: usize = 23;
pub const KEYS: usize = 45;
/// The last one is smaller than the others.
pub const PAGES: usize = 6;

/// The programs from the bucket into the database.
pub const LOADING: [&str; 5] = backfill::STAGES;
/// The programs from a listing of the archive into Kinto.
pub const DERIVING: [&str; 3] = ["s3-list", "bh-derive", "kinto-load"];

/// Returns the line of an object that no program can read.
pub const GARBAGE: &str = r#"{"key":"x/buildhub.json""#;

/// The builds 0 to 22, and beside each but the last one another file.
fn objects() -> Vec<Value> {
    let mut objects: Vec<Value> = (0..BUILDS)
        .map(|n| object(&key(n), &build(n).to_string()))
        .collect();
    objects.extend((0..BUILDS - 1).map(|n| object(&format!("{}.txt", key(n)), "x")));
    objects
}

/// Returns a bucket of the builds.
pub fn bucket(flags: &[&str]) -> Faulty {
    Faulty::start(&objects(), &[&["--bucket", "b"], flags].concat())
}

/// A bucket, a database, and the files of the pipelines between them.
pub struct Place {
    pub s3: Faulty,
    pub store: Store,
    pub folder: TempDir,
}

impl Place {
    pub fn new() -> Self {
        Self::on(Kind::Sqlite).unwrap()
    }

    /// Returns `None` if there is no server.
    pub fn on(kind: Kind) -> Option<Self> {
        Self::of(bucket(&[]), kind)
    }

    pub fn of(s3: Faulty, kind: Kind) -> Option<Self> {
        Some(Self {
            s3,
            store: Store::new(kind)?,
            folder: folder(),
        })
    }

    pub fn resume_file(&self) -> PathBuf {
        self.folder.path().join("list.json")
    }

    pub fn loaded_file(&self) -> PathBuf {
        self.folder.path().join("list.json.loaded")
    }

    /// Returns the content of the resume file.
    #[track_caller]
    pub fn listed(&self) -> Value {
        lines_of(&self.resume_file()).remove(0)
    }

    /// Returns the content of the loader's file.
    #[track_caller]
    pub fn loaded(&self) -> Value {
        lines_of(&self.loaded_file()).remove(0)
    }

    #[track_caller]
    pub fn ledger(&self) -> Ledger {
        Ledger::new(&self.loaded())
    }

    /// A program of the pipeline; the first and the last share the resume file.
    pub fn tool(&self, stage: &str) -> Tool {
        let tool = self.without_state(stage);
        match stage {
            "s3-list" => tool
                .arg("--resume-file")
                .arg(self.resume_file())
                .arg("--resume"),
            "bh-load" => tool.arg("--resume-file").arg(self.resume_file()),
            _ => tool,
        }
    }

    /// A program of the pipeline that keeps nothing between two runs.
    pub fn without_state(&self, stage: &str) -> Tool {
        let database = self.store.url();
        match stage {
            "s3-list" => pages_of(&self.s3, "8"),
            "bh-fetch" => self.s3.tool(stage).args(["--tries", "2"]),
            "bh-filter" => Tool::new(stage).args(["--database", &database]),
            "bh-load" => Tool::new(stage).args(["--database", &database, "--marks"]),
            _ => Tool::new(stage),
        }
    }

    /// Runs the pipeline, one program after the other.
    pub fn run(&self) -> Vec<Run> {
        self.run_altered(|_, lines| lines)
    }

    /// Does the same; `alter` gets what each program reads, and returns what it
    /// gets instead.
    pub fn run_altered(&self, alter: impl Fn(&str, Vec<u8>) -> Vec<u8>) -> Vec<Run> {
        run(&LOADING, |stage| self.tool(stage), alter)
    }

    /// Asserts that all builds are stored, each of them once, and that the ledger
    /// says what became of every key.
    #[track_caller]
    pub fn is_complete(&self) {
        let expected: Vec<String> = (0..BUILDS).map(key).collect();
        assert_eq!(self.store.keys(), expected);
        let ledger = Ledger {
            listed: KEYS as u64,
            other_keys: (KEYS - BUILDS) as u64,
            there: BUILDS as u64,
            exact: true,
            ..Ledger::default()
        };
        assert_eq!(self.ledger(), ledger, "{}", self.loaded());
        assert!(ledger.adds_up());
        assert_eq!(gaps(&self.loaded(), &self.listed()), Vec::<Value>::new());
    }
}

/// Lists the bucket in pages that are the same in every run.
fn pages_of(s3: &Faulty, size: &str) -> Tool {
    let sequential = ["--concurrency", "1", "--page-size", size];
    s3.tool("s3-list").args(sequential).arg("s3://b")
}

/// Runs the programs one after the other, each with what `alter` makes of the
/// output of the one before it.
pub fn run(
    stages: &[&str],
    tool: impl Fn(&str) -> Tool,
    alter: impl Fn(&str, Vec<u8>) -> Vec<u8>,
) -> Vec<Run> {
    let mut lines = Vec::new();
    let run = |stage: &&str| {
        let input = alter(stage, std::mem::take(&mut lines));
        let run = tool(stage).input(input).run();
        lines.clone_from(&run.stdout);
        run
    };
    stages.iter().map(run).collect()
}

/// Runs the pipeline behind a listing that was kept.
pub fn run_behind(kept: &[u8], tool: impl Fn(&str) -> Tool) -> Vec<Run> {
    run(&LOADING[1..], tool, |stage, lines| match stage {
        "bh-filter" => kept.to_vec(),
        _ => lines,
    })
}

/// Asserts the exit statuses of programs.
#[track_caller]
pub fn exit(runs: &[Run], statuses: &[i32]) {
    let found: Vec<_> = runs.iter().map(|run| run.status.code()).collect();
    let expected: Vec<_> = statuses.iter().map(|code| Some(*code)).collect();
    let told: String = runs.iter().map(ToString::to_string).collect();
    assert_eq!(found, expected, "{told}");
}

/// Returns whether `state` covers the interval `part`.
pub fn covers(state: &Value, part: &Value) -> bool {
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let (after, through) = (text(&part["after"]), text(&part["through"]));
    let mut intervals = state["coverage"].as_array().unwrap().iter();
    intervals.any(|interval| {
        let begins = text(&interval["after"]).is_none_or(|own| Some(own) <= after);
        let ends = text(&interval["through"])
            .is_none_or(|own| through.as_ref().is_some_and(|through| *through <= own));
        begins && ends
    })
}

/// Returns the intervals of `whole` that `state` does not cover.
fn gaps(state: &Value, whole: &Value) -> Vec<Value> {
    let intervals = whole["coverage"].as_array().unwrap().iter();
    intervals
        .filter(|part| !covers(state, part))
        .cloned()
        .collect()
}

/// An archive of nightlies, a listing of it, and a Kinto.
pub struct Derived {
    s3: Faulty,
    archive: Archive,
    kinto: StandIn,
}

/// In the order of their keys.
const LOCALES: [&str; 21] = [
    "af", "an", "ar", "as", "be", "bg", "br", "bs", "ca", "cs", "cy", "da", "de", "el", "eo", "et",
    "eu", "fa", "ff", "fi", "fr",
];

/// A build of the page before the last one, whose metadata may fail.
const FAILING: (&str, &str) = ("ff", "linux-i686");

impl Derived {
    /// With `fails`, the archive does not answer for one build.
    pub fn new(fails: bool) -> Self {
        let platforms = ["linux-x86_64", FAILING.1];
        let keys = LOCALES.map(|locale| {
            let platform = platforms[usize::from(locale == FAILING.0)];
            crate::bh_derive::key(locale, platform)
        });
        let mut answers = crate::bh_derive::answers(&platforms);
        if fails {
            let json = crate::bh_derive::metadata_path(FAILING.1);
            answers.retain(|answer| answer.path != json);
            answers.push(Answer {
                path: json.replace(".json", ".txt"),
                status: Some(500),
                ..Answer::default()
            });
        }
        let objects = keys.map(|key| object(&key, "x"));
        Self {
            s3: Faulty::start(&objects, &["--bucket", "b"]),
            archive: Archive::start(answers),
            kinto: StandIn::new(|_, asked| Some(kinto::answer(0, asked))),
        }
    }

    pub fn tool(&self, stage: &str) -> Tool {
        match stage {
            "s3-list" => pages_of(&self.s3, "4"),
            "bh-derive" => self.archive.tool().args(["--tries", "2"]),
            _ => {
                let tool = Tool::new(stage).env("KINTO_AUTH", "me:secret");
                tool.args(["--server", &self.kinto.url, "--marks"])
            }
        }
    }
}

/// Returns what each program of both pipelines reads in an undisturbed run, with
/// the program.
pub fn inputs(place: &Place, derived: &Derived) -> Vec<(&'static str, Vec<u8>)> {
    let loading = run(
        &LOADING,
        |stage| place.without_state(stage),
        |_, lines| lines,
    );
    let deriving = run(&DERIVING, |stage| derived.tool(stage), |_, lines| lines);
    let pairs = |stages: &'static [&'static str], runs: Vec<Run>| {
        let outputs = runs.into_iter().map(|run| run.exits(0).stdout);
        stages[1..].iter().copied().zip(outputs)
    };
    let all = pairs(&LOADING, loading).chain(pairs(&DERIVING, deriving));
    all.collect()
}
