//! The invariant: whichever program is killed, at whatever moment, the same
//! pipeline with --resume ends in what an undisturbed run leaves.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::harness::backfill::{Backfill, STAGES};
use crate::harness::minio::Bucket;
use crate::harness::sample;
use crate::harness::stored::{Content, Kind, Store};
use crate::harness::{Run, Started, lines_of, start_pipeline, wait_for};

const KEYS: usize = 1200;
const PAGE: usize = 50;
const RUNS: u64 = 20;
const SEED: u64 = 20_190_101;

/// What a pipeline has left behind.
#[derive(Debug, PartialEq)]
struct Left {
    rows: Vec<Content>,
    objects: Vec<[String; 3]>,
    refusals: BTreeSet<[String; 4]>,
}

/// A tenth are builds, some of them bad, two of one content.
fn bucket() -> Option<Arc<Bucket>> {
    static BUCKET: OnceLock<Option<Arc<Bucket>>> = OnceLock::new();
    BUCKET.get_or_init(filled).clone()
}

fn filled() -> Option<Arc<Bucket>> {
    let bucket = Bucket::new()?;
    let objects = (0..KEYS).map(|n| {
        let mut build = sample::build(if n == 1000 { 100 } else { n });
        match n {
            110 | 510 => build["target"]["os"] = json!("beos"),
            210 | 610 => build["source"]["tree"] = json!("a\0b"),
            _ => {}
        }
        let text = build.to_string();
        match n {
            310 | 710 => (key(n), text.as_bytes()[1..].to_vec()),
            _ if n % 10 == 0 => (key(n), text.into_bytes()),
            _ => (key(n), b"x".to_vec()),
        }
    });
    bucket.put_all(objects);
    Some(Arc::new(bucket))
}

fn key(n: usize) -> String {
    let name = if n.is_multiple_of(10) {
        "buildhub.json"
    } else {
        "notes.txt"
    };
    format!("pub/{n:05}/{name}")
}

fn backfill(kind: Kind, elasticsearch: Option<u32>) -> Option<Backfill> {
    let all = Backfill::of(bucket()?, kind, elasticsearch)?;
    Some(
        all.with("s3-list", "--page-size=50")
            .with("s3-list", "--max-rps=60")
            .with("bh-load", "--batch-size=5"),
    )
}

fn left(all: &Backfill) -> Left {
    all.all_is_indexed();
    all.all_is_confirmed();
    Left {
        rows: all.store.contents(),
        objects: all.store.objects(),
        refusals: all.refusals(),
    }
}

/// When a pipeline is struck.
#[derive(Debug, Clone, Copy)]
enum Moment {
    Start,
    Pages(usize),
    Rows(usize),
}

#[derive(Debug)]
struct Strike {
    moment: Moment,
    /// Which program; `None` for all of them.
    victim: Option<usize>,
    signal: Signal,
}

impl Strike {
    fn draw(random: &mut fastrand::Rng) -> Self {
        let moment = match random.u8(0..8) {
            0 => Moment::Start,
            1..=4 => Moment::Pages(random.usize(1..22)),
            _ => Moment::Rows(random.usize(1..105)),
        };
        let victim = random.usize(0..=STAGES.len());
        let signals = [Signal::KILL, Signal::KILL, Signal::TERM, Signal::INT];
        Self {
            moment,
            victim: (victim < STAGES.len()).then_some(victim),
            signal: signals[random.usize(0..signals.len())],
        }
    }

    fn hits(&self, at: usize) -> bool {
        self.victim.is_none_or(|victim| victim == at)
    }
}

/// How many pages the loader has confirmed; the state files are whole.
fn confirmed(all: &Backfill) -> usize {
    for file in [all.resume_file(), all.loaded_file()] {
        assert!(whole(&file), "{}", file.display());
    }
    let Some(loaded) = lines_of(&all.loaded_file()).pop() else {
        return 0;
    };
    match &loaded["coverage"][0] {
        Value::Null => 0,
        first => match first["through"].as_str() {
            Some(key) => 1 + key[4..9].parse::<usize>().unwrap() / PAGE,
            None => KEYS / PAGE,
        },
    }
}

