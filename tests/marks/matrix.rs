//! Each fault at each seam of the pipelines: exactly its unit is held, by the
//! program that sees it, and the next run does it again.

use serde_json::Value;

use super::place::{
    self, BUILDS, DERIVING, Derived, GARBAGE, KEYS, LOADING, PAGES, Place, bucket, covers,
};
use crate::harness::sample::key;
use crate::harness::stored::Kind;
use crate::harness::units::{Unit, joined, marked, units};
use crate::harness::{Run, Tool};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// A record is rejected, and there is no file of rejects.
    Rejected,
    /// A server does not give an object.
    Failed,
    DroppedLine,
    DoubledLine,
    LostMark,
    DoubledMark,
    SwappedMarks,
}

use Fault::{DoubledLine, DoubledMark, DroppedLine, Failed, LostMark, Rejected, SwappedMarks};

const FAULTS: [Fault; 7] = [
    Rejected,
    Failed,
    DroppedLine,
    DoubledLine,
    LostMark,
    DoubledMark,
    SwappedMarks,
];

/// The page that is struck. The one after it is the last, and smaller.
const AT: usize = PAGES - 2;
const LAST: usize = PAGES - 1;

impl Fault {
    /// Whether lines or marks were lost or gained, which ends a program with 75.
    fn is_loss(self) -> bool {
        !matches!(self, Rejected | Failed)
    }

    fn alter(self, units: &mut Vec<Unit>) {
        // The first unit is that of the begin mark.
        let (at, next) = (1 + AT, 1 + LAST);
        match self {
            Rejected => GARBAGE.clone_into(&mut units[at].records[1]),
            Failed => {}
            DroppedLine => drop(units[at].records.remove(1)),
            DoubledLine => {
                let line = units[at].records[1].clone();
                units[at].records.insert(1, line);
            }
            LostMark => {
                let lost = units.remove(at);
                units[at].records.splice(0..0, lost.records);
            }
            DoubledMark => {
                let (records, mark) = (Vec::new(), units[at].mark.clone());
                units.insert(next, Unit { records, mark });
            }
            SwappedMarks => {
                let mark = std::mem::take(&mut units[at].mark);
                units[at].mark = std::mem::replace(&mut units[next].mark, mark);
            }
        }
    }

    /// The pages that are held, in the order of their marks, and why; `n` records
    /// belong to the page that is struck, and `last` to the last one.
    fn held(self, n: usize, last: usize) -> Vec<(usize, String)> {
        let fewer = |came: usize, of: usize| format!("{came} of {of} records came");
        let more = |came: usize, of: usize| format!("{came} records came instead of {of}");
        match self {
            Rejected => vec![(AT, "rejected".to_owned())],
            Failed => vec![(AT, "failed".to_owned())],
            DroppedLine => vec![(AT, fewer(n - 1, n))],
            DoubledLine => vec![(AT, more(n + 1, n))],
            LostMark => vec![(LAST, more(n + last, last))],
            DoubledMark => vec![(AT, fewer(0, n))],
            SwappedMarks => vec![(LAST, more(n, last)), (AT, fewer(last, n))],
        }
    }

    /// The pages that the next run has to do again.
    fn open(self) -> &'static [usize] {
        match self {
            LostMark | SwappedMarks => &[AT, LAST],
            // The first of the two marks was right.
            DoubledMark => &[],
            _ => &[AT],
        }
    }

    /// Alters what `struck` reads; `stage` is the program at hand.
    fn alter_input(self, struck: &str, stage: &str, lines: Vec<u8>) -> Vec<u8> {
        if stage != struck {
            return lines;
        }
        let mut units = units(&lines);
        self.alter(&mut units);
        joined(&units)
    }
}

/// Asserts what the programs of a pipeline say of a fault in the input of the
/// program `seam`.
#[track_caller]
fn judge(runs: &[Run], stages: &[&str], seam: usize, fault: Fault) {
    let what = format!("{fault:?} before {}", stages[seam]);
    let parts = marked(&runs[0].stdout, "listed");
    assert_eq!(parts.len(), PAGES, "{}", runs[0]);
    let sent = units(&runs[seam - 1].stdout);
    let size = |page: usize| sent[1 + page].records.len();
    let held = fault.held(size(AT), size(LAST));
    for (at, run) in runs.iter().enumerate() {
        let status = match (at.cmp(&seam), fault.is_loss()) {
            (std::cmp::Ordering::Less, _) | (std::cmp::Ordering::Greater, false) => 0,
            (std::cmp::Ordering::Equal, false) => 65,
            (_, true) => 75,
        };
        assert_eq!(run.status.code(), Some(status), "{what}: {run}");
        let found = marked(&run.stdout, "held");
        if at < seam {
            assert_eq!(found, Vec::<Value>::new(), "{what}: {run}");
            continue;
        }
        let found: Vec<_> = found
            .iter()
            .map(|held| (&held["listed"], held["by"].as_str(), held["why"].as_str()))
            .collect();
        let by = Some(stages[seam]);
        let expected: Vec<_> = held
            .iter()
            .map(|(page, why)| (&parts[*page], by, Some(&**why)))
            .collect();
        assert_eq!(found, expected, "{what}: {run}");
        // Each other page passes, and so does the first of two marks.
        let passed = marked(&run.stdout, "listed");
        let is_open = |page: &usize| fault.open().contains(page);
        let expected: Vec<_> = (0..PAGES).filter(|page| !is_open(page)).collect();
        let expected: Vec<_> = expected.into_iter().map(|page| &parts[page]).collect();
        assert_eq!(passed.iter().collect::<Vec<_>>(), expected, "{what}: {run}");
    }
    if fault.is_loss() {
        // The program that sees it says how many records, and of which part.
        let told = &runs[seam].stderr;
        for (page, why) in held {
            assert!(told.contains(&why), "{what}: {}", runs[seam]);
            let through = parts[page]["through"].as_str().unwrap_or_default();
            assert!(told.contains(through), "{what}: {}", runs[seam]);
        }
    }
}

