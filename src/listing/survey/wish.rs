//! What a survey should look into next.

use std::collections::BTreeMap;

use super::tree::Dir;
use crate::listing::Ask;
use crate::listing::kinds::Kinds;
use crate::listing::place::clean;

/// Directories of a kind that are enough to know its mean.
const ENOUGH: f64 = 24.0;
/// Directories below one large enough that are looked into.
const SOME: usize = 4;
/// What stands for less than this share of the goal may remain a guess.
const LITTLE: f64 = 1.0 / 64.0;

/// Something to look into, and how much it is thought to matter.
pub struct Wish {
    pub dir: String,
    pub after: String,
    /// Whether a page is to tell, rather than a listing with the delimiter.
    pub page: bool,
    depth: usize,
    keys: f64,
}

impl Wish {
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

    pub fn ask(&self) -> Ask {
        let after = (!self.after.is_empty()).then(|| self.after.clone());
        if self.page {
            Ask::Page { after, token: None }
        } else {
            let prefix = self.dir.clone();
            Ask::Children { prefix, after }
        }
    }
}

/// What to look into, so that nothing thought to hold `goal` keys remains a guess.
pub struct Wishes<'a> {
    pub goal: f64,
    /// Keys of a full page.
    pub page: f64,
    pub kinds: &'a Kinds,
}

impl Wishes<'_> {
    /// The wishes, what matters most first.
    pub fn collect(&self, root: &Dir) -> Vec<Wish> {
        let mut wishes = Vec::new();
        self.look(root, 0, 0.0, &mut wishes);
        self.compare(root, &mut wishes);
        wishes.retain(|wish| clean(&wish.dir) == wish.dir && clean(&wish.after) == wish.after);
        wishes.sort_by(|a, b| {
            let order = b.keys.total_cmp(&a.keys).then(a.depth.cmp(&b.depth));
            order.then_with(|| (&a.after, &a.dir, a.page).cmp(&(&b.after, &b.dir, b.page)))
        });
        wishes.dedup_by(|a, b| a.after == b.after && a.dir == b.dir && a.page == b.page);
        wishes
    }

    /// Looks into directories thought to be large, and some in each of those,
    /// or of those that stand for others: `weight` keys.
    fn look(&self, dir: &Dir, depth: usize, weight: f64, wishes: &mut Vec<Wish>) {
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
            if !inner.lists.is_empty() {
                self.look(inner, depth + 1, weight / seen as f64, wishes);
            } else if inner.keys > self.goal {
                wishes.push(Wish::new(inner, &inner.name, depth, inner.keys));
            } else if unknown && middle {
                let wish = Wish::new(inner, &inner.name, depth, f64::MAX);
                if !inner.paged {
                    let page = Wish::new(inner, &inner.name, depth, f64::MAX);
                    wishes.push(Wish { page: true, ..page });
                }
                wishes.push(wish);
            } else if middle && seen == 0 && weight > self.goal * LITTLE || large && some(index) {
                let keys = weight / (seen + 1) as f64;
                wishes.push(Wish::sample(inner, depth, keys, self.page));
            }
        }
        for index in 0..dir.lists.len() {
            self.look_between(dir, index, depth, wishes);
        }
    }

    /// Looks into the gap behind a list.
    fn look_between(&self, dir: &Dir, index: usize, depth: usize, wishes: &mut Vec<Wish>) {
        let Some(gap) = dir.gap(index) else { return };
        let each = dir.per_item(index);
        let keys = gap.most() * each;
        if keys <= self.goal {
            return;
        }
        for name in gap.names(self.goal / each) {
            let place = format!("{}{name}", dir.name);
            if *place > *dir.lists[index].last {
                wishes.push(Wish::new(dir, &place, depth, keys));
            }
        }
    }

    /// Looks into more directories of kinds that much depends on.
    fn compare(&self, root: &Dir, wishes: &mut Vec<Wish>) {
        let mut usages = BTreeMap::new();
        usage(root, 0, &mut usages);
        for usage in usages.values() {
            let Some(&(dir, _)) = usage.some.first() else {
                continue;
            };
            let ends = self.kinds.ends(dir.kind);
            if usage.keys > self.goal && ends < ENOUGH {
                let keys = usage.keys / (ends + 1.0);
                let sample = |&(dir, depth)| Wish::sample(dir, depth, keys, self.page);
                wishes.extend(usage.some.iter().map(sample));
            }
        }
    }
}

/// What is thought of directories by their kind alone.
#[derive(Default)]
struct Usage<'a> {
    keys: f64,
    dirs: usize,
    /// Some of them, and how deep they are.
    some: Vec<(&'a Dir, usize)>,
}

/// Sums up what is thought by kind alone.
fn usage<'a>(dir: &'a Dir, depth: usize, usages: &mut BTreeMap<u64, Usage<'a>>) {
    for inner in dir.dirs() {
        if !inner.lists.is_empty() {
            usage(inner, depth + 1, usages);
        } else if !inner.exact && inner.known {
            let kind = usages.entry(inner.kind[0]).or_default();
            kind.keys += inner.keys;
            kind.dirs += 1;
            // Ever rarer, all along.
            if kind.dirs.is_power_of_two() {
                kind.some.insert(0, (inner, depth));
                kind.some.truncate(SOME);
            }
        }
    }
}
