//! Estimates what is between two listings of a directory, by interpolation.

use super::tree::Dir;
use crate::listing::alphabet::Scale;

/// Maximum number of parts that a gap is divided into at a time.
const MAX_PARTS: f64 = 64.0;

/// The entries between two listings, or after the last one.
pub struct Gap<'a> {
    scale: Scale<'a>,
    from: u128,
    to: u128,
    /// Entries per number.
    density: f64,
    /// Whether an entry is known near the end.
    closed: bool,
    /// Whether the end is a position without entries after it.
    missed: bool,
    so_far: f64,
    list: f64,
}

impl Gap<'_> {
    /// Returns the maximum number of entries.
    pub fn most(&self) -> f64 {
        let most = self.to.saturating_sub(self.from) as f64 * self.density;
        if self.missed {
            most.min(self.likely())
        } else {
            most
        }
    }

    /// A gap is expected to be as long as all before it.
    fn likely(&self) -> f64 {
        self.so_far + self.list
    }

    /// Returns the estimated number of entries.
    pub fn items(&self) -> f64 {
        let span = self.to.saturating_sub(self.from) as f64 * self.density;
        if self.closed {
            span
        } else {
            (span / 2.0).min(self.likely())
        }
    }

    /// Returns names to list from next, which divide it into gaps of about `goal` entries.
    pub fn names(&self, goal: f64) -> Vec<String> {
        let span = self.to.saturating_sub(self.from) as f64;
        let goal = goal.max(self.list) / self.density;
        let ahead = (7.0 * self.so_far / self.density).max(goal);
        let distances: Vec<f64> = if self.closed {
            let most = (span / goal).ceil().min(MAX_PARTS);
            let part = span / most;
            (1..most as usize).map(|turn| turn as f64 * part).collect()
        } else if ahead < span {
            vec![ahead, ahead * 8.0]
        } else {
            vec![span / 2.0]
        };
        let within = |ahead: &f64| *ahead >= 1.0 && *ahead < span;
        let name = |ahead: f64| self.scale.name(self.from + ahead as u128);
        distances.into_iter().filter(within).map(name).collect()
    }

    /// Returns `count` names at about equal distances.
    pub fn divide(&self, count: usize) -> Vec<String> {
        let items = self.items();
        let ahead = |turn: usize| items * turn as f64 / (count + 1) as f64 / self.density;
        let names = (1..=count).map(|turn| self.scale.name(self.from + ahead(turn) as u128));
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
        let tail = |position: &'_ str| position.strip_prefix(self.name.as_str()).map(str::to_owned);
        let (first, last) = (tail(&list.first)?, tail(&list.last)?);
        let far = next.and_then(|next| tail(&next.after));
        let scale = self.alphabet.scale(&last, &first, &last, far.as_deref())?;
        let from = scale.number(&last);
        let to = far.as_deref().map_or(scale.size(), |far| scale.number(far));
        let mut density = list.count / scale.span(&first, &last).max(1) as f64;
        let hit = next.filter(|next| next.count > 0.0);
        let ends = hit.and_then(|next| Some((next, tail(&next.first)?, tail(&next.last)?)));
        let mut closed = false;
        if let Some((next, first, last)) = ends {
            let hole = scale.number(&first).saturating_sub(to);
            closed = hole <= to.saturating_sub(from) / 8;
            let span = scale.span(&first, &last);
            if closed && span > 0 {
                density = density.midpoint(next.count / span as f64);
            }
        }
        Some(Gap {
            so_far: self.alphabet.distance_from_first(&scale, from) as f64 * density,
            scale,
            from,
            to,
            density: density.max(f64::MIN_POSITIVE),
            closed,
            missed: next.is_some() && !closed,
            list: list.count,
        })
    }
}
