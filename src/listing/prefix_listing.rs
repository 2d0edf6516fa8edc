//! What a listing with the delimiter tells of a range.

use super::dir_class::dir_class;
use super::model::{BucketStats, RangeModel, SAMPLES, UNKNOWN};
use super::position::{dir_end, is_before};
use super::segment::{Bounds, Sample, Segment, SizeEstimate, Strategy};

/// The answer to a listing with the delimiter.
pub struct PrefixListing<'a> {
    pub dir: &'a str,
    pub after: &'a str,
    /// The directories in it.
    pub names: &'a [String],
    /// How many keys stand beside them.
    pub plain: usize,
    /// The last key or name.
    pub last: &'a str,
    pub truncated: bool,
}

impl PrefixListing<'_> {
    /// The directory below this one that `place` lies in.
    fn child<'p>(&self, place: &'p str) -> Option<&'p str> {
        let slash = place.strip_prefix(self.dir)?.find('/')?;
        Some(&place[..=self.dir.len() + slash])
    }

    /// Nothing is there but keys, and too many for one answer.
    fn is_flat(&self) -> bool {
        self.names.is_empty() && self.truncated
    }
}

impl RangeModel {
    pub fn learn(&mut self, listing: &PrefixListing, bounds: Bounds, stats: &mut BucketStats) {
        let dir = listing.dir;
        let from = listing.after.max(bounds.cursor);
        let outside = from > dir && !from.starts_with(dir);
        if outside || !is_before(from, bounds.end) {
            return;
        }
        // What the answer is about is taken out, and put together anew.
        let first = if from > bounds.cursor {
            self.boundary(from, 0.5)
        } else {
            0
        };
        let stop = dir_end(dir).filter(|stop| is_before(stop, bounds.end));
        let past = stop.map_or(self.segments.len(), |stop| self.outer(&stop, dir));
        let tail = self.segments.split_off(past.max(first));
        let mut old = self.segments.split_off(first).into_iter();
        let front = old.next();
        let deeper = old.filter(|old| old.dir > dir.len());
        let per_name = self.per_name(listing, stats);
        let unknown = unknown(listing, front.as_ref(), stats);
        let mut new = vec![head(listing, from, front, unknown)];
        let inside = listing.child(from);
        let names = listing.names.iter().map(String::as_str);
        let names = names.filter(|&name| {
            name > from && inside.is_none_or(|inside| name > inside) && is_before(name, bounds.end)
        });
        let last = names.clone().next_back().or(inside);
        let group = per_name.map_or(1.0, |keys| stats.page / 2.0 / keys.max(0.1));
        merge(&mut new, names, deeper, dir.len(), group, unknown);
        let rest = last.and_then(dir_end).unwrap_or_else(|| from.to_owned());
        let rest = listing.last.max(&rest);
        if new.last().is_some_and(|last| *last.start < *rest)
            && is_before(rest, bounds.end)
            && !listing.is_flat()
        {
            new.push(after_all(listing, rest, per_name, unknown, stats));
        }
        self.segments.extend(new);
        self.segments.extend(tail);
        self.study(stats);
    }

    /// The index of the first segment behind `stop`, the end of `dir`.
    fn outer(&mut self, stop: &str, dir: &str) -> usize {
        let at = self
            .segments
            .partition_point(|segment| *segment.start < *stop);
        match at.checked_sub(1).map(|last| &self.segments[last]) {
            Some(last) if !last.dir().starts_with(dir) => self.boundary(stop, 0.5),
            _ => at,
        }
    }

    /// How many keys a name stands for, as far as is known.
    fn per_name(&self, listing: &PrefixListing, stats: &BucketStats) -> Option<f64> {
        let children = self
            .last_page
            .keys
            .iter()
            .filter_map(|key| listing.child(key));
        let mut children: Vec<&str> = children.collect();
        let all = children.len();
        children.dedup();
        if all == SAMPLES && children.len() + SAMPLES / 3 > all {
            // Nearly each key was in another one, so there are more of them in a page.
            return Some(self.last_page.count / 2.0 / SAMPLES as f64);
        }
        let class = dir_class(listing.names.first()?);
        stats
            .classes
            .knows(class)
            .then(|| stats.classes.mean(class, 0.0))
    }
}

