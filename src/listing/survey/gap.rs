//! Estimates what is between two listings of a directory, by interpolation.

use super::tree::Dir;
use crate::listing::alphabet::Span;

/// Maximum number of parts that a gap is divided into at a time.
const MAX_PARTS: f64 = 64.0;

/// The entries between two listings, or after the last one.
pub struct Gap<'a> {
    span: Span<'a>,
    /// Whether the end is a position without entries after it.
    missed: bool,
    /// Entries in the listing before the gap.
    listed: f64,
}

impl Gap<'_> {
    /// Returns the maximum number of entries.
    pub fn most(&self) -> f64 {
        let most = self.span.entries();
        if self.missed {
            most.min(self.likely())
        } else {
            most
        }
    }

    /// A gap is expected to be as long as all before it.
    fn likely(&self) -> f64 {
        self.span.so_far() + self.listed
    }

    /// Returns the estimated number of entries.
    pub fn items(&self) -> f64 {
        if self.span.closed {
            self.span.entries()
        } else {
            (self.span.entries() / 2.0).min(self.likely())
        }
    }

    /// Returns names to list from next, which divide it into gaps of about `goal` entries.
    pub fn names(&self, goal: f64) -> Vec<String> {
        let span = self.span.numbers();
        let goal = goal.max(self.listed) / self.span.density;
        let ahead = (7.0 * self.span.so_far() / self.span.density).max(goal);
        let distances: Vec<f64> = if self.span.closed {
            let most = (span / goal).ceil().min(MAX_PARTS);
            let part = span / most;
            (1..most as usize).map(|turn| turn as f64 * part).collect()
        } else if ahead < span {
            vec![ahead, ahead * 8.0]
        } else {
            vec![span / 2.0]
        };
        let within = |ahead: &f64| *ahead >= 1.0 && *ahead < span;
        let names = distances.into_iter().filter(within);
        names.map(|ahead| self.span.name(ahead)).collect()
    }

    /// Returns `count` names at about equal distances.
    pub fn divide(&self, count: usize) -> Vec<String> {
        let items = self.items();
        let ahead = |turn: usize| items * turn as f64 / (count + 1) as f64 / self.span.density;
        let names = (1..=count).map(|turn| self.span.name(ahead(turn)));
        names.collect()
    }
}

impl Dir {
    /// Returns the gap after a listing, if it may contain entries.
    pub fn gap(&self, index: usize) -> Option<Gap<'_>> {
        let list = &self.listings[index];
        let next = self.listings.get(index + 1);
        if !list.truncated || next.is_some_and(|next| next.after <= list.last) {
            return None;
        }
        let (first, last) = (self.name_of(&list.first)?, self.name_of(&list.last)?);
        let far = next.and_then(|next| self.name_of(&next.after));
        let mut span = self.alphabet.span(last, first, last, far)?;
        let mut density = list.count / span.distance(first, last).max(1.0);
        let hit = next.filter(|next| next.count > 0.0);
        if let Some(next) = hit
            && let Some(first) = self.name_of(&next.first)
            && let Some(last) = self.name_of(&next.last)
        {
            span.closed = span.ends_near(first);
            let distance = span.distance(first, last);
            if span.closed && distance > 0.0 {
                density = density.midpoint(next.count / distance);
            }
        }
        Some(Gap {
            missed: next.is_some() && !span.closed,
            span: span.with_density(density),
            listed: list.count,
        })
    }

    /// Returns the part of a position below this directory.
    fn name_of<'a>(&self, position: &'a str) -> Option<&'a str> {
        position.strip_prefix(self.name.as_str())
    }
}
