//! Coverage: which intervals of a key space are done, and the gaps between.
//!
//! An interval `(after, through]` holds every key k with after < k ≤ through
//! in byte order; `None` as `after` is the start of the space, as `through`
//! its end. Intervals that touch are one.

use std::fmt;

use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};

/// The keys after the first bound (exclusive) through the second (inclusive).
///
/// Both bounds have to be written: one that is missing is not `null`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Interval {
    #[serde(deserialize_with = "Option::deserialize")]
    pub after: Option<String>,
    #[serde(deserialize_with = "Option::deserialize")]
    pub through: Option<String>,
}

impl Interval {
    pub fn new(after: Option<String>, through: Option<String>) -> Self {
        Self { after, through }
    }

    fn is_empty(&self) -> bool {
        matches!((&self.after, &self.through), (Some(after), Some(through)) if after >= through)
    }
}

impl fmt::Display for Interval {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.after, &self.through) {
            (None, None) => f.write_str("everything"),
            (None, Some(through)) => write!(f, "from the start through {through:?}"),
            (Some(after), None) => write!(f, "after {after:?} to the end"),
            (Some(after), Some(through)) => write!(f, "after {after:?} through {through:?}"),
        }
    }
}

/// A set of keys as disjoint intervals in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Coverage {
    #[serde(deserialize_with = "in_order")]
    intervals: Vec<Interval>,
}

/// Reads intervals that are disjoint and in order, as they are written.
fn in_order<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Interval>, D::Error> {
    let intervals = Vec::<Interval>::deserialize(from)?;
    let wrong = |interval: &Interval, why| {
        let Interval { after, through } = interval;
        D::Error::custom(format!("the interval {after:?} to {through:?} {why}"))
    };
    if let Some(empty) = intervals.iter().find(|interval| interval.is_empty()) {
        return Err(wrong(empty, "ends before it begins"));
    }
    let apart = |two: &[Interval]| match (&two[0].through, &two[1].after) {
        (Some(through), Some(after)) => through <= after,
        _ => false,
    };
    match intervals.windows(2).find(|two| !apart(two)) {
        Some(two) => Err(wrong(&two[1], "overlaps the one before it")),
        None => Ok(intervals),
    }
}

/// Returns whether an interval that ends at `through` reaches one that begins at `after`.
fn reaches(through: Option<&String>, after: Option<&String>) -> bool {
    match (through, after) {
        (None, _) | (_, None) => true,
        (Some(through), Some(after)) => through >= after,
    }
}

impl Coverage {
    /// Adds `interval`, merging it with those that it touches.
    pub fn insert(&mut self, interval: Interval) {
        if interval.is_empty() {
            return;
        }
        let first = self
            .intervals
            .partition_point(|old| !reaches(old.through.as_ref(), interval.after.as_ref()));
        let last = self
            .intervals
            .partition_point(|old| reaches(interval.through.as_ref(), old.after.as_ref()))
            .max(first);
        let mut merged = interval;
        for old in &self.intervals[first..last] {
            merged.after = merged.after.min(old.after.clone());
            merged.through = match (merged.through, &old.through) {
                (Some(a), Some(b)) => Some(a.max(b.clone())),
                _ => None,
            };
        }
        self.intervals.splice(first..last, [merged]);
    }

    /// Returns the parts of `whole` that are not covered, in order.
    pub fn gaps(&self, whole: &Interval) -> Vec<Interval> {
        let mut gaps = Vec::new();
        let mut after = whole.after.clone();
        let is_before = |done: &Interval| done.through.is_some() && done.through <= whole.after;
        let first = self.intervals.partition_point(is_before);
        for done in &self.intervals[first..] {
            if whole.through.is_some() && done.after >= whole.through {
                break;
            }
            if done.after > after {
                let through = match (&done.after, &whole.through) {
                    (Some(a), Some(b)) => Some(a.min(b).clone()),
                    (bound, _) => bound.clone(),
                };
                let gap = Interval::new(after.clone(), through);
                if !gap.is_empty() {
                    gaps.push(gap);
                }
            }
            match &done.through {
                None => return gaps,
                Some(through) if after.as_ref().is_none_or(|a| through > a) => {
                    after = Some(through.clone());
                }
                Some(_) => {}
            }
        }
        let rest = Interval::new(after, whole.through.clone());
        if !rest.is_empty() {
            gaps.push(rest);
        }
        gaps
    }

    /// Returns the gaps in a part of the space; `None` is all of it.
    #[must_use]
    pub fn gaps_of(&self, part: Option<&[Interval]>) -> Vec<Interval> {
        match part {
            None => self.gaps(&Interval::new(None, None)),
            Some(part) => part.iter().flat_map(|part| self.gaps(part)).collect(),
        }
    }