/// What follows the last name or key of the answer.
fn after_all(
    listing: &PrefixListing,
    start: &str,
    per_name: Option<f64>,
    unknown: f64,
    stats: &mut BucketStats,
) -> Segment {
    let none = SizeEstimate::Plain(0.0);
    let mut rest = Segment::new(
        listing.dir.to_owned(),
        listing.dir.len(),
        none,
        Strategy::Interpolate,
    );
    rest.begin(start);
    rest.partial = true;
    match per_name.filter(|&keys| keys < stats.page / 8.0) {
        _ if !listing.truncated => {}
        // Listing them all with the delimiter would take long.
        Some(keys) => rest.sample = sample(listing, keys, stats),
        None => {
            rest.look = Strategy::ListPrefixes;
            rest.size = SizeEstimate::Dirs {
                class: dir_class(listing.dir),
                dirs: 1.0,
                unknown,
            };
        }
    }
    rest
}

/// What a directory of an unknown class is thought to hold: the more stand
/// together, the less each.
fn unknown(listing: &PrefixListing, front: Option<&Segment>, stats: &BucketStats) -> f64 {
    let names = listing.names.len().max(1) as f64;
    let all = match front.map(|front| front.size) {
        Some(SizeEstimate::Hint { left, .. }) => left * stats.classes.growth(),
        Some(SizeEstimate::Dirs { class, unknown, .. }) if stats.classes.knows(class) => {
            stats.classes.mean(class, unknown)
        }
        _ => return UNKNOWN * stats.page / names.powf(0.25),
    };
    2.0 * all / names
}

/// The rest of the child that `from` is in, or the keys before the first child.
fn head(listing: &PrefixListing, from: &str, front: Option<Segment>, unknown: f64) -> Segment {
    let mut head = match (listing.child(from), front) {
        (Some(child), Some(front)) if front.dir >= child.len() && from.starts_with(front.dir()) => {
            front
        }
        (Some(child), _) => Segment::directory(child, unknown),
        (None, front) => {
            let keys = SizeEstimate::Plain(listing.plain as f64);
            let mut flat = Segment::new(
                listing.dir.to_owned(),
                listing.dir.len(),
                keys,
                Strategy::Interpolate,
            );
            if let Some(front) = front.filter(|_| listing.is_flat()) {
                flat.counted = front.counted;
                flat.sample = front.sample;
            }
            flat
        }
    };
    head.begin(from.max(listing.dir));
    head.partial = true;
    head
}

/// Appends the directories `names`, so many together, and what was known `deeper` in them.
fn merge<'a>(
    new: &mut Vec<Segment>,
    names: impl Iterator<Item = &'a str>,
    deeper: impl Iterator<Item = Segment>,
    dir: usize,
    group: f64,
    unknown: f64,
) {
    let mut deeper = deeper.peekable();
    let mut grouped = 0.0;
    for name in names {
        while let Some(old) = deeper.next_if(|old| *old.start < *name) {
            new.push(old);
            grouped = 0.0;
        }
        if deeper.peek().is_some_and(|old| *old.start == *name) {
            grouped = 0.0;
            continue;
        }
        grouped += 1.0;
        match new.last_mut() {
            Some(last) if grouped > 1.0 && grouped <= group => last.join(dir),
            _ => {
                new.push(Segment::directory(name, unknown));
                grouped = 1.0;
            }
        }
    }
    new.extend(deeper);
}

/// Has the names tell how names in the directory are made.
fn sample(listing: &PrefixListing, per_name: f64, stats: &mut BucketStats) -> Option<Box<Sample>> {
    let names = listing
        .names
        .iter()
        .filter_map(|name| name.strip_prefix(listing.dir));
    let step = listing.names.len().div_ceil(4 * SAMPLES).max(1);
    let alphabet = stats.alphabet(listing.dir);
    for name in names.clone().step_by(step) {
        alphabet.learn(name);
    }
    Some(Box::new(Sample {
        first: names.clone().next()?.to_owned(),
        last: names.clone().next_back()?.to_owned(),
        keys: per_name * listing.names.len() as f64,
    }))
}