/// Strikes the program `seam` of the pipeline into the database; the next run,
/// undisturbed, does exactly the open pages.
fn strike(place: &Place, seam: usize, fault: Fault) {
    // The same bucket for bh-fetch, but for one object.
    let failing = (fault == Failed).then(|| bucket(&["--fail-get", &key(4 * AT + 1)]));
    let tool = |stage: &str| -> Tool {
        match &failing {
            Some(s3) if stage == "bh-fetch" => s3.tool(stage).args(["--tries", "2"]),
            _ => place.tool(stage),
        }
    };
    let runs = place::run(&LOADING, tool, |stage, lines| {
        fault.alter_input(LOADING[seam], stage, lines)
    });
    judge(&runs, &LOADING, seam, fault);
    let what = format!("{fault:?} before {}", LOADING[seam]);
    let loaded = place.loaded();
    let parts = marked(&runs[0].stdout, "listed");
    for (page, part) in parts.iter().enumerate() {
        let open = fault.open().contains(&page);
        assert_eq!(
            covers(&loaded, part),
            !open,
            "{what}: page {page}: {loaded}"
        );
    }

    let resumed = place.run();
    place::exit(&resumed, &[0; 5]);
    let keys = |page: &usize| if *page == LAST { KEYS % 8 } else { 8 };
    let again: usize = match fault.open() {
        // All is confirmed: a new run.
        [] => KEYS,
        open => open.iter().map(keys).sum(),
    };
    assert_eq!(
        resumed[0].count("/out"),
        again as u64,
        "{what}: {}",
        resumed[0]
    );
    place.is_complete();
}

fn every_fault_before(stage: &str) {
    let seam = LOADING.iter().position(|name| *name == stage).unwrap();
    for fault in FAULTS {
        if fault != Failed || stage == "bh-fetch" {
            strike(&Place::new(), seam, fault);
        }
    }
}

#[test]
fn bh_filter_holds_exactly_the_unit_that_differs() {
    every_fault_before("bh-filter");
}

#[test]
fn bh_fetch_holds_exactly_the_unit_that_differs() {
    every_fault_before("bh-fetch");
}

#[test]
fn bh_validate_holds_exactly_the_unit_that_differs() {
    every_fault_before("bh-validate");
}

#[test]
fn bh_load_holds_exactly_the_unit_that_differs() {
    every_fault_before("bh-load");
}

#[test]
fn bh_load_into_postgres_holds_exactly_the_unit_that_differs() {
    for fault in [Rejected, DroppedLine, LostMark] {
        let Some(place) = Place::on(Kind::Postgres) else {
            return;
        };
        strike(&place, LOADING.len() - 1, fault);
    }
}

#[test]
fn bh_derive_and_kinto_load_hold_exactly_the_unit_that_differs() {
    for (seam, stage) in DERIVING.iter().enumerate().skip(1) {
        for fault in FAULTS {
            if fault == Failed && *stage != "bh-derive" {
                continue;
            }
            let derived = Derived::new(fault == Failed);
            let runs = place::run(
                &DERIVING,
                |stage| derived.tool(stage),
                |at, lines| fault.alter_input(stage, at, lines),
            );
            judge(&runs, &DERIVING, seam, fault);
        }
    }
}

/// What is rejected into a file is accounted for.
#[test]
fn a_reject_that_is_kept_holds_nothing() {
    for (seam, stage) in LOADING.iter().enumerate().skip(1) {
        let place = Place::new();
        let rejects = place.folder.path().join("rejects");
        let tool = |name: &str| {
            let tool = place.tool(name);
            if name == *stage {
                tool.arg("--rejects").arg(&rejects)
            } else {
                tool
            }
        };
        let runs = place::run(&LOADING, tool, |name, lines| {
            Rejected.alter_input(stage, name, lines)
        });
        let mut statuses = [0; 5];
        statuses[seam] = 65;
        place::exit(&runs, &statuses);
        for run in &runs {
            assert_eq!(marked(&run.stdout, "held"), Vec::<Value>::new(), "{run}");
        }
        let ledger = place.ledger();
        assert_eq!(ledger.rejected, 1, "{stage}");
        assert!(ledger.adds_up(), "{stage}: {ledger:?}");
        // What came to bh-filter in place of the garbage was no build.
        let lost = usize::from(*stage != "bh-filter");
        assert_eq!(place.store.keys().len(), BUILDS - lost, "{stage}");
    }
}