    /// Takes `interval` out.
    pub fn remove(&mut self, interval: Interval) {
        let mut removed = Self::default();
        removed.insert(interval);
        let old = std::mem::take(&mut self.intervals);
        self.intervals = old.iter().flat_map(|old| removed.gaps(old)).collect();
    }

    /// Returns whether `key` is covered.
    pub fn holds(&self, key: &str) -> bool {
        let at = self.intervals.partition_point(|interval| {
            let through = interval.through.as_deref();
            through.is_some_and(|through| through < key)
        });
        let interval = self.intervals.get(at);
        interval.is_some_and(|interval| interval.after.as_deref().is_none_or(|after| after < key))
    }

    /// Returns whether nothing is covered.
    pub fn is_empty(&self) -> bool {
        self.intervals.is_empty()
    }

    /// Returns the intervals in order; none touches the next.
    pub fn intervals(&self) -> &[Interval] {
        &self.intervals
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(bound: &str) -> Option<String> {
        (!bound.is_empty()).then(|| bound.to_owned())
    }

    fn interval(after: &str, through: &str) -> Interval {
        Interval::new(at(after), at(through))
    }

    fn of(pairs: &[(&str, &str)]) -> Coverage {
        let mut coverage = Coverage::default();
        for (after, through) in pairs {
            coverage.insert(interval(after, through));
        }
        coverage
    }

    #[test]
    fn adjacent_intervals_are_merged() {
        let expected = of(&[("a", "d")]);
        for order in [
            [("a", "b"), ("b", "c"), ("c", "d")],
            [("c", "d"), ("a", "b"), ("b", "c")],
            [("a", "c"), ("b", "d"), ("b", "c")],
        ] {
            assert_eq!(of(&order), expected);
        }
        assert_eq!(of(&[("a", "b"), ("c", "d")]).intervals.len(), 2);
    }

    #[test]
    fn empty_intervals_change_nothing() {
        assert!(of(&[("b", "b"), ("c", "a")]).is_empty());
    }

    #[test]
    fn gaps_and_coverage_add_up_to_the_whole() {
        let whole = interval("", "");
        let done = of(&[("b", "c"), ("e", "f")]);
        let gaps = done.gaps(&whole);
        assert_eq!(
            gaps,
            [interval("", "b"), interval("c", "e"), interval("f", "")]
        );
        let mut all = done.clone();
        for gap in gaps {
            all.insert(gap);
        }
        assert_eq!(all, of(&[("", "")]));
        assert!(all.gaps(&whole).is_empty());
    }

    #[test]
    fn a_removed_interval_is_a_gap() {
        let mut done = of(&[("", "c"), ("d", "")]);
        done.remove(interval("b", "f"));
        assert_eq!(done, of(&[("", "b"), ("f", "")]));
        done.remove(interval("", ""));
        assert!(done.is_empty());
    }

    #[test]
    fn gaps_stay_within_the_whole() {
        let done = of(&[("", "b"), ("d", "e"), ("x", "")]);
        assert_eq!(
            done.gaps(&interval("a", "m")),
            [interval("b", "d"), interval("e", "m")]
        );
        assert_eq!(done.gaps(&interval("y", "")), []);
        assert_eq!(done.gaps(&interval("d", "e")), []);
    }

    /// Every order of inserting the pages of a listing, with overlaps, ends
    /// in the same set as a plain set of keys does.
    #[test]
    fn agrees_with_a_set_of_keys() {
        let keys: Vec<String> = ('a'..='j').map(String::from).collect();
        let mut seed = fastrand::Rng::with_seed(7);
        for _ in 0..2000 {
            let mut coverage = Coverage::default();
            let mut set = std::collections::BTreeSet::new();
            for _ in 0..seed.usize(1..6) {
                let (a, b) = (seed.usize(0..11), seed.usize(0..11));
                let bound = |i: usize| (i > 0).then(|| keys[i - 1].clone());
                let through = if b == 0 { None } else { bound(b) };
                let new = Interval::new(bound(a), through.clone());
                for key in &keys {
                    let below = through.as_ref().is_none_or(|t| key <= t);
                    if new.after.as_ref().is_none_or(|after| key > after) && below {
                        set.insert(key.clone());
                    }
                }
                coverage.insert(new);
            }
            let gaps = coverage.gaps(&interval("", ""));
            for key in &keys {
                let missing = gaps.iter().any(|gap| {
                    gap.after.as_ref().is_none_or(|after| key > after)
                        && gap.through.as_ref().is_none_or(|through| key <= through)
                });
                assert_eq!(missing, !set.contains(key), "{coverage:?} {key}");
            }
        }
    }
}
