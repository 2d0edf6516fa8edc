//! Names of a segment as numbers: estimates how many keys are left, and names a key at a
//! given share of them.

use super::alphabet::Scale;
use super::model::{BucketStats, RangeModel};
use super::segment::{Bounds, SizeEstimate};

pub struct Interpolation<'a> {
    scale: Scale<'a>,
    from: u128,
    to: u128,
    /// Keys per number.
    density: f64,
    /// Whether keys are known to exist near `to`.
    closed: bool,
    /// Whether `to` is a key that was requested.
    bounded: bool,
    /// Whether `from` is an interpolated key without a response yet.
    unconfirmed: bool,
    /// Keys between the first name of the directory and `from`.
    so_far: f64,
}

impl Interpolation<'_> {
    fn span(&self) -> f64 {
        self.to.saturating_sub(self.from) as f64
    }

    /// Returns the estimated number of keys left.
    pub fn keys(&self, page: f64) -> f64 {
        if self.unconfirmed && (self.bounded || self.ahead(page) >= self.span()) {
            // A second guess into the unknown would rest on the first.
            0.0
        } else if self.closed {
            self.span() * self.density
        } else {
            let so_far = if self.unconfirmed { 0.0 } else { self.so_far };
            (self.span() * self.density).min(4.0 * (so_far + page))
        }
    }

    /// Returns how far to look for more keys if no end is known.
    fn ahead(&self, page: f64) -> f64 {
        (7.0 * self.so_far + 8.0 * page) / self.density
    }

    /// Returns a name with a `share` of the keys after it, while `flight` keys are in
    /// flight.
    pub fn name_at(&self, share: f64, flight: f64, page: f64) -> Option<String> {
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
    pub fn interpolation<'a>(
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
            unconfirmed: self.unconfirmed,
        })
    }
}
