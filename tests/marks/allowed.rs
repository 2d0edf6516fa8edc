//! Filters of the user's own between two programs: --allow-drops counts what they
//! leave out, and hides nothing else.

use serde_json::{Value, json};

use super::place::{self, BUILDS, DERIVING, Derived, KEYS, LOADING, PAGES, Place};
use crate::harness::units::{joined, marked, units};
use crate::harness::{Run, Tool};

/// Leaves out every record that `keep` does not want, and all marks stay.
fn filtered(lines: &[u8], keep: impl Fn(&str) -> bool) -> Vec<u8> {
    let mut units = units(lines);
    for unit in &mut units {
        unit.records.retain(|record| keep(record));
    }
    joined(&units)
}

/// Runs a pipeline with a filter of the user's own before `seam`, which allows
/// drops; the filter has left out so many records.
fn run(stages: &[&str], seam: &str, tool: impl Fn(&str) -> Tool) -> (Vec<Run>, u64) {
    let left_out = std::cell::Cell::new(0);
    let with = |stage: &str| {
        if stage == seam {
            tool(stage).arg("--allow-drops")
        } else {
            tool(stage)
        }
    };
    let runs = place::run(stages, with, |stage, lines| {
        if stage != seam {
            return lines;
        }
        let count = |lines: &[u8]| {
            units(lines)
                .iter()
                .map(|unit| unit.records.len())
                .sum::<usize>()
        };
        let kept = filtered(&lines, |record| {
            !record.contains("3/") && !record.contains(".fr.")
        });
        left_out.set((count(&lines) - count(&kept)) as u64);
        kept
    });
    (runs, left_out.get())
}

#[test]
fn drops_that_are_allowed_are_counted_and_confirmed() {
    for (at, stage) in LOADING.iter().enumerate().skip(1) {
        let place = Place::new();
        let (runs, left_out) = run(&LOADING, stage, |stage| place.tool(stage));
        assert!(left_out > 0);
        place::exit(&runs, &[0; 5]);
        assert_eq!(runs[at].count("/notes/outside"), left_out, "{}", runs[at]);
        assert!(
            runs[at].stderr.contains(&format!("{left_out} outside")),
            "{}",
            runs[at]
        );
        let ledger = place.ledger();
        assert_eq!((ledger.listed, ledger.outside), (KEYS as u64, left_out));
        assert!(ledger.adds_up(), "{ledger:?}");
        // Only the stage behind the filter says so.
        let counts = place.loaded()["counts"].clone();
        let outside: Vec<_> = counts.as_array().unwrap().iter().enumerate().collect();
        let outside: Vec<_> = outside
            .into_iter()
            .filter(|(_, entry)| entry.get("outside").is_some())
            .collect();
        assert_eq!(outside.len(), 1, "{counts}");
        assert_eq!(outside[0].0, at, "{counts}");
        assert_eq!(outside[0].1["stage"], *stage, "{counts}");
        // It stays so: the next run is a new one.
        let next = place.tool("s3-list").run().exits(0);
        assert_eq!(next.count("/out"), KEYS as u64, "{next}");
    }
}

#[test]
fn drops_that_are_not_allowed_hold_their_units() {
    for (at, stage) in LOADING.iter().enumerate().skip(1) {
        let place = Place::new();
        let runs = place.run_altered(|own, lines| {
            if own == *stage {
                filtered(&lines, |record| !record.contains("00013/"))
            } else {
                lines
            }
        });
        assert_eq!(runs[at].status.code(), Some(75), "{}", runs[at]);
        assert_eq!(marked(&runs[at].stdout, "held").len(), 1, "{}", runs[at]);
    }
}

#[test]
fn kinto_load_and_bh_derive_allow_drops_too() {
    for (at, stage) in DERIVING.iter().enumerate().skip(1) {
        let derived = Derived::new(false);
        let (runs, left_out) = run(&DERIVING, stage, |stage| derived.tool(stage));
        place::exit(&runs, &[0; 3]);
        assert!(left_out > 0);
        assert_eq!(runs[at].count("/notes/outside"), left_out, "{}", runs[at]);
    }
}

/// More lines than were sent, and marks that are missing, are losses.
#[test]
fn allowed_drops_hide_no_surplus_and_no_lost_mark() {
    for (stages, derived) in [
        (&LOADING[..], None),
        (&DERIVING[..], Some(Derived::new(false))),
    ] {
        for stage in &stages[1..] {
            for double in [true, false] {
                let place = Place::new();
                let tool = |own: &str| {
                    let tool = match &derived {
                        None => place.without_state(own),
                        Some(derived) => derived.tool(own),
                    };
                    if own == *stage {
                        tool.arg("--allow-drops")
                    } else {
                        tool
                    }
                };
                let runs = place::run(stages, tool, |own, lines| {
                    if own != *stage {
                        return lines;
                    }
                    let mut units = units(&lines);
                    if double {
                        let line = units[2].records[0].clone();
                        units[2].records.push(line);
                    } else {
                        // The mark of a page, and its records.
                        units.remove(2);
                    }
                    joined(&units)
                });
                let run = runs
                    .iter()
                    .find(|run| run.what.contains(&format!("/{stage}\"")));
                let run = run.unwrap();
                assert_eq!(run.status.code(), Some(75), "{run}");
                let held = marked(&run.stdout, "held");
                assert_eq!(held.len(), usize::from(double), "{run}");
            }
        }
    }
}

/// A record that one line gave as two is a surplus at the next program.
#[test]
fn a_filter_that_duplicates_lines_is_detected() {
    let place = Place::new();
    let runs = place.run_altered(|stage, lines| {
        if stage != "bh-validate" {
            return lines;
        }
        let mut units = units(&lines);
        for unit in &mut units {
            let twice = unit
                .records
                .iter()
                .flat_map(|record| [record.clone(), record.clone()]);
            unit.records = twice.collect();
        }
        joined(&units)
    });
    place::exit(&runs, &[0, 0, 0, 75, 75]);
    assert_eq!(marked(&runs[3].stdout, "held").len(), PAGES, "{}", runs[3]);
    assert_eq!(place.loaded()["coverage"], json!([]));
    assert_eq!(place.store.keys().len(), BUILDS);
}

/// A queue message is held behind a held unit of it, and the next one is not.
#[test]
fn a_message_is_held_after_a_held_unit() {
    let place = Place::new();
    let listed = place.without_state("s3-list").run().exits(0);
    let message = |n: usize| json!({"mark": {"message": {"queue": "q", "receipt_handle": n.to_string()}, "counts": []}});
    let mut mixed = Vec::new();
    for (at, unit) in units(&listed.stdout).iter().enumerate() {
        let mut unit = unit.clone();
        if at == 2 {
            unit.records.pop();
        }
        mixed.extend(joined(&[unit]));
        if at == 3 || at == 6 {
            mixed.extend(format!("{}\n", message(at)).bytes());
        }
    }
    let runs = place::run_behind(&mixed, |stage| place.without_state(stage));
    place::exit(&runs, &[75; 4]);
    for run in &runs {
        let held: Vec<Value> = marked(&run.stdout, "held");
        let messages: Vec<_> = held.iter().filter_map(|held| held.get("message")).collect();
        assert_eq!(messages, [&message(3)["mark"]["message"]], "{run}");
        let passed = marked(&run.stdout, "message");
        assert_eq!(passed, [message(6)["mark"]["message"].clone()], "{run}");
    }
}
