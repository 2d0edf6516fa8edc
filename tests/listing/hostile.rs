//! Small key sets and servers at their worst: whatever happens, every key
//! that is there from start to end is listed once.

use std::collections::BTreeSet;

use buildhub_pipes::listing::{
    Accepted, Continuation, HistogramBound, ListingOptions, Planner, Request, RequestId,
};
use buildhub_pipes::record::coverage::{Coverage, Interval};
use fastrand::Rng;

use super::hostile_server::{Server, clean, name};

fn within(key: &str, interval: &Interval) -> bool {
    interval.after.as_deref().is_none_or(|after| key > after)
        && interval
            .through
            .as_deref()
            .is_none_or(|through| key <= through)
}

/// What was handed on.
#[derive(Default)]
struct Listed {
    keys: Vec<String>,
    intervals: Vec<Interval>,
    coverage: Coverage,
}

impl Listed {
    fn take(&mut self, page: &[String], accepted: Accepted) {
        let keys = &page[accepted.keys];
        if let Some(covers) = accepted.covers {
            assert!(
                keys.iter().all(|key| within(key, &covers)),
                "{keys:?} not in {covers:?}"
            );
            self.coverage.insert(covers.clone());
            self.intervals.push(covers);
        } else {
            assert_eq!(keys, [""; 0]);
        }
        self.keys.extend_from_slice(keys);
    }
}

/// Lists until done, or until `stop` answers were taken.
#[allow(clippy::too_many_arguments)]
fn list(
    server: &mut Server,
    settings: &ListingOptions,
    gaps: Vec<Interval>,
    histogram: &[HistogramBound],
    listed: &mut Listed,
    stop: usize,
    pool: &mut Vec<String>,
    rng: &mut Rng,
) -> bool {
    let starts: Vec<_> = gaps.iter().map(|gap| gap.after.clone()).collect();
    let mut planner = Planner::new(settings.clone(), gaps, histogram);
    let mut flight: Vec<(RequestId, Request)> = Vec::new();
    let (mut ended, changes) = (false, !pool.is_empty());
    for turn in 0..100_000 {
        while flight.len() < settings.connections
            && let Some((id, request)) = planner.next_request()
        {
            match &request {
                Request::Page {
                    prefix,
                    after: Some(at),
                    token,
                } => {
                    assert!(prefix.starts_with(&settings.prefix), "{prefix:?}");
                    // A cut is clean; where a page ended is what it is.
                    let known = starts.contains(&Some(at.clone()))
                        || listed
                            .intervals
                            .iter()
                            .any(|done| done.through.as_ref() == Some(at));
                    assert!(token.is_some() || known || clean(at), "{at:?}");
                }
                Request::Children { prefix, after } => {
                    // One connection asks only whether an end can be believed.
                    assert!(settings.connections > 1 || ended);
                    let after = after.as_deref().unwrap_or_default();
                    assert!(clean(prefix) && clean(after), "{prefix:?} {after:?}");
                    let name = after.strip_prefix(&**prefix).unwrap_or_default();
                    assert!(!name.contains('/'), "{prefix:?} {after:?}");
                }
                Request::Page { .. } => {}
            }
            flight.push((id, request));
        }
        if planner.is_done() {
            assert_eq!(planner.next_request(), None);
            return true;
        }
        if turn == stop {
            return false;
        }
        let warnings = planner.take_warnings();
        let accused = server.minio || server.denies_prefix || changes;
        assert!(accused || warnings.is_empty(), "{warnings:?}");
        // Keys come and go.
        if rng.usize(0..3) == 0
            && let Some(key) = pool.pop()
            && !server.keys.remove(&key)
        {
            server.keys.insert(key);
        }
        let (id, request) = flight.swap_remove(rng.usize(..flight.len()));
        match request {
            Request::Page { prefix, .. } if server.denies_prefix && prefix != server.prefix => {
                planner.prefix_rejected(id);
            }
            Request::Page {
                prefix,
                after,
                token,
            } => {
                let (after, token) = (after.as_deref(), token.as_deref());
                let (page, next) = server.page(&prefix, after, token, settings.page_size, rng);
                ended |= next == Continuation::End;
                let accepted = planner.page(id, &page, next).unwrap();
                listed.take(&page, accepted);
            }
            Request::Children { prefix, after } => {
                let (names, plain, next) =
                    server.children(&prefix, after.as_deref(), settings.page_size);
                if rng.usize(0..16) == 0 {
                    planner.delimiter_rejected(id);
                } else {
                    for covers in planner.children(id, &names, &plain, next).unwrap() {
                        let accepted = Accepted {
                            keys: 0..0,
                            covers: Some(covers),
                        };
                        listed.take(&[], accepted);
                    }
                }
            }
        }
    }
    panic!("it does not end");
}

