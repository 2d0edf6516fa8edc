//! Names of a segment as numbers: estimates how many keys are left, and names a key at a
//! given share of them.

use super::alphabet::Span;
use super::model::{BucketStats, RangeModel};
use super::segment::{Bounds, SizeEstimate};

/// Estimates how many keys are between two names, by the last page.
pub struct Interpolation<'a> {
    span: Span<'a>,
    /// Whether the span ends at a key that was requested.
    bounded: bool,
    /// Whether it starts at an interpolated key without a response yet.
    unconfirmed: bool,
}

impl Interpolation<'_> {
    /// Returns the estimated number of keys left.
    pub fn keys(&self, page: f64) -> f64 {
        if self.unconfirmed && (self.bounded || self.ahead(page) >= self.span.numbers()) {
            // A second guess into the unknown would rest on the first.
            0.0
        } else if self.span.closed {
            self.span.entries()
        } else {
            let so_far = if self.unconfirmed {
                0.0
            } else {
                self.span.so_far()
            };
            self.span.entries().min(4.0 * (so_far + page))
        }
    }

    /// Returns how far to look for more keys if no end is known.
    fn ahead(&self, page: f64) -> f64 {
        (7.0 * self.span.so_far() + 8.0 * page) / self.span.density
    }

    /// Returns a name with a `share` of the keys after it, while `flight` keys are in
    /// flight.
    pub fn name_at(&self, share: f64, flight: f64, page: f64) -> Option<String> {
        let flight = flight / self.span.density;
        let span = self.span.numbers() - flight;
        let ahead = if self.span.closed {
            span * (1.0 - share)
        } else {
            let far = self.ahead(page);
            if far < span { far } else { span / 2.0 }
        };
        let distance = flight + ahead;
        (ahead >= 1.0 && self.span.contains(distance)).then(|| self.span.name(distance))
    }
}

impl RangeModel {
    /// Returns the names of the segment `index` as numbers; `None` if too little is known of them.
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
        let mut span = alphabet.span(name, first, last, far)?;
        let density = match (&segment.sample, segment.size) {
            (Some(sample), _) => sample.keys / span.distance(first, last).max(1.0),
            (None, SizeEstimate::Histogram { left, .. }) => left / span.numbers().max(1.0),
            _ => return None,
        };
        span.closed = far.is_some() && (next.is_some() || self.closed);
        Some(Interpolation {
            span: span.with_density(density),
            bounded: far.is_some(),
            unconfirmed: self.unconfirmed,
        })
    }
}
