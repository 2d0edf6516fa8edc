//! What a survey should look into next.

use std::collections::BTreeMap;

use super::tree::Dir;
use crate::listing::Request;
use crate::listing::dir_class::ClassStats;
use crate::listing::position::sendable;

/// Directories of a class that are enough to know its mean.
const ENOUGH: f64 = 24.0;
/// Directories below one large enough that are looked into.
const SOME: usize = 4;
/// What stands for less than this share of the goal may remain a guess.
const LITTLE: f64 = 1.0 / 64.0;

/// Something to look into, and how much it is thought to matter.
pub struct Probe {
    pub dir: String,
    pub after: String,
    /// Whether a page is to tell, rather than a listing with the delimiter.
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

    /// A look at a directory. Of a small one, a page tells, and of those behind it.
    fn sample(dir: &Dir, depth: usize, keys: f64, page: f64) -> Self {
        Self {
            page: dir.known && !dir.paged && dir.keys < page / 2.0,
            ..Self::new(dir, &dir.name, depth, keys)
        }
    }

    pub fn request(&self) -> Request {
        let after = (!self.after.is_empty()).then(|| self.after.clone());
        if self.page {
            Request::Page { after, token: None }
        } else {
            let prefix = self.dir.clone();
            Request::Children { prefix, after }
        }
    }
}

/// What to look into, so that nothing thought to hold `goal` keys remains a guess.
pub struct ProbeQueue<'a> {
    pub goal: f64,
    /// Keys of a full page.
    pub page: f64,
    pub classes: &'a ClassStats,
}

impl ProbeQueue<'_> {
    /// The probes, what matters most first.
    pub fn collect(&self, root: &Dir) -> Vec<Probe> {
        let mut probes = Vec::new();
        self.look(root, 0, 0.0, &mut probes);
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

    /// Looks into directories thought to be large, and some in each of those,
    /// or of those that stand for others: `weight` keys.
    fn look(&self, dir: &Dir, depth: usize, weight: f64, probes: &mut Vec<Probe>) {
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
                self.look(inner, depth + 1, weight / seen as f64, probes);
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
            self.look_between(dir, index, depth, probes);
        }
    }

    /// Looks into the gap behind a list.
    fn look_between(&self, dir: &Dir, index: usize, depth: usize, probes: &mut Vec<Probe>) {
        let Some(gap) = dir.gap(index) else { return };
        let each = dir.per_item(index);
        let keys = gap.most() * each;
        if keys <= self.goal {
            return;
        }
        for name in gap.names(self.goal / each) {
            let place = format!("{}{name}", dir.name);
            if *place > *dir.listings[index].last {
                probes.push(Probe::new(dir, &place, depth, keys));
            }
        }
    }

    /// Looks into more directories of classes that much depends on.
    fn compare(&self, root: &Dir, probes: &mut Vec<Probe>) {
        let mut usages = BTreeMap::new();
        usage(root, 0, &mut usages);
        for usage in usages.values() {
            let Some(&(dir, _)) = usage.some.first() else {
                continue;
            };
            let ends = self.classes.ends(dir.class);
            if usage.keys > self.goal && ends < ENOUGH {
                let keys = usage.keys / (ends + 1.0);
                let sample = |&(dir, depth)| Probe::sample(dir, depth, keys, self.page);
                probes.extend(usage.some.iter().map(sample));
            }
        }
    }
}

/// What is thought of directories by their class alone.
#[derive(Default)]
struct Usage<'a> {
    keys: f64,
    dirs: usize,
    /// Some of them, and how deep they are.
    some: Vec<(&'a Dir, usize)>,
}

/// Sums up what is thought by class alone.
fn usage<'a>(dir: &'a Dir, depth: usize, usages: &mut BTreeMap<u64, Usage<'a>>) {
    for inner in dir.dirs() {
        if !inner.listings.is_empty() {
            usage(inner, depth + 1, usages);
        } else if !inner.exact && inner.known {
            let class = usages.entry(inner.class[0]).or_default();
            class.keys += inner.keys;
            class.dirs += 1;
            // Ever rarer, all along.
            if class.dirs.is_power_of_two() {
                class.some.insert(0, (inner, depth));
                class.some.truncate(SOME);
            }
        }
    }
}
