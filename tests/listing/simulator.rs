//! A bucket in virtual time: a request takes about 1, and nothing else takes any.

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

use buildhub_pipes::listing::{
    Continuation, HistogramBound, ListingOptions, Planner, Request, ResponseKeys,
};
use buildhub_pipes::record::coverage::{Coverage, Interval};
use fastrand::Rng;

use crate::synthetic::KeySpace;

/// Keys of a full page.
pub const PAGE: u64 = 1000;

/// A page that computes the keys that it is asked for.
pub struct Page<'a> {
    space: &'a dyn KeySpace,
    start: u64,
    len: u64,
    end: u64,
}

impl<'a> Page<'a> {
    /// The page of the keys with `prefix` from the index `start` on.
    pub fn new(space: &'a dyn KeySpace, prefix: &str, start: u64) -> Self {
        let all = match prefix {
            "" => 0..space.len(),
            _ => space.below(prefix),
        };
        let start = start.clamp(all.start, all.end);
        let (end, len) = (all.end, (all.end - start).min(PAGE));
        Self {
            space,
            start,
            len,
            end,
        }
    }

    pub fn next(&self) -> Continuation {
        let past = self.start + self.len;
        if past < self.end {
            Continuation::More(Some(past.to_string()))
        } else {
            Continuation::End
        }
    }
}

impl ResponseKeys for Page<'_> {
    fn len(&self) -> usize {
        self.len as usize
    }

    fn key(&self, index: usize) -> Cow<'_, str> {
        let mut key = String::new();
        self.space.key(self.start + index as u64, &mut key);
        Cow::Owned(key)
    }

    fn unordered(&self) -> Option<usize> {
        None
    }
}

/// What stands directly below a prefix.
pub struct Children {
    pub names: Vec<String>,
    pub keys: Vec<String>,
    pub next: Continuation,
}

impl Children {
    pub fn new(space: &dyn KeySpace, prefix: &str, after: Option<&str>) -> Self {
        let below = space.below(prefix);
        let after = after.map_or(0, |after| space.position(after));
        let mut at = below.start.max(after);
        let (mut names, mut keys) = (Vec::new(), Vec::new());
        let mut key = String::new();
        while at < below.end && names.len() + keys.len() < PAGE as usize {
            space.key(at, &mut key);
            if let Some(slash) = key[prefix.len()..].find('/') {
                let name = &key[..=prefix.len() + slash];
                at = space.below(name).end;
                names.push(name.to_owned());
            } else {
                keys.push(key.clone());
                at += 1;
            }
        }
        let next = if at < below.end {
            Continuation::More(None)
        } else {
            Continuation::End
        };
        Self { names, keys, next }
    }
}

/// What an earlier run over `space` knows of it: some 300 keys at even distances.
pub fn histogram(space: &dyn KeySpace) -> Vec<HistogramBound> {
    let step = space.len().div_ceil(300);
    let mut key = String::new();
    let mut bound = |from: u64| {
        let to = (from + step).min(space.len());
        space.key(to - 1, &mut key);
        (key.clone(), to - from)
    };
    (0..space.len())
        .step_by(step as usize)
        .map(&mut bound)
        .collect()
}

/// How to list.
#[derive(Clone)]
pub struct Run<'a> {
    pub connections: usize,
    pub histogram: &'a [HistogramBound],
    /// A request takes between 1 and 1 + this.
    pub jitter: f64,
    /// What is listed before.
    pub done: Coverage,
    /// Answers after which it is killed.
    pub stop: u64,
}

impl Default for Run<'_> {
    fn default() -> Self {
        Self {
            connections: 64,
            histogram: &[],
            jitter: 0.0,
            done: Coverage::default(),
            stop: u64::MAX,
        }
    }
}

/// How a listing went.
#[derive(Debug, Default)]
pub struct Outcome {
    pub keys: u64,
    pub pages: u64,
    pub probes: u64,
    /// Pages that brought nothing, and requests that were not waited for.
    pub wasted: u64,
    pub rounds: f64,
    pub done: Coverage,
}

impl Outcome {
    pub fn requests(&self) -> u64 {
        self.pages + self.probes + self.wasted
    }

    /// Requests in percent of those of a sequential listing of so many keys.
    pub fn percent(&self, keys: u64) -> f64 {
        self.requests() as f64 * 100.0 / keys.div_ceil(PAGE) as f64
    }
}

pub fn whole() -> Interval {
    Interval::new(None, None)
}

impl Run<'_> {
    pub fn list(&self, space: &dyn KeySpace) -> Outcome {
        let settings = ListingOptions {
            prefix: String::new(),
            page_size: PAGE as usize,
            connections: self.connections,
        };
        let gaps = self.done.gaps(&whole());
        let mut planner = Planner::new(settings, gaps, self.histogram);
        let mut rng = Rng::with_seed(1);
        let mut flight = BinaryHeap::new();
        let mut asked = HashMap::new();
        let (mut count, mut now) = (0_u64, 0);
        let mut outcome = Outcome {
            done: self.done.clone(),
            ..Outcome::default()
        };
        let mut full = 0;
        while !planner.is_done() && outcome.requests() < self.stop {
            while flight.len() < self.connections
                && let Some(request) = planner.next_request()
            {
                count += 1;
                let takes = 1e6 * (1.0 + rng.f64() * self.jitter);
                flight.push(Reverse((now + takes as u64, count)));
                asked.insert(count, request);
                let fresh = self.histogram.is_empty() && self.done == Coverage::default();
                assert!(!fresh || flight.len() <= full + 1, "{full} full pages");
            }
            let Reverse((time, number)) = flight.pop().expect("nothing is in flight");
            now = time;
            match asked.remove(&number).unwrap() {
                (
                    id,
                    Request::Page {
                        prefix,
                        after,
                        token,
                    },
                ) => {
                    let start = match (token, after) {
                        (Some(token), _) => token.parse().unwrap(),
                        (None, Some(after)) => space.position(&after),
                        (None, None) => 0,
                    };
                    let page = Page::new(space, &prefix, start);
                    full += usize::from(page.len() as u64 == PAGE);
                    let accepted = planner.page(id, &page, page.next()).unwrap();
                    outcome.keys += accepted.keys.len() as u64;
                    if accepted.keys.is_empty() {
                        outcome.wasted += 1;
                    } else {
                        outcome.pages += 1;
                    }
                    if let Some(covers) = accepted.covers {
                        outcome.done.insert(covers);
                    }
                }
                (id, Request::Children { prefix, after }) => {
                    let listing = Children::new(space, &prefix, after.as_deref());
                    outcome.probes += 1;
                    let done = planner
                        .children(id, &listing.names, &listing.keys, listing.next)
                        .unwrap();
                    for covers in done {
                        outcome.done.insert(covers);
                    }
                }
            }
        }
        outcome.wasted += asked.len() as u64;
        outcome.rounds = now as f64 / 1e6;
        outcome
    }
}
