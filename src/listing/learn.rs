//! What a listing with the delimiter tells of a range.

use super::kinds::kind_of;
use super::land::{Land, Lore, SAMPLES, UNKNOWN};
use super::place::{before, end_of};
use super::segment::{Look, Sample, Segment, Size};
use super::step::Bounds;

/// The answer to a listing with the delimiter.
pub struct Told<'a> {
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

impl Told<'_> {
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

impl Land {
    pub fn learn(&mut self, told: &Told, bounds: Bounds, lore: &mut Lore) {
        let dir = told.dir;
        let from = told.after.max(bounds.cursor);
        let outside = from > dir && !from.starts_with(dir);
        if outside || !before(from, bounds.end) {
            return;
        }
        // What the answer is about is taken out, and put together anew.
        let first = if from > bounds.cursor {
            self.boundary(from, 0.5)
        } else {
            0
        };
        let stop = end_of(dir).filter(|stop| before(stop, bounds.end));
        let past = stop.map_or(self.segments.len(), |stop| self.outer(&stop, dir));
        let tail = self.segments.split_off(past.max(first));
        let mut old = self.segments.split_off(first).into_iter();
        let front = old.next();
        let deeper = old.filter(|old| old.dir > dir.len());
        let per_name = self.per_name(told, lore);
        let unknown = unknown(told, front.as_ref(), lore);
        let mut new = vec![head(told, from, front, unknown)];
        let inside = told.child(from);
        let names = told.names.iter().map(String::as_str);
        let names = names.filter(|&name| {
            name > from && inside.is_none_or(|inside| name > inside) && before(name, bounds.end)
        });
        let last = names.clone().next_back().or(inside);
        let group = per_name.map_or(1.0, |keys| lore.page / 2.0 / keys.max(0.1));
        merge(&mut new, names, deeper, dir.len(), group, unknown);
        let rest = last.and_then(end_of).unwrap_or_else(|| from.to_owned());
        let rest = told.last.max(&rest);
        if new.last().is_some_and(|last| *last.start < *rest)
            && before(rest, bounds.end)
            && !told.is_flat()
        {
            new.push(after_all(told, rest, per_name, unknown, lore));
        }
        self.segments.extend(new);
        self.segments.extend(tail);
        self.study(lore);
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
    fn per_name(&self, told: &Told, lore: &Lore) -> Option<f64> {
        let children = self.recent.keys.iter().filter_map(|key| told.child(key));
        let mut children: Vec<&str> = children.collect();
        let all = children.len();
        children.dedup();
        if all == SAMPLES && children.len() + SAMPLES / 3 > all {
            // Nearly each key was in another one, so there are more of them in a page.
            return Some(self.recent.count / 2.0 / SAMPLES as f64);
        }
        let kind = kind_of(told.names.first()?);
        lore.kinds.knows(kind).then(|| lore.kinds.mean(kind, 0.0))
    }
}

/// What follows the last name or key of the answer.
fn after_all(
    told: &Told,
    start: &str,
    per_name: Option<f64>,
    unknown: f64,
    lore: &mut Lore,
) -> Segment {
    let none = Size::Plain(0.0);
    let mut rest = Segment::new(told.dir.to_owned(), told.dir.len(), none, Look::Guess);
    rest.begin(start);
    rest.partial = true;
    match per_name.filter(|&keys| keys < lore.page / 8.0) {
        _ if !told.truncated => {}
        // Listing them all with the delimiter would take long.
        Some(keys) => rest.sample = sample(told, keys, lore),
        None => {
            rest.look = Look::Probe;
            rest.size = Size::Dirs {
                kind: kind_of(told.dir),
                dirs: 1.0,
                unknown,
            };
        }
    }
    rest
}

/// What a directory of an unknown kind is thought to hold: the more stand
/// together, the less each.
fn unknown(told: &Told, front: Option<&Segment>, lore: &Lore) -> f64 {
    let names = told.names.len().max(1) as f64;
    let all = match front.map(|front| front.size) {
        Some(Size::Hint { left, .. }) => left * lore.kinds.growth(),
        Some(Size::Dirs { kind, unknown, .. }) if lore.kinds.knows(kind) => {
            lore.kinds.mean(kind, unknown)
        }
        _ => return UNKNOWN * lore.page / names.powf(0.25),
    };
    2.0 * all / names
}

/// The rest of the child that `from` is in, or the keys before the first child.
fn head(told: &Told, from: &str, front: Option<Segment>, unknown: f64) -> Segment {
    let mut head = match (told.child(from), front) {
        (Some(child), Some(front)) if front.dir >= child.len() && from.starts_with(front.dir()) => {
            front
        }
        (Some(child), _) => Segment::directory(child, unknown),
        (None, front) => {
            let keys = Size::Plain(told.plain as f64);
            let mut flat = Segment::new(told.dir.to_owned(), told.dir.len(), keys, Look::Guess);
            if let Some(front) = front.filter(|_| told.is_flat()) {
                flat.counted = front.counted;
                flat.sample = front.sample;
            }
            flat
        }
    };
    head.begin(from.max(told.dir));
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
fn sample(told: &Told, per_name: f64, lore: &mut Lore) -> Option<Box<Sample>> {
    let names = told
        .names
        .iter()
        .filter_map(|name| name.strip_prefix(told.dir));
    let step = told.names.len().div_ceil(4 * SAMPLES).max(1);
    let alphabet = lore.alphabet(told.dir);
    for name in names.clone().step_by(step) {
        alphabet.learn(name);
    }
    Some(Box::new(Sample {
        first: names.clone().next()?.to_owned(),
        last: names.clone().next_back()?.to_owned(),
        keys: per_name * told.names.len() as f64,
    }))
}
