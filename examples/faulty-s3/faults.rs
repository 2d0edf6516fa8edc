//! Which request meets which fault, and the counts of both.

use std::collections::{BTreeMap, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Mutex, MutexGuard, PoisonError};

use clap::Args;
use serde_json::{Value, json};

/// Faults that hit by chance, in percent of the requests.
#[derive(Args)]
pub struct Chances {
    /// Requests hit are drawn from this number
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// One request is hit at most N times in a row
    #[arg(long, value_name = "N", default_value_t = 3)]
    most: u32,
    /// 503 `SlowDown`
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    slowdown: f64,
    /// `SlowDown` as the body of a 200, for listings
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    slowdown_in_200: f64,
    /// 500 `InternalError`
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    error_500: f64,
    /// Half of the body, then the connection is closed
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    cut: f64,
    /// No answer at all, the connection stays open
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    hang: f64,
    /// An empty page that says there is more, and a token to go on with
    #[arg(long, value_name = "PERCENT", default_value_t = 0.0)]
    empty_pages: f64,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    Slowdown,
    SlowdownIn200,
    Error500,
    Cut,
    Hang,
    EmptyPage,
}

impl Fault {
    pub fn name(self) -> &'static str {
        match self {
            Self::Slowdown => "slowdown",
            Self::SlowdownIn200 => "slowdown-in-200",
            Self::Error500 => "error-500",
            Self::Cut => "cut",
            Self::Hang => "hang",
            Self::EmptyPage => "empty-pages",
        }
    }
}

pub const OF_A_LISTING: &[Fault] = &[
    Fault::Hang,
    Fault::Error500,
    Fault::Slowdown,
    Fault::SlowdownIn200,
    Fault::Cut,
    Fault::EmptyPage,
];
/// A page after an empty one is not empty, or a listing might never end.
pub const AFTER_AN_EMPTY_PAGE: &[Fault] = OF_A_LISTING.split_at(5).0;
pub const OF_A_GET: &[Fault] = &[Fault::Hang, Fault::Error500, Fault::Slowdown, Fault::Cut];
pub const OF_A_HEAD: &[Fault] = OF_A_GET.split_at(3).0;

pub struct Faults {
    chances: Chances,
    /// How often each request was hit since it last got through, by its hash.
    hit: Mutex<HashMap<u64, u32>>,
    counts: Mutex<Counts>,
}

#[derive(Default)]
struct Counts {
    requests: BTreeMap<&'static str, u64>,
    faults: BTreeMap<&'static str, u64>,
    gets_by_key: BTreeMap<String, u64>,
}

impl Faults {
    pub fn new(chances: Chances) -> Self {
        Self {
            chances,
            hit: Mutex::default(),
            counts: Mutex::default(),
        }
    }

    /// The fault that this request meets this time, which is counted.
    pub fn draw(&self, request: &str, possible: &[Fault]) -> Option<Fault> {
        if possible.iter().all(|fault| self.percent(*fault) <= 0.0) {
            return None;
        }
        let id = hash_of((self.chances.seed, request));
        let mut hit = locked(&self.hit);
        let times = hit.remove(&id).unwrap_or_default();
        if times >= self.chances.most {
            return None;
        }
        let hits = |fault: &Fault| {
            let drawn = fastrand::Rng::with_seed(hash_of((id, times, fault.name()))).f64();
            drawn * 100.0 < self.percent(*fault)
        };
        let fault = possible.iter().copied().find(hits)?;
        if fault != Fault::EmptyPage {
            hit.insert(id, times + 1);
        }
        self.met(fault.name());
        Some(fault)
    }

    fn percent(&self, fault: Fault) -> f64 {
        let chances = &self.chances;
        match fault {
            Fault::Slowdown => chances.slowdown,
            Fault::SlowdownIn200 => chances.slowdown_in_200,
            Fault::Error500 => chances.error_500,
            Fault::Cut => chances.cut,
            Fault::Hang => chances.hang,
            Fault::EmptyPage => chances.empty_pages,
        }
    }

    pub fn met(&self, fault: &'static str) {
        *locked(&self.counts).faults.entry(fault).or_default() += 1;
    }

    pub fn asked(&self, request: &'static str) {
        *locked(&self.counts).requests.entry(request).or_default() += 1;
    }

    pub fn got(&self, key: &str) {
        let mut counts = locked(&self.counts);
        *counts.gets_by_key.entry(key.to_owned()).or_default() += 1;
    }

    pub fn counts(&self) -> Value {
        let counts = locked(&self.counts);
        let of = |request| counts.requests.get(request).copied().unwrap_or_default();
        json!({
            "list": of("list"),
            "get": of("get"),
            "head": of("head"),
            "faults": counts.faults,
            "gets_by_key": counts.gets_by_key,
        })
    }

    pub fn reset(&self) {
        *locked(&self.counts) = Counts::default();
        locked(&self.hit).clear();
    }
}

fn locked<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

fn hash_of(what: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    what.hash(&mut hasher);
    hasher.finish()
}

/// A number below `limit` that depends on the text alone.
pub fn below(limit: usize, text: &str) -> usize {
    fastrand::Rng::with_seed(hash_of(text)).usize(..limit.max(1))
}
