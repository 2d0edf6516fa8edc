//! The assertions after a strike, and after the run that resumes.

use std::collections::BTreeSet;
use std::os::unix::process::ExitStatusExt;

use rustix::process::Signal;

use super::scene::{KEYS, Left, Scene, covered, key, marked, records_listed};
use super::strike::{LOAD, Strike};
use crate::harness::Run;

/// The message of a loader that a part of the run never reached.
const MISSING: &str = "did not come and is not stored";
/// The message of a loader that no part of the run reached.
const NO_MARKS: &str = "the input had no marks";

/// What the next run may do again, at most.
pub struct Open {
    keys: BTreeSet<String>,
    /// Keys already stored: they may be listed, but not fetched.
    stored: BTreeSet<String>,
}

impl Open {
    pub fn everything() -> Self {
        Self {
            keys: (0..KEYS).map(key).collect(),
            stored: BTreeSet::new(),
        }
    }

    /// Returns what is left to do when no program runs.
    pub fn of(scene: &Scene, now: &Left) -> Self {
        let mut open = Self::everything();
        let (confirmed, done) = scene.confirmed();
        if !done {
            open.keys.retain(|key| !confirmed.contains(key));
        }
        open.stored = now.objects.iter().map(|[key, ..]| key.clone()).collect();
        open
    }

    /// Asserts that only open keys were fetched.
    #[track_caller]
    pub fn explains(&self, scene: &Scene) {
        for (key, times) in scene.fetched() {
            assert!(self.keys.contains(&key), "{key} was confirmed, and fetched");
            assert!(!self.stored.contains(&key), "{key} was stored, and fetched");
            assert_eq!(times, 1, "{key} was fetched more than once");
        }
    }

    /// Asserts that the finished run listed exactly the open keys.
    #[track_caller]
    pub fn was_listed(&self, runs: &[Run]) {
        assert_eq!(records_listed(runs), self.keys.len() as u64, "{}", runs[0]);
    }
}

/// Asserts that the victim died by the signal, that programs after it report
/// truncated input, and those before it a closed pipe, unless they had
/// finished.
#[track_caller]
pub fn statuses(runs: &[Run], strike: &Strike, scene: &Scene) {
    let died = |run: &Run| run.status.signal().is_some();
    let stopped = |run: &Run| died(run) || run.status.code() == Some(75);
    for (at, run) in runs.iter().enumerate() {
        let cut = runs[..at].iter().any(stopped);
        let explained = match (run.status.signal(), run.status.code()) {
            (Some(signal), _) if strike.hits(at) && signal == strike.signal.as_raw() => {
                // It may have been struck before its start or after its end.
                let listing = at == 0
                    && run.stderr.contains("stopped by")
                    && run.stderr.contains(" pages; ")
                    && !scene.confirmed().1;
                !listing
                    || run
                        .stderr
                        .contains("to resume, run the same pipeline again")
            }
            (Some(signal), _) => signal == Signal::PIPE.as_raw() && runs[at + 1..].iter().any(died),
            (_, Some(75)) if at == LOAD && run.stderr.contains(MISSING) => true,
            (_, Some(75)) if at == LOAD && run.stderr.contains(NO_MARKS) => cut,
            (_, Some(75)) => cut && run.stderr.contains("input ended early"),
            // There was no mark yet, or the end mark had arrived.
            (_, Some(0 | 65)) => {
                let unknown = runs[at + 1..].iter().any(stopped);
                !cut || unknown || run.count("/notes/marks") == 0 || scene.all_is_confirmed()
            }
            _ => false,
        };
        assert!(explained, "{run}");
    }
}

/// Asserts that all that is confirmed is stored, and nothing else.
#[track_caller]
pub fn at_rest(scene: &Scene, runs: &[Run], now: &Left, expected: &Left) {
    let mut confirmed = scene.confirmed().0;
    confirmed.extend(covered(&marked(&runs[LOAD].stdout)));
    for object in &expected.objects {
        let there = !confirmed.contains(&object[0]) || now.objects.contains(object);
        assert!(there, "confirmed, but not stored: {object:?}");
    }
    for refusal in &expected.refusals {
        let there = !confirmed.contains(&refusal[0]) || now.refusals.contains(refusal);
        assert!(there, "confirmed, but not kept: {refusal:?}");
    }
    for object in &now.objects {
        assert!(expected.objects.contains(object), "foreign: {object:?}");
        let row = now.rows.iter().any(|row| row.hash == object[2]);
        assert!(row, "without its row: {object:?}");
    }
    for row in &now.rows {
        let belongs = expected
            .rows
            .iter()
            .any(|other| (&other.hash, &other.build) == (&row.hash, &row.build));
        assert!(belongs, "foreign: {row:?}");
    }
    for refusal in &now.refusals {
        assert!(expected.refusals.contains(refusal), "foreign: {refusal:?}");
    }
    scene.what_left_the_queue_is_indexed();
    scene.nothing_is_locked();
}

/// Runs the pipeline to its end, and asserts that it leaves what is expected.
#[track_caller]
pub fn resumed(scene: &Scene, open: &Open, expected: &Left) {
    let done = scene.all.run();
    if done.0[LOAD].stderr.contains(MISSING) {
        // Twice the loader died before it made its file.
        assert_eq!(done.0[LOAD].status.code(), Some(75), "{done}");
        open.explains(scene);
        return resumed(scene, &Open::of(scene, &scene.left()), expected);
    }
    let finished = |run: &Run| matches!(run.status.code(), Some(0 | 65));
    assert!(done.0.iter().all(finished), "{done}");
    open.explains(scene);
    open.was_listed(&done.0);
    scene.all.all_is_indexed();
    scene.all.all_is_confirmed();
    let left = scene.left();
    assert!(left == *expected, "{left:?}\n{done}");
    scene.every_row_is_of_a_run(&done.0[LOAD]);
    scene.nothing_is_locked();
    scene.nothing_is_left_over();
}
