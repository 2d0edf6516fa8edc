//! How many requests a listing takes, in virtual time.

use buildhub_pipes::listing::{ListingOptions, Planner};
use buildhub_pipes::record::coverage::Coverage;

use super::layouts;
use super::simulator::{Outcome, PAGE, Run, histogram, whole};
use super::spaces::NAMES;
use crate::synthetic::{KeySpace, by_name};

const MILLION: u64 = 1_000_000;

pub fn space(name: &str, len: u64) -> Box<dyn KeySpace> {
    by_name(name, len).unwrap_or_else(|| {
        let named = layouts::all(len)
            .into_iter()
            .find(|space| space.name == name);
        Box::new(named.unwrap())
    })
}

/// Lists all of a space, and sees that it is all.
fn list(run: &Run, space: &dyn KeySpace) -> Outcome {
    let outcome = run.list(space);
    assert_eq!(outcome.keys, space.len());
    assert_eq!(outcome.done.gaps(&whole()), []);
    outcome
}

#[track_caller]
fn at_most(percent: f64, rounds: f64, name: &str, keys: u64, outcome: &Outcome) {
    assert!(
        outcome.percent(keys) <= percent && outcome.rounds <= rounds,
        "{name}: {:.1} percent of the requests of a sequential listing, {:.1} rounds: {outcome:?}",
        outcome.percent(keys),
        outcome.rounds,
    );
}

#[test]
fn sixty_million_keys_take_at_most_3_percent_more_requests() {
    for name in NAMES {
        let outcome = list(&Run::default(), &*space(name, 60 * MILLION));
        at_most(103.0, 970.0, name, 60 * MILLION, &outcome);
    }
}

#[test]
fn a_million_keys_take_few_more_requests_and_rounds() {
    // To widen by the pages that arrive takes three rounds; deep folders take more.
    for (name, percent, rounds) in [
        ("archive", 140.0, 30.0),
        ("prefix", 112.0, 28.0),
        ("sequential", 112.0, 24.0),
        ("hash", 112.0, 24.0),
    ] {
        let outcome = list(&Run::default(), &*space(name, MILLION));
        at_most(percent, rounds, name, MILLION, &outcome);
    }
}

#[test]
fn ten_million_keys_take_at_most_5_percent_more_requests() {
    for name in NAMES {
        let outcome = list(&Run::default(), &*space(name, 10 * MILLION));
        let rounds = match name {
            "archive" => 173.0,
            "prefix" => 169.0,
            _ => 168.0,
        };
        at_most(105.0, rounds, name, 10 * MILLION, &outcome);
    }
}

#[test]
fn other_key_layouts_take_at_most_45_percent_more_requests() {
    for space in layouts::all(MILLION) {
        let outcome = list(&Run::default(), &space);
        let rounds = match space.name {
            "deep" => 30.0,
            "events" => 29.0,
            _ => 26.0,
        };
        at_most(145.0, rounds, space.name, MILLION, &outcome);
    }
}

#[test]
fn responses_out_of_order_cost_few_requests() {
    let run = Run {
        jitter: 3.0,
        ..Run::default()
    };
    for name in NAMES {
        let outcome = list(&run, &*space(name, MILLION));
        at_most(150.0, 80.0, name, MILLION, &outcome);
    }
}

#[test]
fn requests_stay_few_with_2_to_256_connections() {
    for name in NAMES {
        let space = space(name, MILLION);
        for (connections, percent, rounds) in
            [(2, 105.0, 510.0), (8, 110.0, 140.0), (256, 230.0, 24.0)]
        {
            let run = Run {
                connections,
                ..Run::default()
            };
            at_most(percent, rounds, name, MILLION, &list(&run, &*space));
        }
    }
}

#[test]
fn one_connection_lists_sequentially() {
    let run = Run {
        connections: 1,
        ..Run::default()
    };
    for name in NAMES {
        let outcome = list(&run, &*space(name, MILLION));
        assert_eq!(outcome.requests(), MILLION / PAGE);
    }
    let settings = ListingOptions {
        prefix: String::new(),
        page_size: PAGE as usize,
        connections: 1,
    };
    let mut planner = Planner::new(settings, vec![whole()], &[]);
    assert!(planner.next_request().is_some());
    assert_eq!(planner.next_request(), None);
}

