//! The state of a listing: chooses requests and takes their responses.

mod budget;
mod doubts;
mod probes;

use self::budget::Budget;
use self::probes::PendingProbe;
use super::evidence::Evidence;
use super::model::{BucketStats, RangeModel};
use super::range::{ActiveRange, Step};
use super::split::{MIN_PAGES, SplitStep};
use super::{
    Accepted, Continuation, HistogramBound, InconsistentListing, ListingOptions, Request,
    RequestCounts, RequestId, ResponseKeys,
};
use crate::record::coverage::Interval;

/// With fewer pages left per connection the listing is near its end.
const MIN_PAGES_PER_CONNECTION: f64 = 2.0;

/// A parallel listing, without its sockets.
pub struct Planner {
    settings: ListingOptions,
    /// In key order.
    ranges: Vec<ActiveRange>,
    probes: Vec<PendingProbe>,
    stats: BucketStats,
    evidence: Evidence,
    has_histogram: bool,
    budget: Budget,
    last_id: u64,
    requests: RequestCounts,
}

impl Planner {
    /// Plans the listing of `gaps`, which are disjoint and in key order.
    pub fn new(
        settings: ListingOptions,
        gaps: Vec<Interval>,
        histogram: &[HistogramBound],
    ) -> Self {
        let mut stats = BucketStats {
            page: settings.page_size.max(1) as f64,
            ..BucketStats::default()
        };
        let budget = Budget::new(settings.page_size, gaps.len(), histogram);
        let ranges = gaps.into_iter().map(|gap| {
            let (after, through) = (gap.after.as_deref(), gap.through.as_deref());
            let model = RangeModel::new(&settings.prefix, after, through, stats.page);
            let mut range = ActiveRange::new(gap, model);
            range.apply_histogram(histogram, &mut stats);
            range
        });
        let ranges = ranges.collect();
        let connections = settings.connections;
        let last = histogram.last().map(|(key, _)| key.as_str());
        let evidence = Evidence::new(&settings.prefix, settings.page_size, last);
        Self {
            settings,
            ranges,
            probes: Vec::new(),
            stats,
            evidence,
            has_histogram: !histogram.is_empty() && connections > 1,
            budget,
            last_id: 0,
            requests: RequestCounts::default(),
        }
    }

    /// Returns the next request; `None` means to wait for the next response.
    pub fn next_request(&mut self) -> Option<(RequestId, Request)> {
        if self.requests.out > self.budget.full_pages {
            return None;
        }
        // With a histogram no connection is ever idle before the end.
        if self.has_histogram
            && self.last_id > 0
            && let Some(request) = self.probe_last()
        {
            return Some(request);
        }
        if let Some(index) = self.ranges.iter().position(ActiveRange::is_ready) {
            return Some(self.next_page(index));
        }
        if let Some((dir, child)) = self.waited_for() {
            return Some(self.probe_rest(&dir, &child));
        }
        if self.settings.connections <= 1 || !self.can_afford_more() {
            return None;
        }
        self.split_largest().or_else(|| self.probe_last())
    }

    /// Returns the request for the next page of a range.
    fn next_page(&mut self, index: usize) -> (RequestId, Request) {
        let id = self.id();
        let range = &mut self.ranges[index];
        range.flight = Some(id);
        (id, range.request(&self.evidence))
    }

    fn id(&mut self) -> RequestId {
        self.last_id += 1;
        self.requests.out += 1;
        RequestId(self.last_id)
    }

