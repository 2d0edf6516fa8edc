//! Where to cut a range in two, or what to ask to know.

use super::land::{Land, Lore};
use super::place::{before, clean};
use super::segment::{Look, Size};

/// What is thought to hold fewer pages than this is left whole.
pub const FEWEST: f64 = 2.0;

/// For fewer pages than this a request that only says where to cut is too many.
const WORTH_ASKING: f64 = 3.0;

/// What to do to have a range shared.
#[derive(Debug)]
pub enum Step {
    /// Have the range end at `place`, where keys are known to be or not.
    Cut {
        place: String,
        known: bool,
        /// Of a segment that is cut, what lies behind.
        share: f64,
    },
    /// List a directory with the delimiter.
    Probe {
        dir: String,
        after: String,
    },
    Nothing,
}

/// The range that a step is for.
#[derive(Clone, Copy)]
pub struct Bounds<'a> {
    pub cursor: &'a str,
    pub end: Option<&'a str>,
}

impl<'a> Bounds<'a> {
    pub fn new(cursor: Option<&'a str>, end: Option<&'a str>) -> Self {
        let cursor = cursor.unwrap_or_default();
        Self { cursor, end }
    }
}

impl Land {
    /// What is thought to be left of each segment.
    pub fn estimates(&self, bounds: Bounds, lore: &Lore) -> Vec<f64> {
        let segments = 0..self.segments.len();
        segments
            .map(|index| self.left(index, bounds, lore))
            .collect()
    }

    fn left(&self, index: usize, bounds: Bounds, lore: &Lore) -> f64 {
        let segment = &self.segments[index];
        let counted = segment.counted;
        let thought = match segment.size {
            Size::Hint { left, .. } => {
                return (left * lore.kinds.growth()).max(counted / 4.0);
            }
            Size::Dirs {
                kind,
                dirs,
                unknown,
            } => {
                let mean = lore.kinds.mean(kind, unknown) * dirs;
                (mean - counted).max(mean / 2.0)
            }
            Size::Plain(keys) => keys - counted,
        };
        if lore.look(segment) == Look::Guess
            && let Some(guess) = self.guess(index, bounds, lore)
        {
            return guess.keys(lore.page);
        }
        // What has gone on for long is thought to go on.
        thought.max(counted / 2.0)
    }

    /// How to have about `goal` of the keys left behind a cut, when a page at
    /// the front is on its way; `spare` connections have nothing else to ask.
    pub fn step(&mut self, goal: f64, spare: bool, bounds: Bounds, lore: &Lore) -> Step {
        let estimates = self.estimates(bounds, lore);
        let all: f64 = estimates.iter().sum();
        // The segment that the goal falls into, and the boundary nearest to it.
        let mut middle = (0, 0.0);
        let mut best: Option<(usize, f64)> = None;
        let mut behind = 0.0;
        for index in (0..estimates.len()).rev() {
            if behind < goal {
                middle = (index, behind);
            }
            behind += estimates[index];
            let closer = |(_, share): (usize, f64)| (behind - goal).abs() < (share - goal).abs();
            if index > 0
                && all - behind >= lore.page
                && self.inside(&self.segments[index].start, bounds)
                && best.is_none_or(closer)
            {
                best = Some((index, behind));
            }
        }
        let near = |share: f64, by: f64| (share - goal).abs() <= goal * by;
        if let Some((index, _)) = best.filter(|&(_, share)| near(share, 0.1)) {
            return self.cut_before(index, bounds);
        }
        let (index, behind) = middle;
        let share = (goal - behind) / estimates[index];
        let pages = estimates[index] / lore.page;
        let large = pages >= FEWEST;
        let hint = matches!(self.segments[index].size, Size::Hint { .. });
        if large
            && hint
            && lore.look(&self.segments[index]) == Look::Guess
            && let Some(step) = self.cut_within(index, share, bounds, lore)
        {
            return step;
        }
        if let Some((index, _)) = best.filter(|&(_, share)| near(share, 0.5)) {
            return self.cut_before(index, bounds);
        }
        // What an earlier run saw is seldom twice as much.
        let worth = if spare && !hint { 1.0 } else { WORTH_ASKING };
        let step = match lore.look(&self.segments[index]) {
            Look::Probe if pages >= worth => self.probe(index, bounds.cursor),
            Look::Probing if large && index == 0 => self.deeper(bounds.cursor),
            Look::Guess if large => self.cut_within(index, share, bounds, lore),
            _ => None,
        };
        if let Some(step) = step {
            return step;
        }
        match best {
            Some((index, share)) if share >= lore.page => self.cut_before(index, bounds),
            _ => Step::Nothing,
        }
    }

    fn inside(&self, place: &str, bounds: Bounds) -> bool {
        place > bounds.cursor && *place > *self.segments[0].start && before(place, bounds.end)
    }

    fn cut_before(&self, index: usize, bounds: Bounds) -> Step {
        let place = clean(&self.segments[index].start);
        if !self.inside(place, bounds) {
            return Step::Nothing;
        }
        Step::Cut {
            place: place.to_owned(),
            known: true,
            share: 0.0,
        }
    }

    fn cut_within(&self, index: usize, share: f64, bounds: Bounds, lore: &Lore) -> Option<Step> {
        let guess = self.guess(index, bounds, lore)?;
        let flight = if index == 0 { lore.page } else { 0.0 };
        let name = guess.place(share, flight, lore.page)?;
        let place = format!("{}{name}", self.segments[index].dir());
        let place = clean(&place);
        self.inside(place, bounds).then(|| Step::Cut {
            place: place.to_owned(),
            known: false,
            share,
        })
    }

    fn probe(&mut self, index: usize, cursor: &str) -> Option<Step> {
        let segment = &mut self.segments[index];
        segment.look = Look::Probing;
        if index == 0 {
            self.deep = self.deep.max(segment.dir);
        }
        let (dir, after) = (segment.dir(), segment.start.as_str().max(cursor));
        probe(dir, after)
    }

    /// While the directory around the cursor is being asked for, the next deeper one.
    fn deeper(&mut self, cursor: &str) -> Option<Step> {
        let deep = self.deep.max(self.segments[0].dir);
        let next = cursor.get(deep..)?.find('/')? + deep + 1;
        // What a page has more than one of is not worth a request.
        if next > self.narrow {
            return None;
        }
        self.deep = next;
        probe(&cursor[..next], cursor)
    }
}

fn probe(dir: &str, after: &str) -> Option<Step> {
    let carried = clean(dir) == dir && clean(after) == after;
    carried.then(|| Step::Probe {
        dir: dir.to_owned(),
        after: after.to_owned(),
    })
}
