//! Refines a range's segments with a listing that used the delimiter.

use super::dir_class::dir_class;
use super::model::{BucketStats, RangeModel, SAMPLE_KEYS, UNKNOWN_PAGES};
use super::position::{dir_end, is_before};
use super::segment::{Bounds, Segment, SegmentSample, SizeEstimate, Strategy};

/// The response to a listing with the delimiter.
pub struct PrefixListing<'a> {
    pub dir: &'a str,
    pub after: &'a str,
    /// The common prefixes.
    pub names: &'a [String],
    /// The number of keys beside them.
    pub plain: usize,
    /// The last key or common prefix.
    pub last: &'a str,
    pub truncated: bool,
}

impl PrefixListing<'_> {
    /// Returns the directory directly below this one that contains `position`.
    fn child<'p>(&self, position: &'p str) -> Option<&'p str> {
        let slash = position.strip_prefix(self.dir)?.find('/')?;
        Some(&position[..=self.dir.len() + slash])
    }

    /// Returns whether the listing is full of keys, without a single directory.
    fn is_flat(&self) -> bool {
        self.names.is_empty() && self.truncated
    }
}

impl RangeModel {
    /// Replaces the segments that a listing with the delimiter covers by what it shows.
    pub fn refine(&mut self, listing: &PrefixListing, bounds: Bounds, stats: &mut BucketStats) {
        let dir = listing.dir;
        let from = listing.after.max(bounds.cursor);
        let outside = from > dir && !from.starts_with(dir);
        if outside || !is_before(from, bounds.end) {
            return;
        }
        // Replaces the segments that the listing covers.
        let first = if from > bounds.cursor {
            self.boundary(from, 0.5)
        } else {
            0
        };
        let stop = dir_end(dir).filter(|stop| is_before(stop, bounds.end));
        let past = stop.map_or(self.segments.len(), |stop| self.index_after_dir(&stop, dir));
        let tail = self.segments.split_off(past.max(first));
        let mut old = self.segments.split_off(first).into_iter();
        let front = old.next();
        let deeper = old.filter(|old| old.dir > dir.len());
        let per_name = self.per_name(listing, stats);
        let unknown = unknown(listing, front.as_ref(), stats);
        let mut new = vec![head_segment(listing, from, front, unknown)];
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
            new.push(tail_segment(listing, rest, per_name, unknown, stats));
        }
        self.segments.extend(new);
        self.segments.extend(tail);
        self.learn_alphabet(stats);
    }

    /// Returns the index of the first segment after `stop`, the end of `dir`.
    fn index_after_dir(&mut self, stop: &str, dir: &str) -> usize {
        let at = self
            .segments
            .partition_point(|segment| *segment.start < *stop);
        match at.checked_sub(1).map(|last| &self.segments[last]) {
            Some(last) if !last.dir().starts_with(dir) => self.boundary(stop, 0.5),
            _ => at,
        }
    }

    /// Returns the estimated number of keys per common prefix.
    fn per_name(&self, listing: &PrefixListing, stats: &BucketStats) -> Option<f64> {
        let children = self
            .last_page
            .keys
            .iter()
            .filter_map(|key| listing.child(key));
        let mut children: Vec<&str> = children.collect();
        let all = children.len();
        children.dedup();
        if all == SAMPLE_KEYS && children.len() + SAMPLE_KEYS / 3 > all {
            // Nearly every sampled key was in a directory of its own, so a page has more of
            // them.
            return Some(self.last_page.count / 2.0 / SAMPLE_KEYS as f64);
        }
        let class = dir_class(listing.names.first()?);
        stats
            .classes
            .is_known(class)
            .then(|| stats.classes.mean(class, 0.0))
    }
}

/// Returns the segment after the last key or common prefix of the listing.
fn tail_segment(
    listing: &PrefixListing,
    start: &str,
    per_name: Option<f64>,
    unknown: f64,
    stats: &mut BucketStats,
) -> Segment {
    let empty = SizeEstimate::Plain(0.0);
    let mut rest = Segment::new(
        listing.dir.to_owned(),
        listing.dir.len(),
        empty,
        Strategy::Interpolate,
    );
    rest.start_at(start);
    rest.partial = true;
    match per_name.filter(|&keys| keys < stats.page / 8.0) {
        _ if !listing.truncated => {}
        // Listing all common prefixes would take too many requests.
        Some(keys) => rest.sample = sample(listing, keys, stats),
        None => {
            rest.strategy = Strategy::ListPrefixes;
            rest.size = SizeEstimate::Dirs {
                class: dir_class(listing.dir),
                dirs: 1.0,
                unknown,
            };
        }
    }
    rest
}

/// Returns the estimate for a directory of an unknown class: the more siblings, the
/// smaller.
fn unknown(listing: &PrefixListing, front: Option<&Segment>, stats: &BucketStats) -> f64 {
    let names = listing.names.len().max(1) as f64;
    let all = match front.map(|front| front.size) {
        Some(SizeEstimate::Histogram { left, .. }) => left * stats.classes.growth(),
        Some(SizeEstimate::Dirs { class, unknown, .. }) if stats.classes.is_known(class) => {
            stats.classes.mean(class, unknown)
        }
        _ => return UNKNOWN_PAGES * stats.page / names.powf(0.25),
    };
    2.0 * all / names
}

/// Returns the rest of the child that contains `from`, or the keys before the first child.
fn head_segment(
    listing: &PrefixListing,
    from: &str,
    front: Option<Segment>,
    unknown: f64,
) -> Segment {
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
    head.start_at(from.max(listing.dir));
    head.partial = true;
    head
}

/// Appends the directories `names`, grouped, and keeps the segments `deeper` in them.
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
            Some(last) if grouped > 1.0 && grouped <= group => last.add_dir(dir),
            _ => {
                new.push(Segment::directory(name, unknown));
                grouped = 1.0;
            }
        }
    }
    new.extend(deeper);
}

/// Learns the directory's alphabet from its common prefixes.
fn sample(
    listing: &PrefixListing,
    per_name: f64,
    stats: &mut BucketStats,
) -> Option<Box<SegmentSample>> {
    let names = listing
        .names
        .iter()
        .filter_map(|name| name.strip_prefix(listing.dir));
    let step = listing.names.len().div_ceil(4 * SAMPLE_KEYS).max(1);
    let alphabet = stats.alphabet(listing.dir);
    for name in names.clone().step_by(step) {
        alphabet.add(name);
    }
    Some(Box::new(SegmentSample {
        first: names.clone().next()?.to_owned(),
        last: names.clone().next_back()?.to_owned(),
        keys: per_name * listing.names.len() as f64,
    }))
}
