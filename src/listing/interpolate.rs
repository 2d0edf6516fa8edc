//! A segment as numbers: how much of it is thought to be left, and the name of
//! a place inside it.

use super::alphabet::Scale;
use super::model::{BucketStats, RangeModel};
use super::segment::{Bounds, SizeEstimate};

pub struct Interpolation<'a> {
    scale: Scale<'a>,
    from: u128,
    to: u128,
    /// Keys a number.
    density: f64,
    /// Whether there are keys near `to`.
    closed: bool,
    /// Whether `to` is a place that was asked for.
    bounded: bool,
    /// Whether `from` is a guess that was not answered.
    fresh: bool,
    /// Keys between the first name of the directory and `from`.
    so_far: f64,
}

impl Interpolation<'_> {
    fn span(&self) -> f64 {
        self.to.saturating_sub(self.from) as f64
    }

    /// How many keys are left.
    pub fn keys(&self, page: f64) -> f64 {
        if self.fresh && (self.bounded || self.ahead(page) >= self.span()) {
            // Two guesses into the unknown are one too many.
            0.0
        } else if self.closed {
            self.span() * self.density
        } else {
            let so_far = if self.fresh { 0.0 } else { self.so_far };
            (self.span() * self.density).min(4.0 * (so_far + page))
        }
    }

    /// How far to look for more where no end is known.
    fn ahead(&self, page: f64) -> f64 {
        (7.0 * self.so_far + 8.0 * page) / self.density
    }

    /// A name with a `share` of the keys behind it, when `flight` keys are on their way.
    pub fn place(&self, share: f64, flight: f64, page: f64) -> Option<String> {
        let flight = flight / self.density;
        let span = self.span() - flight;
        let ahead = if self.closed {
            span * (1.0 - share)
        } else {
            let far = self.ahead(page);
            if far < span { far } else { span / 2.0 }
        };
        if ahead < 1.0 {
            return None;
        }
        let number = self.from + (flight + ahead) as u128;
        (number < self.to).then(|| self.scale.name(number))
    }
}

impl RangeModel {
    pub fn guess<'a>(
        &self,
        index: usize,
        bounds: Bounds,
        stats: &'a BucketStats,
    ) -> Option<Interpolation<'a>> {
        let segment = &self.segments[index];
        let dir = segment.dir();
        let alphabet = stats.alphabets.get(dir)?;
        let name = segment
            .start
            .as_str()
            .max(bounds.cursor)
            .strip_prefix(dir)?;
        let next = self.segments.get(index + 1).map(|next| next.start.as_str());
        let far = next.or(bounds.end).and_then(|stop| stop.strip_prefix(dir));
        let (first, last) = match &segment.sample {
            Some(sample) => (sample.first.as_str(), sample.last.as_str()),
            None => (name, far?),
        };
        let scale = alphabet.scale(name, first, last, far)?;
        let from = scale.number(name);
        let to = far.map_or(scale.size(), |far| scale.number(far));
        let density = match (&segment.sample, segment.size) {
            (Some(sample), _) => sample.keys / scale.span(first, last).max(1) as f64,
            (None, SizeEstimate::Hint { left, .. }) => left / to.saturating_sub(from).max(1) as f64,
            _ => return None,
        };
        let closed = far.is_some() && (next.is_some() || self.closed);
        Some(Interpolation {
            so_far: alphabet.distance_from_first(&scale, from) as f64 * density,
            scale,
            from,
            to,
            density: density.max(f64::MIN_POSITIVE),
            closed,
            bounded: far.is_some(),
            fresh: self.fresh,
        })
    }
}