fn whole(file: &Path) -> bool {
    match std::fs::read(file) {
        Ok(bytes) => serde_json::from_slice::<Value>(&bytes).is_ok(),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

/// How many rows there are, of a table that may not be there yet.
fn rows(all: &Backfill) -> usize {
    let table = match &all.store {
        Store::Sqlite(path, _) if !path.exists() => return 0,
        Store::Sqlite(..) => "SELECT name FROM sqlite_master WHERE name = 'main_build'",
        Store::Postgres(_) => "SELECT 'it' WHERE to_regclass('main_build') IS NOT NULL",
    };
    if all.store.texts(table).is_empty() {
        return 0;
    }
    let count = all
        .store
        .texts("SELECT cast(count(*) AS text) FROM main_build");
    count[0][0].as_ref().unwrap().parse().unwrap()
}

/// Runs the pipeline and strikes; `None` if it had ended before.
fn strike(all: &Backfill, strike: &Strike) -> Option<Vec<Run>> {
    let mut programs = start_pipeline(all.tools());
    let mut ended = false;
    wait_for("the moment to strike", || {
        ended = programs[4].child.try_wait().unwrap().is_some();
        let pages = confirmed(all);
        ended
            || match strike.moment {
                Moment::Start => true,
                Moment::Pages(wanted) => pages >= wanted,
                Moment::Rows(wanted) => rows(all) >= wanted,
            }
    });
    for (at, program) in programs.iter_mut().enumerate() {
        if strike.hits(at) && program.child.try_wait().unwrap().is_none() {
            program.signal(strike.signal);
        }
    }
    let runs = programs.into_iter().map(Started::finish).collect();
    (!ended).then_some(runs)
}

/// Who is struck dies by it; who is behind says that its input was cut; who
/// is before, that its reader left. Or a program had finished by then.
fn check(runs: &[Run], strike: &Strike, all: &Backfill) {
    use std::os::unix::process::ExitStatusExt;
    let mut dead_before = false;
    for (at, run) in runs.iter().enumerate() {
        let died = run.status.signal();
        let explained = match (died, run.status.code()) {
            (Some(signal), _) => {
                let reader_left = (at + 1..STAGES.len()).any(|reader| strike.hits(reader));
                (strike.hits(at) && signal == strike.signal.as_raw())
                    || (reader_left && signal == Signal::PIPE.as_raw())
            }
            (_, Some(75)) => dead_before,
            // No mark had come yet, or the end of the source had.
            (_, Some(0 | 65)) => {
                let whole = strike.hits(4) || confirmed(all) == KEYS / PAGE;
                !dead_before || whole || run.count("/notes/marks") == 0
            }
            _ => false,
        };
        assert!(explained, "{strike:?}: {run}");
        dead_before = dead_before || died.is_some() || run.status.code() == Some(75);
    }
}

#[test]
fn who_is_behind_a_dead_program_says_that_its_input_was_cut() {
    for victim in 0..STAGES.len() {
        let Some(all) = backfill(Kind::Sqlite, None) else {
            return;
        };
        // Far from its end when it is struck.
        let all = all
            .with("s3-list", "--page-size=10")
            .with("bh-load", "--batch-size=1");
        let programs = start_pipeline(all.tools());
        wait_for("a page", || confirmed(&all) > 0);
        programs[victim].signal(Signal::KILL);
        let runs: Vec<_> = programs.into_iter().map(Started::finish).collect();
        for (at, run) in runs.into_iter().enumerate() {
            match at.cmp(&victim) {
                Ordering::Less => drop(run.dies_by(Signal::PIPE.as_raw())),
                Ordering::Equal => drop(run.dies_by(Signal::KILL.as_raw())),
                Ordering::Greater => drop(run.exits(75).says("input ended early")),
            }
        }
        // What was listed last is open: it is not all stored.
        assert!(confirmed(&all) < KEYS / PAGE);
        let listed = lines_of(&all.resume_file()).remove(0);
        assert_eq!(listed["finished"], false, "{listed}");
        assert_eq!(listed["broken_pipe"], victim > 0, "{listed}");
    }
}

#[test]
fn killed_runs_that_are_resumed_leave_what_an_undisturbed_one_leaves() {
    let Some(undisturbed) = backfill(Kind::Postgres, Some(8)) else {
        return;
    };
    undisturbed.run().exit(&[0, 0, 65, 65, 65]);
    let expected = left(&undisturbed);
    assert_eq!(expected.rows.len(), 113);
    assert_eq!(expected.refusals.len(), 6);

    let seed = std::env::var("TEST_KILL_SEED").map_or(SEED, |seed| seed.parse().unwrap());
    let runs = std::env::var("TEST_KILL_RUNS").map_or(RUNS, |runs| runs.parse().unwrap());
    let mut struck = 0;
    for run in 0..runs {
        let seed = seed + run;
        let mut random = fastrand::Rng::with_seed(seed);
        let kinds = [Kind::Postgres, Kind::Postgres, Kind::Sqlite];
        let all = backfill(kinds[random.usize(0..3)], Some(8)).unwrap();
        let mut told = format!("TEST_KILL_SEED={seed} TEST_KILL_RUNS=1");
        // Some are struck a second time, while they resume.
        let strikes = if random.u8(0..4) == 0 { 2 } else { 1 };
        for _ in 0..strikes {
            let drawn = Strike::draw(&mut random);
            told += &format!(" {drawn:?}");
            eprintln!("{told}");
            if let Some(runs) = strike(&all, &drawn) {
                check(&runs, &drawn, &all);
                struck += 1;
            }
        }
        let done = all.run();
        let finished = |run: &Run| matches!(run.status.code(), Some(0 | 65));
        assert!(done.0.iter().all(finished), "{told}\n{done}");
        assert_eq!(left(&all), expected, "{told}\n{done}");
    }
    assert!(
        struck >= runs / 2,
        "only {struck} of {runs} were struck in time"
    );
}
