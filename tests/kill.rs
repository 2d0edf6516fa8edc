//! The invariant: whichever program is killed, at any moment, the same
//! pipeline with --resume ends in the state that an undisturbed run leaves.

mod faults;
mod judge;
mod order;
mod scene;
mod strike;

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use self::judge::Open;
use self::scene::{Left, Scene, told};
use self::strike::{KINDS, Strike, Totals};
use crate::harness::ledger::Ledger;
use crate::harness::proxy::{Point, Trap};
use crate::harness::stored::Kind;
use crate::harness::{Started, left_out, lines_of, start_pipeline, wait_for};

const RUNS: u64 = 304;
const SEED: u64 = 20_190_101;
/// Concurrent runs, each in its own scene.
const LANES: u64 = 4;

/// A run whose strike has not hit is drawn again, with an earlier moment. After
/// eight draws the moment is the first of its kind, which comes in every run;
/// only a strike that never hits needs more.
const DRAWS: u32 = 12;

/// The concurrency of s3-list, chosen by the seed; the first lists
/// sequentially.
const LISTINGS: &[&str] = &["--concurrency=1", "--concurrency=4", "--concurrency=64"];

#[test]
fn programs_after_a_killed_one_report_truncated_input() {
    for victim in 0..5 {
        let Some(scene) = Scene::new(Kind::Sqlite) else {
            return;
        };
        let scene = scene.reset(0);
        let page = |nth| {
            scene.s3.set(Trap {
                text: "list-type=2",
                nth,
                point: Point::Asked,
            })
        };
        // The listing cannot end before the third page.
        let mut hold = page(3);
        let mut programs = start_pipeline(scene.all.tools());
        wait_for("two pages", || !scene.confirmed().0.is_empty());
        programs[victim].signal(Signal::KILL);
        for before in (0..victim).rev() {
            // One more page, for a program that has not noticed yet that its
            // reader left.
            wait_for("the next page, or the reader's death", || {
                let reader = programs[before].child.try_wait().unwrap();
                hold.is_held() || reader.is_some()
            });
            let next = page(1);
            std::mem::replace(&mut hold, next).release(true);
            wait_for("the reader's death", || {
                programs[before].child.try_wait().unwrap().is_some()
            });
        }
        hold.release(true);
        let runs: Vec<_> = programs.into_iter().map(Started::finish).collect();
        for (at, run) in runs.into_iter().enumerate() {
            match at.cmp(&victim) {
                Ordering::Less => drop(run.dies_by(Signal::PIPE.as_raw())),
                Ordering::Equal => drop(run.dies_by(Signal::KILL.as_raw())),
                Ordering::Greater => drop(run.exits(75).says("input ended early")),
            }
        }
        // The last pages are open: not all keys are stored.
        assert!(!scene.all_is_confirmed());
        let listed = lines_of(&scene.all.resume_file()).remove(0);
        assert_eq!(listed["finished"], false, "{listed}");
        assert_eq!(listed["broken_pipe"], victim > 0, "{listed}");
    }
}

/// Returns whether there is strace, which strikes at system calls and records
/// them.
fn has_strace() -> bool {
    let found = std::process::Command::new("strace")
        .arg("-V")
        .output()
        .is_ok();
    if !found {
        left_out("strace");
    }
    found
}

/// Returns what an undisturbed run leaves, and its totals.
fn undisturbed() -> Option<(Left, Totals)> {
    let scene = Scene::new(Kind::Postgres)?.reset(0);
    let count = |text| Trap {
        text,
        nth: usize::MAX,
        point: Point::Asked,
    };
    scene.s3.set(count("list-type=2"));
    let database = scene.database.as_ref()?;
    database.set(count("COMMIT\0"));
    scene.index.set(count("/_bulk"));
    let done = scene.all.run_from("s3-list", Vec::new());
    let done = done.exit(&[0, 0, 65, 65, 65]);
    scene.all.all_is_indexed();
    scene.all.all_is_confirmed();
    let totals = Totals {
        bytes: [0, 1, 2, 3].map(|at| done.0[at].stdout.len()),
        pages: scene.s3.seen(),
        builds: scene.fetched().len(),
        commits: database.seen(),
        bulks: scene.index.seen(),
    };
    let left = scene.left();
    assert_eq!((left.rows.len(), left.refusals.len()), (53, 6));
    assert_eq!(left.objects.len(), 54);
    let ledger = Ledger {
        listed: 240,
        other_keys: 180,
        there: 54,
        rejected: 6,
        exact: true,
        ..Ledger::default()
    };
    assert_eq!(left.ledger, ledger);
    scene.every_row_is_of_a_run(done.stage("bh-load"));
    Some((left, totals))
}