    /// Splits the range with the highest estimate, or probes for where to split it.
    fn split_largest(&mut self) -> Option<(RequestId, Request)> {
        let page = self.stats.page;
        for alphabet in self.stats.alphabets.values_mut() {
            alphabet.refresh();
        }
        loop {
            let stats = &self.stats;
            let left: Vec<f64> = self
                .ranges
                .iter_mut()
                .map(|range| range.left(stats))
                .collect();
            let (index, keys) = left
                .iter()
                .copied()
                .enumerate()
                .filter(|&(index, _)| self.may_split(index))
                .max_by(|(_, a), (_, b)| a.total_cmp(b))?;
            let each = left.iter().sum::<f64>() / self.settings.connections as f64;
            // Single pages are worth splitting near the end, when few requests remain per
            // connection; not at the start, when a small bucket would cost many requests.
            let listed = self.requests.pages >= self.settings.connections as u64;
            let spare = listed && each < MIN_PAGES_PER_CONNECTION * page;
            if keys < if spare { 1.0 } else { MIN_PAGES } * page {
                return None;
            }
            // This many connections will share the rest of this range, half of them after
            // the split.
            let parts = (keys / each.max(page)).round().max(2.0);
            let after = if spare { keys } else { keys - page };
            let goal = after * (parts / 2.0).floor() / parts;
            match self.ranges[index].choose_split(goal, spare, &self.stats) {
                SplitStep::Split { .. } if !self.can_afford_split(index) => {
                    self.ranges[index].stuck = true;
                }
                SplitStep::Split {
                    position,
                    known,
                    share,
                } => {
                    let after = self.ranges[index].split_off(position, known, share);
                    self.ranges.insert(index + 1, after);
                    return Some(self.next_page(index + 1));
                }
                SplitStep::Probe { dir, after } => {
                    let asked = |probe: &PendingProbe| probe.dir == dir && probe.after <= after;
                    if !self.probes.iter().any(asked) {
                        return Some(self.probe(dir, after));
                    }
                }
                SplitStep::Nothing => self.ranges[index].stuck = true,
            }
        }
    }

    /// Returns whether a range may be split: an unconfirmed interpolation has to wait for a
    /// probe.
    fn may_split(&self, index: usize) -> bool {
        let range = &self.ranges[index];
        !range.stuck
            && range.doubted.is_none()
            && range.step == Step::Page
            && (self.probes.is_empty() || !range.model.unconfirmed)
    }

    /// Takes the response to a page request.
    ///
    /// # Errors
    /// The listing is inconsistent.
    pub fn page(
        &mut self,
        id: RequestId,
        page: &impl ResponseKeys,
        next: Continuation,
    ) -> Result<Accepted, InconsistentListing> {
        let Some(index) = self
            .ranges
            .iter()
            .position(|range| range.flight == Some(id))
        else {
            return Ok(Accepted {
                keys: 0..0,
                covers: None,
            });
        };
        self.requests.out -= 1;
        let range = &mut self.ranges[index];
        let is_full = !page.is_empty() && next != Continuation::End;
        let update = range.accept(page, next, &mut self.evidence)?;
        let accepted = update.accepted.keys.len();
        let last = range.cursor.as_deref().filter(|_| accepted > 0);
        self.budget
            .add(accepted as u64, last, is_full, range.end.is_none());
        if accepted > 0 {
            self.requests.pages += 1;
        } else {
            self.requests.wasted += 1;
        }
        if update.doubted {
            self.divide(index);
            return Ok(update.accepted);
        }
        let range = &mut self.ranges[index];
        let through = range.cursor.clone();
        if accepted > 0 || update.finished {
            range.model.advance(
                page,
                update.accepted.keys.end,
                through.as_deref(),
                &mut self.stats,
            );
        }
        if update.finished {
            range.model.finish(&mut self.stats);
            self.ranges.remove(index);
        }
        Ok(update.accepted)
    }

    /// Takes the rejection of a page whose prefix is longer than that of the listing.
    pub fn prefix_rejected(&mut self, id: RequestId) {
        let rejected = |range: &&mut ActiveRange| range.flight == Some(id);
        if let Some(range) = self.ranges.iter_mut().find(rejected) {
            self.requests.out -= 1;
            self.requests.wasted += 1;
            self.evidence.no_prefix = true;
            range.reset();
        }
    }

    /// Returns what the user should know of contradictions since the last call.
    pub fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.evidence.warnings)
    }

    /// Returns whether every key of the gaps is listed.
    pub fn is_done(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Returns the counts of requests so far.
    pub fn requests(&self) -> RequestCounts {
        self.requests
    }
}
