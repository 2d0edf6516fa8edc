//! Small key sets and servers at their worst: whatever happens, every key
//! that is there from start to end is listed once.

use std::collections::{BTreeMap, BTreeSet};

use buildhub_pipes::listing::{
    Accepted, Continuation, HistogramBound, ListingOptions, Planner, Request, RequestId,
};
use buildhub_pipes::record::coverage::{Coverage, Interval};
use fastrand::Rng;

const PIECES: [&str; 30] = [
    "a",
    "b",
    "z",
    "0",
    "1",
    "9",
    "/",
    "/",
    "/",
    "//",
    ".",
    "-",
    " ",
    "~",
    "é",
    "ß",
    "中",
    "\u{e000}",
    "\u{fffd}",
    "\u{fffe}",
    "\u{ffff}",
    "\u{1f600}",
    "\u{10ffff}",
    "\u{1}",
    "\n",
    "\u{7f}",
    "\u{85}",
    "dir/",
    "2019-01-0",
    "+",
];

fn name(rng: &mut Rng) -> String {
    let mut name = String::new();
    for _ in 0..rng.usize(1..6) {
        name.push_str(rng.choice(PIECES).unwrap());
    }
    if rng.usize(0..60) == 0 {
        name.push_str(&"é".repeat(rng.usize(400..512)));
    }
    while name.len() > 1024 {
        name.pop();
    }
    name
}

/// Directories of which some names begin with all of another's.
fn sibling(rng: &mut Rng) -> &'static str {
    rng.choice(["60.0", "60.0.1", "60.0.2", "60.0-b", "60.00", "60.1", "6"])
        .unwrap()
}

/// Keys of one style: hostile, numbered, a tree, or few.
fn keys(rng: &mut Rng, prefix: &str) -> BTreeSet<String> {
    let count = rng.choice([0, 1, 3, 30, 300]).unwrap();
    let style = rng.usize(0..6);
    let mut keys = BTreeSet::new();
    for turn in 0..count {
        let key = match style {
            0 => name(rng),
            1 => format!("n/{turn:05}"),
            2 => format!("{}/{}/{}", rng.u8(0..4), rng.u8(0..20), rng.u8(..)),
            3 => format!("d{}/", rng.u8(..)),
            4 => format!("{}/{}/{}", sibling(rng), sibling(rng), rng.u8(0..40)),
            _ => format!("{}/{}", name(rng), name(rng)),
        };
        let mut key = format!("{prefix}{key}");
        while key.len() > 1024 {
            key.pop();
        }
        keys.insert(key);
    }
    if rng.bool() && !prefix.is_empty() {
        keys.insert(prefix.to_owned());
    }
    // A key that is also a common prefix.
    if rng.bool() {
        let dirs: Vec<String> = keys
            .iter()
            .filter_map(|key| key.rfind('/').map(|at| key[..=at].to_owned()))
            .filter(|dir| dir.starts_with(prefix))
            .take(3)
            .collect();
        keys.extend(dirs);
    }
    keys
}

#[allow(clippy::struct_excessive_bools, reason = "each is a way to misbehave")]
pub struct Server {
    keys: BTreeSet<String>,
    /// Those that are, were or will be there.
    ever: BTreeSet<String>,
    pub prefix: String,
    tokens: BTreeMap<String, String>,
    has_tokens: bool,
    short: bool,
    empty: bool,
    /// Lists a common prefix that `start-after` lies below.
    lists_own: bool,
    /// Fills a page, after a start inside a directory, with keys that sort before it, and
    /// drops them.
    minio: bool,
    /// The token after a start that is no key leaves out one key.
    skips: bool,
    denies_prefix: bool,
}

impl Server {
    pub fn new(prefix: &str, rng: &mut Rng) -> Self {
        let keys = keys(rng, prefix);
        Self {
            ever: keys.clone(),
            keys,
            prefix: prefix.to_owned(),
            tokens: BTreeMap::new(),
            has_tokens: rng.bool(),
            short: rng.bool(),
            empty: rng.bool(),
            lists_own: rng.bool(),
            minio: false,
            skips: false,
            denies_prefix: false,
        }
        .with_faults(rng)
    }

    fn with_faults(mut self, rng: &mut Rng) -> Self {
        match rng.usize(0..4) {
            0 => {
                self.minio = true;
                (self.short, self.empty) = (false, false);
            }
            1 => self.skips = true,
            2 => self.denies_prefix = true,
            _ => {}
        }
        self
    }