#[test]
fn a_histogram_fills_all_connections_at_once() {
    for name in NAMES {
        let space = space(name, MILLION);
        let run = Run {
            histogram: &histogram(&*space),
            ..Run::default()
        };
        at_most(105.0, 18.0, name, MILLION, &list(&run, &*space));
    }
    let space = space("hash", 60 * MILLION);
    let run = Run {
        histogram: &histogram(&*space),
        ..Run::default()
    };
    at_most(102.0, 960.0, "hash", 60 * MILLION, &list(&run, &*space));
}

#[test]
fn the_next_run_needs_fewer_requests() {
    for connections in [8, 64] {
        for name in NAMES {
            let space = space(name, 300_000);
            let first = Run {
                connections,
                ..Run::default()
            };
            let second = Run {
                histogram: &histogram(&*space),
                ..first.clone()
            };
            let (first, second) = (list(&first, &*space), list(&second, &*space));
            assert!(
                second.requests() < first.requests() && second.requests() < 345,
                "{name}: {first:?} {second:?}"
            );
        }
    }
}

#[test]
fn a_stale_histogram_costs_only_requests() {
    for name in NAMES {
        // Ten times as many keys as there were, a tenth of them, or others.
        for (then, len) in [
            (name, MILLION / 10),
            (name, MILLION * 10),
            ("words", MILLION),
        ] {
            let run = Run {
                histogram: &histogram(&*space(then, len)),
                ..Run::default()
            };
            let outcome = list(&run, &*space(name, MILLION));
            at_most(150.0, 45.0, name, MILLION, &outcome);
        }
    }
}

/// At most two requests per page and three, whatever the order of the responses. The
/// simulator sees that no more are in flight than full pages, and one.
#[test]
fn small_buckets_take_few_requests() {
    let layouts = layouts::all(MILLION);
    let names = layouts.iter().map(|layout| layout.name).chain(NAMES);
    let sizes = [
        1000, 1001, 1500, 2500, 3169, 4334, 5054, 6873, 10_898, 12_709, 23_503, 50_704, 100_000,
    ];
    for name in names {
        let proofs = PROOFS.iter().find(|(of, _)| *of == name);
        let proofs = proofs.map_or(0, |(_, most)| *most);
        for len in sizes {
            let space = space(name, len);
            for (connections, jitter) in [(2, 3.0), (8, 0.0), (64, 0.0), (64, 0.5), (256, 3.0)] {
                let run = Run {
                    connections,
                    jitter,
                    ..Run::default()
                };
                let outcome = list(&run, &*space);
                let most = 2 * space.len().div_ceil(PAGE) + 3 + proofs;
                assert!(
                    outcome.requests() <= most,
                    "{name} {len} {connections} {jitter}: at most {most}, {outcome:?}"
                );
            }
        }
    }
    for name in NAMES {
        for len in [0, 3, 1000] {
            let outcome = list(&Run::default(), &*space(name, len));
            assert_eq!(outcome.requests(), 1, "{name} {len}: {outcome:?}");
        }
    }
}

/// Requests beyond that, which show where directories in directories end.
const PROOFS: [(&str, u64); 2] = [("archive", 3), ("hive", 2)];

#[test]
fn an_interrupted_listing_resumes_with_the_gaps() {
    for name in NAMES {
        let space = space(name, MILLION);
        let (mut done, mut keys, mut requests) = (Coverage::default(), 0, 0);
        for stop in [1, 2, 40, 300, 300, u64::MAX] {
            let run = Run {
                done,
                stop,
                ..Run::default()
            };
            let outcome = run.list(&*space);
            keys += outcome.keys;
            requests += outcome.requests();
            done = outcome.done;
        }
        assert_eq!((keys, done.gaps(&whole())), (MILLION, Vec::new()));
        // What was in flight is asked for again.
        assert!(requests < 1900, "{name}: {requests}");
    }
}
