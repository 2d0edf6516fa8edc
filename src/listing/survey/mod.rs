//! Divides a bucket into ranges of about equal size without listing it all.
//!
//! A survey sends rounds of probes: listings of directories, some of each class and all
//! that may be large. Responses count in the order of their requests, so an unchanged
//! bucket is always divided the same way.

mod divide;
mod estimate;
mod gap;
mod page_sample;
mod probe;
mod tree;

use super::dir_class::ClassStats;
use super::order::check_order;
use super::{Continuation, HistogramBound, InconsistentListing, Request, RequestId, ResponseKeys};
use divide::{KeyRun, cut, divide, extend, start_run};
use estimate::{deepest, estimate};
use page_sample::{DirStats, PageSample};
use probe::{Probe, ProbeQueue};
use tree::{Dir, DirListing};

pub use divide::PlannedRange;

/// Minimum number of requests of a survey, and requests per part.
const REQUESTS: (usize, usize) = (100, 20);
/// Rounds over which the requests are spread.
const ROUNDS: usize = 10;
/// Anything estimated above this share of a part is probed.
const SHARE: f64 = 0.125;

/// A request of the current round.
struct InFlight {
    id: RequestId,
    probe: Probe,
    answer: Option<Response>,
}

enum Response {
    DirListing(DirListing),
    Page(Vec<String>, Continuation),
}

/// A survey of a bucket.
pub struct Survey {
    root: Dir,
    parts: usize,
    page: f64,
    /// Directories seen by page samples.
    dir_stats: Vec<DirStats>,
    classes: ClassStats,
    /// Requests left.
    left: usize,
    last_id: u64,
    round: Vec<InFlight>,
    histogram: Vec<HistogramBound>,
}

impl Survey {
    /// Starts a survey for `parts` parts. With a fine `histogram` of a finished run it sends
    /// no request.
    pub fn new(prefix: &str, page_size: usize, parts: usize, histogram: &[HistogramBound]) -> Self {
        let parts = parts.max(1);
        let known = histogram.len() >= 4 * parts;
        let sends = parts > 1 && !known;
        Self {
            root: Dir::new(prefix),
            parts,
            page: page_size as f64,
            dir_stats: Vec::new(),
            classes: ClassStats::default(),
            left: if sends { requests(parts) } else { 0 },
            last_id: 0,
            round: Vec::new(),
            histogram: if known {
                histogram.to_vec()
            } else {
                Vec::new()
            },
        }
    }

    /// Returns the requests of the next round; the survey is complete when there are none.
    pub fn round(&mut self) -> Vec<(RequestId, Request)> {
        let most = self.left.min(requests(self.parts) / ROUNDS);
        let mut probes = if self.root.is_seen() {
            let probes = ProbeQueue {
                goal: self.root.keys / self.parts as f64 * SHARE,
                page: self.page,
                classes: &self.classes,
            };
            probes.collect(&self.root)
        } else {
            vec![Probe::new(&self.root, "", 0, 0.0)]
        };
        probes.truncate(most);
        self.left -= probes.len();
        let mut requests = Vec::new();
        for probe in probes {
            self.last_id += 1;
            let id = RequestId(self.last_id);
            requests.push((id, probe.request(&self.root.name)));
            self.round.push(InFlight {
                id,
                probe,
                answer: None,
            });
        }
        requests
    }

    /// Takes the response to a page request of this round.
    ///
    /// # Errors
    /// The listing is inconsistent.
    pub fn page(
        &mut self,
        id: RequestId,
        page: &impl ResponseKeys,
        next: Continuation,
    ) -> Result<(), InconsistentListing> {
        check_order(self.after(id), page)?;
        self.answer(id, Response::Page(copy(page), next));
        Ok(())
    }

    /// Takes the response to a listing with the delimiter of this round: the common
    /// prefixes and the keys beside them.
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
    ) -> Result<(), InconsistentListing> {
        let after = self.after(id);
        check_order(after, page)?;
        let after = after.unwrap_or_default();
        // Some servers repeat the directory that contains `after`.
        let again = names.partition_point(|name| name.as_str() <= after);
        let list = DirListing::new(
            after,
            &names[again..],
            &copy(page),
            next != Continuation::End,
        );
        self.answer(id, Response::DirListing(list));
        Ok(())
    }

    fn after(&self, id: RequestId) -> Option<&str> {
        let in_flight = self.round.iter().find(|in_flight| in_flight.id == id)?;
        Some(in_flight.probe.after.as_str()).filter(|after| !after.is_empty())
    }

    fn answer(&mut self, id: RequestId, answer: Response) {
        if let Some(in_flight) = self.round.iter_mut().find(|in_flight| in_flight.id == id) {
            in_flight.answer = Some(answer);
        }
        if self
            .round
            .iter()
            .any(|in_flight| in_flight.answer.is_none())
        {
            return;
        }
        for InFlight { probe, answer, .. } in std::mem::take(&mut self.round) {
            match answer {
                Some(Response::DirListing(list)) => {
                    if let Some(dir) = self.root.find(&probe.dir) {
                        dir.add(list);
                    }
                }
                Some(Response::Page(page, next)) => self.cross(&probe, &page, &next),
                None => {}
            }
        }
        self.estimate();
    }

    fn cross(&mut self, probe: &Probe, page: &[String], next: &Continuation) {
        if let Some(dir) = self.root.find(&probe.dir) {
            dir.paged = true;
        }
        let end = page.last().filter(|_| *next != Continuation::End);
        if page.is_empty() && *next != Continuation::End {
            return;
        }
        let sample = PageSample {
            after: &probe.after,
            page,
            end: end.map(String::as_str),
        };
        sample.count(&mut self.root);
        self.dir_stats.extend(sample.dirs());
    }

    /// Estimates all directories again.
    fn estimate(&mut self) {
        let mut classes = ClassStats::default();
        let (ended, not): (Vec<_>, Vec<_>) =
            self.dir_stats.iter().partition(|class| class.ends > 0.0);
        // Each page has one vote, otherwise a place with many small directories would
        // dominate.
        for dir_stats in ended {
            classes.record(dir_stats.class, 1.0, dir_stats.keys / dir_stats.ends);
        }
        for dir_stats in not {
            if classes
                .known_mean(dir_stats.class)
                .is_some_and(|mean| mean < dir_stats.keys)
            {
                classes.record(dir_stats.class, 1.0, 2.0 * dir_stats.keys);
            }
        }
        for depth in (0..=deepest(&self.root)).rev() {
            estimate(&mut self.root, depth, &mut classes);
        }
        self.classes = classes;
    }

    /// Returns the parts in key order: together they are the whole bucket.
    pub fn parts(&self) -> Vec<PlannedRange> {
        let start = String::new();
        let mut runs = vec![KeyRun { start, keys: 0.0 }];
        if self.histogram.is_empty() {
            let most = self.root.keys / self.parts as f64 * SHARE;
            divide(&self.root, most, &mut runs);
        }
        for (key, keys) in &self.histogram {
            extend(*keys as f64, &mut runs);
            start_run(key, 0.0, &mut runs);
        }
        cut(&runs, self.parts)
    }
}

fn requests(parts: usize) -> usize {
    REQUESTS.0.max(REQUESTS.1 * parts)
}

fn copy(page: &impl ResponseKeys) -> Vec<String> {
    let keys = (0..page.len()).map(|index| page.key(index).into_owned());
    keys.collect()
}
