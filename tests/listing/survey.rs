//! Parts of about equal size, from few requests.

use buildhub_pipes::listing::{HistogramBound, PlannedRange, Request, Survey};
use fastrand::Rng;

use super::hostile_server::{Server, clean};
use super::limits::space;
use super::simulator::{Children, PAGE, Page, histogram};
use super::spaces::NAMES;
use crate::synthetic::KeySpace;

#[derive(Debug)]
struct Plan {
    parts: Vec<PlannedRange>,
    requests: usize,
    rounds: usize,
}

fn plan(space: &dyn KeySpace, parts: usize, histogram: &[HistogramBound], seed: u64) -> Plan {
    let mut survey = Survey::new("", PAGE as usize, parts, histogram);
    let mut rng = Rng::with_seed(seed);
    let (mut requests, mut rounds) = (0, 0);
    loop {
        let mut round = survey.round();
        if round.is_empty() {
            let parts = survey.parts();
            return Plan {
                parts,
                requests,
                rounds,
            };
        }
        requests += round.len();
        rounds += 1;
        rng.shuffle(&mut round);
        for (id, request) in round {
            match request {
                Request::Page {
                    prefix,
                    after,
                    token,
                } => {
                    assert_eq!((&*prefix, token), ("", None));
                    let page =
                        Page::new(space, "", after.map_or(0, |after| space.position(&after)));
                    survey.page(id, &page, page.next()).unwrap();
                }
                Request::Children { prefix, after } => {
                    let listing = Children::new(space, &prefix, after.as_deref());
                    survey
                        .children(id, &listing.names, &listing.keys, listing.next)
                        .unwrap();
                }
            }
        }
    }
}

impl Plan {
    /// How much larger the largest part is than the mean.
    fn largest(&self, space: &dyn KeySpace, parts: usize) -> f64 {
        let mut before = None;
        let (mut most, mut start) = (0, 0);
        for part in &self.parts {
            assert_eq!(part.interval.after, before);
            before.clone_from(&part.interval.through);
            let end = before
                .as_deref()
                .map_or(space.len(), |through| space.position(through));
            most = most.max(end - start);
            start = end;
        }
        assert_eq!((before, start), (None, space.len()));
        most as f64 * parts as f64 / space.len() as f64
    }
}

#[test]
fn parts_are_about_equal() {
    for len in [1_000_000, 60_000_000] {
        for name in NAMES {
            let space = space(name, len);
            let plan = plan(&*space, 16, &[], 0);
            let largest = plan.largest(&*space, 16);
            assert_eq!(plan.parts.len(), 16);
            assert!(
                largest <= 2.0 && plan.requests <= 320 && plan.rounds <= 20,
                "{name} {len}: {largest:.2} {} {}",
                plan.requests,
                plan.rounds
            );
        }
    }
}

#[test]
fn the_order_of_responses_does_not_change_the_plan() {
    for name in NAMES {
        let space = space(name, 1_000_000);
        let parts = plan(&*space, 16, &[], 0).parts;
        for seed in 1..4 {
            assert_eq!(plan(&*space, 16, &[], seed).parts, parts);
        }
    }
}

#[test]
fn the_histogram_of_a_finished_run_makes_the_plan_without_requests() {
    for name in NAMES {
        let space = space(name, 1_000_000);
        let plan = plan(&*space, 16, &histogram(&*space), 0);
        assert_eq!(plan.requests, 0);
        assert!(plan.largest(&*space, 16) < 1.1);
    }
}

#[test]
fn a_small_bucket_has_one_part_per_key() {
    for name in NAMES {
        for len in [0, 1, 3, 9] {
            let space = space(name, len);
            let plan = plan(&*space, 16, &[], 0);
            plan.largest(&*space, 16);
            assert_eq!(plan.parts.len() as u64, len.max(1), "{name} {len} {plan:?}");
        }
    }
}

#[test]
fn parts_tile_the_listing_for_any_keys() {
    for seed in 0..1000 {
        let mut rng = Rng::with_seed(seed);
        let prefix = *rng.choice(&["", "p/", "p", "a/b//", "\u{1}/"]).unwrap();
        let mut server = Server::new(prefix, &mut rng);
        let (count, page) = (rng.usize(1..20), rng.usize(1..=10));
        let mut survey = Survey::new(prefix, page, count, &[]);
        loop {
            let mut requests = survey.round();
            rng.shuffle(&mut requests);
            if requests.is_empty() {
                break;
            }
            for (id, request) in requests {
                match request {
                    Request::Page { prefix, after, .. } => {
                        let after = after.as_deref();
                        let (keys, next) = server.page(&prefix, after, None, page, &mut rng);
                        survey.page(id, &keys, next).unwrap();
                    }
                    Request::Children { prefix, after } => {
                        assert!(clean(after.as_deref().unwrap_or_default()));
                        assert!(clean(&prefix) || prefix == server.prefix);
                        let (names, keys, next) = server.children(&prefix, after.as_deref(), page);
                        survey.children(id, &names, &keys, next).unwrap();
                    }
                }
            }
        }
        let parts = survey.parts();
        assert!(parts.len() <= count, "seed {seed}");
        let mut before = None;
        for part in &parts {
            assert_eq!(part.interval.after, before, "seed {seed}");
            before.clone_from(&part.interval.through);
            let through = before.as_deref().unwrap_or_default();
            assert!(clean(through), "seed {seed}");
            assert!(
                before.is_none() || part.interval.after < before,
                "seed {seed}"
            );
        }
        assert_eq!(before, None);
    }
}
