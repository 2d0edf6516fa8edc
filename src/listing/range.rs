//! A range of keys that is being listed page by page: which keys of an answer
//! belong to it, and whether the server can be relied on.

use super::model::{BucketStats, RangeModel};
use super::order::{check_order, partition};
use super::position::is_before;
use super::prefix_listing::PrefixListing;
use super::segment::Bounds;
use super::split::SplitStep;
use super::{Accepted, Continuation, Hint, InconsistentListing, Keys, RequestId};
use crate::record::coverage::Interval;

/// What is left of an interval.
pub struct ActiveRange {
    /// All keys of the range through here are listed.
    pub cursor: Option<String>,
    /// The last place of the range; it comes nearer when the range is cut.
    pub end: Option<String>,
    /// Where the server said that the next page begins.
    pub token: Option<String>,
    /// Pages in a row that brought nothing, and a token to be met again if they go in a
    /// circle: the last one that came after a power of two of them, as Brent finds cycles.
    empty: u32,
    met: Option<String>,
    pub flight: Option<RequestId>,
    /// What is thought to lie there.
    pub model: RangeModel,
    /// How many keys are thought to be left, if that was not forgotten.
    thought: Option<f64>,
    /// Until something is learned there is no place to cut.
    pub stuck: bool,
}

/// What an answer did to a range.
pub struct Answered {
    pub kept: Accepted,
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
            thought: None,
            stuck: false,
        }
    }

    pub fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// How many keys are thought to be left, by what was known when it last changed.
    pub fn left(&mut self, stats: &BucketStats) -> f64 {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        let think = || self.model.estimates(bounds, stats).iter().sum();
        *self.thought.get_or_insert_with(think)
    }

    pub fn hint(&mut self, hints: &[Hint], stats: &mut BucketStats) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.hint(hints, bounds, stats);
    }

    pub fn step(&mut self, goal: f64, spare: bool, stats: &BucketStats) -> SplitStep {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.step(goal, spare, bounds, stats)
    }

    pub fn learn(&mut self, listing: &PrefixListing, stats: &mut BucketStats) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.learn(listing, bounds, stats);
        self.thought = None;
        self.stuck = false;
    }

    /// Ends at `place` from now on, and gives back the range behind it.
    pub fn cut(&mut self, place: String, known: bool, share: f64) -> Self {
        let model = self.model.cut(&place, known, share);
        self.thought = None;
        let end = self.end.replace(place.clone());
        Self::new(Interval::new(Some(place), end), model)
    }

    /// Takes the answer to this range's page, and goes on behind it.
    pub fn answer(
        &mut self,
        page: &impl Keys,
        next: Continuation,
    ) -> Result<Answered, InconsistentListing> {
        check_order(self.cursor.as_deref(), page)?;
        self.flight = None;
        self.thought = None;
        self.stuck = false;
        let len = page.len();
        let keys = partition(len, |index| match self.end() {
            Some(end) => *page.key(index) <= *end,
            None => true,
        });
        let last = len.checked_sub(1).map(|last| page.key(last));
        let behind = last
            .as_deref()
            .is_some_and(|last| !is_before(last, self.end()));
        let finished = behind || next == Continuation::End;
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
                self.stand(token.as_ref())?;
            } else {
                self.empty = 0;
            }
            self.token = token;
        }
        let covers = (finished || through != self.cursor)
            .then(|| Interval::new(self.cursor.clone(), through.clone()));
        self.cursor = through;
        let kept = Accepted {
            keys: 0..keys,
            covers,
        };
        Ok(Answered { kept, finished })
    }

    /// A page brought nothing, and goes on with `token`.
    fn stand(&mut self, token: Option<&String>) -> Result<(), InconsistentListing> {
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