/// One run of the matrix: strikes, at times once more while it resumes, and
/// what is left in the end. Returns whether the first strike hit; the run is
/// not judged otherwise.
fn run(scene: &Scene, strikes: &mut [Strike], expected: &Left) -> bool {
    let mut open = Open::everything();
    for (at, strike) in strikes.iter_mut().enumerate() {
        let runs = strike.run(scene);
        open.explains(scene);
        let Some(runs) = runs else {
            if at == 0 {
                return false;
            }
            open = Open::of(scene, &scene.left());
            continue;
        };
        judge::statuses(&runs, strike, scene);
        let now = scene.left();
        judge::at_rest(scene, &runs, &now, expected);
        open = Open::of(scene, &now);
    }
    judge::resumed(scene, &open, expected);
    true
}

/// Explains a run that fails, and stops the other lanes.
struct Watch<'a> {
    what: String,
    scene: &'a Scene,
    next: &'a AtomicU64,
}

impl Drop for Watch<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}\n{}", self.what, told(&self.scene.all));
            self.next.store(u64::MAX / 2, Relaxed);
        }
    }
}

/// Draws strikes of one kind by `seed` until one hits. Returns the kind, and how
/// many draws that took.
fn matrix_run(
    seed: u64,
    next: &AtomicU64,
    scenes: &mut [Option<Scene>; 2],
    (expected, totals): &(Left, Totals),
) -> (strike::Kind, u32) {
    let mut random = fastrand::Rng::with_seed(seed);
    let kind = KINDS[usize::try_from(seed).unwrap() % KINDS.len()];
    let sqlite = !kind.needs_postgres() && random.u8(0..3) == 0;
    let mut draws = 0;
    loop {
        let scene = match scenes[usize::from(sqlite)].take() {
            // The first tables and the first index, too, may be cut short.
            _ if kind == strike::Kind::Start => {
                Scene::new([Kind::Postgres, Kind::Sqlite][usize::from(sqlite)]).unwrap()
            }
            scene => scene.unwrap(),
        };
        let scene = scene.reset(random.usize(0..60));
        let mut strikes = vec![Strike::draw(kind, totals, draws, &mut random)];
        if random.u8(0..5) == 0 {
            let mut others = KINDS.to_vec();
            others.retain(|kind| !sqlite || !kind.needs_postgres());
            let other = *random.choice(&others).unwrap();
            strikes.push(Strike::draw(other, totals, 0, &mut random));
        }
        let watch = Watch {
            what: format!(
                "TEST_KILL_SEED={seed} TEST_KILL_RUNS=1 sqlite={sqlite} draw={draws} {strikes:?}"
            ),
            scene: &scene,
            next,
        };
        let hit = run(&scene, &mut strikes, expected);
        draws += 1;
        assert!(hit || draws < DRAWS, "no strike hit in {draws} draws");
        drop(watch);
        scenes[usize::from(sqlite)] = Some(scene);
        if hit {
            return (kind, draws);
        }
    }
}

#[test]
fn killed_and_resumed_runs_leave_what_an_undisturbed_run_leaves() {
    let Some(undisturbed) = undisturbed() else {
        return;
    };
    if !has_strace() {
        return;
    }
    let number = |name: &str, default| std::env::var(name).map_or(default, |n| n.parse().unwrap());
    let (seed, runs) = (
        number("TEST_KILL_SEED", SEED),
        number("TEST_KILL_RUNS", RUNS),
    );
    let totals = &undisturbed.1;
    eprintln!("TEST_KILL_SEED={seed} TEST_KILL_RUNS={runs}: {totals:?}");
    let next = AtomicU64::new(0);
    let tally = Mutex::new(BTreeMap::<strike::Kind, (u32, u32, Duration)>::new());
    let lane = || {
        let mut scenes = [Kind::Postgres, Kind::Sqlite].map(Scene::new);
        loop {
            let at = next.fetch_add(1, Relaxed);
            if at >= runs {
                return;
            }
            let begun = Instant::now();
            let (kind, draws) = matrix_run(seed + at, &next, &mut scenes, &undisturbed);
            let mut tally = tally.lock().unwrap();
            let count = tally.entry(kind).or_default();
            count.0 += 1;
            count.1 += draws;
            count.2 += begun.elapsed();
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES.min(runs) {
            scope.spawn(lane);
        }
    });
    for (kind, (strikes, draws, time)) in &tally.into_inner().unwrap() {
        let each = *time / *strikes;
        eprintln!("{kind:?}: {strikes} strikes in {draws} draws, {each:.1?} each");
    }
}
