//! The unlisted rest of an interval: which page to request next, and its estimates.

use super::doubt::{BegunDir, DoubtedEnd};
use super::evidence::Evidence;
use super::levels::Climb;
use super::model::{BucketStats, RangeModel};
use super::position::{dir_end, dirs_of, is_before, is_flat, sendable};
use super::prefix_listing::PrefixListing;
use super::segment::Bounds;
use super::split::SplitStep;
use super::{HistogramBound, Request, RequestId};
use crate::record::coverage::Interval;

/// What the next page of a range is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// The keys after the cursor.
    Page,
    /// The keys with this prefix, which is the end of a directory that is listed: they come
    /// next, and only a listing of them shows whether the prefix itself is a key.
    DirEnd(String),
    /// Whether this is still there: another response showed it, the last page did not.
    Check(String),
    /// Nothing, until it is known what comes after this directory, which is listed.
    Wait(String),
}

/// Requests of which each starts where the response to the one before it ended.
#[derive(Debug, Default)]
pub struct Chain {
    /// The prefix of the requests.
    pub scope: String,
    /// The continuation token of the last page.
    pub token: Option<String>,
    /// Whether that token is a position in disguise.
    pub names_key: bool,
    /// Whether the requests by this token started beside directories, so that their end can
    /// be believed.
    pub proven: bool,
}

/// The unlisted rest of an interval.
pub struct ActiveRange {
    /// All keys of the range through this one are listed.
    pub cursor: Option<String>,
    /// The last position of the range; a split lowers it.
    pub end: Option<String>,
    pub step: Step,
    pub chain: Chain,
    /// Whether the cursor is a key of this listing, rather than a guess.
    pub at_key: bool,
    /// Whether to list each directory separately, because an end was doubted.
    pub by_dir: bool,
    pub doubted: Option<DoubtedEnd>,
    /// The outermost first.
    pub begun: Vec<BegunDir>,
    /// Where the next page starts again, before the cursor: beside directories.
    pub restart: Option<String>,
    /// What the last page left out, although it was still there.
    pub insisted: Option<String>,
    /// Empty pages in a row, and a token saved after a power of two of them: it comes again
    /// if the tokens form a cycle (Brent's algorithm).
    pub empty: u32,
    pub met: Option<String>,
    pub flight: Option<RequestId>,
    /// The estimates.
    pub model: RangeModel,
    /// The estimated number of keys left, until that changes.
    pub estimate: Option<f64>,
    /// No split was found; a response may change that.
    pub stuck: bool,
}

impl ActiveRange {
    pub fn new(gap: Interval, model: RangeModel) -> Self {
        Self {
            cursor: gap.after,
            end: gap.through,
            step: Step::Page,
            chain: Chain::default(),
            at_key: false,
            by_dir: false,
            doubted: None,
            begun: Vec::new(),
            restart: None,
            insisted: None,
            empty: 0,
            met: None,
            flight: None,
            model,
            estimate: None,
            stuck: false,
        }
    }

    /// Returns the last key that is listed, empty at the start of the bucket.
    pub fn cursor(&self) -> &str {
        self.cursor.as_deref().unwrap_or_default()
    }

    /// Returns the last position of the range; `None` is the end of the bucket.
    pub fn end(&self) -> Option<&str> {
        self.end.as_deref()
    }

    /// Returns whether the range only waits for a connection.
    pub fn is_ready(&self) -> bool {
        self.flight.is_none() && !matches!(self.step, Step::Wait(_))
    }

    /// Returns the next request.
    pub fn request(&mut self, evidence: &Evidence) -> Request {
        if let Step::DirEnd(start) | Step::Check(start) = &self.step {
            return Request::Page {
                prefix: start.clone(),
                after: None,
                token: self.chain.token.clone(),
            };
        }
        self.choose_scope(evidence);
        // All keys of a scope come after a cursor before it.
        let after = self
            .cursor
            .clone()
            .filter(|cursor| *cursor >= self.chain.scope);
        let after = self.restart.clone().or(after);
        Request::Page {
            prefix: self.chain.scope.clone(),
            after,
            token: self.chain.token.clone(),
        }
    }

    /// Narrows the prefix of the next request: the narrower, the more likely it starts
    /// beside directories. A token keeps its prefix, unless its end would be doubted.
    fn choose_scope(&mut self, evidence: &Evidence) {
        if self.restart.is_some() || self.chain.token.is_some() && self.chain.proven {
            return;
        }
        let cursor = self.cursor.as_deref().unwrap_or_default();
        let prefix = evidence.prefix.as_str();
        let scope = if evidence.no_prefix {
            prefix
        } else if self.by_dir || evidence.ends_early {
            dirs_of(prefix, cursor).next_back().unwrap_or(prefix)
        } else {
            evidence.levels.scope(prefix, cursor, self.end.as_deref())
        };
        let proven = is_flat(scope, cursor);
        if self.chain.token.is_none() || proven {
            self.chain.proven = proven;
            self.chain.token = None;
            scope.clone_into(&mut self.chain.scope);
        }
    }

    /// Continues after the cursor by a page of the whole listing.
    pub fn reset(&mut self) {
        self.flight = None;
        if let Step::Check(name) = std::mem::replace(&mut self.step, Step::Page) {
            self.insisted = Some(name);
        }
        self.chain.token = None;
        self.chain.proven = false;
        self.restart = None;
    }

    /// Continues outside of the directory `dir`, which is listed to its end. Returns
    /// whether the range ends there.
    pub fn leave(&mut self, dir: &str, evidence: &Evidence) -> bool {
        self.chain.token = None;
        let asks = |dir: &str| {
            !evidence.no_delimiter && sendable(dir) == dir && !evidence.levels.was_listed(dir)
        };
        match evidence.levels.climb(&evidence.prefix, dir, self.end()) {
            Climb::Finished => return true,
            Climb::Unknown(dir) if asks(&dir) => {
                self.step = Step::Wait(dir);
            }
            Climb::Continue { dir, free: true } => {
                self.by_dir = true;
                self.step = Step::Page;
                self.chain.proven = false;
                self.cursor = dir_end(&dir);
                self.at_key = false;
                return !is_before(self.cursor(), self.end());
            }
            Climb::Unknown(dir) | Climb::Continue { dir, .. } => {
                self.by_dir = true;
                self.step = Step::DirEnd(dir_end(&dir).unwrap_or_default());
            }
        }
        false
    }

    /// Returns the estimated number of keys left.
    pub fn left(&mut self, stats: &BucketStats) -> f64 {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        let compute = || self.model.estimates(bounds, stats).iter().sum();
        *self.estimate.get_or_insert_with(compute)
    }

    /// Replaces the estimates by those of an earlier run.
    pub fn apply_histogram(&mut self, histogram: &[HistogramBound], stats: &mut BucketStats) {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.apply_histogram(histogram, bounds, stats);
    }

    /// Chooses where to split the range, see [`RangeModel::choose_split`].
    pub fn choose_split(&mut self, goal: f64, spare: bool, stats: &BucketStats) -> SplitStep {
        let bounds = Bounds::new(self.cursor.as_deref(), self.end.as_deref());
        self.model.choose_split(goal, spare, bounds, stats)
    }

    /// Improves the estimates by a listing with the delimiter.
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
        Self {
            by_dir: self.by_dir,
            doubted: self.doubted.clone(),
            ..Self::new(Interval::new(Some(position), end), model)
        }
    }
}
