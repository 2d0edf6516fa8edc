//! A range that is being listed page by page: accepts the keys of a response that belong to
//! it, and checks that the server's listing is consistent.

use super::model::{BucketStats, RangeModel};
use super::order::{check_order, partition};
use super::position::is_before;
use super::prefix_listing::PrefixListing;
use super::segment::Bounds;
use super::split::SplitStep;
use super::{Accepted, Continuation, HistogramBound, InconsistentListing, RequestId, ResponseKeys};
use crate::record::coverage::Interval;

/// The unlisted rest of an interval.
pub struct ActiveRange {
    /// All keys of the range through this one are listed.
    pub cursor: Option<String>,
    /// The last position of the range; a split lowers it.
    pub end: Option<String>,
    /// The continuation token of the last page.
    pub token: Option<String>,
    /// Empty pages in a row, and a token saved after a power of two of them: it comes again
    /// if the tokens form a cycle (Brent's algorithm).
    empty: u32,
    met: Option<String>,
    pub flight: Option<RequestId>,
    /// The estimates.
    pub model: RangeModel,
    /// The estimated number of keys left, until that changes.
    estimate: Option<f64>,
    /// No split was found; a response may change that.
    pub stuck: bool,
}

/// How a response changed a range.
pub struct RangeUpdate {
    pub accepted: Accepted,
    pub finished: bool,
}

impl ActiveRange {
    pub fn new(gap: Interval, model: RangeModel) -> Self {
        Self {
            cursor: gap.after,
            end: gap.through,
            token: None,
            empty: 0,
            met: None,
            flight: None,
            model,
            estimate: None,
            stuck: false,
        }
    }

    pub fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Returns the estimated number of keys left.
    pub fn left(&mut self, stats: &BucketStats) -> f64 {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        let compute = || self.model.estimates(bounds, stats).iter().sum();
        *self.estimate.get_or_insert_with(compute)
    }

    pub fn apply_histogram(&mut self, histogram: &[HistogramBound], stats: &mut BucketStats) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.apply_histogram(histogram, bounds, stats);
    }

    pub fn choose_split(&mut self, goal: f64, spare: bool, stats: &BucketStats) -> SplitStep {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.choose_split(goal, spare, bounds, stats)
    }

    pub fn refine(&mut self, listing: &PrefixListing, stats: &mut BucketStats) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.refine(listing, bounds, stats);
        self.estimate = None;
        self.stuck = false;
    }

    /// Ends the range at `position` and returns the range after it.
    pub fn split_off(&mut self, position: String, known: bool, share: f64) -> Self {
        let model = self.model.split_off(&position, known, share);
        self.estimate = None;
        let end = self.end.replace(position.clone());
        Self::new(Interval::new(Some(position), end), model)
    }

    /// Accepts the keys of a response that belong to this range, and advances the cursor.
    pub fn accept(
        &mut self,
        page: &impl ResponseKeys,
        next: Continuation,
    ) -> Result<RangeUpdate, InconsistentListing> {
        check_order(self.cursor.as_deref(), page)?;
        self.flight = None;
        self.estimate = None;
        self.stuck = false;
        let len = page.len();
        let keys = partition(len, |index| match self.end() {
            Some(end) => *page.key(index) <= *end,
            None => true,
        });
        let last = len.checked_sub(1).map(|last| page.key(last));
        let reaches_end = last
            .as_deref()
            .is_some_and(|last| !is_before(last, self.end()));
        let finished = reaches_end || next == Continuation::End;
        let through = if finished {
            self.end.clone()
        } else {
            match last {
                Some(last) => Some(last.into_owned()),
                None => self.cursor.clone(),
            }
        };
        if let (false, Continuation::More(token)) = (finished, next) {
            if through == self.cursor {
                self.check_progress(token.as_ref())?;
            } else {
                self.empty = 0;
            }
            self.token = token;
        }
        let covers = (finished || through != self.cursor)
            .then(|| Interval::new(self.cursor.clone(), through.clone()));
        self.cursor = through;
        let accepted = Accepted {
            keys: 0..keys,
            covers,
        };
        Ok(RangeUpdate { accepted, finished })
    }

    /// Handles a page that did not advance the cursor, and continues with `token`.
    fn check_progress(&mut self, token: Option<&String>) -> Result<(), InconsistentListing> {
        if token.is_none() {
            return Err(InconsistentListing::new(
                "a page is empty and truncated, and has no continuation token",
            ));
        }
        if self.empty == 0 {
            self.met.clone_from(&self.token);
        }
        if token == self.met.as_ref() {
            return Err(InconsistentListing::new(
                "the same continuation token comes again",
            ));
        }
        self.empty += 1;
        if self.empty.is_power_of_two() {
            self.met = token.cloned();
        }
        Ok(())
    }
}
