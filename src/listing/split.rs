//! Chooses where to split a range, or which directory to probe to find out.

use super::model::{BucketStats, RangeModel};
use super::position::{flat_before, is_before, parent_dir, sendable};
use super::segment::{Bounds, SizeEstimate, Strategy};

/// A range with a smaller estimate, in pages, is not split.
pub const MIN_PAGES: f64 = 2.0;

/// Below this estimate, in pages, a probe costs more than it saves.
const MIN_PAGES_TO_PROBE: f64 = 3.0;

/// How to let another connection take part of a range.
#[derive(Debug)]
pub enum SplitStep {
    /// End the range at `position`; `known` if that is a key that was seen, or if a directory
    /// that was seen begins there.
    Split {
        position: String,
        known: bool,
        /// The part of the split segment that comes after `position`.
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
    /// Returns the estimated number of keys left in each segment.
    pub fn estimates(&self, bounds: Bounds, stats: &BucketStats) -> Vec<f64> {
        let segments = 0..self.segments.len();
        segments
            .map(|index| self.left(index, bounds, stats))
            .collect()
    }

    fn left(&self, index: usize, bounds: Bounds, stats: &BucketStats) -> f64 {
        let segment = &self.segments[index];
        let counted = segment.counted;
        let estimate = match segment.size {
            SizeEstimate::Histogram { left, .. } => {
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
        if stats.strategy(segment) == Strategy::Interpolate
            && let Some(interpolation) = self.interpolation(index, bounds, stats)
        {
            return interpolation.keys(stats.page);
        }
        // A segment that has been long is expected to remain so.
        estimate.max(counted / 2.0)
    }

    /// Chooses a split with about `goal` of the keys left after it, while a page at the
    /// front is in flight. If connections are `spare`, a probe costs nothing.
    pub fn choose_split(
        &mut self,
        goal: f64,
        spare: bool,
        bounds: Bounds,
        stats: &BucketStats,
    ) -> SplitStep {
        let estimates = self.estimates(bounds, stats);
        let all: f64 = estimates.iter().sum();
        // The segment that contains the goal, and the segment start nearest to it.
        let mut middle = (0, 0.0);
        let mut best: Option<(usize, f64)> = None;
        let mut after = 0.0;
        for index in (0..estimates.len()).rev() {
            if after < goal {
                middle = (index, after);
            }
            after += estimates[index];
            let closer = |(_, share): (usize, f64)| (after - goal).abs() < (share - goal).abs();
            if index > 0
                && all - after >= stats.page
                && self.inside(&self.segments[index].start, bounds)
                && best.is_none_or(closer)
            {
                best = Some((index, after));
            }
        }
        let near = |share: f64, by: f64| (share - goal).abs() <= goal * by;
        if let Some((index, _)) = best.filter(|&(_, share)| near(share, 0.1)) {
            return self.split_before(index, bounds);
        }
        let (index, after) = middle;
        let share = (goal - after) / estimates[index];
        let pages = estimates[index] / stats.page;
        let large = pages >= MIN_PAGES;
        let measured = matches!(self.segments[index].size, SizeEstimate::Histogram { .. });
        if large
            && measured
            && stats.strategy(&self.segments[index]) == Strategy::Interpolate
            && let Some(step) = self.split_within(index, share, bounds, stats)
        {
            return step;
        }
        if let Some((index, _)) = best.filter(|&(_, share)| near(share, 0.5)) {
            return self.split_before(index, bounds);
        }
        // The size that an earlier run saw is rarely off by a factor of two.
        let worth = if spare && !measured {
            1.0
        } else {
            MIN_PAGES_TO_PROBE
        };
        let step = match stats.strategy(&self.segments[index]) {
            Strategy::ListPrefixes if pages >= worth => self.probe(index, bounds.cursor),
            Strategy::Pending if large && index == 0 => self.deeper(bounds.cursor),
            Strategy::Interpolate if large => self.split_within(index, share, bounds, stats),
            _ => None,
        };
        if let Some(step) = step {
            return step;
        }
        match best {
            Some((index, share)) if share >= stats.page => self.split_before(index, bounds),
            _ => SplitStep::Nothing,
        }
    }

    fn inside(&self, position: &str, bounds: Bounds) -> bool {
        position > bounds.cursor
            && *position > *self.segments[0].start
            && is_before(position, bounds.end)
    }

    fn split_before(&self, index: usize, bounds: Bounds) -> SplitStep {
        let start = sendable(&self.segments[index].start);
        // An end can be believed if the range starts beside directories, not inside one.
        let beside = flat_before(parent_dir("", start), start);
        let is_free = *beside > *self.segments[index - 1].start && self.inside(&beside, bounds);
        let position = if start.ends_with('/') && is_free {
            beside
        } else if self.inside(start, bounds) {
            start.to_owned()
        } else {
            return SplitStep::Nothing;
        };
        SplitStep::Split {
            position,
            known: true,
            share: 0.0,
        }
    }

    fn split_within(
        &self,
        index: usize,
        share: f64,
        bounds: Bounds,
        stats: &BucketStats,
    ) -> Option<SplitStep> {
        let interpolation = self.interpolation(index, bounds, stats)?;
        let flight = if index == 0 { stats.page } else { 0.0 };
        let name = interpolation.name_at(share, flight, stats.page)?;
        let position = format!("{}{name}", self.segments[index].dir());
        let position = sendable(&position);
        self.inside(position, bounds).then(|| SplitStep::Split {
            position: position.to_owned(),
            known: false,
            share,
        })
    }

    fn probe(&mut self, index: usize, cursor: &str) -> Option<SplitStep> {
        let segment = &mut self.segments[index];
        segment.strategy = Strategy::Pending;
        if index == 0 {
            self.probed_dir = self.probed_dir.max(segment.dir);
        }
        let (dir, after) = (segment.dir(), segment.start.as_str().max(cursor));
        probe(dir, after)
    }

    /// While the directory around the cursor is being probed, probes the next deeper one.
    fn deeper(&mut self, cursor: &str) -> Option<SplitStep> {
        let deep = self.probed_dir.max(self.segments[0].dir);
        let next = cursor.get(deep..)?.find('/')? + deep + 1;
        // A page that spans several such directories makes a probe worthless.
        if next > self.page_dir {
            return None;
        }
        self.probed_dir = next;
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
