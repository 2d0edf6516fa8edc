//! Chooses the probes of a survey's next round.

use std::collections::BTreeMap;

use super::tree::Dir;
use crate::listing::Request;
use crate::listing::dir_class::ClassStats;
use crate::listing::position::sendable;

/// Directories of a class that are enough to know its mean.
const ENOUGH: f64 = 24.0;
/// Probes per large directory.
const SOME: usize = 4;
/// A smaller share of the goal may remain an estimate.
const LITTLE: f64 = 1.0 / 64.0;

/// A request, and the number of keys whose estimate it improves.
pub struct Probe {
    pub dir: String,
    pub after: String,
    /// Whether to list a page of keys rather than with the delimiter.
    pub page: bool,
    depth: usize,
    keys: f64,
}

impl Probe {
    pub fn new(dir: &Dir, after: &str, depth: usize, keys: f64) -> Self {
        Self {
            dir: dir.name.clone(),
            after: after.to_owned(),
            page: false,
            depth,
            keys,
        }
    }

    /// Returns a probe of a directory. A page also samples the directories after a small
    /// one.
    fn sample(dir: &Dir, depth: usize, keys: f64, page: f64) -> Self {
        Self {
            page: dir.known && !dir.paged && dir.keys < page / 2.0,
            ..Self::new(dir, &dir.name, depth, keys)
        }
    }

    /// Returns the request of the probe, in a listing of the keys with `prefix`.
    pub fn request(&self, prefix: &str) -> Request {
        let after = (!self.after.is_empty()).then(|| self.after.clone());
        if self.page {
            Request::Page {
                prefix: prefix.to_owned(),
                after,
                token: None,
            }
        } else {
            let prefix = self.dir.clone();
            Request::Children { prefix, after }
        }
    }
}

/// Collects probes until nothing estimated above `goal` keys is unconfirmed.
pub struct ProbeQueue<'a> {
    pub goal: f64,
    /// Keys in a full page.
    pub page: f64,
    pub classes: &'a ClassStats,
}

impl ProbeQueue<'_> {
    /// Returns the probes, those for most keys first.
    pub fn collect(&self, root: &Dir) -> Vec<Probe> {
        let mut probes = Vec::new();
        self.probe_dirs(root, 0, 0.0, &mut probes);
        self.compare(root, &mut probes);
        probes.retain(|probe| {
            sendable(&probe.dir) == probe.dir && sendable(&probe.after) == probe.after
        });
        probes.sort_by(|a, b| {
            let order = b.keys.total_cmp(&a.keys).then(a.depth.cmp(&b.depth));
            order.then_with(|| (&a.after, &a.dir, a.page).cmp(&(&b.after, &b.dir, b.page)))
        });
        probes.dedup_by(|a, b| a.after == b.after && a.dir == b.dir && a.page == b.page);
        probes
    }

    /// Probes large directories, and some in each of those or in those that stand for
    /// `weight` keys.
    fn probe_dirs(&self, dir: &Dir, depth: usize, weight: f64, probes: &mut Vec<Probe>) {
        let seen = dir.dirs().filter(|inner| inner.is_seen()).count();
        let unknown = dir.dirs().all(|inner| !inner.is_seen() && !inner.known);
        let weight = weight.max(dir.keys);
        let large = dir.keys > self.goal;
        let last = dir.dirs().count().saturating_sub(1);
        let some = |index| (0..SOME).any(|turn| index == last * turn / (SOME - 1));
        for (index, inner) in dir.dirs().enumerate() {
            let middle = index == last / 2;
            if inner.exact && inner.keys <= self.goal.max(1.0) {
                continue;
            }
            if !inner.listings.is_empty() {
                self.probe_dirs(inner, depth + 1, weight / seen as f64, probes);
            } else if inner.keys > self.goal {
                probes.push(Probe::new(inner, &inner.name, depth, inner.keys));
            } else if unknown && middle {
                let probe = Probe::new(inner, &inner.name, depth, f64::MAX);
                if !inner.paged {
                    let page = Probe::new(inner, &inner.name, depth, f64::MAX);
                    probes.push(Probe { page: true, ..page });
                }
                probes.push(probe);
            } else if middle && seen == 0 && weight > self.goal * LITTLE || large && some(index) {
                let keys = weight / (seen + 1) as f64;
                probes.push(Probe::sample(inner, depth, keys, self.page));
            }
        }
        for index in 0..dir.listings.len() {
            self.probe_gap(dir, index, depth, probes);
        }
    }

    /// Probes the gap after a listing.
    fn probe_gap(&self, dir: &Dir, index: usize, depth: usize, probes: &mut Vec<Probe>) {
        let Some(gap) = dir.gap(index) else { return };
        let each = dir.per_item(index);
        let keys = gap.most() * each;
        if keys <= self.goal {
            return;
        }
        for name in gap.names(self.goal / each) {
            let position = format!("{}{name}", dir.name);
            if *position > *dir.listings[index].last {
                probes.push(Probe::new(dir, &position, depth, keys));
            }
        }
    }

    /// Probes more directories of the classes that much of the estimate depends on.
    fn compare(&self, root: &Dir, probes: &mut Vec<Probe>) {
        let mut usages = BTreeMap::new();
        usage(root, 0, &mut usages);
        for usage in usages.values() {
            let Some(&(dir, _)) = usage.some.first() else {
                continue;
            };
            let ends = self.classes.completed(dir.class);
            if usage.keys > self.goal && ends < ENOUGH {
                let keys = usage.keys / (ends + 1.0);
                let sample = |&(dir, depth)| Probe::sample(dir, depth, keys, self.page);
                probes.extend(usage.some.iter().map(sample));
            }
        }
    }
}

/// Directories that are estimated by their class alone.
#[derive(Default)]
struct Usage<'a> {
    keys: f64,
    dirs: usize,
    /// Some of them, with their depth.
    some: Vec<(&'a Dir, usize)>,
}

/// Sums up the directories that are estimated by their class alone.
fn usage<'a>(dir: &'a Dir, depth: usize, usages: &mut BTreeMap<u64, Usage<'a>>) {
    for inner in dir.dirs() {
        if !inner.listings.is_empty() {
            usage(inner, depth + 1, usages);
        } else if !inner.exact && inner.known {
            let class = usages.entry(inner.class[0]).or_default();
            class.keys += inner.keys;
            class.dirs += 1;
            // Ever rarer, spread over all of them.
            if class.dirs.is_power_of_two() {
                class.some.insert(0, (inner, depth));
                class.some.truncate(SOME);
            }
        }
    }
}