fn histogram(rng: &mut Rng, keys: &BTreeSet<String>) -> Vec<HistogramBound> {
    let picked: Vec<bool> = keys.iter().map(|_| rng.usize(0..10) == 0).collect();
    let mut picked = picked.into_iter();
    let mut histogram: Vec<HistogramBound> = keys
        .iter()
        .filter(|_| picked.next().unwrap())
        .map(|key| (key.clone(), rng.u64(0..40)))
        .collect();
    for _ in 0..rng.usize(0..4) {
        histogram.push((name(rng), rng.u64(0..1000)));
    }
    histogram.sort_unstable();
    histogram.dedup_by(|a, b| a.0 == b.0);
    histogram
}

fn case(seed: u64) {
    let rng = &mut Rng::with_seed(seed);
    let prefix = *rng
        .choice(&["", "", "", "p/", "p", "a/b//", "中/", "\u{1}/"])
        .unwrap();
    let mut server = Server::new(prefix, rng);
    let all = server.keys.clone();
    // Some come during the run, some go.
    let mut pool: Vec<String> = Vec::new();
    if rng.bool() && !server.denies_prefix {
        pool.extend(all.iter().filter(|_| rng.usize(0..5) == 0).cloned());
        for key in pool.iter().filter(|_| rng.bool()) {
            server.keys.remove(key);
        }
    }
    rng.shuffle(&mut pool);
    let stays: BTreeSet<String> = all
        .iter()
        .filter(|key| !pool.contains(key))
        .cloned()
        .collect();
    let histogram = if rng.bool() {
        histogram(rng, &all)
    } else {
        Vec::new()
    };
    let settings = ListingOptions {
        prefix: prefix.to_owned(),
        page_size: rng.usize(1..=10),
        connections: rng.choice([1, 2, 3, 8, 64]).unwrap(),
    };
    let mut places: Vec<String> = (0..rng.usize(0..6))
        .map(|_| match rng.choice(all.iter().collect::<Vec<_>>()) {
            Some(key) if rng.bool() => key.clone(),
            _ => format!("{}{}", settings.prefix, name(rng)),
        })
        .collect();
    places.sort_unstable();
    places.dedup();
    let mut done = Coverage::default();
    for pair in places.chunks_exact(2) {
        done.insert(Interval::new(Some(pair[0].clone()), Some(pair[1].clone())));
    }
    let whole = Interval::new(None, None);
    let gaps = done.gaps(&whole);
    let mut listed = Listed::default();
    let mut left = gaps.clone();
    loop {
        let stop = if rng.bool() {
            usize::MAX
        } else {
            rng.usize(0..40)
        };
        if list(
            &mut server,
            &settings,
            left,
            &histogram,
            &mut listed,
            stop,
            &mut pool,
            rng,
        ) {
            break;
        }
        let mut so_far = done.clone();
        for interval in &listed.intervals {
            so_far.insert(interval.clone());
        }
        left = so_far.gaps(&whole);
    }
    let mut keys = listed.keys.clone();
    keys.sort_unstable();
    let twice = keys.windows(2).find(|pair| pair[0] == pair[1]);
    assert_eq!(twice, None);
    let in_gaps = |key: &String| gaps.iter().any(|gap| within(key, gap));
    let lost: Vec<_> = stays
        .iter()
        .filter(|key| in_gaps(key) && keys.binary_search(key).is_err())
        .collect();
    assert!(lost.is_empty(), "lost {lost:?}");
    assert!(keys.iter().all(|key| in_gaps(key) && all.contains(key)));
    // The intervals are disjoint, and make the gaps.
    let mut intervals = listed.intervals.clone();
    intervals.sort_by(|a, b| a.after.cmp(&b.after));
    for pair in intervals.windows(2) {
        assert!(
            pair[0].through.is_some() && pair[0].through <= pair[1].after,
            "{pair:?}"
        );
    }
    let mut whole_again = done;
    for interval in listed.intervals {
        whole_again.insert(interval);
    }
    assert!(whole_again.gaps(&whole).is_empty());
}

#[test]
fn every_key_is_listed_once_for_any_keys_and_server() {
    let cases = std::env::var("CASES").map_or(2_000, |cases| cases.parse().unwrap());
    for seed in 0..cases {
        let failed = std::panic::catch_unwind(|| case(seed)).is_err();
        assert!(!failed, "seed {seed}");
    }
}