    /// A page as MinIO reads it from the disk, without a listing that it remembers.
    fn raw_page(&self, prefix: &str, after: &str, size: usize) -> (Vec<String>, bool) {
        if !after.is_empty() && !after.starts_with(prefix) {
            return (Vec::new(), false);
        }
        // It compares name by name: `60.0.1` is not before `60.0`.
        let walks = |key: &&String| {
            let start = after.strip_suffix('/').unwrap_or(after);
            let (mut names, mut starts) = (key.split_inclusive('/'), start.split('/'));
            loop {
                match (names.next(), starts.next()) {
                    (Some(name), Some(start)) if name.trim_end_matches('/') != start => {
                        return name > start;
                    }
                    (Some(_), Some(_)) => {}
                    (name, _) => return name.is_some() || key.as_str() > after,
                }
            }
        };
        let all = self.keys.iter().filter(|key| key.starts_with(prefix));
        let read = all.filter(walks).take(size + 4 + size / 16);
        let mut keys: Vec<String> = read.filter(|key| key.as_str() > after).cloned().collect();
        let more = keys.len() > size;
        keys.truncate(size);
        (keys, more)
    }

    fn behind<'a>(&'a self, prefix: &'a str, after: &str) -> impl Iterator<Item = &'a String> {
        let from = (
            std::ops::Bound::Excluded(after.to_owned()),
            std::ops::Bound::Unbounded,
        );
        self.keys
            .range::<String, _>(from)
            .filter(move |key| key.starts_with(prefix))
    }

    fn more(&mut self, at: &str) -> Continuation {
        let token = format!("token {}", self.tokens.len());
        self.tokens.insert(token.clone(), at.to_owned());
        Continuation::More(self.has_tokens.then_some(token))
    }

    pub fn page(
        &mut self,
        prefix: &str,
        after: Option<&str>,
        token: Option<&str>,
        size: usize,
        rng: &mut Rng,
    ) -> (Vec<String>, Continuation) {
        let guess = after.is_some_and(|after| !self.ever.contains(after)) && token.is_none();
        if self.minio {
            // A token that it has forgotten is one more start.
            let forgets = token.is_none() || rng.usize(0..3) == 0;
            let after = token.or(after).unwrap_or_default();
            let (keys, more) = if forgets {
                self.raw_page(prefix, after, size)
            } else {
                let mut keys: Vec<_> = self.behind(prefix, after).take(size + 1).cloned().collect();
                let more = keys.len() > size;
                keys.truncate(size);
                (keys, more)
            };
            let token = keys.last().cloned().filter(|_| more);
            return (
                keys,
                token.map_or(Continuation::End, |token| Continuation::More(Some(token))),
            );
        }
        let after = match token {
            Some(token) => self.tokens[token].clone(),
            None => after.unwrap_or_default().to_owned(),
        };
        let size = if self.short {
            rng.usize(1..=size)
        } else {
            size
        };
        if self.empty && self.has_tokens && rng.usize(0..4) == 0 {
            return (Vec::new(), self.more(&after));
        }
        let keys: Vec<String> = self.behind(prefix, &after).take(size).cloned().collect();
        let Some(last) = keys.last().cloned() else {
            return (keys, Continuation::End);
        };
        let following = self.behind(prefix, &last).next().cloned();
        if following.is_some() || self.empty && self.has_tokens && rng.bool() {
            let next = match following {
                Some(next) if self.skips && guess => self.more(&next),
                _ => self.more(&last),
            };
            (keys, next)
        } else {
            (keys, Continuation::End)
        }
    }

    pub fn children(
        &self,
        prefix: &str,
        after: Option<&str>,
        size: usize,
    ) -> (Vec<String>, Vec<String>, Continuation) {
        let (mut names, mut plain): (Vec<String>, Vec<String>) = Default::default();
        let after = after.unwrap_or_default();
        for key in self.behind(prefix, after) {
            let name = key[prefix.len()..]
                .find('/')
                .map(|at| key[..=prefix.len() + at].to_owned());
            match name {
                Some(name) if names.last() == Some(&name) => {}
                Some(name) if !self.lists_own && after.starts_with(&name) => {}
                _ if names.len() + plain.len() == size => {
                    return (names, plain, Continuation::More(None));
                }
                Some(name) => names.push(name),
                None => plain.push(key.clone()),
            }
        }
        (names, plain, Continuation::End)
    }
}

pub fn clean(place: &str) -> bool {
    place.len() <= 1024
        && !place.contains(|c: char| c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}'))
}

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
