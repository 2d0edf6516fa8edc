//! Where to cut a range in two, or what to ask to know.

use super::model::{BucketStats, RangeModel};
use super::position::{is_before, sendable};
use super::segment::{Bounds, SizeEstimate, Strategy};

/// What is thought to hold fewer pages than this is left whole.
pub const FEWEST: f64 = 2.0;

/// For fewer pages than this a request that only says where to cut is too many.
const WORTH_ASKING: f64 = 3.0;

/// What to do to have a range shared.
#[derive(Debug)]
pub enum SplitStep {
    /// Have the range end at `place`, where keys are known to be or not.
    Split {
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

impl RangeModel {
    /// What is thought to be left of each segment.
    pub fn estimates(&self, bounds: Bounds, stats: &BucketStats) -> Vec<f64> {
        let segments = 0..self.segments.len();
        segments
            .map(|index| self.left(index, bounds, stats))
            .collect()
    }

    fn left(&self, index: usize, bounds: Bounds, stats: &BucketStats) -> f64 {
        let segment = &self.segments[index];
        let counted = segment.counted;
        let thought = match segment.size {
            SizeEstimate::Hint { left, .. } => {
                return (left * stats.classes.growth()).max(counted / 4.0);
            }
            SizeEstimate::Dirs {
                class,
                dirs,
                unknown,
            } => {
                let mean = stats.classes.mean(class, unknown) * dirs;
                (mean - counted).max(mean / 2.0)
            }
            SizeEstimate::Plain(keys) => keys - counted,
        };
        if stats.look(segment) == Strategy::Interpolate
            && let Some(guess) = self.guess(index, bounds, stats)
        {
            return guess.keys(stats.page);
        }
        // What has gone on for long is thought to go on.
        thought.max(counted / 2.0)
    }

    /// How to have about `goal` of the keys left behind a cut, when a page at
    /// the front is on its way; `spare` connections have nothing else to ask.
    pub fn step(
        &mut self,
        goal: f64,
        spare: bool,
        bounds: Bounds,
        stats: &BucketStats,
    ) -> SplitStep {
        let estimates = self.estimates(bounds, stats);
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
                && all - behind >= stats.page
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
        let pages = estimates[index] / stats.page;
        let large = pages >= FEWEST;
        let hint = matches!(self.segments[index].size, SizeEstimate::Hint { .. });
        if large
            && hint
            && stats.look(&self.segments[index]) == Strategy::Interpolate
            && let Some(step) = self.cut_within(index, share, bounds, stats)
        {
            return step;
        }
        if let Some((index, _)) = best.filter(|&(_, share)| near(share, 0.5)) {
            return self.cut_before(index, bounds);
        }
        // What an earlier run saw is seldom twice as much.
        let worth = if spare && !hint { 1.0 } else { WORTH_ASKING };
        let step = match stats.look(&self.segments[index]) {
            Strategy::ListPrefixes if pages >= worth => self.probe(index, bounds.cursor),
            Strategy::Pending if large && index == 0 => self.deeper(bounds.cursor),
            Strategy::Interpolate if large => self.cut_within(index, share, bounds, stats),
            _ => None,
        };
        if let Some(step) = step {
            return step;
        }
        match best {
            Some((index, share)) if share >= stats.page => self.cut_before(index, bounds),
            _ => SplitStep::Nothing,
        }
    }

    fn inside(&self, place: &str, bounds: Bounds) -> bool {
        place > bounds.cursor && *place > *self.segments[0].start && is_before(place, bounds.end)
    }

    fn cut_before(&self, index: usize, bounds: Bounds) -> SplitStep {
        let place = sendable(&self.segments[index].start);
        if !self.inside(place, bounds) {
            return SplitStep::Nothing;
        }
        SplitStep::Split {
            place: place.to_owned(),
            known: true,
            share: 0.0,
        }
    }

    fn cut_within(
        &self,
        index: usize,
        share: f64,
        bounds: Bounds,
        stats: &BucketStats,
    ) -> Option<SplitStep> {
        let guess = self.guess(index, bounds, stats)?;
        let flight = if index == 0 { stats.page } else { 0.0 };
        let name = guess.place(share, flight, stats.page)?;
        let place = format!("{}{name}", self.segments[index].dir());
        let place = sendable(&place);
        self.inside(place, bounds).then(|| SplitStep::Split {
            place: place.to_owned(),
            known: false,
            share,
        })
    }

    fn probe(&mut self, index: usize, cursor: &str) -> Option<SplitStep> {
        let segment = &mut self.segments[index];
        segment.look = Strategy::Pending;
        if index == 0 {
            self.deep = self.deep.max(segment.dir);
        }
        let (dir, after) = (segment.dir(), segment.start.as_str().max(cursor));
        probe(dir, after)
    }

    /// While the directory around the cursor is being asked for, the next deeper one.
    fn deeper(&mut self, cursor: &str) -> Option<SplitStep> {
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

fn probe(dir: &str, after: &str) -> Option<SplitStep> {
    let carried = sendable(dir) == dir && sendable(after) == after;
    carried.then(|| SplitStep::Probe {
        dir: dir.to_owned(),
        after: after.to_owned(),
    })
}
