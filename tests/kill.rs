//! The invariant: whichever program is killed, at whatever moment, the same
//! pipeline with --resume ends in what an undisturbed run leaves.

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
use crate::harness::proxy::{Point, Trap};
use crate::harness::stored::Kind;
use crate::harness::{Started, left_out, lines_of, start_pipeline, wait_for};

const RUNS: u64 = 304;
const SEED: u64 = 20_190_101;
/// Runs at a time, each in a scene of its own.
const LANES: u64 = 4;

/// How wide s3-list lists, chosen by the seed; the first is one page after
/// another.
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
        // The end does not come before the third page.
        let mut hold = page(3);
        let mut programs = start_pipeline(scene.all.tools());
        wait_for("two pages", || !scene.confirmed().0.is_empty());
        programs[victim].signal(Signal::KILL);
        for before in (0..victim).rev() {
            // One more page, for who has not noticed yet that its reader left.
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
        // What was listed last is open: it is not all stored.
        assert!(!scene.all_is_confirmed());
        let listed = lines_of(&scene.all.resume_file()).remove(0);
        assert_eq!(listed["finished"], false, "{listed}");
        assert_eq!(listed["broken_pipe"], victim > 0, "{listed}");
    }
}

/// strace strikes and looks at the moment of a system call.
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

/// What an undisturbed run leaves, and how much there is of everything.
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
    let done = scene.all.run_from("s3-list", Vec::new());
    let done = done.exit(&[0, 0, 65, 65, 65]);
    scene.all.all_is_indexed();
    scene.all.all_is_confirmed();
    let totals = Totals {
        bytes: [0, 1, 2, 3].map(|at| done.0[at].stdout.len()),
        pages: scene.s3.seen(),
        builds: scene.fetched().len(),
        commits: database.seen(),
    };
    let left = scene.left();
    assert_eq!((left.rows.len(), left.refusals.len()), (53, 6));
    assert_eq!(left.objects.len(), 54);
    Some((left, totals))
}

/// One run of the matrix: strikes, and what is left when it was resumed.
/// The strikes that were in time.
fn run(scene: &Scene, strikes: &[Strike], expected: &Left) -> Vec<strike::Kind> {
    let mut open = Open::everything();
    let mut struck = Vec::new();
    for strike in strikes {
        let runs = strike.run(scene);
        open.explains(scene);
        let Some(runs) = runs else {
            open = Open::of(scene, &scene.left());
            continue;
        };
        judge::statuses(&runs, strike, scene);
        let now = scene.left();
        judge::at_rest(scene, &runs, &now, expected);
        open = Open::of(scene, &now);
        struck.push(strike.kind);
    }
    judge::resumed(scene, &open, expected);
    struck
}

#[test]
fn killed_and_resumed_runs_leave_what_an_undisturbed_run_leaves() {
    let Some((expected, totals)) = undisturbed() else {
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
    eprintln!("TEST_KILL_SEED={seed} TEST_KILL_RUNS={runs}: {totals:?}");
    let next = AtomicU64::new(0);
    let tally = Mutex::new(BTreeMap::<strike::Kind, (u64, u64, Duration)>::new());
    let lane = || {
        let mut scenes = [Kind::Postgres, Kind::Sqlite].map(Scene::new);
        loop {
            let at = next.fetch_add(1, Relaxed);
            if at >= runs {
                return;
            }
            let seed = seed + at;
            let begun = Instant::now();
            let mut random = fastrand::Rng::with_seed(seed);
            let kind = KINDS[usize::try_from(seed).unwrap() % KINDS.len()];
            let sqlite = !kind.needs_postgres() && random.u8(0..3) == 0;
            let slot: &mut Option<Scene> = &mut scenes[usize::from(sqlite)];
            let scene = match slot.take() {
                // The first tables and the first index, too, may be cut short.
                _ if kind == strike::Kind::Start => {
                    Scene::new([Kind::Postgres, Kind::Sqlite][usize::from(sqlite)]).unwrap()
                }
                scene => scene.unwrap(),
            };
            let scene = scene.reset(random.usize(0..60));
            // Some are struck a second time, while they resume.
            let mut kinds = vec![kind];
            if random.u8(0..5) == 0 {
                let others = KINDS
                    .iter()
                    .filter(|kind| !sqlite || !kind.needs_postgres());
                let others: Vec<_> = others.collect();
                kinds.push(*others[random.usize(0..others.len())]);
            }
            let strikes: Vec<_> = kinds
                .into_iter()
                .map(|kind| Strike::draw(kind, &totals, &mut random))
                .collect();
            let what =
                format!("TEST_KILL_SEED={seed} TEST_KILL_RUNS=1 sqlite={sqlite} {strikes:?}");
            let work = std::panic::AssertUnwindSafe(|| run(&scene, &strikes, &expected));
            let struck = std::panic::catch_unwind(work).unwrap_or_else(|panic| {
                eprintln!("{what}\n{}", told(&scene.all));
                next.store(runs, Relaxed);
                std::panic::resume_unwind(panic)
            });
            let mut tally = tally.lock().unwrap();
            let count = tally.entry(kind).or_default();
            count.0 += 1;
            count.1 += u64::from(struck.contains(&kind));
            count.2 += begun.elapsed();
            *slot = Some(scene);
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..LANES.min(runs) {
            scope.spawn(lane);
        }
    });
    let tally = tally.into_inner().unwrap();
    for (kind, (runs, struck, time)) in &tally {
        let each = *time / u32::try_from(*runs).unwrap();
        eprintln!("{kind:?}: {struck} of {runs} struck in time, {each:.1?} each");
        // A kind that always comes too late would prove nothing.
        assert!(*struck > 0 || *runs < 5, "{kind:?}: none was struck");
    }
}
