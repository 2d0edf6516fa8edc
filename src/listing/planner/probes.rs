//! Listings with a delimiter: they improve estimates, and show where directories end.

use super::Planner;
use crate::listing::levels::Rest;
use crate::listing::order::check_order;
use crate::listing::position::{dir_end, flat_before, is_before, parent_dir, sendable};
use crate::listing::prefix_listing::PrefixListing;
use crate::listing::range::Step;
use crate::listing::{Continuation, InconsistentListing, Request, RequestId, ResponseKeys};
use crate::record::coverage::Interval;

/// A listing with a delimiter in flight.
pub struct PendingProbe {
    pub id: RequestId,
    pub dir: String,
    /// Where the estimates to improve begin.
    pub after: String,
    /// Where the listing starts: beside the directories in `dir`.
    pub start: String,
    /// The directory after which it lists the rest, if it is for that.
    pub rest_after: Option<String>,
}

impl Planner {
    /// Lists `dir` from beside `after` on, to improve its estimates.
    pub(super) fn probe(&mut self, dir: String, after: String) -> (RequestId, Request) {
        let id = self.id();
        let start = flat_before(&dir, &after);
        let request = Request::Children {
            prefix: dir.clone(),
            after: (!start.is_empty()).then(|| start.clone()),
        };
        self.probes.push(PendingProbe {
            id,
            dir,
            after,
            start,
            rest_after: None,
        });
        (id, request)
    }

    /// Lists what comes in `dir` after the directory `child`.
    pub(super) fn probe_rest(&mut self, dir: &str, child: &str) -> (RequestId, Request) {
        self.evidence.levels.ask(child, false);
        let request = self.probe(dir.to_owned(), flat_before(dir, child));
        if let Some(probe) = self.probes.last_mut() {
            probe.rest_after = Some(child.to_owned());
        }
        request
    }

    /// Returns a directory that a range waits for, and its parent.
    pub(super) fn waited_for(&self) -> Option<(String, String)> {
        let waits = self.ranges.iter().find_map(|range| match &range.step {
            Step::Wait(dir) if !self.evidence.levels.was_asked(dir) => Some(dir.as_str()),
            _ => self.unproven(range),
        })?;
        let parent = parent_dir(&self.settings.prefix, waits);
        Some((parent.to_owned(), waits.to_owned()))
    }

    /// Probes where the directories end that contain the last key known, if the end of the
    /// last range could not be believed otherwise.
    pub(super) fn probe_last(&mut self) -> Option<(RequestId, Request)> {
        let range = self.ranges.last().filter(|range| range.end.is_none())?;
        let prefix = &self.settings.prefix;
        let last = self.evidence.last.as_str().max(range.cursor());
        let doubts = !range.chain.proven && range.step == Step::Page && last.starts_with(prefix);
        if self.stats.no_delimiter || !doubts {
            return None;
        }
        let levels = &self.evidence.levels;
        let unknown = levels.unproven(prefix, last).find(|&(dir, child)| {
            let asks = sendable(child) == child && !levels.was_asked(child);
            levels.rest(dir, child) == Rest::Unknown && asks
        });
        let (dir, child) = unknown?;
        let (dir, child) = (dir.to_owned(), child.to_owned());
        Some(self.probe_rest(&dir, &child))
    }

    /// Takes the response to a listing with the delimiter: the common prefixes and the keys
    /// beside them. Returns the intervals that it completes: no key comes there.
    ///
    /// # Errors
    /// The listing is inconsistent.
    #[expect(clippy::needless_pass_by_value, reason = "as with a page")]
    pub fn children(
        &mut self,
        id: RequestId,
        names: &[String],
        page: &impl ResponseKeys,
        next: Continuation,
    ) -> Result<Vec<Interval>, InconsistentListing> {
        let Some(probe) = self.take_probe(id) else {
            return Ok(Vec::new());
        };
        let start = (!probe.start.is_empty()).then_some(probe.start.as_str());
        check_order(start, page)?;
        if !names.is_sorted() {
            let what = "its common prefixes are not in byte order; listing without them";
            self.evidence.warnings.push(what.to_owned());
            self.stop_probing();
            return Ok(Vec::new());
        }
        let last = page.len().checked_sub(1).map(|last| page.key(last));
        let last = last.as_deref().max(names.last().map(String::as_str));
        let listing = PrefixListing {
            dir: &probe.dir,
            after: &probe.after,
            names,
            plain: page.len(),
            last: last.unwrap_or_default(),
            truncated: next != Continuation::End,
        };
        let end = listing.last.max(&probe.start);
        self.evidence
            .levels
            .record(&probe.dir, &probe.start, page, end, listing.truncated);
        self.evidence.see(listing.last);
        let stop = dir_end(&probe.dir);
        for range in &mut self.ranges {
            let above = stop.as_deref().is_none_or(|stop| range.cursor() < stop);
            if above && is_before(&probe.after, range.end()) {
                let (cursor, end) = (range.cursor(), range.end());
                let first = names.partition_point(|name| name.as_str() <= cursor);
                let rest = names[first..].iter();
                for name in rest.take_while(|name| is_before(name, end)) {
                    self.evidence.add_dir(name);
                }
                if probe.rest_after.is_none() {
                    range.refine(&listing, &mut self.stats);
                }
            }
        }
        let done = self.resume_waiting();
        self.divide_doubted();
        Ok(done)
    }

    /// Continues the ranges that wait, as far as it is known now what comes next. Returns
    /// the rest of those that end.
    fn resume_waiting(&mut self) -> Vec<Interval> {
        let mut done = Vec::new();
        self.ranges.retain_mut(|range| {
            let Step::Wait(dir) = range.step.clone() else {
                return true;
            };
            let before = range.cursor.clone();
            let finished = range.leave(&dir, &self.evidence);
            if finished {
                done.push(Interval::new(before, range.end.take()));
                range.model.finish(&mut self.stats);
            } else if range.cursor != before {
                done.push(Interval::new(before, range.cursor.clone()));
            }
            !finished
        });
        done
    }

    /// Takes the rejection of a listing with the delimiter. It would only have improved
    /// estimates, so the planner requests no more of them.
    pub fn delimiter_rejected(&mut self, id: RequestId) {
        if self.take_probe(id).is_some() {
            self.stop_probing();
        }
    }

    fn stop_probing(&mut self) {
        self.stats.no_delimiter = true;
        self.evidence.no_delimiter = true;
        for range in &mut self.ranges {
            range.stuck = false;
        }
        self.resume_waiting();
    }

    fn take_probe(&mut self, id: RequestId) -> Option<PendingProbe> {
        let at = self.probes.iter().position(|probe| probe.id == id)?;
        self.requests.out -= 1;
        self.requests.probes += 1;
        let probe = self.probes.swap_remove(at);
        if let Some(child) = &probe.rest_after {
            self.evidence.levels.ask(child, true);
        }
        Some(probe)
    }
}
